"""A53 captions out of access units and into coded pictures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codecs.captions import (
    MAX_TRIPLETS,
    caption_data,
    caption_sei,
    caption_unit,
    captions_in,
)
from common.codecs.h264 import join_avcc, unescape
from common.config.ladder import RENDITION_CODECS
from common.media.units import VideoCodec

SLICE = b"\x41\x9a\x00"
HELLO = b"\xfc\x94\x20\xfd\x80\x80\xfc\xc8\xe5"

# As x264 writes it (a53cc=1): SEI, T.35, length 19, USA, ATSC, "GA94", cc_data of three constructs.
FROM_X264 = bytes.fromhex("0604 13 b50031 47413934 03 43 ff") + HELLO + b"\xff\x80"


def unit(*nals: bytes, length_size: int = 4) -> bytes:
    return join_avcc(nals, length_size)


def test_captions_are_found_in_front_of_a_picture() -> None:
    assert caption_data(unit(FROM_X264, SLICE), 4) == HELLO


def test_captions_are_found_with_other_lengths_and_beside_other_sei() -> None:
    pic_timing = b"\x06\x01\x02\x11\x22\x80"
    both = b"\x06\x01\x02\x11\x22" + FROM_X264[1:]
    assert caption_data(unit(pic_timing, FROM_X264, SLICE, length_size=2), 2) == HELLO
    assert caption_data(unit(both, SLICE), 4) == HELLO


def test_padding_is_left_out() -> None:
    padded = caption_sei(b"\xf8\x80\x80" + HELLO + b"\xfa\x00\x00")
    assert caption_data(unit(padded, SLICE), 4) == HELLO


@pytest.mark.parametrize(
    "nal",
    [
        SLICE,
        b"\x06\x05\x02\x11\x22\x80",  # unregistered user data
        b"\x06\x04\x03\xb5\x00\x31\x80",  # cut short
        b"\x06\x04\x13\xb5\x00\x31DTG1\x03\x41\xff" + HELLO[:3] + b"\xff\x80",  # AFD
        b"\x06\xff\xff\xff",
        b"\x06",
        FROM_X264[:12],
    ],
)
def test_other_or_broken_sei_hold_no_captions(nal: bytes) -> None:
    assert caption_data(unit(nal, SLICE), 4) == b""


@pytest.mark.parametrize("codec", RENDITION_CODECS)
def test_what_is_written_for_a_codec_is_found_in_it(codec: VideoCodec) -> None:
    zeros = HELLO[:3] + b"\xfc\x00\x00" * 29 + HELLO[3:6]
    for constructs in (HELLO, zeros):
        picture = {
            VideoCodec.H264: unit(SLICE),
            VideoCodec.H265: unit(b"\x02\x01\xd0"),
            VideoCodec.AV1: b"\x32\x02\x10\x00",
        }[codec]
        written = caption_unit(codec, constructs) + picture
        assert captions_in(codec)(written, 4) == constructs


def test_what_follows_the_picture_is_not_looked_at() -> None:
    assert caption_data(unit(SLICE, FROM_X264), 4) == b""


def test_h265_and_av1_carry_the_same_constructs() -> None:
    in_h265 = captions_in(VideoCodec.H265)
    sei = b"\x4e\x01" + FROM_X264[1:]
    slice_nal = b"\x02\x01\xd0"
    assert in_h265(unit(b"\x46\x01\x50", sei, slice_nal), 4) == HELLO
    assert in_h265(unit(slice_nal, sei), 4) == b""
    assert in_h265(b"\x00\x00\xff\xff\x06", 4) == b""
    in_av1 = captions_in(VideoCodec.AV1)
    payload = b"\x04" + FROM_X264[3:]
    metadata = bytes((0x2A, len(payload))) + payload
    assert in_av1(b"\x12\x00" + metadata + b"\x30\x10", 0) == HELLO
    assert in_av1(b"\x2a\x02\x05\xb5\x30\x10", 0) == b""
    assert in_av1(b"\x2a\x7f", 0) == b""
    assert captions_in(VideoCodec.H264)(unit(FROM_X264, SLICE), 4) == HELLO


def test_a_unit_that_cannot_be_read_has_none() -> None:
    assert caption_data(b"\x00\x00\xff\xff\x06", 4) == b""


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0xFC, 0xFF), st.integers(0, 255), st.integers(0, 3)),
        min_size=1,
        max_size=MAX_TRIPLETS,
    )
)
def test_what_is_written_is_what_is_read(constructs: list[tuple[int, int, int]]) -> None:
    data = b"".join(map(bytes, constructs))
    nal = caption_sei(data)
    assert caption_data(unit(nal, SLICE), 4) == data
    # no start code may arise inside (H.264 7.4.1)
    assert not any(nal[at : at + 3] in (b"\0\0\0", b"\0\0\1", b"\0\0\2") for at in range(len(nal)))
    assert unescape(nal)[-1] == 0x80


@settings(max_examples=100)
@given(st.binary(max_size=80))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    found = caption_data(unit(b"\x06" + data, SLICE), 4)
    assert len(found) % 3 == 0
