from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.media.gop_buffer import Kept
from common.media.units import (
    AudioCodec,
    AudioConfig,
    AudioUnit,
    DataUnit,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)
from ingest.streams.media_events import Metadata
from ingest.streams.source_gop import MAX_GOP_MS, MAX_SOUND_BYTES, SOUND_MS, GopItem, SourceGop
from tests.kit.ingest_ports import audio_unit, video_unit

VIDEO = VideoConfig(VideoCodec.H264, b"record", 320, 240)
AUDIO = AudioConfig(AudioCodec.AAC, b"\x12\x10")
OTHER_AUDIO = AudioConfig(AudioCodec.AAC, b"\x11\x90")


def idr(at: int, size: int = 10) -> VideoUnit:
    return video_unit(at, key=True, data=bytes(size))


def keyframe(at: int, size: int = 10) -> VideoUnit:
    return video_unit(at, key=True, idr=False, data=bytes(size))


def inter(at: int, size: int = 10) -> VideoUnit:
    return video_unit(at, data=bytes(size))


def sound(at: int) -> AudioUnit:
    return audio_unit(at, bytes(5))


def filled(*tags: GopItem, cache: SourceGop | None = None) -> SourceGop:
    cache = cache or SourceGop()
    for item in (VIDEO, AUDIO, *tags):
        cache.add(item)
    return cache


def test_replay_is_metadata_headers_and_the_tags_since_the_last_idr_in_order() -> None:
    text = DataUnit(45, b"text", 0.0)
    gop: list[GopItem] = [idr(40), sound(41), text, inter(80), sound(64)]
    cache = filled(idr(0), inter(20), sound(21), *gop)
    cache.set_metadata(Metadata(b"meta"))
    assert cache.replay() == [Metadata(b"meta"), VIDEO, AUDIO, *gop]
    assert cache.size_bytes == 10 + 5 + 4 + 10 + 5
    assert not cache.is_waiting
    assert (cache.metadata, cache.video_config, cache.audio_config) == (
        Metadata(b"meta"),
        VIDEO,
        AUDIO,
    )


def test_nothing_is_kept_before_a_keyframe() -> None:
    cache = SourceGop()
    assert cache.replay() == []
    assert [cache.add(tag) for tag in (inter(0), sound(1), DataUnit(2, b"x", 0.0))] == [
        Kept.OMITTED
    ] * 3
    assert cache.is_waiting
    assert cache.add(idr(40)) is Kept.KEPT
    assert cache.replay() == [idr(40)]


def test_what_is_about_to_outgrow_the_cache_is_not_lasting() -> None:
    cache = SourceGop(max_ms=1_000, max_bytes=100, max_entries=10)
    filled(cache=cache)
    assert not cache.is_lasting
    cache.add(idr(0))
    assert cache.is_lasting
    cache.add(inter(800))
    assert cache.is_lasting
    cache.add(inter(840))
    assert not cache.is_lasting
    cache.add(idr(880))
    assert cache.is_lasting
    cache.add(inter(920, size=71))
    assert not cache.is_lasting
    filled(idr(1_000), *(inter(1_001 + at, 1) for at in range(7)), cache=cache)
    assert cache.is_lasting
    cache.add(inter(1_010, 1))
    assert not cache.is_lasting


def test_a_flagged_keyframe_starts_a_gop_but_only_an_idr_ends_one() -> None:
    cache = filled(keyframe(0), inter(40), keyframe(80), inter(120))
    assert cache.replay()[2:] == [keyframe(0), inter(40), keyframe(80), inter(120)]
    cache.add(idr(160))
    assert cache.replay()[2:] == [idr(160)]


def test_new_parameter_sets_wait_for_a_keyframe() -> None:
    cache = filled(idr(0), inter(40))
    changed = replace(VIDEO, record=b"other")
    assert cache.add(changed) is Kept.KEPT
    assert cache.replay() == [changed, AUDIO]
    assert cache.add(inter(80)) is Kept.OMITTED
    cache.add(idr(120))
    assert cache.replay() == [changed, AUDIO, idr(120)]


def test_an_audio_config_within_the_gop_stays_in_its_place() -> None:
    cache = filled(idr(0), sound(1), OTHER_AUDIO, sound(21))
    assert cache.replay() == [VIDEO, AUDIO, idr(0), sound(1), OTHER_AUDIO, sound(21)]
    assert cache.audio_config == OTHER_AUDIO
    cache.add(idr(40))
    assert cache.replay() == [VIDEO, OTHER_AUDIO, idr(40)]


def test_an_audio_config_while_waiting_is_the_header() -> None:
    cache = SourceGop()
    cache.add(AUDIO)
    cache.add(OTHER_AUDIO)
    cache.add(idr(0))
    assert cache.replay() == [OTHER_AUDIO, idr(0)]


def test_a_gop_over_a_limit_is_dropped_until_the_next_keyframe() -> None:
    limits = (SourceGop(max_ms=100), SourceGop(max_bytes=39), SourceGop(max_entries=3))
    for cache in limits:
        filled(idr(0), inter(40), inter(80), cache=cache)
        assert cache.add(inter(120)) is Kept.OVERFLOWED
        assert cache.is_waiting
        assert cache.replay() == [VIDEO, AUDIO]
        assert cache.add(inter(160)) is Kept.OMITTED
        assert cache.add(idr(200)) is Kept.KEPT
        assert cache.replay() == [VIDEO, AUDIO, idr(200)]
        assert cache.size_bytes == 10


def test_of_a_gop_over_a_limit_the_keyframe_is_kept() -> None:
    cache = filled(idr(0), inter(40), inter(80), cache=SourceGop(max_ms=100))
    assert cache.still is None, "there is all of the GOP"
    cache.add(inter(120))
    assert cache.still == idr(0)
    assert cache.size_bytes == 0
    cache.add(inter(160))
    assert cache.still == idr(0)
    cache.add(idr(200))
    assert cache.still is None
    for at_ms in (240, 280, 320):
        cache.add(inter(at_ms))
    assert cache.still == idr(200)
    cache.add(VideoConfig(VideoCodec.H264, b"other", 640, 480))
    assert cache.still is None, "other parameter sets cannot decode it"


def test_a_reset_forgets_the_keyframe_too() -> None:
    cache = filled(idr(0), inter(40), inter(120), cache=SourceGop(max_ms=100))
    cache.reset()
    assert cache.still is None


def test_a_gop_over_a_limit_is_cut_to_its_latest_flagged_keyframe() -> None:
    cache = filled(
        idr(0), OTHER_AUDIO, inter(40), keyframe(80), sound(81), cache=SourceGop(max_ms=100)
    )
    assert cache.add(inter(120)) is Kept.OVERFLOWED
    assert cache.replay() == [VIDEO, OTHER_AUDIO, keyframe(80), sound(81), inter(120)]
    assert cache.size_bytes == 25
    assert cache.add(inter(160)) is Kept.KEPT
    assert cache.add(inter(200)) is Kept.OVERFLOWED
    assert cache.is_waiting


def test_audio_that_leads_makes_no_gop_longer() -> None:
    gop: list[GopItem] = [idr(0), sound(80), AUDIO, inter(40), sound(120), inter(80), sound(180)]
    cache = filled(*gop, cache=SourceGop(max_ms=100))
    assert cache.replay() == [VIDEO, AUDIO, *gop]
    assert cache.add(sound(181)) is Kept.OVERFLOWED, "video that stopped keeps no audio for ever"


def test_data_messages_of_any_time_make_no_gop_longer() -> None:
    text = [DataUnit(at, b"text", 0.0) for at in (0, 10_520)]
    gop: list[GopItem] = [idr(8_000), text[0], inter(8_040), text[1], inter(8_080)]
    assert filled(*gop).replay() == [VIDEO, AUDIO, *gop]


@pytest.mark.parametrize("jump_ms", [9_500, 60_000])
def test_audio_or_video_whose_time_is_set_anew_makes_no_gop_longer(jump_ms: int) -> None:
    heard = audio_unit(1_000 + jump_ms, bytes(5), discontinuity=True)
    gop: list[GopItem] = [idr(0), sound(20), inter(1_000), heard, sound(1_020 + jump_ms)]
    cache = filled(*gop)
    assert cache.replay() == [VIDEO, AUDIO, *gop]
    assert cache.is_lasting
    seen = replace(inter(1_040 + jump_ms), discontinuity=True)
    assert cache.add(seen) is Kept.KEPT
    assert cache.add(sound(1_000 + jump_ms + MAX_GOP_MS + 1)) is Kept.OVERFLOWED


def test_a_gop_that_was_cut_is_measured_from_its_new_start() -> None:
    cache = filled(
        sound(0), idr(0), sound(10), keyframe(80), sound(90), cache=SourceGop(max_ms=100)
    )
    assert cache.add(sound(111)) is Kept.OVERFLOWED
    assert cache.replay()[2:] == [keyframe(80), sound(90), sound(111)]
    assert cache.add(inter(180)) is Kept.KEPT
    assert cache.add(sound(190)) is Kept.KEPT
    assert cache.add(inter(181)) is Kept.OVERFLOWED


def test_one_unit_over_the_limit_is_not_kept() -> None:
    cache = SourceGop(max_bytes=100)
    assert cache.add(idr(0, size=101)) is Kept.OVERFLOWED
    assert cache.is_waiting
    assert cache.size_bytes == 0


def test_an_empty_metadata_clears_it_and_reset_forgets_all() -> None:
    cache = filled(idr(0))
    cache.set_metadata(Metadata(b"meta"))
    cache.set_metadata(Metadata(b""))
    assert cache.replay() == [VIDEO, AUDIO, idr(0)]
    cache.set_metadata(Metadata(b"meta"))
    cache.reset()
    assert cache.replay() == []
    assert cache.size_bytes == 0
    cache.add(idr(40))
    assert cache.replay() == [idr(40)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([idr, keyframe, inter, sound, lambda at: AUDIO, lambda at: VIDEO]),
            st.integers(0, 60),
        ),
        max_size=60,
    )
)
def test_whatever_comes_the_limits_hold_and_a_gop_begins_at_a_keyframe(
    steps: list[tuple[Callable[[int], VideoConfig | GopItem], int]],
) -> None:
    cache = SourceGop(max_ms=500, max_bytes=200, max_entries=20)
    at = 0
    for make, step in steps:
        at += step
        cache.add(make(at))
        tags = [item for item in cache.replay() if isinstance(item, VideoUnit | AudioUnit)]
        assert cache.is_waiting == (not tags)
        assert sum(len(tag.data) for tag in tags) <= cache.size_bytes <= 200
        assert len(tags) <= 20
        if tags:
            assert isinstance(tags[0], VideoUnit)
            assert tags[0].is_key
            for kind in (VideoUnit, AudioUnit):
                times = [tag.dts_ms for tag in tags if isinstance(tag, kind)]
                assert max(times, default=0) - min(times, default=0) <= 500


def heard(cache: SourceGop) -> list[int]:
    """The times of the sound in a replay for who cuts segments."""
    found = cache.replay(with_sound=True)
    return [item.dts_ms for item in found if isinstance(item, AudioUnit)]


def test_who_cuts_segments_gets_the_sound_of_some_seconds_before_the_gop() -> None:
    early = [sound(at) for at in range(0, 2_000, 500)]
    cache = filled(*early, idr(2_000), sound(2_010), inter(2_040))
    assert cache.replay(with_sound=True) == [
        *(VIDEO, AUDIO, *early),
        *(idr(2_000), sound(2_010), inter(2_040)),
    ]
    cache.add(sound(SOUND_MS + 1_000))
    assert heard(cache) == [1_000, 1_500, 2_010, SOUND_MS + 1_000]


@pytest.mark.parametrize(
    ("between", "times"),
    [
        ((), [0, 100]),
        ((OTHER_AUDIO,), [100]),  # it is of another configuration
        ((replace(sound(50), discontinuity=True),), [50, 100]),
        ((audio_unit(50, bytes(MAX_SOUND_BYTES + 1)),), [100]),
        ((audio_unit(50, bytes(MAX_SOUND_BYTES)),), [100]),
        ((audio_unit(50, bytes(MAX_SOUND_BYTES - 10)),), [0, 50, 100]),
        ((idr(60), OTHER_AUDIO), [100]),
    ],
)
def test_the_sound_before_is_of_one_piece_and_bounded(
    between: tuple[GopItem, ...], times: list[int]
) -> None:
    assert heard(filled(sound(0), *between, sound(100), idr(120))) == times


def test_of_a_gop_that_is_longer_than_the_sound_that_is_kept_nothing_comes_twice() -> None:
    cache = filled(sound(0), idr(10), sound(20), sound(SOUND_MS + 500))
    assert heard(cache) == [20, SOUND_MS + 500]


@given(st.lists(st.sampled_from(["idr", "inter", "sound", "text", "other sound"]), max_size=30))
def test_a_shifted_gop_is_the_same_so_much_later(kinds: list[str]) -> None:
    gop, later = filled(), filled()
    for number, kind in enumerate(kinds):
        at_ms = number * 20
        for cache, by_ms in ((gop, 0), (later, 500)):
            match kind:
                case "idr":
                    cache.add(idr(at_ms + by_ms))
                case "inter":
                    cache.add(inter(at_ms + by_ms))
                case "sound":
                    cache.add(sound(at_ms + by_ms))
                case "text":
                    cache.add(DataUnit(at_ms + by_ms, b"text", 0.0))
                case _:
                    cache.add(OTHER_AUDIO)
    gop.shift(500)
    assert gop.replay() == later.replay()
    assert (gop.still, gop.video_config, gop.audio_config) == (
        later.still,
        later.video_config,
        later.audio_config,
    )


def cut(*tags: GopItem) -> SourceGop:
    """A GOP whose stream somebody may cut into segments."""
    cache = SourceGop()
    cache.keeps_last = True
    return filled(*tags, cache=cache)


def test_who_cuts_the_source_gets_three_whole_gops_before_the_current_one() -> None:
    gops: list[list[GopItem]] = [
        [idr(at), sound(at + 1), inter(at + 40)] for at in range(0, 5_000, 1_000)
    ]
    cache = cut(*(item for gop in gops for item in gop))
    kept = [item for gop in gops[1:] for item in gop]
    assert cache.replay(with_last=True) == [VIDEO, AUDIO, *kept]
    early = gops[0][1]
    assert cache.replay(with_last=True, with_sound=True) == [VIDEO, AUDIO, early, *kept]
    assert cache.replay() == [VIDEO, AUDIO, *gops[-1]]
    cache.reset()
    cache.add(VIDEO)
    cache.add(idr(9_000))
    assert cache.replay(with_last=True) == [VIDEO, idr(9_000)]


@pytest.mark.parametrize(
    "between",
    [
        [replace(idr(2_000), discontinuity=True)],  # its time does not go on
        [VIDEO, idr(2_000)],
        [inter(25_000), idr(26_000)],  # the GOP outgrew its limits
        [keyframe(15_000), inter(25_000), idr(26_000)],
    ],
)
def test_no_whole_gop_is_kept_that_the_next_does_not_go_on_from(between: list[GopItem]) -> None:
    cache = cut(idr(0), inter(40), idr(1_000), inter(1_040), *between)
    times = [item.dts_ms for item in cache.replay(with_last=True) if isinstance(item, VideoUnit)]
    assert min(times) >= 2_000


def test_whole_gops_begin_with_the_sound_that_was_in_force_then() -> None:
    cache = cut(idr(0), OTHER_AUDIO, sound(20), idr(1_000), sound(1_010))
    assert cache.replay(with_last=True, with_sound=True) == [
        *(VIDEO, AUDIO, idr(0), OTHER_AUDIO, sound(20)),
        *(idr(1_000), sound(1_010)),
    ]


def test_nobody_who_cuts_segments_costs_no_memory() -> None:
    cache = filled(idr(0), inter(40), idr(1_000))
    assert cache.replay(with_last=True) == [VIDEO, AUDIO, idr(1_000)]
    cache.keeps_last = True
    cache.add(idr(2_000))
    assert cache.replay(with_last=True) == [VIDEO, AUDIO, idr(1_000), idr(2_000)]
    cache.keeps_last = False
    cache.add(idr(3_000))
    assert cache.replay(with_last=True) == [VIDEO, AUDIO, idr(3_000)]
