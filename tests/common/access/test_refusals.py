"""Refusals are counted, however many there are, in a table that stays small."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from common.access.refusal import Cause, RefusalReason
from common.access.refusals import OTHERS, Attempted, RefusalStatus, RefusalTable

CAM = RefusalStatus(
    Attempted.PUBLISH, RefusalReason.DENIED, "wrong key", "192.0.2.1:5000", 10.0, "live/3fa2c1d0"
)


def test_refusals_of_one_stream_for_one_reason_are_one_entry_with_the_last_words() -> None:
    table = RefusalTable()
    table.add(CAM)
    table.add(replace(CAM, words="no key", address="192.0.2.9:1", at_unix=11.0))
    table.add(replace(CAM, reason=RefusalReason.FULL, at_unix=12.0))
    denied, full = table.entries()
    assert (denied.count, denied.words, denied.address) == (2, "no key", "192.0.2.9:1")
    assert (full.count, full.reason) == (1, RefusalReason.FULL)
    assert table.by_reason == {"denied": 2, "full": 1}


def test_causes_are_counted_apart_and_unheard_of_ones_are_none() -> None:
    table = RefusalTable()
    for cause in (Cause.EXPIRED.value, Cause.EXPIRED.value, Cause.FORGED.value, "x", "y"):
        table.add(replace(CAM, cause=cause))
    assert [(entry.cause, entry.count) for entry in table.entries()] == [
        ("expired", 2),
        ("forged", 1),
        ("", 2),
    ]
    assert table.by_reason == {"denied": 5}
    assert table.by_cause == {
        ("publish", "denied", "expired"): 2,
        ("publish", "denied", "forged"): 1,
        ("publish", "denied", ""): 2,
    }


def test_without_a_stream_they_are_counted_by_address_whatever_the_port() -> None:
    table = RefusalTable()
    for at, address in enumerate(("192.0.2.1:5000", "192.0.2.1:5001", "192.0.2.2:5000")):
        table.add(replace(CAM, stream="", address=address, at_unix=float(at)))
    assert [(entry.address, entry.count) for entry in table.entries()] == [
        ("192.0.2.1:5001", 2),
        ("192.0.2.2:5000", 1),
    ]


def test_what_is_taken_is_counted_where_it_is_merged() -> None:
    child, supervisor = RefusalTable(), RefusalTable(500)
    for _ in range(2):
        for _ in range(3):
            child.add(CAM)
        supervisor.merge(child.take())
        assert child.take() == ()
    (entry,) = supervisor.entries()
    assert entry.count == 6
    assert supervisor.by_reason == {"denied": 6}


def test_the_oldest_are_put_together_when_there_are_too_many() -> None:
    table = RefusalTable(3)
    for index in range(10):
        table.add(replace(CAM, stream=f"live/{index}", at_unix=float(index)))
    streams = {entry.stream: entry.count for entry in table.entries()}
    assert streams == {OTHERS: 7, "live/7": 1, "live/8": 1, "live/9": 1}


@given(
    st.lists(
        st.builds(
            RefusalStatus,
            st.sampled_from(Attempted),
            st.sampled_from(RefusalReason),
            st.text(max_size=3),
            st.sampled_from(["192.0.2.1:1", "[2001:db8::1]:2", "gone", ""]),
            st.floats(0, 100),
            st.sampled_from(["", "live/a", "live/b", "live/c", OTHERS]),
            st.just(""),
            st.integers(1, 5),
            st.sampled_from(["", *Cause, "unheard-of"]),
        ),
        max_size=80,
    ),
    st.integers(1, 5),
)
def test_none_is_lost_and_the_table_is_bounded(
    refused: list[RefusalStatus], max_entries: int
) -> None:
    table = RefusalTable(max_entries)
    table.merge(refused)
    total = sum(entry.count for entry in refused)
    assert sum(table.by_reason.values()) == total
    assert sum(entry.count for entry in table.entries()) == total
    assert sum(table.by_cause.values()) == total
    others = len(Attempted) * len(RefusalReason) * len(Cause)
    assert len(table) <= max_entries + others
