"""User data of allowed UUIDs out of access units and into coded pictures."""

from uuid import UUID

import pytest

from common.codecs.h264 import join_avcc, split_avcc
from common.media.units import VideoCodec
from common.sei.messages import sei_nal
from common.sei.user_data import MAX_PICTURE_BYTES, user_data_in, user_data_unit

CLOCK = "086f3693-b7b3-4f2c-9653-21492feee5b8"
QUIZ = "11111111-2222-3333-4444-555555555555"
X264 = "dc45e9bd-e6d9-48b7-962c-d820d923eeef"
SLICES = {VideoCodec.H264: b"\x41\x9a\x00", VideoCodec.H265: b"\x02\x01\xd0"}
CODECS = sorted(SLICES)


def message(uuid: str, text: bytes = b"said") -> bytes:
    return UUID(uuid).bytes + text


def picture(codec: VideoCodec, *messages: tuple[int, bytes], length_size: int = 4) -> bytes:
    """A SEI NAL unit for each message, and a slice."""
    seis = [sei_nal(codec, [one]) for one in messages]
    return join_avcc([*seis, SLICES[codec]], length_size)


@pytest.mark.parametrize("codec", CODECS)
def test_messages_of_allowed_uuids_are_found_in_their_order(codec: VideoCodec) -> None:
    find = user_data_in(codec, [CLOCK, QUIZ])
    unit = picture(
        codec,
        (5, message(QUIZ, b"1")),
        (5, message(X264)),
        (4, message(CLOCK)),
        (5, message(CLOCK, b"")),
        (5, UUID(CLOCK).bytes[:15]),
        length_size=2,
    )
    assert find(unit, 2) == (message(QUIZ, b"1"), message(CLOCK, b""))
    assert find(memoryview(unit), 2) == find(unit, 2)


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_written_is_found(codec: VideoCodec) -> None:
    messages = message(CLOCK, b"\0\0\0\1\0\0\3" * 40), message(QUIZ, b"\0\0")
    unit = user_data_unit(codec, messages) + join_avcc([SLICES[codec]])
    assert len(split_avcc(unit)) == 2
    assert user_data_in(codec, [CLOCK, QUIZ])(unit, 4) == messages
    assert user_data_in(codec, [QUIZ])(unit, 4) == messages[1:]


@pytest.mark.parametrize("codec", CODECS)
def test_a_picture_has_so_many_bytes_and_the_messages_that_fit(codec: VideoCodec) -> None:
    large = message(CLOCK, bytes(MAX_PICTURE_BYTES - 16 - 20))
    huge = message(CLOCK, bytes(MAX_PICTURE_BYTES))
    small = message(QUIZ, b"1234")
    find = user_data_in(codec, [CLOCK, QUIZ])
    unit = picture(codec, (5, huge), (5, large), (5, small), (5, small))
    assert find(unit, 4) == (large, small)


def test_in_h265_it_may_stand_behind_the_picture_in_h264_it_may_not() -> None:
    suffix = bytes((40 << 1, 1)) + sei_nal(VideoCodec.H265, [(5, message(CLOCK))])[2:]
    behind = join_avcc([SLICES[VideoCodec.H265], suffix])
    assert user_data_in(VideoCodec.H265, [CLOCK])(behind, 4) == (message(CLOCK),)
    sei = sei_nal(VideoCodec.H264, [(5, message(CLOCK))])
    behind = join_avcc([SLICES[VideoCodec.H264], sei])
    assert user_data_in(VideoCodec.H264, [CLOCK])(behind, 4) == ()


def test_nothing_is_looked_for_without_uuids_in_other_codecs_and_in_broken_units() -> None:
    unit = picture(VideoCodec.H264, (5, message(CLOCK)))
    assert user_data_in(VideoCodec.H264, [])(unit, 4) == ()
    assert user_data_in(VideoCodec.AV1, [CLOCK])(unit, 4) == ()
    for codec in CODECS:
        assert user_data_in(codec, [CLOCK])(b"\x00\x00\xff\xff\x06", 4) == ()
