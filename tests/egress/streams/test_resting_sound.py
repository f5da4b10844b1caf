"""egress/streams/resting_sound.py: what is kept of the sound while nobody plays a rendition."""

from hypothesis import given
from hypothesis import strategies as st

from common.ipc.media_messages import HEADER
from egress.streams.resting_sound import MAX_TAGS, RestingSound
from egress.streams.tag import AUDIO, Tag


def sound(dts_ms: int, flags: int = 0) -> Tag:
    return Tag(AUDIO, "aac", dts_ms, 0, flags, b"s")


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(0, 3_000), st.integers(0, 9_000))
def test_the_last_sound_is_there_and_no_more_of_it(
    steps: list[int], span_ms: int, from_ms: int
) -> None:
    kept, times, now_ms = RestingSound(span_ms), [0], 0
    assert kept.keeps(sound(0))
    for step in steps:
        now_ms += step
        times.append(now_ms)
        assert kept.keeps(sound(now_ms))
    least_ms = max(from_ms, now_ms - span_ms)
    assert [tag.dts_ms for tag in kept.since(from_ms)] == [at for at in times if at >= least_ms]


def test_sound_of_another_form_is_of_no_use() -> None:
    kept = RestingSound(1_000)
    kept.keeps(sound(0))
    assert not kept.keeps(sound(0, HEADER))
    assert kept.since(0) == []


def test_it_is_bounded_whatever_its_times() -> None:
    kept = RestingSound(1_000)
    for _ in range(MAX_TAGS + 10):
        kept.keeps(sound(5))
    assert len(kept.since(0)) == MAX_TAGS
