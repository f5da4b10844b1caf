"""Workers and their devices: what they are, whether they take streams, what the host allows."""

import pytest

from common.config.ladder import Pipeline
from common.config.settings import Devices, Settings, Software
from supervisor.farm.devices import SESSION_LIMIT_S
from supervisor.farm.farm import Farm
from supervisor.placement.cost import GPU_CAPACITY, Resource
from tests.kit.children import CPU0, GPU0, GPU1
from tests.kit.farm_rig import Rig


def test_software_capacity_is_the_hosts_cores_unless_given_by_hand() -> None:
    assert Farm(Settings(), 4).state.fleet.host[Resource.CORES] == 400.0
    by_hand = Settings(software=Software(capacity=33.0))
    assert Farm(by_hand, 4).state.fleet.host[Resource.CORES] == 33.0


def test_a_gpus_capacity_by_hand_is_found_by_uuid_or_pci_id() -> None:
    settings = Settings(devices=Devices(capacity=(("0000:65:00.0", 700.0),)))
    farm = Farm(settings, 2)
    devices, state = farm.devices, farm.state
    devices.up(GPU0, Pipeline.GPU_ONLY, ("GPU-1", "0000:65:00.0"), 10**9)
    devices.up(GPU1, Pipeline.HYBRID, ("GPU-2", "0000:66:00.0"))
    known = state.fleet.devices
    limits = known[GPU0].limits
    assert (limits[Resource.LOAD], limits[Resource.MEMORY]) == (700.0, 1e9)
    assert known[GPU1].limits[Resource.LOAD] == GPU_CAPACITY
    assert Resource.MEMORY not in known[GPU1].limits


def test_the_lower_of_a_session_limit_by_hand_and_one_that_was_met_holds() -> None:
    farm = Farm(Settings(devices=Devices(max_encoder_sessions=3)), 2)
    devices, state = farm.devices, farm.state
    devices.refuse_session(GPU0, 8, "the driver", 100.0)
    assert state.fleet.host[Resource.SESSIONS] == 3.0
    devices.refuse_session(GPU0, 2, "the driver", 100.0)
    assert state.fleet.host[Resource.SESSIONS] == 2.0
    devices.configure(Settings())
    assert state.fleet.host[Resource.SESSIONS] == 2.0
    devices.forget_session_limit()
    assert Resource.SESSIONS not in state.fleet.host


def test_a_session_limit_that_is_met_again_is_not_logged_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    devices = Farm(Settings(), 2).devices
    for sessions in (8, 8, 8, 7):
        devices.refuse_session(GPU0, sessions, "the driver", 100.0)
    assert sum("encoder sessions limited" in line for line in caplog.messages) == 2


def test_a_session_limit_is_forgotten_after_a_while() -> None:
    farm = Farm(Settings(), 2)
    farm.devices.refuse_session(GPU0, 8, "the driver", 100.0)
    assert farm.devices.next_deadline() == 100.0 + SESSION_LIMIT_S
    farm.devices.tick(99.0 + SESSION_LIMIT_S)
    assert (farm.state.session_limit is None, farm.state.has_freed) == (False, False)
    farm.devices.tick(100.0 + SESSION_LIMIT_S)
    assert farm.state.has_freed
    assert farm.state.session_limit is None


def test_every_device_has_its_worker_until_it_is_removed(rig: Rig) -> None:
    state, devices = rig.farm.state, rig.farm.devices
    assert state.workers.keys() == state.fleet.devices.keys()
    devices.expect(GPU0, Pipeline.GPU_ONLY, rig.now)
    assert state.workers[GPU0].down_since_s == rig.now
    devices.remove(CPU0)
    assert state.workers.keys() == state.fleet.devices.keys()
    assert CPU0 not in state.workers


def test_a_device_says_why_it_takes_no_new_streams(rig: Rig) -> None:
    devices, fleet = rig.farm.devices, lambda: rig.farm.state.fleet.devices[CPU0]
    devices.overload(CPU0, is_overloaded=True)
    assert (fleet().is_open, fleet().why_closed) == (False, "it is behind")
    devices.drain(CPU0)
    assert fleet().why_closed == "it is drained"
    devices.lost(CPU0, "it fell off the bus")
    assert fleet().why_closed == "it is lost"
    rig.up(CPU0)
    assert fleet().why_closed == "it is drained"
    devices.drain(CPU0, is_drained=False)
    devices.overload(CPU0, is_overloaded=False)
    assert fleet().is_open
