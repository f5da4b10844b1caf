"""H.264 as RTP payloads: what is made is read back, by table and by property."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RtpError
from common.rtp.h264 import FU_A, STAP_A, Depacketiser, packetise
from common.rtp.nal_payloads import MAX_PAYLOAD_BYTES

SPS, PPS = b"\x67\x42\xc0\x1f\x8c", b"\x68\xce\x3c\x80"
IDR, SLICE, SEI, AUD = b"\x65" + bytes(range(200)), b"\x41abc", b"\x06\x05xyz", b"\x09\xf0"


def read(payloads):
    reader = Depacketiser()
    return [nal for payload in payloads for nal in reader.add(payload)]


@pytest.mark.parametrize(
    ("nals", "sets", "read_back"),
    [
        ([SLICE], (), [SLICE]),
        ([AUD, SEI, SLICE], (), [SLICE]),
        ([IDR], (SPS, PPS), [SPS, PPS, IDR]),
        ([SPS, PPS, SEI, IDR], (b"\x67old", b"\x68old"), [SPS, PPS, IDR]),
        ([IDR], (SPS,), [SPS, IDR]),
        ([IDR, IDR], (SPS, PPS, PPS), [SPS, PPS, PPS, IDR, IDR]),
        ([AUD], (SPS, PPS), []),
        ([], (), []),
    ],
)
def test_what_a_picture_is_sent_as(nals, sets, read_back):
    assert read(packetise(nals, sets)) == read_back


def test_parameter_sets_are_one_packet_with_the_highest_priority_of_theirs():
    first, *_ = packetise([IDR], (b"\x27" + SPS[1:], b"\x68" + PPS[1:]))
    assert first[0] == STAP_A | 0x60


def test_parameter_sets_that_do_not_fit_into_one_packet_go_alone():
    sets = (b"\x67" + bytes(700), b"\x68" + bytes(700))
    payloads = packetise([IDR], sets)
    assert payloads[:2] == list(sets)


@given(
    sizes=st.lists(st.integers(1, 8000), min_size=1, max_size=4),
    kinds=st.lists(st.sampled_from([0x41, 0x61, 0x65, 0x01]), min_size=4, max_size=4),
    max_bytes=st.integers(20, 1400),
    has_sets=st.booleans(),
)
def test_any_picture_comes_back_in_payloads_of_the_size_allowed(sizes, kinds, max_bytes, has_sets):
    nals = [
        bytes((kind,)) + bytes((number * 7 + at) & 0xFF for at in range(size - 1))
        for number, (size, kind) in enumerate(zip(sizes, kinds, strict=False))
    ]
    sets = (SPS, PPS) if has_sets else ()
    payloads = packetise(nals, sets, max_bytes)
    assert read(payloads) == [*sets, *nals]
    assert max(map(len, payloads)) <= max_bytes
    # of a view the same comes
    assert packetise([memoryview(nal) for nal in nals], sets, max_bytes) == payloads


def test_fragments_are_as_few_as_can_be():
    nal = b"\x65" + bytes(MAX_PAYLOAD_BYTES)
    first, second = packetise([nal])
    assert (len(first), len(second)) == (MAX_PAYLOAD_BYTES, 2 + 2)
    assert first[0] & 0x1F == FU_A
    assert (first[1], second[1]) == (0x80 | 5, 0x40 | 5)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "empty"),
        (b"\x7c", "2|3 at least"),
        (b"\x7c\x05abc", "without its start"),
        (b"\x78\x00\x09abc", "ends at"),
        (b"\x78\x00\x00", "ends at"),
        (b"\x79abc", "type 25"),
        (b"\x60abc", "type 0"),
    ],
)
def test_what_is_no_payload_is_refused(payload, words):
    with pytest.raises(RtpError, match=words):
        Depacketiser().add(payload)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_payloads_give_units_or_an_error(payloads):
    reader = Depacketiser()
    for payload in payloads:
        try:
            units = reader.add(payload)
        except RtpError:
            continue
        assert all(units)
