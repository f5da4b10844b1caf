"""What is out of the usual of a source's header."""

from dataclasses import replace

import pytest

from common.config.ladder import SourceFormat
from supervisor.farm.blame.unusual_sources import why_unusual

HD = SourceFormat(1920, 1080, reference_frames=4)


@pytest.mark.parametrize(
    ("source", "codec"),
    [
        (HD, "avc1.640028"),
        (HD, "avc1.42e01f"),
        (HD, "avc1.4d4033"),
        (HD, ""),  # not told
        (HD, "hvc1.1.6.L93"),
        (replace(HD, reference_frames=8), "avc1.640028"),
        (replace(HD, reference_frames=0), "avc1.640028"),  # not known
        (SourceFormat(160, 90), "avc1.42c00b"),  # level 1b
        (SourceFormat(128, 96), "avc1.42c00a"),
        (SourceFormat(4096, 2304), "avc1.640034"),
        (SourceFormat(2304, 4096), "avc1.640034"),
        (SourceFormat(5120, 1440), "avc1.640034"),
    ],
)
def test_what_publishers_send_is_usual(source: SourceFormat, codec: str) -> None:
    assert not why_unusual(source, codec)


@pytest.mark.parametrize(
    ("source", "codec", "words"),
    [
        (SourceFormat(5120, 2880), "avc1.640034", "5120x2880"),
        (SourceFormat(1920, 16), "avc1.640028", "1920x16"),
        (replace(HD, reference_frames=16), "avc1.640028", "16 reference frames"),
        (replace(HD, bits_per_pixel=48), "avc1.640028", "48 bits"),
        (HD, "avc1.6e0028", "profile 110"),
        (HD, "avc1.f40028", "profile 244"),
        (HD, "avc1.580028", "profile 88"),
        (HD, "avc1.64003c", "level 6"),
        (HD, "avc1.640000", "level 0"),
        (HD, "avc1.6400ff", "level 25.5"),
    ],
)
def test_what_is_out_of_the_usual_is_named(source: SourceFormat, codec: str, words: str) -> None:
    assert words in why_unusual(source, codec)
