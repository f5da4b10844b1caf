"""common/media/units.py: every codec has a name for people, and times add up."""

import pytest

from common.media.units import FLV_ONLY, AudioCodec, VideoCodec, VideoUnit


@pytest.mark.parametrize("codec", [*VideoCodec, *AudioCodec])
def test_every_codec_has_a_name_for_people(codec: VideoCodec | AudioCodec) -> None:
    assert codec.label
    assert codec == codec.value, "it goes into messages as it is"


def test_what_other_containers_can_carry_is_not_opaque() -> None:
    assert not FLV_ONLY & {AudioCodec.AAC, AudioCodec.OPUS, AudioCodec.AC3, AudioCodec.FLAC}
    assert {AudioCodec.MP3, AudioCodec.SPEEX} <= FLV_ONLY


def test_a_picture_is_shown_its_composition_time_after_its_dts() -> None:
    assert VideoUnit(VideoCodec.H264, 0, 40, 80, True, b"", 0.0).pts_ms == 120
    assert VideoUnit(VideoCodec.H264, 0, 40, -10, False, b"", 0.0).pts_ms == 30
