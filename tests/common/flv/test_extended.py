import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import FlvError
from common.flv.extended import Track, extended_header, fourcc_name, track_zero

MOD_EX, MULTITRACK = 7, 6  # video's numbers

TRACKS = [
    ("no multitrack", 1, "61766331 aa", Track(0, b"avc1", 1, b"\xaa")),
    ("one track", MULTITRACK, "01 61766331 00 aa", Track(0, b"avc1", 1, b"\xaa")),
    ("one other track", MULTITRACK, "01 61766331 05 aa", Track(5, b"avc1", 1, b"")),
    ("many tracks", MULTITRACK, "11 61766331 02 000001 bb 00 000001 aa",
     Track(0, b"avc1", 1, b"\xaa")),
    ("many tracks without the first", MULTITRACK, "11 61766331 02 000001 bb 03 000000",
     Track(2, b"avc1", 1, b"")),
    ("many codecs", MULTITRACK, "21 68766331 02 000001 bb 61766331 00 000001 aa",
     Track(0, b"avc1", 1, b"\xaa")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("packet_type", "body", "track"), [case[1:] for case in TRACKS], ids=[c[0] for c in TRACKS]
)
def test_track_zero_is_found_or_the_first_named(
    packet_type: int, body: str, track: Track[bytes]
) -> None:
    payload = b"\x91" + bytes.fromhex(body)
    assert track_zero(payload, 1, packet_type, MULTITRACK) == track


@pytest.mark.parametrize(
    ("payload", "packet_type", "at"),
    [("91", 1, 1), ("97 00 ff 01", 1, 4), ("97 01 ffff 07 00 ff 03", 3, 8), ("97 0000 f2", 2, 4)],
)
def test_mod_ex_is_skipped_to_the_real_packet_type(payload: str, packet_type: int, at: int) -> None:
    assert extended_header(bytes.fromhex(payload), MOD_EX) == (packet_type, at)


def test_mod_ex_of_the_longest_size_is_skipped() -> None:
    payload = b"\x97\xff\xff\xff" + bytes(65536) + b"\x01"
    assert extended_header(payload, MOD_EX) == (1, len(payload))
    with pytest.raises(FlvError, match="reaches beyond"):
        extended_header(payload[:-1], MOD_EX)


def test_more_extensions_or_tracks_than_can_be_are_refused() -> None:
    many = b"\x97" + b"\x00\x00\x07" * 15
    assert extended_header(many + b"\x00\x00\x01", MOD_EX) == (1, 49)
    with pytest.raises(FlvError, match="more than 16 ModEx"):
        extended_header(many + b"\x00\x00\x07\x00\x00\x01", MOD_EX)
    tracks = b"\x96\x11avc1" + b"\x01\x00\x00\x00" * 255
    assert track_zero(tracks + b"\x00\x00\x00\x01x", 1, 6, MULTITRACK).data == b"x"
    with pytest.raises(FlvError, match="more than 256 tracks"):
        track_zero(tracks + b"\x01\x00\x00\x00" * 2, 1, 6, MULTITRACK)


def test_a_fourcc_is_shown_in_ascii_whatever_it_holds() -> None:
    assert fourcc_name(b"avc1") == "'avc1'"
    assert fourcc_name(b"\xff\x00\n'").isascii()
    assert "\n" not in fourcc_name(b"\xff\x00\n'")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 15), st.binary(max_size=30))
def test_any_bytes_are_a_track_or_an_flv_error(packet_type: int, data: bytes) -> None:
    payload = bytes((0x90 | packet_type,)) + data
    try:
        found, at = extended_header(payload, MOD_EX)
        track = track_zero(payload, at, found, MULTITRACK)
    except FlvError:
        return
    assert len(track.fourcc) == 4
    assert track.packet_type != MULTITRACK
