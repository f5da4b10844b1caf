"""egress/fanout/on_metadata.py: a rendition's onMetaData with the source's audio."""

from common.flv import amf0
from egress.fanout.on_metadata import audio_members, with_audio
from tests.kit.egress import AUDIO_HEADER, METADATA

SOURCE = amf0.encode(
    "onMetaData",
    amf0.EcmaArray(
        {"width": 1920.0, "audiocodecid": 2.0, "audiosamplerate": 44100.0, "stereo": True}
    ),
)


def members(payload: bytes) -> dict[str, amf0.Value]:
    name, value = amf0.decode_all(payload)
    assert name == "onMetaData"
    assert isinstance(value, amf0.EcmaArray)
    return dict(value)


def test_the_sources_audio_keys_are_added_and_its_picture_is_not() -> None:
    merged = members(with_audio(METADATA, audio_members(SOURCE, b"")))
    assert merged == {
        "width": 640.0,
        "videocodecid": 7.0,
        "audiocodecid": 2.0,
        "audiosamplerate": 44100.0,
        "stereo": True,
    }


def test_the_sequence_header_tells_more_than_the_metadata() -> None:
    audio = audio_members(SOURCE, AUDIO_HEADER)
    assert audio["audiocodecid"] == 10.0
    assert audio["audiosamplerate"] == 48000.0
    assert audio["stereo"] is True


def test_without_audio_the_metadata_stays_as_it_is() -> None:
    assert with_audio(METADATA, audio_members(METADATA, b"")) is METADATA


def test_metadata_that_cannot_be_read_passes_untouched() -> None:
    for broken in (b"\x02\x00", b"\x02\x00\x0aonMetaData", b"\xff"):
        assert with_audio(broken, {"audiocodecid": 10.0}) == broken
        assert audio_members(broken, b"\xaf\x00") == {}
