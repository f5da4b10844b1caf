"""ingest/streams/admission.py: limits, publish keys, refusals remembered."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.access.refusal import Refusal, RefusalReason
from common.access.signed_url import Direction, Grant, sign
from common.config.access import Signing
from common.config.settings import IngestSettings
from common.ipc.identity import StreamId
from ingest.streams.admission import (
    MAX_BUCKETS,
    MAX_REMEMBERED,
    REMEMBER_S,
    Admission,
    RefusalMemory,
)
from tests.kit.registry_rig import FakeConnection, RegistryRig

LIMITS = IngestSettings(
    max_connections=6,
    max_connections_per_address=2,
    max_handshakes_per_address=5.0,
    max_publishes_per_address=1,
)
ELSEWHERE = "203.0.113.7"


def admission(max_descriptors: int = 1000, **changes: object) -> Admission:
    return Admission(replace(LIMITS, **changes), max_descriptors)  # type: ignore[arg-type] # fields by name


def test_an_address_gets_its_share_and_no_more_until_it_gives_back() -> None:
    book = admission()
    assert book.admit(ELSEWHERE, 0.0) is None
    assert book.admit(ELSEWHERE, 1.0) is None
    refused = book.admit(ELSEWHERE, 2.0)
    assert refused is not None
    assert "max_connections_per_address = 2" in refused
    assert book.admit("203.0.113.8", 2.0) is None
    book.release(ELSEWHERE)
    assert book.admit(ELSEWHERE, 3.0) is None
    assert book.open_connections == 3


def test_handshakes_come_in_a_burst_then_at_their_rate() -> None:
    book = admission(max_connections=1000, max_connections_per_address=1000)
    burst = sum(book.admit(ELSEWHERE, 10.0) is None for _ in range(50))
    assert burst == 10
    assert sum(book.admit(ELSEWHERE, 11.0) is None for _ in range(50)) == 5


def test_publishing_again_on_a_connection_counts_like_another_handshake() -> None:
    book = admission(max_connections_per_address=1000)
    assert book.admit(ELSEWHERE, 0.0) is None
    assert sum(book.admit_again(ELSEWHERE, 0.0) is None for _ in range(50)) == 9
    refused = book.admit_again(ELSEWHERE, 0.0)
    assert refused is not None
    assert "max_handshakes_per_address = 5" in refused
    assert all(book.admit_again("127.0.0.1", 0.0) is None for _ in range(50))
    assert book.admit_again(ELSEWHERE, 1.0) is None


def test_exempt_networks_meet_only_the_limits_of_the_process() -> None:
    book = admission()
    for _ in range(6):
        assert book.admit("127.0.0.1", 0.0) is None
    refused = book.admit("127.0.0.1", 0.0)
    assert refused is not None
    assert "max_connections = 6" in refused
    assert book.admit_publish("127.0.0.1") is None
    assert book.admit_publish("127.0.0.1") is None


def test_connections_are_refused_before_descriptors_run_out() -> None:
    book = admission(max_descriptors=1)
    assert book.admit("127.0.0.1", 0.0) is None
    refused = book.admit("127.0.0.1", 0.0)
    assert refused is not None
    assert "descriptors" in refused


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("not an address", "not an address", True),
    ],
)
def test_addresses_are_counted_by_who_holds_them(one: str, other: str, same: bool) -> None:
    book = admission(max_connections_per_address=1)
    assert book.admit(one, 0.0) is None
    assert (book.admit(other, 0.0) is not None) is same


def test_publishers_are_counted_by_address() -> None:
    book = admission()
    assert book.admit_publish(ELSEWHERE) is None
    refused = book.admit_publish(ELSEWHERE)
    assert refused is not None
    assert refused.startswith("1 stream")
    book.release_publish(ELSEWHERE)
    assert book.admit_publish(ELSEWHERE) is None


def test_very_many_addresses_take_no_more_memory_than_the_limit() -> None:
    book = admission(max_connections=10**9, max_connections_per_address=10**9)
    for number in range(MAX_BUCKETS + 10):
        host = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        assert book.admit(host, 0.0) is None
        book.release(host)
    assert len(book._buckets) <= MAX_BUCKETS
    assert book.open_connections == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "127.0.0.1"]), st.booleans()), max_size=60))
def test_what_is_released_is_free_again_and_nothing_is_exceeded(
    steps: list[tuple[str, bool]],
) -> None:
    book = admission(max_handshakes_per_address=1e9)
    held: dict[str, int] = {"a": 0, "b": 0, "127.0.0.1": 0}
    for host, arrives in steps:
        if arrives:
            may = sum(held.values()) < 6 and (host == "127.0.0.1" or held[host] < 2)
            assert (book.admit(host, 0.0) is None) is may
            held[host] += may
        elif held[host]:
            book.release(host)
            held[host] -= 1
        assert book.open_connections == sum(held.values())


def test_a_refusal_stands_for_a_while() -> None:
    memory = RefusalMemory()
    stream = StreamId("live/cam")
    refusal = Refusal(RefusalReason.UNSUPPORTED, "HEVC")
    memory.remember(stream, refusal, 100.0)
    assert memory.recall(stream, 100.0 + REMEMBER_S - 0.1) is refusal
    assert memory.recall(StreamId("live/other"), 100.0) is None
    assert memory.recall(stream, 100.0 + REMEMBER_S) is None
    assert memory.recall(stream, 100.0) is None, "it is forgotten for good"


def test_a_refusal_for_what_one_sent_is_no_other_addresss() -> None:
    memory = RefusalMemory()
    stream = StreamId("live/cam")
    memory.remember(stream, Refusal(RefusalReason.DENIED, "too large"), 100.0, "2001:db8::1")
    assert memory.recall(stream, 101.0, "192.0.2.1") is None
    assert memory.recall(stream, 101.0, "2001:db8::2") is not None, "its network of 64 bits"


def test_the_oldest_refusals_make_room() -> None:
    memory = RefusalMemory()
    for number in range(MAX_REMEMBERED + 1):
        memory.remember(StreamId(f"live/{number}"), Refusal(RefusalReason.FAILED, "why"), 0.0)
    assert memory.recall(StreamId("live/0"), 1.0) is None
    assert memory.recall(StreamId("live/1"), 1.0) is not None


def test_what_an_address_holds_at_other_ingests_counts() -> None:
    book = admission(max_publishes_per_address=2)
    book.set_usage_elsewhere({ELSEWHERE: (1, 1)})
    assert book.admit(ELSEWHERE, 0.0) is None
    refused = book.admit(ELSEWHERE, 0.0)
    assert refused is not None
    assert "max_connections_per_address = 2" in refused
    assert book.admit_publish(ELSEWHERE) is None
    assert not book.is_beyond_limit(ELSEWHERE)
    assert book.admit_publish(ELSEWHERE) is not None
    assert book.address_usage() == {ELSEWHERE: (1, 1)}, "only its own"
    book.set_usage_elsewhere({})
    assert book.admit(ELSEWHERE, 0.0) is None
    assert book.admit_publish(ELSEWHERE) is None


def test_what_may_be_its_own_stream_at_another_ingest_is_left_to_the_supervisor() -> None:
    book = admission(max_publishes_per_address=2)
    book.set_usage_elsewhere({ELSEWHERE: (1, 1), "127.0.0.1": (9, 9)})
    assert book.admit_publish(ELSEWHERE, is_new=True) is None
    assert not book.is_beyond_limit(ELSEWHERE)
    assert book.admit_publish(ELSEWHERE, is_new=True) is None
    assert book.is_beyond_limit(ELSEWHERE)
    assert book.admit_publish(ELSEWHERE, is_new=True) is not None, "two are here"
    assert book.admit_publish("127.0.0.1", is_new=True) is None
    assert not book.is_beyond_limit("127.0.0.1"), "exempt"


def test_a_takeover_of_its_own_stream_adds_nothing() -> None:
    book = admission(max_publishes_per_address=1)
    assert book.admit_publish(ELSEWHERE) is None
    book.set_usage_elsewhere({ELSEWHERE: (1, 1)})  # as if late: that stream was there before
    assert book.admit_publish(ELSEWHERE, "203.0.113.99") is not None
    assert book.admit_publish(ELSEWHERE, ELSEWHERE) is None


def test_exempt_addresses_are_not_told_of() -> None:
    book = admission()
    book.admit("127.0.0.1", 0.0)
    book.admit("2001:db8::1", 0.0)
    book.admit_publish("127.0.0.1")
    assert book.address_usage() == {"2001:db8::/64": (1, 0)}


def test_each_of_several_ingests_takes_its_part_of_the_handshakes() -> None:
    book = admission(max_connections=1000, max_connections_per_address=1000, processes=5)
    assert sum(book.admit(ELSEWHERE, 10.0) is None for _ in range(50)) == 10
    assert sum(book.admit(ELSEWHERE, 11.0) is None for _ in range(50)) == 1


SECRET = "0123456789abcdef"


def signed_rig() -> RegistryRig:
    around = RegistryRig(max_publishes_per_address=1)
    signing = Signing((("k1", SECRET),), 0.0)
    template = replace(around.template, signing=signing)
    around.streams.settings = replace(around.settings, templates=(template,))
    return around


def url_of(key: str = "cam", **scope: Any) -> str:
    grant = Grant("k1", scope.pop("expiry_unix", 61), **scope)
    return f"live/{key}?token={sign(SECRET, Direction.PUBLISH, 'live', key, grant)}"


def test_a_signed_url_publishes_and_what_was_changed_in_it_does_not() -> None:
    around = signed_rig()
    assert not around.publish(url_of()).told
    around = signed_rig()
    assert around.publish("live/cam2?" + url_of().partition("?")[2]).told == [
        (
            "NetStream.Publish.Denied",
            "the URL's signature is wrong: it is for another stream, or was changed",
        )
    ]
    assert around.publish(url_of(expiry_unix=0)).told[0][1].startswith("the URL has expired")


def test_a_url_for_one_use_publishes_once_and_a_refusal_for_another_reason_is_no_use() -> None:
    around = signed_rig()
    around.publish(url_of("other"))
    once = url_of(once="abcdefgh")
    assert "as many as one may" in around.publish(once).told[0][1], "the address has its limit"
    elsewhere = FakeConnection("203.0.113.8", "203.0.113.8:1")
    assert not around.publish(once, peer=elsewhere).told
    around.streams.lost(elsewhere, "left before it was let in", 100.5)
    assert not around.publish(once, peer=elsewhere).told, "so it was no use"
    around.place()
    around.streams.lost(elsewhere, "connection reset", 101.0)
    again = FakeConnection("203.0.113.9", "203.0.113.9:1")
    around.publish(once, peer=again)
    assert again.told[0][1] == "the URL is for one use, and was used: get a new one"
    assert not around.publish(url_of("third"), peer=FakeConnection("203.0.113.9")).told, (
        "who was refused holds no place"
    )
