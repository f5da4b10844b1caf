"""Streams that take workers down with them: alone, then refused, then forgotten."""

from common.access.credentials import credentials
from common.ipc.identity import StreamId
from supervisor.farm.blame.quarantine import (
    MAX_KNOWN,
    MAX_WORKERS,
    MEMORY_S,
    PROBATION_S,
    REFUSED_S,
    Quarantine,
    QuarantineState,
)
from tests.kit.children import CPU0, dedicated

A, B = StreamId("live/a"), StreamId("live/b")


def test_two_crashes_make_a_poison_stream_and_one_does_not() -> None:
    quarantine = Quarantine()
    assert quarantine.state(A, 0.0) is QuarantineState.CLEAR
    assert quarantine.crashed(A, "killed", 0.0) is QuarantineState.CLEAR
    assert quarantine.crashed(A, "killed", 10.0) is QuarantineState.POISON
    assert quarantine.state(B, 10.0) is QuarantineState.CLEAR


def test_crashes_far_apart_are_forgotten() -> None:
    quarantine = Quarantine()
    quarantine.crashed(A, "killed", 0.0)
    assert quarantine.crashed(A, "killed", MEMORY_S) is QuarantineState.CLEAR
    assert quarantine.crashed(A, "killed", MEMORY_S + 1) is QuarantineState.POISON


def test_a_crash_of_its_own_worker_refuses_it_for_a_while() -> None:
    quarantine = Quarantine()
    for at_s in (0.0, 1.0):
        quarantine.crashed(A, "killed", at_s)
    assert quarantine.give_worker(A, 1.0) == dedicated(1)
    assert quarantine.crashed(A, "SIGSEGV", 2.0) is QuarantineState.REFUSED
    assert "SIGSEGV" in quarantine.reason(A, 2.0)
    assert "10 min" in quarantine.reason(A, 2.0)
    assert quarantine.take_worker(A) == dedicated(1)
    assert quarantine.state(A, 1.0 + REFUSED_S) is QuarantineState.REFUSED
    assert quarantine.state(A, 2.0 + REFUSED_S) is QuarantineState.CLEAR


def test_it_can_be_cleared_by_hand() -> None:
    quarantine = Quarantine()
    quarantine.give_worker(A, 0.0)
    quarantine.crashed(A, "killed", 0.0)
    quarantine.take_worker(A)
    assert quarantine.clear(A)
    assert quarantine.state(A, 1.0) is QuarantineState.CLEAR
    assert not quarantine.clear(A)


def test_one_that_stays_alone_without_a_crash_is_cleared() -> None:
    quarantine = Quarantine()
    for at_s in (0.0, 1.0):
        quarantine.crashed(A, "killed", at_s)
    quarantine.give_worker(A, 5.0)
    assert quarantine.next_deadline() == 5.0 + PROBATION_S
    assert quarantine.cleared(4.9 + PROBATION_S) == []
    assert quarantine.cleared(5.0 + PROBATION_S) == [A]
    quarantine.clear_stream(A)
    quarantine.take_worker(A)
    assert quarantine.state(A, 5.0 + PROBATION_S) is QuarantineState.CLEAR
    assert quarantine.next_deadline() == float("inf")


def test_workers_of_their_own_are_few_and_never_named_twice() -> None:
    quarantine = Quarantine()
    quarantine.see_worker(dedicated(7))
    names = [quarantine.give_worker(StreamId(f"live/{i}"), 0.0) for i in range(MAX_WORKERS + 1)]
    assert names[0] == dedicated(8)
    assert names[-1] is None
    assert quarantine.give_worker(StreamId("live/0"), 1.0) == names[0]
    assert quarantine.stream_on(dedicated(9)) == "live/1"
    quarantine.take_worker(StreamId("live/0"))
    name = quarantine.give_worker(A, 0.0)
    assert name is not None
    assert name not in names
    assert name.is_dedicated
    assert not CPU0.is_dedicated


def test_records_are_bounded() -> None:
    quarantine = Quarantine()
    for index in range(MAX_KNOWN + 10):
        quarantine.crashed(StreamId(f"live/{index}"), "killed", 0.0)
    assert not quarantine.clear(StreamId("live/0"))
    assert quarantine.clear(StreamId(f"live/{MAX_KNOWN + 9}"))


def test_a_crash_is_the_publishers_who_was_there_not_the_names() -> None:
    one, other = credentials("192.0.2.1", ""), credentials("192.0.2.2", "")
    quarantine = Quarantine()
    for at_s in (0.0, 1.0):
        quarantine.crashed(A, "killed", at_s, one)
    assert quarantine.state(A, 1.0, one) is QuarantineState.POISON
    assert quarantine.state(A, 1.0, other) is QuarantineState.CLEAR
    assert quarantine.state(A, 1.0) is QuarantineState.POISON, "nobody says who it is"
    assert quarantine.crashed(A, "killed", 2.0, other) is QuarantineState.CLEAR
    assert quarantine.state(A, 2.0, one) is QuarantineState.CLEAR, "one record a name"


def test_with_the_same_key_a_publisher_is_the_same_wherever_it_comes_from() -> None:
    quarantine = Quarantine()
    for host in ("192.0.2.1", "192.0.2.2"):
        found = quarantine.crashed(A, "killed", 0.0, credentials(host, "a key"))
    assert found is QuarantineState.POISON
