"""common/mp4/tracks.py: samples without gaps, whatever the units' times do."""

from hypothesis import given
from hypothesis import strategies as st

from common.codecs import aac
from common.mp4.fragments import Run
from common.mp4.tracks import MAX_DRIFT_MS, Pictures, Sound
from tests.kit.ingest_ports import ASC, audio_unit, video_unit

SOUND = aac.parse_config(ASC)


def joined(runs: list[Run | None]) -> list[tuple[int, int]]:
    """Where each sample begins and ends; it fails where one run does not begin at another's end."""
    found: list[tuple[int, int]] = []
    for run in runs:
        if run is None:
            continue
        at = run.begin
        for sample in run.samples:
            assert not found or found[-1][1] == at
            found.append((at, at + sample.duration))
            at += sample.duration
    return found


@given(st.lists(st.integers(0, 200), min_size=1, max_size=40))
def test_a_picture_ends_where_the_next_begins(steps: list[int]) -> None:
    pictures, runs, at = Pictures(), [], 0
    for step in steps:
        at += step
        pictures.add(video_unit(at))
        runs.append(pictures.take())
    pictures.finish()
    runs.append(pictures.take())
    found = joined(runs)
    assert len(found) == len(steps)
    assert all(begin < end for begin, end in found)


@given(st.lists(st.integers(-30, 30), min_size=2, max_size=60))
def test_sound_that_jitters_is_counted_in_samples(jitter: list[int]) -> None:
    sound, runs = Sound(SOUND), []
    for number, off in enumerate(jitter):
        ms = 1000 + number * 1024 * 1000 // 48_000
        sound.add(audio_unit(ms + (off if number else 0)))
        runs.append(sound.take())
        assert sound.counted is not None
    sound.finish()
    runs.append(sound.take())
    assert {end - begin for begin, end in joined(runs)} == {1024}
    assert sound.counted is None


def test_sound_follows_times_that_are_further_off() -> None:
    sound = Sound(SOUND)
    sound.add(audio_unit(0))
    sound.add(audio_unit(21 + MAX_DRIFT_MS + 2))
    run = sound.take()
    assert run is not None
    assert run.samples[0].duration == (21 + MAX_DRIFT_MS + 2) * 48
