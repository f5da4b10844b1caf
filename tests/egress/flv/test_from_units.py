"""Entries as FLV tags: read back by the farm's own reader, and in the groups of RTMP's players."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.flv.tag import FlvReader, Tag
from common.ipc.media_messages import HEADER, KEY
from egress.fanout.channel import Channel
from egress.fanout.entries import AUDIO, METADATA, VIDEO, Headers
from egress.flv.from_units import FLV_FORM, file_header
from tests.egress.fanout.test_channel import begun
from tests.kit.egress import (
    AUDIO_HEADER,
    RTMP_FORM,
    VIDEO_HEADER,
    EntryFeed,
    MemorySink,
    picture,
    sound,
    texts,
)


def read(data: bytes) -> list[Tag]:
    reader = FlvReader()
    reader.feed(data)
    return list(iter(reader.next, None))


def flv_texts(data: bytes) -> list[str]:
    """One word a tag, as `texts` has them for RTMP."""
    words = []
    for tag in read(data):
        if tag.type == 18:
            words.append("M")
        elif tag.type == 9:
            words.append("H" if tag.payload[1] == 0 else tag.payload[5:].decode())
        else:
            words.append("h" if tag.payload[1] == 0 else tag.payload[2:].decode())
    return words


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(min_size=2, max_size=300))))
def test_tags_have_their_own_times_and_bodies(items: list[tuple[int, bytes]]) -> None:
    wire = b"".join(FLV_FORM.absolute(VIDEO, dts_ms, body) for dts_ms, body in items)
    reader = FlvReader()
    reader.feed(file_header(Headers()) + wire)
    found = list(iter(reader.next, None))
    assert [tag.payload for tag in found] == [body for _, body in items]
    assert [tag.dts_ms % 2**32 for tag in found] == [dts_ms for dts_ms, _ in items]


def test_metadata_has_the_time_zero() -> None:
    entry = EntryFeed().add(METADATA, 5000, 0, b"\x02\x00\x0aonMetaData")
    [tag] = read(file_header(Headers()) + entry.shared(FLV_FORM))
    assert (tag.type, tag.dts_ms) == (18, 0)


@pytest.mark.parametrize(("audio", "flags"), [(b"", 1), (AUDIO_HEADER, 5)])
def test_the_begin_announces_the_sound_that_there_is(audio: bytes, flags: int) -> None:
    assert file_header(Headers(audio=audio))[:5] == b"FLV\x01" + bytes((flags,))


def test_every_form_of_an_entry_is_the_same_tag() -> None:
    made = EntryFeed()
    made.add(VIDEO, 0, HEADER, VIDEO_HEADER)
    made.add(VIDEO, 0, KEY, picture("v0", True))
    entry = made.add(VIDEO, 40, 0, picture("v40"))
    assert entry.shared(FLV_FORM) == entry.absolute(FLV_FORM) == entry.restart(FLV_FORM)


def joined(channel: Channel, count: int, *, is_flv: bool) -> list[MemorySink]:
    sinks = [MemorySink() for _ in range(count)]
    for sink in sinks:
        sink.join(channel, form=FLV_FORM if is_flv else RTMP_FORM)
        if is_flv:
            sink.got[:0] = file_header(channel.buffer.headers)
    return sinks


def test_viewers_of_flv_are_in_the_groups_of_rtmps_players() -> None:
    """One subscriber, one loop of sends; each tag is put into bytes once for each wire form."""
    feed = begun()
    players = joined(feed.channel, 3, is_flv=False)
    viewers = joined(feed.channel, 4, is_flv=True)
    for i in range(1, 11):
        feed.video(i * 40, False)
        feed.audio(i * 40)
        feed.flush()
    assert not feed.channel.behind, "all are in step"
    assert [sink.sends for sink in (*players, *viewers)] == [10] * 7, "one send a flush"
    assert len({bytes(sink.got) for sink in viewers}) == 1
    words = texts(bytes(players[0].got))
    assert flv_texts(bytes(viewers[0].got)) == words
    assert words[-1] == "a400"
    assert feed.channel.audience("rtmp").players == 3
    assert feed.channel.audience("http-flv").players == 4
    assert feed.channel.audience("http-flv").sent_bytes == sum(
        len(sink.got) - len(file_header(feed.channel.buffer.headers)) for sink in viewers
    )


def test_a_slow_viewer_of_flv_is_cut_to_a_keyframe_and_costs_the_others_nothing() -> None:
    feed = begun()
    [slow] = joined(feed.channel, 1, is_flv=True)
    [quick] = joined(feed.channel, 1, is_flv=True)
    slow.room = 100
    for i in range(1, 101):
        feed.video(i * 40, i % 25 == 0)
        feed.audio(i * 40)
        feed.flush()
    assert len(quick.got) > 100 * 20
    assert slow.player.dropped > 50
    slow.room = 1 << 20
    slow.on_queued()
    words = flv_texts(bytes(slow.got))
    pictures = [word for word in words if word.startswith("v")]
    gap = next(at for at in range(1, len(pictures)) if pictures[at] != f"v{40 * at}")
    assert int(pictures[gap][1:]) % 1000 == 0, "it goes on at a keyframe"
    assert words[words.index(pictures[gap]) - 1] == "H", "with its header"


def test_sound_that_is_not_there_yet_is_a_tag_like_any_other_later() -> None:
    assert read(file_header(Headers()) + FLV_FORM.absolute(AUDIO, 5, sound("a5")))[0].dts_ms == 5
