"""common/codecs/table.py: what every codec of the tables can do."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.aac import AudioSpecificConfig
from common.codecs.table import (
    AUDIO_CODECS,
    VIDEO_CODECS,
    codec_of_record,
    codec_string,
    describe_audio,
)
from common.errors import ProtocolError
from common.media.units import AudioCodec, AudioConfig, Colour, VideoCodec, VideoConfig
from tests.kit.coded_tracks import coded_track
from tests.kit.ingest_ports import ASC, record


def test_an_h264_record_says_what_the_pictures_are() -> None:
    config = VIDEO_CODECS[VideoCodec.H264].parse_config(record())
    assert config == VideoConfig(
        VideoCodec.H264,
        record(),
        1920,
        1080,
        Fraction(1),
        Fraction(25),
        colour=Colour(),
        reference_frames=3,
    )
    assert codec_string(config) == "avc1.640028"


def test_an_aac_record_says_what_a_decoder_gives() -> None:
    config = AUDIO_CODECS[AudioCodec.AAC].parse_config(ASC)
    assert config == AudioConfig(AudioCodec.AAC, ASC, sample_rate=48_000, channels=2)
    assert (codec_string(config), describe_audio(config)) == ("mp4a.40.2", "AAC-LC 48 kHz 2ch")


@pytest.mark.parametrize(
    ("config", "description"),
    [
        (
            AudioSpecificConfig(2, 24_000, 2, 2, sbr=True, extension_rate=48_000),
            "HE-AAC 48 kHz 2ch",
        ),
        (
            AudioSpecificConfig(
                2, 24_000, 1, 1, sbr=True, parametric_stereo=True, extension_rate=48_000
            ),
            "HE-AACv2 48 kHz 2ch",
        ),
        (AudioSpecificConfig(1, 44_100, 1, 1), "AAC Main 44.1 kHz 1ch"),
    ],
)
def test_aac_is_described_for_people(config: AudioSpecificConfig, description: str) -> None:
    assert describe_audio(AudioConfig(AudioCodec.AAC, config.encode())) == description


def test_what_is_in_no_table_has_a_name_and_no_string() -> None:
    speex = AudioConfig(AudioCodec.SPEEX)
    assert (codec_string(speex), describe_audio(speex)) == ("", "Speex")
    assert codec_string(VideoConfig(VideoCodec.VP6, b"", 64, 64)) == ""


@pytest.mark.parametrize(
    ("codec", "name", "description"),
    [
        (VideoCodec.H264, "avc1.42c00d", ""),
        (VideoCodec.H265, "hvc1.1.6.L60.90", ""),
        (VideoCodec.AV1, "av01.0.00M.08", ""),
        (AudioCodec.AAC, "mp4a.40.2", "AAC-LC 48 kHz 2ch"),
        (AudioCodec.OPUS, "opus", "Opus 48 kHz 2ch"),
    ],
)
def test_what_encoders_write_has_a_name(
    codec: VideoCodec | AudioCodec, name: str, description: str
) -> None:
    config = coded_track(codec).config
    assert codec_string(config) == name
    assert not isinstance(config, AudioConfig) or describe_audio(config) == description


@pytest.mark.parametrize(
    ("label", "made", "codec"),
    [
        (VideoCodec.H264, VideoCodec.H264, VideoCodec.H264),
        (VideoCodec.H264, VideoCodec.H265, VideoCodec.H265),
        (VideoCodec.H265, VideoCodec.H264, VideoCodec.H264),
        (VideoCodec.H265, VideoCodec.H265, VideoCodec.H265),
        (VideoCodec.AV1, VideoCodec.H264, VideoCodec.AV1),
    ],
)
def test_a_record_of_h264_or_h265_tells_which_it_is(
    label: VideoCodec, made: VideoCodec, codec: VideoCodec
) -> None:
    config = coded_track(made).config
    assert codec_of_record(label, config.record) is codec
    assert codec_of_record(label, b"") is label


@pytest.mark.parametrize("codec", AUDIO_CODECS)
def test_frames_are_as_long_as_the_encoder_made_them(codec: AudioCodec) -> None:
    track = coded_track(codec)
    samples = AUDIO_CODECS[codec].frame_samples(track.config.record)
    assert all(samples(one.data) == one.duration for one in track.samples)


def unit(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


def test_an_idr_is_where_a_decoder_can_start() -> None:
    is_random_access = VIDEO_CODECS[VideoCodec.H264].is_random_access
    assert is_random_access(unit(b"\x06\x05", b"\x65\x88"), record())
    assert is_random_access(memoryview(unit(b"\x65\x88")), record())
    assert not is_random_access(unit(b"\x06\x05", b"\x41\x88"), record())


@given(st.sampled_from([*VIDEO_CODECS.values(), *AUDIO_CODECS.values()]), st.binary(max_size=40))
def test_any_bytes_are_a_configuration_or_an_error_of_the_tree(codec: object, data: bytes) -> None:
    for name in ("parse_config", "codec_string", "describe", "frame_samples"):
        look = getattr(codec, name, None)
        if look is not None:
            try:
                look(data)
            except ProtocolError:
                continue
