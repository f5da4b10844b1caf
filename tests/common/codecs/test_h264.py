import io
import time

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codecs.h264 import (
    MAX_NAL_UNITS,
    AvcConfig,
    NalType,
    codec_string,
    is_idr,
    join_avcc,
    looks_like_annexb,
    nal_spans,
    nal_type,
    parameter_sets_in,
    split_annexb,
    split_avcc,
    to_annexb,
)
from common.errors import AvcError

# An SPS of x264, 320x240 High, and what goes with it.
SPS = bytes.fromhex("6764000dacd94141fb0110000003001000000303c8f142996020")[:25]
PPS = bytes.fromhex("68ebe3cb22c0")
SPS_EXT = bytes.fromhex("6d2e")

HIGH = AvcConfig(100, 0, 13, 4, (SPS,), (PPS,), 1, 8, 8)
RECORDS = [
    ("high", HIGH, "0164000dffe1" "0019" + SPS.hex() + "01" "0006" + PPS.hex() + "fdf8f800"),
    ("high without its fields", AvcConfig(100, 0, 13, 4, (SPS,), (PPS,)),
     "0164000dffe1" "0019" + SPS.hex() + "01" "0006" + PPS.hex()),
    ("main, two-byte lengths", AvcConfig(77, 64, 31, 2, (SPS,), (PPS,)),
     "014d401ffde1" "0019" + SPS.hex() + "01" "0006" + PPS.hex()),
    ("one-byte lengths, several sets", AvcConfig(66, 0xC0, 30, 1, (SPS, SPS), (PPS, PPS, PPS)),
     "0142c01efce2" + ("0019" + SPS.hex()) * 2 + "03" + ("0006" + PPS.hex()) * 3),
    ("4:2:2, 10 bit, SPS extension",
     AvcConfig(122, 0, 40, 4, (SPS,), (PPS,), 2, 10, 10, (SPS_EXT,)),
     "017a0028ffe1" "0019" + SPS.hex() + "01" "0006" + PPS.hex()
     + "fefafa01" "0002" + SPS_EXT.hex()),
    ("no parameter sets", AvcConfig(66, 0, 30, 4, (), ()), "0142001effe000"),
]  # fmt: skip
by_record = pytest.mark.parametrize(
    ("config", "record"), [case[1:] for case in RECORDS], ids=[case[0] for case in RECORDS]
)


@by_record
def test_a_record_is_read_and_written(config: AvcConfig, record: str) -> None:
    assert AvcConfig.parse(bytes.fromhex(record)) == config
    assert config.encode() == bytes.fromhex(record)


@by_record
def test_trailing_garbage_of_a_record_is_ignored(config: AvcConfig, record: str) -> None:
    parsed = AvcConfig.parse(bytes.fromhex(record) + b"\xfc\xf8\xf8\xff\xff")
    assert (parsed.sps, parsed.pps) == (config.sps, config.pps)


@by_record
def test_a_record_cut_anywhere_is_refused_or_lacks_its_end(config: AvcConfig, record: str) -> None:
    whole = bytes.fromhex(record)
    for size in range(len(whole)):
        try:
            parsed = AvcConfig.parse(whole[:size])
        except AvcError:
            continue
        assert parsed.sps == config.sps
        assert parsed.pps in (config.pps, ())
        assert parsed != config or config.chroma_format is None


def test_version_zero_and_unset_reserved_bits_are_tolerated() -> None:
    sloppy = bytes.fromhex("0064000d03010019") + SPS + b"\x01\x00\x06" + PPS
    assert AvcConfig.parse(sloppy) == AvcConfig(100, 0, 13, 4, (SPS,), (PPS,))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("0164000dff", "5 bytes"),
        ("0264000dffe10019", "version 2"),
        ("0164000dffe1ffff67", "beyond"),
        ("0164000dffe100016800", "type 8 among the SPS"),
        ("0164000dffe001000167", "type 7 among the PPS"),
    ],
)
def test_an_unreadable_record_is_refused_with_the_reason(record: str, reason: str) -> None:
    with pytest.raises(AvcError, match=reason):
        AvcConfig.parse(bytes.fromhex(record))


def test_a_record_is_made_of_parameter_sets() -> None:
    assert AvcConfig.from_parameter_sets([SPS], [PPS]) == HIGH
    with pytest.raises(AvcError, match="no SPS"):
        AvcConfig.from_parameter_sets([], [PPS])


def test_more_sets_than_a_record_holds_are_refused() -> None:
    with pytest.raises(AvcError, match="more parameter sets"):
        AvcConfig(66, 0, 30, 4, (SPS,) * 32, (PPS,)).encode()
    with pytest.raises(AvcError, match="exceeds 65535"):
        AvcConfig(66, 0, 30, 4, (bytes(65536),), (PPS,)).encode()


def test_the_codec_string_has_two_digits_each() -> None:
    assert codec_string(AvcConfig(100, 0, 31, 4, (), ())) == "avc1.64001f"
    assert codec_string(AvcConfig(66, 0xC0, 10, 4, (), ())) == "avc1.42c00a"


NALS = [b"\x09\xf0", b"\x06\x05\x01\x00\x80", b"\x65" + bytes(range(1, 200)), b"\x41\x9a"]


@pytest.mark.parametrize("length_size", [1, 2, 3, 4])
def test_avcc_is_joined_and_split(length_size: int) -> None:
    data = join_avcc(NALS, length_size)
    assert len(data) == sum(map(len, NALS)) + 4 * length_size
    assert split_avcc(data, length_size) == NALS
    spans = nal_spans(b"12345" + data, length_size, 5)
    assert [data[begin - 5 : end - 5] for begin, end in spans] == NALS


def test_empty_nal_units_in_avcc_are_left_out() -> None:
    assert split_avcc(bytes(4) + join_avcc(NALS[:1]) + bytes(8)) == NALS[:1]
    assert split_avcc(b"") == []


@pytest.mark.parametrize("length_size", [2, 3, 4])
def test_bytes_behind_avcc_that_are_too_few_for_a_length_are_nothing(length_size: int) -> None:
    data = join_avcc(NALS, length_size)
    for count in range(1, length_size):
        for stray in (0, 1, 0xFF):
            assert split_avcc(data + bytes((stray,)) * count, length_size) == NALS
    with pytest.raises(AvcError, match="NAL unit ends"):
        nal_spans(b"\x00" * (length_size - 1), length_size)
    with pytest.raises(AvcError, match="NAL unit ends"):
        nal_spans(data + b"\x01" * length_size, length_size)


def test_avcc_cut_anywhere_is_an_error_unless_behind_a_nal_unit() -> None:
    data = join_avcc(NALS)
    ends = {end + stray for _, end in nal_spans(data) for stray in range(4)} | {0}
    for size in range(len(data)):
        if size in ends:
            assert split_avcc(data[:size]) == NALS[: len(split_avcc(data[:size]))]
        else:
            with pytest.raises(AvcError, match=f"in {size} bytes"):
                split_avcc(data[:size])


def test_a_nal_unit_too_long_for_its_length_field_is_refused() -> None:
    with pytest.raises(AvcError, match="256 bytes, and lengths of 1"):
        join_avcc([bytes(256)], 1)


ANNEXB = [
    ("three-byte start codes", "000001 0a0b 000001 0c", ["0a0b", "0c"]),
    ("four-byte start codes", "00000001 0a0b 00000001 0c", ["0a0b", "0c"]),
    ("trailing zeros", "000001 0a0b 000000 000001 0c 0000", ["0a0b", "0c"]),
    ("leading zeros", "0000000000 000001 0a", ["0a"]),
    ("empty NAL units", "000001 000001 0a 000001 00000001 0b 000001", ["0a", "0b"]),
    ("emulation prevention is no start code", "000001 0a00000301", ["0a00000301"]),
    ("nothing", "", []),
    ("zeros only", "000000", []),
    ("a start code only", "00000001", []),
]


@pytest.mark.parametrize(
    ("data", "nals"), [case[1:] for case in ANNEXB], ids=[c[0] for c in ANNEXB]
)
def test_annexb_is_split(data: str, nals: list[str]) -> None:
    assert split_annexb(bytes.fromhex(data)) == [bytes.fromhex(nal) for nal in nals]


def test_annexb_must_begin_with_a_start_code() -> None:
    with pytest.raises(AvcError, match="begin with a start code"):
        split_annexb(b"\x01\x00\x00\x01\x0a")


def test_annexb_splits_in_linear_time() -> None:
    hard = b"\x00\x00\x01\x00\x00\x02" * 700_000  # 4.2 MB
    start = time.perf_counter()
    with pytest.raises(AvcError, match="more than 8192 NAL units"):
        split_annexb(hard)
    assert split_annexb(b"\x00\x00\x01" + b"\x00\x00\x02" * 1_400_000)
    assert split_annexb(bytes(4_000_000)) == []
    assert time.perf_counter() - start < 5  # quadratic would be hours


def test_more_nal_units_than_a_picture_has_are_refused_whatever_their_length() -> None:
    nals = [b"\x41"] * MAX_NAL_UNITS
    assert split_avcc(join_avcc(nals)) == split_annexb(to_annexb(nals)) == nals
    for data in (join_avcc([*nals, b"\x41"]), bytes(4 * (MAX_NAL_UNITS + 1))):
        with pytest.raises(AvcError, match="more than 8192 NAL units"):
            nal_spans(data)
    with pytest.raises(AvcError, match="more than 8192 NAL units"):
        split_annexb(to_annexb([*nals, b"\x41"]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=50).map(lambda b: b"\x41" + b.replace(b"\0", b"\1")))
)
def test_nal_units_survive_both_forms(nals: list[bytes]) -> None:
    assert split_annexb(to_annexb(nals)) == nals
    assert split_avcc(join_avcc(nals)) == nals


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.integers(1, 4))
def test_any_bytes_are_nal_units_or_an_avc_error(data: bytes, length_size: int) -> None:
    for split in (AvcConfig.parse, split_annexb, lambda data: split_avcc(data, length_size)):
        try:
            split(data)
        except AvcError:
            continue
    looks_like_annexb(data, length_size)


def test_annexb_inside_avcc_is_told_from_lengths_that_look_like_it() -> None:
    assert looks_like_annexb(to_annexb(NALS))
    assert looks_like_annexb(b"\x00\x00\x01" + NALS[2])
    assert not looks_like_annexb(join_avcc([b"\x0c", NALS[2]]))  # begins 00 00 00 01
    assert not looks_like_annexb(join_avcc([b"\x65" * 300]))  # begins 00 00 01
    assert not looks_like_annexb(join_avcc(NALS))
    assert looks_like_annexb(to_annexb(NALS), 2)
    assert looks_like_annexb(to_annexb(NALS[:1]))  # reads as a unit of one byte and a stray one
    assert not looks_like_annexb(join_avcc([b"\x65" * 300]) + b"\x00")


def test_nal_units_are_named_and_found() -> None:
    assert nal_type(b"\x27") == NalType.SPS
    assert nal_type(memoryview(b"\x65")) == NalType.IDR
    with pytest.raises(AvcError, match="empty"):
        nal_type(b"")
    assert is_idr(NALS)
    assert not is_idr(NALS[3:])
    assert parameter_sets_in([*NALS, SPS, PPS, PPS]) == ([SPS], [PPS, PPS])


def test_the_record_in_an_flv_of_libavformat_is_written_the_same() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="flv") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(320, 240, "yuv420p")))
        container.mux(stream.encode())
    payload = file.getvalue().partition(b"\x17\x00\x00\x00\x00")[2]
    config = AvcConfig.parse(payload)
    assert config == AvcConfig.from_parameter_sets(config.sps, config.pps)
    assert payload.startswith(config.encode())
