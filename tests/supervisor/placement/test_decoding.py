"""supervisor/placement/decoding.py: what a device announces, against sources."""

from dataclasses import replace

import pytest

from common.config.ladder import SourceFormat
from common.media.pictures import DecodeLimits
from common.media.units import VideoCodec
from supervisor.placement.decoding import why_not_decoded

H200 = (
    DecodeLimits(VideoCodec.H264, 8, 48, 16, 4096, 4096, (66, 77, 100)),
    DecodeLimits(VideoCodec.H265, 8, 144, 144, 8192, 8192),
    DecodeLimits(VideoCodec.H265, 10, 144, 144, 8192, 8192),
)
HD = SourceFormat(1920, 1080)
TEN = replace(HD, bit_depth=10)


@pytest.mark.parametrize(
    ("source", "codec", "words"),
    [
        (HD, "avc1.640028", ""),
        (HD, "hvc1.1.6.L120.B0", ""),
        (TEN, "hvc1.2.4.L120.B0", ""),
        (HD, "av01.0.08M.08", "no AV1"),
        (TEN, "avc1.6e0028", "no H.264 of 10 bits"),
        (HD, "avc1.580028", "no H.264 of profile 88"),
        (HD, "avc1.", ""),  # its profile is not told
        (replace(TEN, bit_depth=12), "hvc1.4.10.L120", "no HEVC of 12 bits"),
        (replace(HD, chroma_format=3), "hvc1.4.10.L120", "no HEVC of 4:4:4"),
        (replace(HD, width=128, height=72), "hvc1.1.6.L60", "128x72 is not within the 144x144"),
        (replace(HD, width=128, height=72), "avc1.640028", ""),
        (replace(HD, width=5120), "avc1.640034", "5120x1080 is not within"),
        (None, "av01.0.08M.08", ""),
        (HD, "", ""),
        (HD, "vp09.00.10.08", ""),
    ],
)
def test_what_a_device_announces_is_what_it_is_given(
    source: SourceFormat | None, codec: str, words: str
) -> None:
    found = why_not_decoded(H200, source, codec)
    assert words in found
    assert bool(found) == bool(words)


def test_a_device_that_announces_nothing_decodes_all() -> None:
    assert why_not_decoded((), TEN, "av01.0.08M.10") == ""
