"""The coverage-guided fuzzer: `python tests/fuzz/run.py TARGET|all --seconds N`.

Runs the functions of `harnesses.py` under atheris (`under_atheris.py`), one process a target, one
after another, from the seeds and the corpus of the repository. What it learns goes under
build/fuzz, and an input that breaks a promise is left there as crash-…, timeout-… or oom-…; what
is put into corpus/TARGET, named found-…, `test_corpus.py` replays from then on. `--minimise` takes
what was learnt into the corpus: as few and as small files as reach the same code. That needs no
atheris.
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.minimise import smallest_cover
from tests.fuzz.seeds import seeds

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
BUILD = HERE.parents[1] / "build" / "fuzz"
MAX_INPUT_BYTES = 8192
MAX_KEPT_FILES = 90  # beside those found-…
INPUT_SECONDS = 5  # under coverage, on a busy machine; far above what any input needs
MEMORY_MIB = 512


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=["all", *HARNESSES])
    parser.add_argument("--seconds", type=int, default=20, help="of fuzzing, for each target")
    parser.add_argument("--minimise", action="store_true", help="keep what was learnt")
    arguments = parser.parse_args()
    targets = list(HARNESSES) if arguments.target == "all" else [arguments.target]
    failed = []
    for name in targets:
        if arguments.seconds and not _fuzz(name, arguments.seconds):
            failed.append(name)
        if arguments.minimise:
            _minimise(name)
    for name in failed:
        print(f"FAILED {name}: the input is in {BUILD / name}")
    return 1 if failed else 0


def _fuzz(name: str, seconds: int) -> bool:
    learnt, kept = BUILD / name / "corpus", CORPUS / name
    learnt.mkdir(parents=True, exist_ok=True)
    kept.mkdir(parents=True, exist_ok=True)
    for data in seeds()[name]:
        _keep(learnt, data)
    print(f"== {name} for {seconds} s: {_count(kept)} kept, {_count(learnt)} learnt", flush=True)
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-artifact_prefix={BUILD / name}/",
    )
    command = (sys.executable, HERE / "under_atheris.py", name, *options, learnt, kept)
    log = BUILD / name / "log"
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    lines = log.read_text(errors="replace").splitlines()
    if done.returncode == 0:
        print(next(line for line in reversed(lines) if "DONE" in line), flush=True)
        return True
    print("\n".join(lines[-30:]), flush=True)
    return False


def _minimise(name: str) -> None:
    """Replaces what is kept of a target by a cover of it and of what was learnt.

    Files named found-… stay: they broke a promise once, which their coverage does not show.
    """
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    old = [file for file in kept.iterdir() if not file.name.startswith("found-")]
    learnt = [*BUILD.glob(f"{name}/corpus/*"), *BUILD.glob(f"{name}/*-*")]
    inputs = {file.read_bytes() for file in [*old, *learnt]}
    cover = smallest_cover(HARNESSES[name], inputs)[:MAX_KEPT_FILES]
    for file in old:
        file.unlink()
    for data in cover:
        _keep(kept, data)
    print(f"{name}: {len(cover)} of {len(inputs)} inputs kept, {sum(map(len, cover))} bytes")


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir())


def _keep(folder: Path, data: bytes) -> None:
    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
