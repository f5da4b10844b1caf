"""What addresses hold at several ingests."""

from common.ipc.control_messages import AddressUsage
from common.ipc.identity import ChildId
from supervisor.farm.actions import Send
from supervisor.farm.forwarding.address_usage import MAX_REPORTED, AddressTotals
from tests.kit.farm_rig import Rig

ONE, TWO, THREE = (ChildId("ingest", index=i) for i in range(3))
HOST, OTHER = "203.0.113.7", "203.0.113.8"


def test_each_ingest_is_told_what_addresses_hold_at_the_others() -> None:
    totals = AddressTotals()
    assert totals.on_usage(ONE, {HOST: (3, 1)}) is None, "there is no other"
    assert totals.on_usage(TWO, {HOST: (2, 2), OTHER: (1, 0)}) == AddressUsage({HOST: (3, 1)})
    assert totals.on_usage(ONE, {HOST: (3, 1)}) == AddressUsage({HOST: (2, 2), OTHER: (1, 0)})
    assert totals.on_usage(THREE, {}) == AddressUsage({HOST: (5, 3), OTHER: (1, 0)})


def test_nothing_is_told_twice() -> None:
    totals = AddressTotals()
    totals.on_usage(ONE, {HOST: (3, 1)})
    assert totals.on_usage(TWO, {}) is not None
    assert totals.on_usage(TWO, {}) is None
    assert totals.on_usage(ONE, {HOST: (3, 1)}) is None
    totals.on_usage(ONE, {})
    assert totals.on_usage(TWO, {}) == AddressUsage({})
    assert totals.on_usage(TWO, {}) is None


def test_what_was_held_at_an_ingest_that_is_gone_is_forgotten() -> None:
    totals = AddressTotals()
    totals.on_usage(ONE, {HOST: (3, 1)})
    totals.on_usage(TWO, {HOST: (1, 0)})
    totals.remove(ONE)
    assert totals.on_usage(TWO, {HOST: (1, 0)}) == AddressUsage({})
    totals.remove(TWO)
    totals.remove(THREE)
    assert not totals._connections
    assert not totals._publishers


def test_those_who_hold_the_most_are_told_of() -> None:
    totals = AddressTotals()
    totals.on_usage(ONE, {f"h{i}": (1 + i, 0) for i in range(2 * MAX_REPORTED)})
    told = totals.on_usage(TWO, {})
    assert told is not None
    assert len(told.usage) == MAX_REPORTED
    assert min(told.usage.values()) == (MAX_REPORTED + 1, 0)


def test_heartbeats_bring_it(rig: Rig) -> None:
    rig.up(ONE)
    rig.up(TWO)
    assert rig.beat(ONE, address_usage={HOST: (3, 1)}) == []
    assert rig.beat(TWO) == [Send(TWO, AddressUsage({HOST: (3, 1)}))]
    rig.down(ONE)
    assert rig.beat(TWO) == [Send(TWO, AddressUsage({}))]
