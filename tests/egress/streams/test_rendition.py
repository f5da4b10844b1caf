"""egress/streams/rendition.py: gaps, keyframe waits, interleaved audio, when a flush is due."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import pytest

from common.ipc.media_messages import HEADER, REPLAY, TagHeader
from egress.fanout import entries as kinds
from egress.fanout.entries import Entry
from egress.streams.rendition import VIDEO_WAIT_S, Rendition
from tests.kit.egress import (
    AUDIO_HEADER,
    METADATA,
    RTMP_FORM,
    VIDEO_HEADER,
    FlushReader,
    audio_header_tag,
    audio_tag,
    data_tag,
    egress_rendition,
    give,
    give_shared,
    head,
    inter_tag,
    key_tag,
    messages,
    picture,
    sound,
    tag,
    texts,
)


def made(is_transcoded: bool = False, flush_s: float = 0.0) -> Rendition:
    rendition = egress_rendition(is_transcoded=is_transcoded, flush_s=flush_s)
    rendition.open(METADATA, VIDEO_HEADER, 0)
    return rendition


def replayed(item: tuple[TagHeader, bytes]) -> tuple[TagHeader, bytes]:
    return item[0]._replace(flags=item[0].flags | REPLAY), item[1]


def give_audio(rendition: Rendition, dts_ms: int, now: float = 0.0) -> None:
    give_shared(rendition, audio_tag(dts_ms), now=now)


_readers: WeakKeyDictionary[Rendition, FlushReader] = WeakKeyDictionary()


def take(rendition: Rendition) -> list[Entry]:
    """What goes out now, to players who got all that went out before."""
    return _readers.setdefault(rendition, FlushReader(rendition)).take()


def words(entries: Sequence[Entry]) -> list[str]:
    return texts(b"".join(entry.absolute(RTMP_FORM) for entry in entries))


def test_metadata_and_header_go_ahead_of_the_first_keyframe() -> None:
    rendition = made()
    give(rendition, 0, key_tag(40), inter_tag(80))
    assert words(take(rendition)) == ["M", "H", "v40", "v80"]


def test_data_is_nobodys_metadata_whatever_its_name_is() -> None:
    rendition = made(is_transcoded=True)
    give(rendition, 0, key_tag(0))
    give_shared(rendition, (head(18, 0, 0, 0.0), b"\x02\x00\x0aonMetaData\x08"))
    assert rendition.script == METADATA
    assert take(rendition)[-1].kind == kinds.DATA


def test_nothing_goes_out_before_a_keyframe() -> None:
    rendition = made()
    give(rendition, 0, inter_tag(0), inter_tag(40), key_tag(80))
    assert words(take(rendition)) == ["M", "H", "v80"]
    assert rendition.dropped == 2


def test_after_a_gap_video_waits_for_the_next_keyframe() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0))
    give(rendition, 2, inter_tag(80))
    give_audio(rendition, 80)
    give(rendition, 3, inter_tag(120))
    give(rendition, 4, key_tag(160))
    assert words(take(rendition)) == ["M", "H", "v0", "a80", "v160"]
    assert rendition.dropped == 2


def test_numbers_that_came_already_are_skipped() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0), inter_tag(40))
    give(rendition, 1, inter_tag(40), inter_tag(80))
    assert words(take(rendition)) == ["M", "H", "v0", "v40", "v80"]
    assert rendition.dropped == 0


def test_a_new_header_goes_out_in_line_before_its_picture() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0))
    rendition.open(b"", VIDEO_HEADER + b"2", 1)
    give(rendition, 1, key_tag(40))
    entries = take(rendition)
    assert words(entries) == ["M", "H", "v0", "H", "v40"]
    assert entries[3].dts_ms == 40


@pytest.mark.parametrize("repeat", [VIDEO_HEADER, b""])
def test_a_repeated_header_changes_nothing(repeat: bytes) -> None:
    rendition = made()
    give(rendition, 0, key_tag(0))
    rendition.open(METADATA, repeat, 1)
    give(rendition, 1, key_tag(40))
    assert words(take(rendition)) == ["M", "H", "v0", "v40"]


def test_headers_that_no_picture_came_with_are_not_those_of_the_next_ones() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0))
    take(rendition)
    rendition.open(METADATA + b"2", VIDEO_HEADER + b"2", 1)
    rendition.open(METADATA, VIDEO_HEADER, 1)
    give(rendition, 1, key_tag(40))
    headers = take(rendition)[-1].headers
    assert headers.video == VIDEO_HEADER
    assert headers.metadata == METADATA


def test_a_header_among_the_tags_is_taken_as_one() -> None:
    rendition = egress_rendition()
    give(rendition, 0, (head(9, 0, HEADER, 0.0), VIDEO_HEADER), key_tag(0))
    assert words(take(rendition)) == ["H", "v0"]


def test_time_never_steps_back() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0), inter_tag(80), inter_tag(40), inter_tag(120), key_tag(160))
    give_audio(rendition, 90)
    give_audio(rendition, 70)
    assert words(take(rendition)) == ["M", "H", "v0", "v80", "v160", "a90"]
    assert rendition.dropped == 3


def test_equal_times_pass() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0), inter_tag(40), inter_tag(40))
    assert words(take(rendition)) == ["M", "H", "v0", "v40", "v40"]


def test_a_replay_of_what_is_here_is_left_out_and_not_counted() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0), inter_tag(40))
    replay = [
        (header._replace(flags=header.flags | REPLAY), data)
        for header, data in (
            key_tag(0),
            inter_tag(40),
        )
    ]
    give(rendition, 2, *replay)
    give(rendition, 4, inter_tag(80))
    assert words(take(rendition)) == ["M", "H", "v0", "v40", "v80"]
    assert rendition.dropped == 0


def test_a_new_generation_begins_with_a_header_and_a_later_keyframe() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0), inter_tag(40))
    rendition.start_generation()
    rendition.open(METADATA, VIDEO_HEADER, 0)
    give(rendition, 0, key_tag(40), inter_tag(80), key_tag(120), inter_tag(160))
    assert words(take(rendition)) == ["M", "H", "v0", "v40", "H", "v120", "v160"]
    assert rendition.dropped == 2


def test_the_source_goes_on_through_a_generation_whose_numbers_continue() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0), inter_tag(40))
    rendition.continue_generation()
    rendition.open(METADATA, VIDEO_HEADER, 2)
    give(rendition, 2, inter_tag(80))
    assert words(take(rendition)) == ["M", "H", "v0", "v40", "v80"]


def test_the_source_starts_over_when_the_numbers_do() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0), inter_tag(40))
    rendition.continue_generation()
    rendition.open(METADATA, VIDEO_HEADER, 0)
    give(rendition, 0, inter_tag(80), key_tag(120))
    assert words(take(rendition)) == ["M", "H", "v0", "v40", "H", "v120"]


def test_audio_of_the_source_lies_as_it_came() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0))
    give_audio(rendition, 70)
    give(rendition, 1, inter_tag(40))
    assert words(take(rendition)) == ["M", "H", "v0", "a70", "v40"]


def test_audio_of_a_rendition_waits_for_the_video_of_its_time() -> None:
    rendition = made(is_transcoded=True)
    give(rendition, 0, key_tag(0))
    for dts_ms in (10, 30, 50):
        give_audio(rendition, dts_ms)
    assert words(take(rendition)) == ["M", "H", "v0"]
    give(rendition, 1, inter_tag(40))
    assert words(take(rendition)) == ["a10", "a30", "v40"]
    give(rendition, 2, inter_tag(80))
    assert words(take(rendition)) == ["a50", "v80"]


def test_audio_of_a_rendition_waits_no_longer_than_its_bound() -> None:
    rendition = made(is_transcoded=True)
    give(rendition, 0, key_tag(0))
    take(rendition)
    give_audio(rendition, 10, now=1.0)
    assert rendition.due_at() == 1.0 + VIDEO_WAIT_S
    rendition.advance(1.19)
    assert not take(rendition)
    rendition.advance(1.2)
    due = rendition.due_at()
    assert due is not None
    assert due <= 1.2
    assert words(take(rendition)) == ["a10"]


def test_video_never_waits_and_late_audio_rides_with_the_next_frame() -> None:
    rendition = made(is_transcoded=True)
    give(rendition, 0, key_tag(0), inter_tag(40), inter_tag(80))
    take(rendition)
    give_audio(rendition, 60, now=1.0)
    assert rendition.due_at() == 1.045
    give(rendition, 3, inter_tag(120), now=1.01)
    assert words(take(rendition)) == ["a60", "v120"]


def test_data_messages_wait_like_audio() -> None:
    rendition = made(is_transcoded=True)
    give(rendition, 0, key_tag(0))
    take(rendition)
    give_shared(rendition, data_tag(30))
    give(rendition, 1, inter_tag(40))
    assert [entry.kind for entry in take(rendition)] == [kinds.DATA, 1]


def test_a_flush_is_due_at_once_with_video_and_after_a_hold_without() -> None:
    rendition = made()
    assert rendition.due_at() is None
    give(rendition, 0, key_tag(0), now=5.0)
    assert rendition.due_at() == 5.0
    take(rendition)
    give_audio(rendition, 10, now=6.0)
    give_audio(rendition, 30, now=6.02)
    assert rendition.due_at() == 6.045
    give(rendition, 1, inter_tag(40), now=6.03)
    due = rendition.due_at()
    assert due is not None
    assert due <= 6.03


@pytest.mark.parametrize("is_transcoded", [True, False])
def test_sound_before_the_first_picture_is_let_go_of_and_may_come_again_with_a_gop(
    is_transcoded: bool,
) -> None:
    rendition = made(is_transcoded)
    for dts_ms in (0, 20, 50):
        give_audio(rendition, dts_ms, now=6.0)
    assert rendition.due_at() == 6.0 + VIDEO_WAIT_S
    rendition.advance(6.0 + VIDEO_WAIT_S)
    assert take(rendition) == []
    again = [replayed(audio_tag(dts_ms)) for dts_ms in (0, 20, 50)]
    give_shared(rendition, *again, now=9.0)  # it is wanted now: its GOP comes, with its sound
    give(rendition, 0, replayed(key_tag(0)), replayed(inter_tag(40)), now=9.0)
    give(rendition, 2, inter_tag(80), now=9.0)
    came = [word for word in words(take(rendition)) if word[0] in "va"]
    assert came == ["a0", "v0", "a20", "v40", "a50", "v80"]
    assert rendition.dropped == 0


@pytest.mark.parametrize("is_transcoded", [True, False])
def test_the_sound_of_a_first_gop_is_whole_where_later_sound_waits_already(
    is_transcoded: bool,
) -> None:
    """What waited went first, and all before it was taken for a repetition and dropped."""
    rendition = made(is_transcoded)
    for dts_ms in (60, 80):
        give_audio(rendition, dts_ms, now=6.0)
    give_shared(rendition, *[replayed(audio_tag(ms)) for ms in (0, 20, 40, 60, 80)], now=6.0)
    give(rendition, 0, replayed(key_tag(0)), replayed(inter_tag(40)), inter_tag(80), now=6.0)
    came = [word for word in words(take(rendition)) if word[0] in "va"]
    assert came == ["a0", "v0", "a20", "a40", "v40", "a60", "a80", "v80"]
    assert rendition.dropped == 0


def test_a_merge_interval_holds_video_too() -> None:
    rendition = made(flush_s=0.1)
    give(rendition, 0, key_tag(0), now=5.0)
    give(rendition, 1, inter_tag(40), now=5.04)
    assert rendition.due_at() == 5.1


def test_only_what_is_flushed_counts_for_joiners() -> None:
    rendition = made()
    give(rendition, 0, key_tag(0))
    assert rendition.flushed == 0
    assert rendition.has_start
    take(rendition)
    give(rendition, 1, inter_tag(40))
    assert rendition.flushed == 1


def test_positions_and_latency_are_counted() -> None:
    rendition = made()
    rendition.demanded_since_s = 9.9
    pictures = [
        tag((head(9, 0, 1, 9.99)._replace(composition_ms=80), picture("v0", True))),
        tag((head(9, 40, 0, 9.99)._replace(composition_ms=-10), picture("v40"))),
    ]
    rendition.tags(0, pictures, 10.0, 9.995)
    take(rendition)
    rendition.note_sent(10.001)
    rendition.note_sent(20.0)  # nothing was taken since
    assert rendition.last_pts_ms == 80
    assert rendition.frames == 2
    times = rendition.stages.quantiles()
    assert times["transit:x"] == pytest.approx((5.0, 5.0), rel=0.13)
    assert times["egress:x"] == pytest.approx((1.0, 1.0), rel=0.13)
    assert times["total:x"] == pytest.approx((11.0, 11.0), rel=0.13)


def test_tags_that_may_have_waited_for_a_player_are_not_timed() -> None:
    rendition = made()
    rendition.tags(0, [tag((head(9, 0, 1, 9.99), picture("v0", True)))], 10.0, 9.995)
    rendition.demanded_since_s = 10.0
    rendition.tags(1, [tag((head(9, 40, 0, 9.99), picture("v40")))], 10.1, 9.999)
    take(rendition)
    rendition.note_sent(10.1)
    assert rendition.stages.quantiles() == {}
    assert rendition.frames == 2


def test_an_audio_header_is_kept_for_joiners_and_passed_on() -> None:
    rendition = made()
    give_shared(rendition, audio_header_tag(0))
    give(rendition, 0, key_tag(0))
    give(rendition, 1, audio_tag(5))
    assert words(take(rendition)) == ["h", "M", "H", "v0", "a5"]
    assert rendition.gop_buffer.config.audio is not None
    assert rendition.gop_buffer.config.audio.body == AUDIO_HEADER


@pytest.mark.parametrize("is_transcoded", [False, True])
def test_an_audio_header_has_no_time_and_drops_nothing_of_the_audio_behind_it(
    is_transcoded: bool,
) -> None:
    rendition = made(is_transcoded)
    changed = AUDIO_HEADER + b"2"
    give(rendition, 0, key_tag(5000), inter_tag(5040))
    give_shared(rendition, audio_header_tag(0))
    for dts_ms in (4500, 4520, 5060):
        give_audio(rendition, dts_ms)
    give_shared(rendition, audio_header_tag(0, changed))
    give_audio(rendition, 5070)
    give(rendition, 2, inter_tag(5080))
    entries = take(rendition)
    read = messages(b"".join(entry.shared(RTMP_FORM) for entry in entries))
    heard = [(m.payload, m.timestamp) for m in read if m.type_id == 8]
    assert [payload for payload, _ in heard] == [
        AUDIO_HEADER,
        *(sound(f"a{dts_ms}") for dts_ms in (4500, 4520, 5060)),
        changed,
        sound("a5070"),
    ]
    assert [dts_ms for _, dts_ms in heard] == [5040, 4500, 4520, 5060, 5060, 5070]
    assert rendition.dropped == 0


def test_nobody_begins_from_what_a_rendition_gave_before_it_rested() -> None:
    """And the sound of the time that its first pictures are of comes with them, all of it once."""
    rendition = made(is_transcoded=True)
    rendition.rest_sound_ms = 1_000
    give(rendition, 0, key_tag(0))
    give_audio(rendition, 10)
    assert rendition.has_start
    take(rendition)
    rendition.rest()
    rendition.rest()
    assert not rendition.has_start
    for at_ms in range(100, 3_000, 20):
        give_audio(rendition, at_ms, now=at_ms / 1000)
        assert rendition.due_at() is None
    rendition.advance(3.0)
    assert take(rendition) == []
    rendition.open(METADATA, VIDEO_HEADER, 1)
    assert not rendition.has_start
    give(rendition, 1, key_tag(2_500), now=3.0)
    assert rendition.has_start
    give(rendition, 2, inter_tag(2_540), now=3.0)
    give_audio(rendition, 3_000, now=3.0)
    rendition.advance(3.5)  # its pictures are on their way
    times = [tag.dts_ms for tag in rendition.take().tags]
    assert times == [2_500, 2_500, 2_520, 2_540, 2_540]
    rendition.advance(4.5)
    times = [tag.dts_ms for tag in rendition.take().tags]
    assert times == list(range(2_560, 3_001, 20))


def test_a_sound_header_reaches_a_rendition_that_rests() -> None:
    rendition = made(is_transcoded=True)
    give_audio(rendition, 5)
    rendition.rest()
    give_shared(rendition, audio_header_tag(0))
    assert rendition.gop_buffer.config.audio is not None
    give_audio(rendition, 40)
    give(rendition, 0, key_tag(20))
    assert [tag.dts_ms for tag in rendition.take().tags] == [20]
