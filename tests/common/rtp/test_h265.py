"""H.265 as RTP payloads: each picture can be put together again by the format's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.h264 import nal_spans
from common.codecs.h265 import HevcConfig, NalType, nal_type
from common.errors import HevcError
from common.media.units import VideoCodec
from common.rtp.h265 import AGGREGATION, FRAGMENTATION, packetise
from tests.kit.coded_video import CodedSpec, coded_video

VPS, SPS, PPS = b"\x40\x01\x0c", b"\x42\x01\x01", b"\x44\x01\xc1"
IDR, SLICE = b"\x26\x01" + bytes(range(200)), b"\x02\x01abc"
SEI, AUD = b"\x4e\x01\x05xyz", b"\x46\x01\x50"


def read(payloads: list[bytes]) -> list[bytes]:
    """The NAL units, as a receiver makes them of payloads (RFC 7798 4.4)."""
    found: list[bytes] = []
    fragments: bytearray | None = None
    for payload in payloads:
        kind = nal_type(payload)
        if kind == FRAGMENTATION:
            flags = payload[2]
            if flags & 0x80:
                assert fragments is None
                fragments = bytearray((payload[0] & 0x81 | (flags & 0x3F) << 1, payload[1]))
            assert fragments is not None, "a fragment without its start"
            assert not flags & 0x80 or not flags & 0x40, "a NAL unit in one fragment"
            fragments += payload[3:]
            if flags & 0x40:
                found.append(bytes(fragments))
                fragments = None
            continue
        assert fragments is None
        if kind != AGGREGATION:
            found.append(payload)
            continue
        at = 2
        while at < len(payload):
            end = at + 2 + int.from_bytes(payload[at : at + 2], "big")
            assert end <= len(payload)
            found.append(payload[at + 2 : end])
            at = end
    assert fragments is None
    return found


@pytest.mark.parametrize(
    ("nals", "sets", "read_back"),
    [
        ([SLICE], (), [SLICE]),
        ([AUD, SEI, SLICE], (), [SLICE]),
        ([IDR], (VPS, SPS, PPS), [VPS, SPS, PPS, IDR]),
        ([VPS, SPS, PPS, IDR], (b"\x40\x01old",), [VPS, SPS, PPS, IDR]),
        ([IDR, IDR], (SPS,), [SPS, IDR, IDR]),
        ([AUD], (VPS, SPS, PPS), []),
        ([], (), []),
    ],
)
def test_what_a_picture_is_sent_as(
    nals: list[bytes], sets: tuple[bytes, ...], read_back: list[bytes]
) -> None:
    assert read(packetise(nals, sets)) == read_back


def test_sets_together_have_the_lowest_layer_and_temporal_id_of_theirs() -> None:
    low, high = b"\x44\x01low", b"\x45\x0bhigh"
    first, *_ = packetise([IDR], (high, low))
    assert (nal_type(first), first[0] & 1, first[1]) == (AGGREGATION, 0, 1)


@given(
    sizes=st.lists(st.integers(1, 8000), min_size=1, max_size=4),
    layer=st.integers(0, 63),
    temporal=st.integers(1, 7),
    max_bytes=st.integers(20, 1400),
    has_sets=st.booleans(),
)
def test_any_picture_comes_back_in_payloads_of_the_size_allowed(
    sizes: list[int], layer: int, temporal: int, max_bytes: int, has_sets: bool
) -> None:
    head = bytes((NalType.IDR_N_LP << 1 | layer >> 5, (layer & 31) << 3 | temporal))
    nals = [head + bytes((at * 7) & 0xFF for at in range(size)) for size in sizes]
    sets = (VPS, SPS, PPS) if has_sets else ()
    payloads = packetise(nals, sets, max_bytes)
    assert read(payloads) == [*sets, *nals]
    assert max(map(len, payloads)) <= max_bytes


def test_real_pictures_come_out_as_they_went_in() -> None:
    made = coded_video(CodedSpec(VideoCodec.H265, 320, 180, frames=6, gop=3))
    config = HevcConfig.parse(made.record)
    for unit in made.units:
        nals = [unit.data[begin:end] for begin, end in nal_spans(unit.data)]
        slices = [nal for nal in nals if nal_type(nal) < NalType.VPS]
        assert slices
        sets = (*config.vps, *config.sps, *config.pps) if unit.is_key else ()
        assert read(packetise(nals, sets, 200)) == [*sets, *slices]


def test_a_nal_unit_without_a_header_is_an_error() -> None:
    with pytest.raises(HevcError):
        packetise([b"\x26"])
