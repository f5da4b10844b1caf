import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from common.codecs.h264 import NalType, join_avcc, parse_sps, split_annexb
from common.errors import AvcError
from common.media.units import VideoCodec
from worker.devices.gpu.caps import DecoderCaps, GpuCaps, refusal
from worker.devices.gpu.context import uuid_text
from worker.devices.gpu.decode import to_start_codes
from worker.devices.gpu.device import PLAIN_SPS

CAPS = DecoderCaps(True, 7, 4096, 4096, 65536, 48, 16)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"width": 4096, "height": 4096}, None),
        ({"chroma_format": 2}, "4:2:2 chroma"),
        ({"chroma_format": 3}, "4:4:4 chroma"),
        ({"chroma_format": 0}, "monochrome chroma"),
        ({"bit_depth": 10}, "10-bit H.264"),
        ({"bit_depth_chroma": 9}, "9-bit H.264"),
        ({"profile": 66}, None),
        ({"profile": 100}, None),
        ({"profile": 244}, "H.264 profile High 4:4:4 Predictive"),
        ({"profile": 110}, "H.264 profile High 10: NVDEC takes Baseline, Main and High"),
        ({"profile": 122}, "H.264 profile High 4:2:2"),
        ({"profile": 88}, "H.264 profile Extended"),
        ({"profile": 118}, "H.264 profile number 118"),
        ({"width": 4098}, "4098x360 exceeds NVDEC's 4096x4096"),
        ({"width": 32}, "32x360 is below NVDEC's 48x16"),
    ],
)
def test_streams_are_refused_by_name(changes: dict[str, int], reason: str | None) -> None:
    said = refusal(replace(PLAIN_SPS, **changes), CAPS)  # type: ignore[arg-type]  # all are ints
    if reason is None:
        assert said is None
    else:
        assert said is not None
        assert said.startswith(reason)


def test_lossless_pictures_are_refused_for_their_profile(tmp_path: Path) -> None:
    """8 bits of 4:2:0, as any other stream's: only the profile tells."""
    coded = tmp_path / "lossless.h264"
    source = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=5:duration=0.2")
    encoder = ("-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p")
    subprocess.run(["ffmpeg", "-v", "error", *source, *encoder, str(coded)], check=True, timeout=30)
    sps = next(nal for nal in split_annexb(coded.read_bytes()) if nal[0] & 31 == NalType.SPS)
    parsed = parse_sps(sps)
    assert (parsed.chroma_format, parsed.bit_depth) == (1, 8)
    said = refusal(parsed, CAPS)
    assert said == "H.264 profile High 4:4:4 Predictive: NVDEC takes Baseline, Main and High"


def test_a_gpu_may_decode_no_h264_or_fewer_macroblocks() -> None:
    assert refusal(PLAIN_SPS, replace(CAPS, is_supported=False)) == "this GPU decodes no H.264"
    small = replace(CAPS, max_macroblocks=8192)
    said = refusal(replace(PLAIN_SPS, width=4096, height=2304), small)
    assert said == "4096x2304 is 36864 macroblocks, NVDEC takes 8192"


def test_lengths_become_start_codes() -> None:
    sps, pps, slice_ = b"\x67\x01", b"\x68\x02", b"\x65" + bytes(300)
    for size in (1, 2, 4):
        nals = (sps, pps, slice_[:200])
        unit, seen = to_start_codes(join_avcc(nals, size), size)
        assert bytes(unit) == b"".join(b"\0\0\0\1" + nal for nal in nals)
        assert seen == (sps,)
    assert to_start_codes(b"", 4) == (b"", ())
    with pytest.raises(AvcError):
        to_start_codes(b"\0\0\0\x09\x65", 4)


def test_uuids_read_as_nvidia_smi_writes_them() -> None:
    assert uuid_text(bytes(range(16))) == "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"


def test_what_a_gpu_decodes_is_announced() -> None:
    none = DecoderCaps(is_supported=False)
    caps = GpuCaps({(VideoCodec.H264, 8): CAPS, (VideoCodec.H265, 10): none})
    (limits,) = caps.announced()
    assert (limits.codec, limits.bit_depth) == (VideoCodec.H264, 8)
    assert (limits.max_width, limits.min_height) == (CAPS.max_width, CAPS.min_height)
    assert limits.profiles == (66, 77, 100)
    assert not caps.of(VideoCodec.AV1, 8).is_supported


@pytest.mark.parametrize(
    ("codec", "changes", "words"),
    [
        (VideoCodec.H265, {"profile": 1}, ""),
        (VideoCodec.H265, {"profile": 2, "bit_depth": 10, "bit_depth_chroma": 10}, ""),
        (VideoCodec.H265, {"bit_depth": 12}, "12-bit HEVC: the GPU path takes 8 or 10 bits"),
        (VideoCodec.H265, {"colour_transfer": 16}, "HDR or BT.2020 in 8 bits"),
        (VideoCodec.H265, {"bit_depth": 10, "colour_transfer": 16}, ""),
        (VideoCodec.AV1, {}, "AV1: the GPU path takes H.264 and HEVC"),
    ],
)
def test_other_codecs_and_depths(codec: VideoCodec, changes: dict[str, int], words: str) -> None:
    pictures = replace(PLAIN_SPS, **changes)  # type: ignore[arg-type]  # all are ints
    said = refusal(pictures, CAPS, codec) or ""
    assert words in said
    assert bool(said) == bool(words)
