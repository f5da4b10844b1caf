"""Everything that fuzzing reached and found, again, without the fuzzer (see `run.py`)."""

import time
from pathlib import Path

import pytest

from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.minimise import reached, smallest_cover
from tests.fuzz.seeds import seeds

CORPUS = Path(__file__).parent / "corpus"
INPUT_SECONDS = 1.0  # of CPU time, for some milliseconds' work

SEEDS = seeds()


@pytest.mark.parametrize("name", HARNESSES)
def test_every_kept_input_keeps_the_promise(name: str) -> None:
    files = sorted((CORPUS / name).iterdir())
    assert files
    for file in files:
        began = time.process_time()
        HARNESSES[name](file.read_bytes())
        assert time.process_time() - began < INPUT_SECONDS, file.name


@pytest.mark.parametrize("name", HARNESSES)
def test_every_seed_keeps_the_promise_and_so_does_each_cut_of_it(name: str) -> None:
    for data in SEEDS[name]:
        for end in {0, 1, len(data) // 3, len(data) // 2, len(data) - 1, len(data)}:
            HARNESSES[name](data[:end])


def test_the_corpus_is_small_and_of_known_targets() -> None:
    folders = list(CORPUS.iterdir())
    assert {folder.name for folder in folders} == set(HARNESSES) == set(SEEDS)
    sizes = {folder.name: [f.stat().st_size for f in folder.iterdir()] for folder in folders}
    assert max(map(len, sizes.values())) <= 100
    assert sum(map(sum, sizes.values())) < 1_000_000


def test_a_cover_keeps_the_small_input_that_reaches_as_much() -> None:
    harness = HARNESSES["sps"]
    long, short = SEEDS["sps"][0] + bytes(100), SEEDS["sps"][0]
    assert reached(harness, short) == reached(harness, long)
    assert set(smallest_cover(harness, [long, b"", b"\x00", short])) == {b"", short}
