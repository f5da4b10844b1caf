"""A rendition that has the sound alone: where one begins, and what players get of it."""

from common.flv.audio import aac_sequence_header
from common.ipc.media_messages import HEADER, KEY, REPLAY
from egress.fanout.channel import Channel
from egress.streams.rendition import Rendition
from egress.streams.sound_alone import SoundRendition, SoundStarts
from egress.streams.tag import PublisherInfo
from tests.kit.egress import (
    AUDIO_HEADER,
    STREAM,
    MemorySink,
    audio_header_tag,
    audio_tag,
    data_tag,
    made_tag,
    tag,
    texts,
)

GOP_MS = 1000


def test_the_first_sound_of_each_gop_s_time_is_flagged() -> None:
    starts = SoundStarts(GOP_MS)
    times = (0, 21, 990, 1010, 1030, 5000, 5021)
    flagged = [starts.flagged(tag(audio_tag(at))) for at in times]
    assert [one.dts_ms for one in flagged if one.is_key] == [0, 1010, 5000]
    header, data = made_tag(8, 6000, HEADER, AUDIO_HEADER), tag(data_tag(7000))
    assert starts.flagged(header) is header
    assert starts.flagged(data) is data
    shared = tag(audio_tag(8000))
    assert starts.flagged(shared).flags == KEY
    assert shared.flags == 0  # other renditions have the same tag


def sound_alone() -> Rendition:
    made = SoundRendition(STREAM, "audio", gop_ms=GOP_MS, audio_hold_s=0.045, flush_s=0.0)
    made.begin(PublisherInfo(b"", aac_sequence_header(b"\x11\x90"), "aac"))
    made.shared(tag(audio_header_tag(0)), 0.0)
    return made


def give(rendition: Rendition, begin_ms: int, end_ms: int) -> None:
    for at in range(begin_ms, end_ms, 20):
        rendition.shared(tag(audio_tag(at)), at / 1000)
        assert rendition.due_at() == at / 1000  # there are no pictures to wait for
        rendition.flush()


def test_a_player_begins_with_the_header_and_the_sound_of_the_last_gop_s_time() -> None:
    rendition = sound_alone()
    assert not rendition.has_start
    give(rendition, 0, 1500)
    assert rendition.has_start
    channel, sink = Channel(rendition), MemorySink()
    sink.join(channel)
    give(rendition, 1500, 2100)
    found = texts(bytes(sink.got))
    assert [word for word in found if word.startswith("a")] == [
        f"a{at}" for at in range(1000, 2100, 20)
    ]
    assert found[:2] == ["M", "h"]
    assert rendition.throughput.bytes == rendition.bytes


def test_nobody_begins_from_the_sound_before_it_rested() -> None:
    rendition = sound_alone()
    give(rendition, 0, 1500)
    rendition.rest()
    assert not rendition.has_start
    for at in (1460, 1480):
        repeated = tag(audio_tag(at))
        repeated.flags |= REPLAY
        rendition.shared(repeated, 1.5)
    assert not rendition.has_start
    give(rendition, 1500, 1600)
    assert rendition.has_start
    assert [one.dts_ms for one in rendition.gop_buffer.tags] == list(range(1500, 1600, 20))
    assert rendition.dropped == 0
