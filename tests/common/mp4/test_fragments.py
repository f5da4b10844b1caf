"""common/mp4/fragments.py: what is put into a fragment comes out of it, by a reader of our own."""

from hypothesis import given
from hypothesis import strategies as st

from common.mp4.fragments import Run, Sample, fragment
from tests.kit.mp4_reader import read_movie

SAMPLES = st.builds(
    Sample,
    st.binary(max_size=40),
    st.integers(0, 2**32 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.booleans(),
)
RUNS = st.lists(
    st.tuples(st.integers(0, 2**63), st.lists(SAMPLES, min_size=1, max_size=5)),
    min_size=1,
    max_size=2,
)


@given(st.integers(0, 2**40), RUNS)
def test_a_reader_finds_every_sample_with_its_times_and_bytes(
    number: int, given_runs: list[tuple[int, list[Sample]]]
) -> None:
    runs = [Run(track, begin, samples) for track, (begin, samples) in enumerate(given_runs, 1)]
    movie = read_movie(fragment(number, runs))
    assert movie.numbers == [number & 0xFFFFFFFF]
    for run in runs:
        at = run.begin
        for found, sample in zip(movie.of(run.track), run.samples, strict=True):
            assert found == (
                run.track,
                at,
                at + sample.composition,
                sample.duration,
                sample.is_key,
                bytes(sample.data),
            )
            at += sample.duration


def test_views_are_taken_as_bytes_are() -> None:
    sample = Sample(memoryview(b"abc")[1:], 40, 0, True)
    assert read_movie(fragment(1, [Run(1, 0, [sample])])).samples[0].data == b"bc"
