from dataclasses import replace

import pytest

from common.avc import join_avcc
from common.errors import AvcError
from worker.gpu.caps import DecoderCaps, refusal
from worker.gpu.context import uuid_text
from worker.gpu.decode import to_start_codes
from worker.gpu.device import PLAIN_SPS

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
