"""What makes RTP payloads of a rendition's pictures, codec by codec."""

import pytest

from common.codecs.table import VIDEO_CODECS
from common.media.units import VideoCodec, VideoConfig, VideoUnit
from common.webrtc.codecs import VIDEO
from egress.rtc.payloads import PACKETISERS, packetiser_of
from tests.kit.coded_video import CodedSpec, coded_video


def test_what_is_made_is_what_an_offer_is_looked_through_for() -> None:
    assert set(PACKETISERS) == set(VIDEO)


@pytest.mark.parametrize(
    ("codec", "profile", "first"),
    [(VideoCodec.H264, "42", 24), (VideoCodec.H265, "1", 48 << 1), (VideoCodec.AV1, "", 0x08)],
)
def test_a_keyframe_begins_with_what_its_decoder_begins_by(
    codec: VideoCodec, profile: str, first: int
) -> None:
    made = coded_video(CodedSpec(codec, 320, 180, frames=2, gop=2))
    config = VIDEO_CODECS[codec].parse_config(made.record)
    packetiser = packetiser_of(config)
    assert packetiser is not None
    assert packetiser.profile == profile
    key, other = (
        packetiser.payloads(VideoUnit(codec, 0, 0, 0, one.is_key, one.data, 0.0), is_key=one.is_key)
        for one in made.units
    )
    mask = {VideoCodec.H264: 0x1F, VideoCodec.H265: 0x7E, VideoCodec.AV1: 0x08}[codec]
    assert key[0][0] & mask == first
    assert other[0][0] & mask != first


def test_of_other_codecs_nothing_is_made() -> None:
    assert packetiser_of(VideoConfig(VideoCodec.VP9, b"", 320, 180)) is None
