"""supervisor/farm/registry/host_room.py."""

from supervisor.farm.registry.host_room import host_room
from tests.kit.farm_rig import HD, Rig


def test_software_workers_share_the_hosts_cores() -> None:
    rig = Rig(cores=2)
    assert host_room(rig.farm.state.fleet) == ({"software": 200.0}, {"software": 200.0})
    rig.publish("live/a", HD)
    free, capacity = host_room(rig.farm.state.fleet)
    assert capacity == {"software": 200.0}
    assert 100.0 < free["software"] < 200.0


def test_what_takes_no_stream_counts_for_nothing() -> None:
    rig = Rig(workers=0)
    assert host_room(rig.farm.state.fleet) == ({}, {})
