"""STUN: what proves the password is answered; all else is an error, and never an answer."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import StunError
from common.webrtc import stun

PASSWORD, TRANSACTION = "a" * 24, bytes(range(12))
PRIORITY = (0x0024, bytes(4))
CONTROLLING = (0x802A, bytes(8))


def request(*attributes, user="ours:theirs", password=PASSWORD):
    return stun.binding_request(user, password, TRANSACTION, attributes)


def test_a_browsers_request_is_read():
    read = stun.parse(request(PRIORITY, CONTROLLING, stun.NOMINATE, (0xC057, bytes(3))))
    assert read is not None
    assert (read.to, read.by, read.nominates, read.is_controlled) == ("ours", "theirs", True, False)
    assert read.transaction == TRANSACTION
    assert stun.has_integrity(read, PASSWORD)
    assert not stun.has_integrity(read, PASSWORD + "x")
    plain = stun.parse(request(PRIORITY, (stun.CONTROLLED, bytes(8))))
    assert plain is not None
    assert not plain.nominates
    assert plain.is_controlled


def test_a_request_of_rfc_5769_is_read():
    # RFC 5769 2.1, whose sample has the user evtj:h6vY and this password
    packet = bytes.fromhex(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
        "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
        "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
    )
    read = stun.parse(packet)
    assert read is not None
    assert (read.to, read.by) == ("evtj", "h6vY")
    assert read.is_controlled
    assert stun.has_integrity(read, "VOkJxbRl1RmTxUk/WvJxBt")


@pytest.mark.parametrize("address", [("192.0.2.7", 40000), ("2001:db8::7", 1), ("fe80::1%2", 9)])
def test_the_answer_has_the_address_that_was_seen(address):
    read = stun.parse(request(PRIORITY))
    assert read is not None
    answer = stun.success(read, PASSWORD, address)
    assert stun.mapped_address(answer) == (address[0].partition("%")[0], address[1])
    assert answer[:2] == b"\x01\x01"
    assert answer[8:20] == TRANSACTION
    assert stun.parse(answer) is None  # it can be read, and asks for nothing


def test_a_conflict_of_roles_is_answered():
    read = stun.parse(request((stun.CONTROLLED, bytes(8))))
    assert read is not None
    answer = stun.conflict(read, PASSWORD)
    assert answer[:2] == b"\x01\x11"
    assert b"\x04\x57Role Conflict" in answer


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (request()[:19], "19 bytes"),
        (request() + bytes(4), "length"),
        (request()[:-1], "length"),
        (request()[:4] + bytes(4) + request()[8:], "cookie"),
        (request()[:-1] + b"\x00", "FINGERPRINT"),
        (request(user="ours"), "user name"),
        (request((0x0030, b"")), "0x0030"),
        (request((0x0006, bytes(1300))), "bytes"),
    ],
)
def test_what_is_no_request_is_refused(packet, words):
    with pytest.raises(StunError, match=words):
        stun.parse(packet)


def test_a_request_without_a_proof_is_refused():
    whole = request(PRIORITY)
    bare = whole[:-32]
    with pytest.raises(StunError, match="MESSAGE-INTEGRITY"):
        stun.parse(bare[:2] + (len(bare) - 20).to_bytes(2, "big") + bare[4:])


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_before_the_fingerprint_can_be_changed(place, bit):
    packet = bytearray(request(PRIORITY, stun.NOMINATE))
    packet[place % (len(packet) - 8)] ^= 1 << bit
    try:
        read = stun.parse(bytes(packet))
    except StunError:
        return
    assert read is None or not stun.has_integrity(read, PASSWORD)


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_any_bytes_are_a_request_or_an_error(data, more):
    for packet in (data, request()[:20] + data, request()[:2] + len(more).to_bytes(2, "big")
                   + request()[4:20] + more):  # fmt: skip
        with contextlib.suppress(StunError):
            stun.parse(packet)


def test_stun_is_told_from_what_else_comes_by_its_port():
    assert stun.looks_like_stun(request())
    for first in (20, 63, 128, 191):
        assert not stun.looks_like_stun(bytes((first,)) + bytes(30))
