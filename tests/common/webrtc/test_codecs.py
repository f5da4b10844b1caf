"""Which payload types are chosen of what an offer has."""

import pytest

from common.webrtc import offer
from common.webrtc.codecs import h264_lines, h264_near, h264_types, names_of, opus_of, rtx_of
from tests.kit.sdp import CHROMIUM


@pytest.fixture(scope="module")
def chromium():
    return offer.parse(CHROMIUM).media


def test_of_chromium_only_packetization_mode_1_is_taken(chromium):
    (video,) = [media for media in chromium if media.kind == "video"]
    types = h264_types(video)
    assert types
    assert len(types) < len(video.named("H264"))
    assert {one.parameters["packetization-mode"] for one in types} == {"1"}


@pytest.mark.parametrize("profile", ["42", "4d", "64", "ff", ""])
def test_the_nearest_has_the_profile_or_is_one_that_all_decode(chromium, profile):
    (video,) = [media for media in chromium if media.kind == "video"]
    near = h264_near(video, profile)
    assert near is not None
    own = {one.parameters["profile-level-id"][:2] for one in h264_types(video)}
    expected = profile if profile in own else "42"
    assert near.parameters["profile-level-id"].startswith(expected)
    rtx = rtx_of(video, near)
    assert rtx is not None
    assert rtx.parameters["apt"] == str(near.payload_type)
    lines = h264_lines(near, rtx, ("nack", "no such"))
    assert f"a=rtcp-fb:{near.payload_type} nack" in lines
    assert not any("no such" in line for line in lines)


def test_sound_is_opus_and_pictures_have_none(chromium):
    assert [opus_of(media) is not None for media in chromium] == [
        media.kind == "audio" for media in chromium
    ]


def test_what_else_there_is_is_named_without_what_only_helps(chromium):
    names = names_of([media for media in chromium if media.kind == "video"]).split(", ")
    assert "VP8" in names
    assert "RTX" not in names
