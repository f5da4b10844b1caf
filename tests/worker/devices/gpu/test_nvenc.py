from dataclasses import replace
from fractions import Fraction

import av
import pytest

from common.config.ladder import RENDITION_CODECS, Pipeline, RateControl
from common.media.units import VideoCodec
from worker.devices.gpu.device import TEST_RENDITION, announced, judge
from worker.devices.gpu.nvenc import (
    Failure,
    Refusal,
    encoder_options,
    read_failure,
)
from worker.devices.gpu.nvenc_units import NVENC_FORMATS

GENERIC = {"b", "maxrate", "bufsize", "g", "bf"}  # of every encoder
PLENTY, LITTLE = 10 * 1024**3, 10 * 1024**2
OPEN = "OpenEncodeSessionEx failed: "


@pytest.mark.parametrize("codec", RENDITION_CODECS)
def test_every_option_is_one_that_the_encoder_knows(codec: VideoCodec) -> None:
    library = NVENC_FORMATS[codec].library
    found = av.CodecContext.create(library, "w").supported_options
    known = {option.name: option for option in found.private}
    general = {option.name for option in found.generic}
    for preset in (f"p{number}" for number in range(1, 8)):
        for profile in ("baseline", "main", "high"):
            rendition = replace(TEST_RENDITION, preset=preset, profile=profile, codec=codec)
            options = encoder_options(rendition, Fraction(30))
            for name, value in options.items():
                if name in GENERIC:
                    assert name in general
                    continue
                choices = {choice.name for choice in known[name].choices}
                assert value in choices or value.isdigit(), f"{library}: {name}={value}"


def test_rates_follow_the_rendition() -> None:
    rendition = replace(TEST_RENDITION, bitrate_bps=2_000_000, vbv_ms=500, gop_ms=4000)
    options = encoder_options(rendition, Fraction(30000, 1001))
    assert (options["rc"], options["maxrate"], options["bufsize"]) == ("cbr", "2000000", "1000000")
    assert options["g"] == "240"
    rendition = replace(rendition, rate_control=RateControl.VBR)
    options = encoder_options(rendition, Fraction(30))
    assert (options["rc"], options["maxrate"], options["bufsize"]) == ("vbr", "3000000", "1500000")
    options = encoder_options(replace(rendition, maxrate_bps=2_500_000), Fraction(30))
    assert (options["maxrate"], options["bufsize"]) == ("2500000", "1250000")


def test_a_quality_is_vbr_without_a_bitrate_and_with_a_peak() -> None:
    """FFmpeg's nvenc.c: a CQ needs VBR, and a bitrate beside it would be the target."""
    rendition = replace(
        TEST_RENDITION, bitrate_bps=2_000_000, rate_control=RateControl.QUALITY, quality=27
    )
    options = encoder_options(rendition, Fraction(30))
    assert (options["rc"], options["cq"], options["b"]) == ("vbr", "27", "0")
    assert options["maxrate"] == "2000000"


@pytest.mark.parametrize(
    ("lines", "free", "refusal"),
    [
        ([OPEN + "incompatible client key (21)"], PLENTY, Refusal.SESSION_CAP),
        ([OPEN + "incompatible client key (21): (no details)"], LITTLE, Refusal.SESSION_CAP),
        ([OPEN + "out of memory (10)"], PLENTY, Refusal.SESSION_CAP),
        ([OPEN + "out of memory (10)"], LITTLE, Refusal.NO_MEMORY),
        ([OPEN + "unsupported device (2)"], PLENTY, Refusal.NO_ENCODER),
        ([OPEN + "no encode device (1): (no details)"], PLENTY, Refusal.NO_ENCODER),
        (["noise", OPEN + "generic error (20)"], PLENTY, Refusal.OTHER),
        (["Cannot load libnvidia-encode.so.1"], PLENTY, Refusal.NO_ENCODER),
        (["No capable devices found"], PLENTY, Refusal.NO_ENCODER),
        (
            ["Driver does not support the required nvenc API version. Required: 13.0 Found: 12.1"],
            PLENTY,
            Refusal.OLD_DRIVER,
        ),
        (["InitializeEncoder failed: invalid param (8)"], PLENTY, Refusal.OTHER),
        ([], PLENTY, Refusal.OTHER),
    ],
)
def test_the_log_tells_why(lines: list[str], free: int, refusal: Refusal) -> None:
    failure = read_failure(lines, free)
    assert failure.refusal is refusal
    assert str(failure).startswith(refusal.value)


@pytest.mark.parametrize(
    ("failure", "path"),
    [
        (None, Pipeline.GPU_ONLY),
        (Failure(Refusal.SESSION_CAP, "x"), Pipeline.GPU_ONLY),
        (Failure(Refusal.NO_MEMORY, "x"), Pipeline.GPU_ONLY),
        (Failure(Refusal.NO_ENCODER, "x"), Pipeline.HYBRID),
        (Failure(Refusal.OLD_DRIVER, "x"), Pipeline.HYBRID),
        (Failure(Refusal.OTHER, "x"), Pipeline.HYBRID),
    ],
)
def test_a_test_encode_decides_the_path(failure: Failure | None, path: Pipeline) -> None:
    found, notes = judge(failure)
    assert found is path
    assert notes
    assert judge(failure, allow_nvenc=False)[0] is Pipeline.HYBRID


def test_codecs_are_announced_by_test_encodes() -> None:
    h265, av1 = VideoCodec.H265, VideoCodec.AV1
    assert announced({h265: None, av1: None}) == ((VideoCodec.H264, h265, av1), ())
    none = Failure(Refusal.NO_ENCODER, "x")
    codecs, notes = announced({h265: Failure(Refusal.SESSION_CAP, "x"), av1: none})
    assert codecs == (VideoCodec.H264, h265)
    assert notes == (f"no AV1 by NVENC: {none}",)
