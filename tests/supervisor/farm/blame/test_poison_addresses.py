"""Addresses whose streams take workers down: apart, then refused, then forgotten."""

from common.ipc.identity import StreamId
from supervisor.farm.blame.poison_addresses import (
    MAX_KNOWN,
    MEMORY_S,
    REFUSED_S,
    SUSPICIONS,
    PoisonAddresses,
)

PEER, OTHER = "192.0.2.7", "192.0.2.8"
A, B = StreamId("live/a"), StreamId("live/b")


def test_after_one_crash_an_address_is_poison_for_a_while() -> None:
    peers = PoisonAddresses()
    assert not peers.is_poison(PEER, 0.0)
    assert not peers.blame(PEER, A, "SIGSEGV", 0.0, was_apart=False, is_certain=True)
    assert peers.is_poison(PEER, 1.0)
    assert not peers.refusal(PEER, 1.0)
    assert not peers.is_poison(OTHER, 1.0)
    assert not peers.is_poison(PEER, MEMORY_S)


def test_a_second_crash_with_another_key_refuses_the_address_with_the_reason() -> None:
    peers = PoisonAddresses()
    peers.blame(PEER, A, "SIGSEGV", 0.0, was_apart=False, is_certain=True)
    assert peers.blame(PEER, B, "SIGABRT", 5.0, was_apart=False, is_certain=True)
    words = peers.refusal(PEER, 5.0)
    assert "SIGABRT" in words
    assert "10 min" in words
    assert not peers.refusal(OTHER, 5.0)
    assert not peers.refusal(PEER, 5.0 + REFUSED_S)


def test_a_crash_of_the_worker_where_it_was_apart_refuses_it_at_once() -> None:
    peers = PoisonAddresses()
    assert peers.blame(PEER, A, "SIGSEGV", 0.0, was_apart=True, is_certain=True)


def test_what_may_be_anothers_refuses_it_only_time_after_time() -> None:
    peers = PoisonAddresses()
    for turn in range(SUSPICIONS - 1):
        assert not peers.blame(PEER, A, "killed", turn, was_apart=True, is_certain=False)
        assert peers.is_poison(PEER, turn)
    assert peers.blame(PEER, A, "killed", 9.0, was_apart=False, is_certain=False)


def test_crashes_far_apart_refuse_nobody() -> None:
    peers = PoisonAddresses()
    for turn in range(5):
        assert not peers.blame(PEER, A, "killed", turn * MEMORY_S, was_apart=False, is_certain=True)


def test_an_operator_clears_an_address_by_the_stream_that_did_it() -> None:
    peers = PoisonAddresses()
    peers.blame(PEER, A, "SIGSEGV", 0.0, was_apart=True, is_certain=True)
    assert not peers.clear_stream(B)
    assert peers.clear_stream(A)
    assert not peers.refusal(PEER, 1.0)
    peers.blame(PEER, A, "SIGSEGV", 0.0, was_apart=True, is_certain=True)
    assert peers.clear(PEER)
    assert not peers.clear(PEER)


def test_what_is_known_is_bounded() -> None:
    peers = PoisonAddresses()
    for number in range(MAX_KNOWN + 1):
        peers.blame(str(number), A, "killed", 0.0, was_apart=False, is_certain=True)
    assert not peers.is_poison("0", 1.0)
    assert peers.is_poison("1", 1.0)
