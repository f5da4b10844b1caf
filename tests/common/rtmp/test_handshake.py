"""The handshake: simple and digest forms, at every split."""

import hashlib
import hmac
import re

import pytest

from common.errors import HandshakeError
from common.rtmp.handshake import (
    CLIENT_KEY,
    KEY_TAIL,
    PACKET_SIZE,
    SCHEMA_BASES,
    SERVER_KEY,
    ClientHandshake,
    ServerHandshake,
    digest_position,
    find_digest,
    make_digest,
    sign_packet,
)


def pattern(size: int) -> bytes:
    return bytes(i * 7 & 0xFF for i in range(size))


C1 = bytes(8) + pattern(PACKET_SIZE - 8)


def digest_c1(base: int) -> bytes:
    c1 = bytearray(bytes.fromhex("00000001 09007c02") + pattern(PACKET_SIZE - 8))
    position = digest_position(c1, base)
    c1[position : position + 32] = make_digest(c1, position, CLIENT_KEY)
    return bytes(c1)


def test_the_simple_form_is_answered_as_every_client_wants():
    server = ServerHandshake(pattern)
    reply = server.receive_data(b"\x03" + C1)
    assert len(reply) == 3073
    assert reply[0] == 3
    assert reply[5:9] == bytes(4)  # FFmpeg players insist on digests otherwise
    assert reply[9:1537] == pattern(1528)
    assert reply[1537:] == C1
    assert not server.done  # S2 went out before C2 came


def test_any_cut_of_the_input_gives_the_same(splits):
    sent = b"\x03" + C1 + pattern(PACKET_SIZE) + b"chunks"
    for pieces in splits(sent):
        server = ServerHandshake(pattern)
        replies, trailing = b"", b""
        for piece in pieces:
            if server.done:
                trailing += piece
            else:
                replies += server.receive_data(piece)
                trailing += server.trailing
        assert server.done
        assert len(replies) == 3073
        assert trailing == b"chunks"


@pytest.mark.parametrize(
    ("first", "what"),
    [(6, "RTMPE"), (22, "TLS"), (2, "wanted 3$")],
)
def test_what_is_no_rtmp_is_named(first, what):
    with pytest.raises(HandshakeError, match=what):
        ServerHandshake(pattern).receive_data(bytes((first,)))


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 40000 1935\r\n\x03", "PROXY protocol .*version 1"),
        (bytes.fromhex("0d0a0d0a000d0a515549540a2111000c") + bytes(12), "PROXY .*version 2"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
    ],
)
def test_what_comes_in_several_reads_is_named_when_it_can_be(raw, what, splits):
    for pieces in splits(raw):
        handshake = ServerHandshake(pattern)
        said = ""
        for piece in pieces:
            try:
                assert handshake.receive_data(piece) == b""
            except HandshakeError as error:
                said = str(error)
                break
        assert re.search(what, said)


@pytest.mark.parametrize("first", [0, 2, 6, 22, 99])
def test_other_versions_are_refused_at_the_first_byte(first):
    with pytest.raises(HandshakeError, match=f"version {first}"):
        ServerHandshake(pattern).receive_data(bytes((first,)))


@pytest.mark.parametrize("base", SCHEMA_BASES)
def test_a_digest_client_gets_digests_of_its_own_schema(base):
    c1 = digest_c1(base)
    reply = ServerHandshake(pattern).receive_data(b"\x03" + c1)
    s1, s2 = reply[1:1537], reply[1537:]
    assert 0 < s1[4] < 3

    # By hand, not by the functions under test.
    position = base + 4 + sum(s1[base : base + 4]) % 728
    wanted = hmac.new(SERVER_KEY, s1[:position] + s1[position + 32 :], hashlib.sha256).digest()
    assert s1[position : position + 32] == wanted

    client_position = base + 4 + sum(c1[base : base + 4]) % 728
    key = hmac.new(
        SERVER_KEY + KEY_TAIL, c1[client_position : client_position + 32], hashlib.sha256
    ).digest()
    assert s2[1504:] == hmac.new(key, s2[:1504], hashlib.sha256).digest()


def test_a_digest_that_does_not_hold_falls_back_to_the_simple_form():
    c1 = bytearray(digest_c1(8))
    c1[-1] ^= 1
    reply = ServerHandshake(pattern).receive_data(b"\x03" + bytes(c1))
    assert reply[5:9] == bytes(4)
    assert reply[1537:] == bytes(c1)


def test_digests_are_found_only_with_the_right_key():
    for base in SCHEMA_BASES:
        found = find_digest(digest_c1(base), CLIENT_KEY)
        assert found is not None
        assert found[0] == base
        assert find_digest(digest_c1(base), SERVER_KEY) is None


def test_the_keys_have_their_known_lengths():
    assert [len(key) for key in (CLIENT_KEY, SERVER_KEY, KEY_TAIL)] == [30, 36, 32]
    assert len(sign_packet(bytes(1504), bytes(32), SERVER_KEY + KEY_TAIL)) == 32


def test_client_and_server_shake_hands(splits):
    client, server = ClientHandshake(pattern), ServerHandshake(pattern)
    from_server = server.receive_data(client.start())
    for pieces in splits(from_server):
        client = ClientHandshake(pattern)
        client.start()
        answer = b"".join([client.receive_data(piece) for piece in pieces])
        assert client.done
        assert answer == from_server[1:1537]  # C2 echoes S1
    server.receive_data(answer)
    assert server.done


def test_a_client_refuses_other_versions():
    with pytest.raises(HandshakeError):
        ClientHandshake(pattern).receive_data(b"HTTP/1.1 400 Bad Request")
