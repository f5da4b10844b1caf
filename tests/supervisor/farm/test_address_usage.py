"""What addresses hold at several ingests."""

from common.ipc.control_messages import AddressUsage
from common.ipc.identity import ChildName
from supervisor.farm.actions import Send
from supervisor.farm.address_usage import MAX_TOLD, AddressTotals
from tests.kit.farm_rig import Rig

ONE, TWO, THREE = (ChildName(f"ingest:{i}") for i in range(3))
HOST, OTHER = "203.0.113.7", "203.0.113.8"


def test_each_ingest_is_told_what_addresses_hold_at_the_others() -> None:
    holdings = AddressTotals()
    assert holdings.heard(ONE, {HOST: (3, 1)}) is None, "there is no other"
    assert holdings.heard(TWO, {HOST: (2, 2), OTHER: (1, 0)}) == AddressUsage({HOST: (3, 1)})
    assert holdings.heard(ONE, {HOST: (3, 1)}) == AddressUsage({HOST: (2, 2), OTHER: (1, 0)})
    assert holdings.heard(THREE, {}) == AddressUsage({HOST: (5, 3), OTHER: (1, 0)})


def test_nothing_is_told_twice() -> None:
    holdings = AddressTotals()
    holdings.heard(ONE, {HOST: (3, 1)})
    assert holdings.heard(TWO, {}) is not None
    assert holdings.heard(TWO, {}) is None
    assert holdings.heard(ONE, {HOST: (3, 1)}) is None
    holdings.heard(ONE, {})
    assert holdings.heard(TWO, {}) == AddressUsage({})
    assert holdings.heard(TWO, {}) is None


def test_what_was_held_at_an_ingest_that_is_gone_is_forgotten() -> None:
    holdings = AddressTotals()
    holdings.heard(ONE, {HOST: (3, 1)})
    holdings.heard(TWO, {HOST: (1, 0)})
    holdings.lost(ONE)
    assert holdings.heard(TWO, {HOST: (1, 0)}) == AddressUsage({})
    holdings.lost(TWO)
    holdings.lost(THREE)
    assert not holdings._connections
    assert not holdings._publishers


def test_those_who_hold_the_most_are_told_of() -> None:
    holdings = AddressTotals()
    holdings.heard(ONE, {f"h{i}": (1 + i, 0) for i in range(2 * MAX_TOLD)})
    told = holdings.heard(TWO, {})
    assert told is not None
    assert len(told.held) == MAX_TOLD
    assert min(told.held.values()) == (MAX_TOLD + 1, 0)


def test_heartbeats_bring_it(rig: Rig) -> None:
    rig.up(ONE, "ingest")
    rig.up(TWO, "ingest")
    assert rig.beat(ONE, held={HOST: (3, 1)}) == []
    assert rig.beat(TWO) == [Send(TWO, AddressUsage({HOST: (3, 1)}))]
    rig.down(ONE)
    assert rig.beat(TWO) == [Send(TWO, AddressUsage({}))]
