"""common/mpegts/demuxer.py: packets to the PES packets of two tracks."""

import random
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import TransportStreamError
from common.mpegts.demuxer import (
    MAX_FOREIGN_BYTES,
    PACKET_BYTES,
    PacketsLost,
    PesPacket,
    SpliceSection,
    TracksChosen,
    TransportStream,
    TsEvent,
)
from common.mpegts.program import Track
from tests.kit.scte35_writer import INSERTION, PLACEMENT_START, section
from tests.kit.ts_writer import AAC, AUDIO_PID, H264, SPLICE_PID, SPLICES, VIDEO_PID, TsWriter

STREAMS = ((VIDEO_PID, H264, b""), (AUDIO_PID, AAC, b""))
VIDEO, AUDIO = Track(VIDEO_PID, True, "h264"), Track(AUDIO_PID, False, "aac")


def a_stream(pictures: int = 3, size: int = 500) -> bytes:
    writer = TsWriter()
    out = writer.tables(STREAMS)
    for number in range(pictures):
        at = number * 3600
        data = bytes((number,)) * size
        out += writer.pes(VIDEO_PID, data, at + 7200, at, is_bounded=False)
        out += writer.pes(AUDIO_PID, data[:50], at)
    return out


def pes_of(events: Sequence[TsEvent]) -> list[PesPacket]:
    return [event for event in events if isinstance(event, PesPacket)]


def test_pictures_and_sound_come_out_as_they_went_in() -> None:
    stream = TransportStream()
    events = [*stream.feed(a_stream(), 5.0), *stream.flush()]
    assert events[0] == TracksChosen(VIDEO, AUDIO)
    found = pes_of(events)
    pictures = [pes for pes in found if pes.track == VIDEO]
    assert [(pes.pts, pes.dts, pes.data) for pes in pictures] == [
        (7200, 0, bytes(500)),
        (10_800, 3600, b"\x01" * 500),
        (14_400, 7200, b"\x02" * 500),
    ]
    assert [(pes.pts, pes.dts, len(pes.data)) for pes in found if pes.track == AUDIO] == [
        (0, 0, 50),
        (3600, 3600, 50),
        (7200, 7200, 50),
    ]
    assert {pes.received_s for pes in found} == {5.0}


def test_what_tells_its_length_waits_for_nothing() -> None:
    stream, writer = TransportStream(), TsWriter()
    stream.feed(writer.tables(STREAMS), 1.0)
    (sound,) = stream.feed(writer.pes(AUDIO_PID, b"sound", 0), 2.0)
    assert isinstance(sound, PesPacket)
    assert stream.feed(writer.pes(VIDEO_PID, b"picture", 0, is_bounded=False), 3.0) == []
    (picture,) = stream.feed(writer.pes(VIDEO_PID, b"next", 3600, is_bounded=False), 4.0)
    assert isinstance(picture, PesPacket)
    assert picture.received_s == 3.0, "its last byte came then"


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_the_pieces_in_which_it_comes_do_not_matter(sizes: list[int]) -> None:
    whole, data = TransportStream(), a_stream()
    expected = [*whole.feed(data, 1.0), *whole.flush()]
    stream, at = TransportStream(), 0
    events: list[TsEvent] = []
    for size in sizes:
        events += stream.feed(data[at : at + size], 1.0)
        at += size
    events += [*stream.feed(data[at:], 1.0), *stream.flush()]
    assert events == expected


@given(st.integers(0, 1000))
def test_a_lost_packet_costs_its_pes_packet_alone(seed: int) -> None:
    data = a_stream(8)
    packets = [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]
    lost = random.Random(seed).randrange(2, len(packets) - 1)
    stream = TransportStream()
    events = [*stream.feed(b"".join(packets[:lost] + packets[lost + 1 :]), 1.0), *stream.flush()]
    # Of a picture whose first packet is lost, the one before it may be incomplete, too; that the
    # very last packet is missing shows nowhere.
    assert len(pes_of(events)) >= 14
    pids = [(packet[1] & 0x1F) << 8 | packet[2] for packet in packets]
    is_between = pids[lost] in pids[2:lost] and pids[lost] in pids[lost + 1 :]
    told = [event.track.pid for event in events if isinstance(event, PacketsLost)]
    assert told == [pids[lost]] * is_between


def test_a_gap_that_is_known_costs_what_it_is_in_however_long_it_is() -> None:
    stream, writer = TransportStream(), TsWriter()
    stream.feed(writer.tables(STREAMS), 1.0)
    picture = writer.pes(VIDEO_PID, bytes(184 * 20), 0, is_bounded=False)
    stream.feed(picture[: 2 * PACKET_BYTES], 1.0)
    told = stream.lose()
    assert [event.track for event in told if isinstance(event, PacketsLost)] == [VIDEO, AUDIO]
    rest = picture[18 * PACKET_BYTES :]  # sixteen are missing, which no counter shows
    events = stream.feed(rest + writer.pes(VIDEO_PID, b"next", 3600), 1.0)
    assert [pes.data for pes in pes_of(events)] == [b"next"]


def test_a_packet_that_comes_twice_counts_once() -> None:
    data = a_stream(2)
    packets = [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]
    stream = TransportStream()
    events = [*stream.feed(b"".join(p + p for p in packets), 1.0), *stream.flush()]
    once = TransportStream()
    assert events == [*once.feed(data, 1.0), *once.flush()]


def test_bytes_between_packets_are_skipped() -> None:
    stream = TransportStream()
    events = [*stream.feed(bytes(100) + a_stream(), 1.0), *stream.flush()]
    assert len(pes_of(events)) == 6


@given(st.integers(0, 1 << 30))
def test_what_is_no_transport_stream_is_refused_in_time(seed: int) -> None:
    noise = random.Random(seed).randbytes(4 * MAX_FOREIGN_BYTES)
    stream = TransportStream()
    with pytest.raises(TransportStreamError, match="no MPEG"):
        any(stream.feed(noise[at : at + 1316], 1.0) for at in range(0, len(noise), 1316))


def test_what_is_scrambled_is_refused() -> None:
    data = bytearray(a_stream())
    at = data.index(b"\x47\x41\x00")
    data[at + 3] |= 0x80
    with pytest.raises(TransportStreamError, match="scrambled"):
        TransportStream().feed(bytes(data), 1.0)


def test_a_program_that_changes_is_followed() -> None:
    stream, writer = TransportStream(), TsWriter()
    stream.feed(writer.tables(STREAMS), 1.0)
    stream.feed(writer.pes(VIDEO_PID, b"last", 0, is_bounded=False), 1.0)
    events = stream.feed(writer.tables(((0x200, H264, b""),)), 1.0)
    assert [type(event) for event in events] == [PesPacket, TracksChosen]
    assert events[1] == TracksChosen(Track(0x200, True, "h264"), None)
    assert stream.feed(writer.tables(((0x200, H264, b""),)), 1.0) == [], "it says the same again"


def test_of_several_tracks_the_first_that_can_be_served_is_taken() -> None:
    stream, writer = TransportStream({"aac"}), TsWriter()
    tracks = (*STREAMS[:1], (0x102, 0x81, b""), STREAMS[1], (0x103, H264, b""))
    (chosen,) = stream.feed(writer.tables(tracks), 1.0)
    assert chosen == TracksChosen(VIDEO, AUDIO, omitted=2)


@given(
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=30),
    st.integers(0, 6),
)
def test_broken_bytes_end_nothing_but_the_stream(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(a_stream(6))
    for at, value in changes:
        data[at % len(data)] = value
    stream = TransportStream()
    with suppress(TransportStreamError):
        stream.feed(bytes(data[cut:]), 1.0)
        stream.flush()


def splices_of(events: Sequence[TsEvent]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, SpliceSection)]


def test_sections_of_scte_35_come_out_once_each_and_are_no_track() -> None:
    writer = TsWriter()
    streams = ((SPLICE_PID, SPLICES, b""), *STREAMS)
    long = section(0xFF, bytes(3000))
    data = writer.tables(streams)
    for one in (INSERTION, INSERTION, long, PLACEMENT_START, INSERTION):
        data += writer.packets(SPLICE_PID, one, is_section=True)
        data += writer.tables(streams)
    events = TransportStream().feed(data, 5.0)
    assert events[0] == TracksChosen(VIDEO, AUDIO)
    assert splices_of(events) == [INSERTION, long, PLACEMENT_START, INSERTION]
    assert SpliceSection(INSERTION, 5.0) in events


def test_sections_of_scte_35_end_with_their_track() -> None:
    writer = TsWriter()
    data = writer.tables(((SPLICE_PID, SPLICES, b""), *STREAMS)) + writer.tables(STREAMS)
    data += writer.packets(SPLICE_PID, INSERTION, is_section=True)
    assert splices_of(TransportStream().feed(data, 5.0)) == []


def test_a_section_of_scte_35_with_a_hole_costs_nothing_else() -> None:
    writer = TsWriter()
    data = writer.tables(((SPLICE_PID, SPLICES, b""), *STREAMS))
    whole = writer.packets(SPLICE_PID, section(0xFF, bytes(500)), is_section=True)
    data += whole[:PACKET_BYTES]
    data += writer.packets(SPLICE_PID, INSERTION, is_section=True)
    assert splices_of(TransportStream().feed(data, 5.0)) == [INSERTION]
