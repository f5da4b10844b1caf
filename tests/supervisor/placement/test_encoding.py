"""Which renditions a device makes, by what its worker announces."""

import pytest

from common.config.ladder import Rendition, Template
from common.config.settings import DEFAULT_RENDITIONS
from common.media.units import VideoCodec
from supervisor.placement.encoding import not_encoded, why_not_encoded

H264, H265, AV1 = VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1
HEVC = Rendition("hevc", 1280, 720, 1_500_000, codec=H265)
WEB = Rendition("web", 1280, 720, 1_500_000, codec=AV1)
PLAIN = Template("live", DEFAULT_RENDITIONS)
MIXED = Template("mixed", (HEVC, *DEFAULT_RENDITIONS, WEB))


@pytest.mark.parametrize(
    ("announced", "template", "why"),
    [
        ((H264,), PLAIN, ""),
        ((), MIXED, ""),
        ((H264, H265, AV1), MIXED, ""),
        ((H264, H265), MIXED, "it encodes no AV1"),
        ((H264,), MIXED, "it encodes no HEVC and no AV1"),
        ((H264,), Template("relay", ()), ""),
    ],
)
def test_a_device_makes_what_it_announces(
    announced: tuple[VideoCodec, ...], template: Template, why: str
) -> None:
    assert why_not_encoded(announced, [one.codec for one in template.renditions]) == why


def test_renditions_that_a_device_does_not_make_are_named_by_their_keys() -> None:
    assert list(not_encoded([PLAIN, MIXED], (H264, H265))) == [
        ("templates.mixed.renditions[4].codec", AV1)
    ]
    assert list(not_encoded([MIXED], ())) == []
