import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import FlvError
from common.flv.audio import (
    AudioBody,
    AudioFormat,
    AudioPacket,
    aac_frame,
    aac_sequence_header,
    is_audio_sequence_header,
    parse_audio,
)

AAC, MP3, OPUS = AudioFormat.AAC, AudioFormat.MP3, AudioFormat.OPUS
HEADER, FRAME = AudioPacket.SEQUENCE_HEADER, AudioPacket.FRAME
BODIES = [
    ("AAC header", "af 00 1210", AudioBody(AAC, 44100, 16, 2, HEADER, b"\x12\x10"), True),
    ("AAC frame", "af 01 21", AudioBody(AAC, 44100, 16, 2, FRAME, b"\x21"), False),
    ("empty AAC header", "af 00", AudioBody(AAC, 44100, 16, 2, HEADER, b""), True),
    ("MP3", "2f ff", AudioBody(MP3, 44100, 16, 2, None, b"\xff"), False),
    ("MP3 mono 22 kHz", "2a ff", AudioBody(MP3, 22050, 16, 1, None, b"\xff"), False),
    ("G.711", "72 d5", AudioBody(AudioFormat.G711_A_LAW, 5512, 16, 1, None, b"\xd5"), False),
    ("PCM 8 bit", "04 80", AudioBody(AudioFormat.PCM, 11025, 8, 1, None, b"\x80"), False),
    ("Speex without data", "b6", AudioBody(AudioFormat.SPEEX, 11025, 16, 1, None, b""), False),
    ("mp4a header", "90 6d703461 1210", AudioBody(AAC, 0, 0, 0, HEADER, b"\x12\x10", True), True),
    ("mp4a frame", "91 6d703461 21", AudioBody(AAC, 0, 0, 0, FRAME, b"\x21", True), False),
    ("Opus", "91 4f707573 fc", AudioBody(OPUS, 0, 0, 0, FRAME, b"\xfc", True), False),
    (".mp3", "91 2e6d7033 ff", AudioBody(MP3, 0, 0, 0, FRAME, b"\xff", True), False),
    ("channels", "94 6d703461 0102",
     AudioBody(AAC, 0, 0, 0, AudioPacket.MULTICHANNEL_CONFIG, b"\x01\x02", True), False),
    ("end", "92 6d703461", AudioBody(AAC, 0, 0, 0, AudioPacket.END_OF_SEQUENCE, b"", True), False),
    ("track 1", "95 01 6d703461 01 21", AudioBody(AAC, 0, 0, 0, FRAME, b"", True, 1), False),
    ("header of track 1", "95 00 6d703461 01 1210", AudioBody(AAC, 0, 0, 0, HEADER, b"", True, 1),
     False),
    ("track 0 of two", "95 10 6d703461 01 000001 aa 00 000002 1210",
     AudioBody(AAC, 0, 0, 0, HEADER, b"\x12\x10", True), True),
    ("ModEx", "97 02 000000 01 6d703461 21", AudioBody(AAC, 0, 0, 0, FRAME, b"\x21", True), False),
]  # fmt: skip
by_body = pytest.mark.parametrize(
    ("payload", "body", "header"),
    [(bytes.fromhex(case[1]), *case[2:]) for case in BODIES],
    ids=[case[0] for case in BODIES],
)


@by_body
def test_an_audio_body_is_taken_apart(payload: bytes, body: AudioBody[bytes], header: bool) -> None:
    assert parse_audio(payload) == body
    assert is_audio_sequence_header(payload) == header


@by_body
def test_an_audio_body_cut_anywhere_is_shorter_or_an_flv_error(
    payload: bytes, body: AudioBody[bytes], header: bool
) -> None:
    for size in range(len(payload)):
        is_audio_sequence_header(payload[:size])
        try:
            assert parse_audio(payload[:size]).format is body.format
        except FlvError:
            continue


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "empty"),
        ("c0 00", "format 12"),
        ("af", "1 byte"),
        ("af 02", "AAC packet type 2"),
        ("91 78797a31", "'xyz1'"),
        ("93 6d703461", "packet type 3"),
        ("95 05 6d703461", "within multitrack"),
    ],
)
def test_an_unreadable_audio_body_is_refused_with_the_reason(payload: str, reason: str) -> None:
    with pytest.raises(FlvError, match=reason):
        parse_audio(bytes.fromhex(payload))


def test_aac_bodies_are_written_with_the_conventional_first_byte() -> None:
    assert aac_sequence_header(b"\x12\x10").hex(" ") == "af 00 12 10"
    assert aac_frame(b"\x21").hex(" ") == "af 01 21"


@pytest.mark.parametrize("format", AudioFormat)
def test_every_format_has_a_name_and_legacy_ones_are_told(format: AudioFormat) -> None:
    body = AudioBody(format, 0, 0, 0, None, b"")
    assert body.codec.label
    assert body.is_legacy == (format.value < 16)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=30) | st.binary(max_size=30).map(lambda data: b"\x95" + data))
def test_any_bytes_are_an_audio_body_or_an_flv_error(payload: bytes) -> None:
    is_audio_sequence_header(payload)
    try:
        parse_audio(payload)
    except FlvError:
        return
