"""common/mpegts/program.py: the tables of a transport stream."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import TransportStreamError
from common.mpegts.program import Track, read_pat, read_pmt, section_crc


def section(table: int, body: bytes) -> bytes:
    head = struct.pack(">BH", table, 0xB000 | len(body) + 4) + body
    return head + struct.pack(">I", section_crc(head))


def pmt(*streams: tuple[int, bytes]) -> bytes:
    body = struct.pack(">HBBBHH", 7, 0xC1, 0, 0, 0xE100, 0xF000 | 2) + b"\x09\x00"
    for number, (stream_type, info) in enumerate(streams):
        body += struct.pack(">BHH", stream_type, 0xE000 | 256 + number, 0xF000 | len(info)) + info
    return section(2, body)


def test_the_checksum_is_that_of_the_standard() -> None:
    assert section_crc(b"123456789") == 0x0376E6E7  # CRC-32/MPEG-2
    whole = pmt((0x1B, b""))
    assert section_crc(whole) == 0


def test_programs_are_found_and_the_network_is_none() -> None:
    body = struct.pack(">HBBB", 1, 0xC1, 0, 0) + struct.pack(">HHHH", 0, 0xE010, 3, 0xE000 | 0x1000)
    assert read_pat(section(0, body)) == [(3, 0x1000)]


REGISTRATION = bytes((0x05, 4))


@pytest.mark.parametrize(
    ("stream_type", "info", "is_video", "codec"),
    [
        (0x1B, b"", True, "h264"),
        (0x24, REGISTRATION + b"HEVC", True, "h265"),
        (0x06, REGISTRATION + b"HEVC", True, "h265"),
        (0x06, REGISTRATION + b"AV01", True, "av1"),
        (0x02, b"", True, "MPEG-2 video"),
        (0x0F, b"", False, "aac"),
        (0x11, b"", False, "AAC in LATM"),
        (0x03, b"", False, "MPEG audio"),
        (0x81, b"", False, "ac3"),
        (0x06, b"\x6a\x01\x00", False, "ac3"),
        (0x06, b"\x7a\x01\x00", False, "eac3"),
    ],
)
def test_a_track_is_known_by_its_type_or_registration(
    stream_type: int, info: bytes, is_video: bool, codec: str
) -> None:
    assert read_pmt(pmt((stream_type, info))) == (7, [Track(256, is_video, codec)])


@pytest.mark.parametrize(("code", "channels"), [(1, 1), (2, 2), (0, 2), (6, 2)])
def test_opus_has_the_header_that_it_has_elsewhere(code: int, channels: int) -> None:
    info = REGISTRATION + b"Opus" + bytes((0x7F, 2, 0x80, code))
    _, (track,) = read_pmt(pmt((0x06, info)))
    assert (track.codec, track.record[:8], track.record[9]) == ("opus", b"OpusHead", channels)


def test_what_is_not_known_is_left_out() -> None:
    assert read_pmt(pmt((0x85, b""), (0x06, b"\x59\x08"), (0x1B, b"")))[1] == [
        Track(258, True, "h264")
    ]


def test_scte_35_is_a_track_of_sections_but_on_a_disc() -> None:
    whole = pmt((0x86, b""), (0x1B, b""))
    assert read_pmt(whole)[1] == [Track(256, False, "scte35"), Track(257, True, "h264")]
    assert [track.is_sections for track in read_pmt(whole)[1]] == [True, False]
    info = REGISTRATION + b"HDMV"
    body = bytes(4) + whole[3:10] + struct.pack(">H", 0xF000 | len(info)) + info + whole[14:-4]
    assert read_pmt(section(2, body[4:]))[1] == [Track(257, True, "h264")]


@pytest.mark.parametrize("data", [b"", b"\x02\xb0\x00", pmt((0x1B, b""))[:-1] + b"\x00"])
def test_what_is_broken_is_no_table(data: bytes) -> None:
    with pytest.raises(TransportStreamError):
        read_pmt(data)


@given(st.binary(max_size=60))
def test_any_table_with_a_good_checksum_can_be_read(body: bytes) -> None:
    for table, read in ((0, read_pat), (2, read_pmt)):
        try:
            read(section(table, body))
        except TransportStreamError:
            assert len(body) < 12
