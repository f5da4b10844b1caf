"""Policies, budgets and losses with GPUs that only exist as messages."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.control_messages import DeviceInfo, Placed
from common.identity import ChildName
from common.ladder import Path, SourceFormat, Template
from common.settings import DEFAULT_RENDITIONS, Calibration, Devices, Settings
from supervisor.cost import GPU_CAPACITY, Resource
from supervisor.roster import StreamState
from supervisor.status import ChildFacts, FarmFacts, snapshot
from tests.supervisor.rig import Rig

UUID = "GPU-4f2b7a10-0c2d-4e5f-8a9b-0123456789ab"
GPU = ChildName(f"worker:{UUID}")
OTHER = ChildName("worker:GPU-other")
LIVE = Template("live", DEFAULT_RENDITIONS)


def info(path: Path = Path.GPU_ONLY, name: str = UUID, sessions: int | None = None) -> DeviceInfo:
    return DeviceInfo(name, "gpu", "NVIDIA L4", path, "00000000:65:00.0", 24 << 30, sessions)


def rig_of(*devices: DeviceInfo, settings: Settings | None = None, workers: int = 1) -> Rig:
    rig = Rig(settings, workers=workers)
    for device in devices:
        name = f"worker:{device.name}"
        rig.farm.roster.expect_device(ChildName(name), Path.GPU_ONLY, rig.now)
        rig.up(name, "worker", device=device)
    return rig


def device_status(rig: Rig, worker: ChildName) -> dict[str, object]:
    supervisor = ChildFacts(ChildName("supervisor"), "ready", 1, 0, "", rig.now, 1, 0.0)
    facts = FarmFacts("0", "/run", "", 0.0, supervisor, [], now_s=rig.now, now_unix=1.0)
    devices = snapshot(facts, rig.farm)["devices"]
    (found,) = [device for device in devices if device["worker"] == worker]
    return dict(found)


def with_policy(*policy: Path) -> Settings:
    return Settings(templates=(replace(LIVE, policy=policy),))


def test_a_gpu_that_encodes_is_preferred_and_takes_nothing_of_the_cores() -> None:
    rig = rig_of(info())
    placed = rig.publish()
    assert placed.worker == GPU
    assert placed.reason.startswith("gpu-only: ")
    assert rig.farm.roster.fleet.used(Resource.CORES) == 0


def test_a_gpu_whose_worker_reports_hybrid_is_placed_on_as_hybrid() -> None:
    rig = rig_of(info(Path.HYBRID))
    placed = rig.publish()
    assert placed.worker == GPU
    assert "hybrid: " in placed.reason
    assert f"gpu-only: no such device ({GPU} is hybrid)" in placed.reason
    assert rig.farm.roster.fleet.used(Resource.CORES) > 0
    assert any(placed.reason in note.text for note in rig.farm.roster.history)


def test_hybrid_streams_stop_at_their_own_budget_of_cores_and_software_goes_on() -> None:
    settings = Settings(devices=Devices(hybrid_capacity=60.0))
    rig = rig_of(info(Path.HYBRID), settings=settings)
    assert rig.publish("live/a").worker == GPU
    second = rig.publish("live/b")
    assert second.worker == ChildName("worker:cpu:0")
    assert "hybrid cores free on the host (60 in all)" in second.reason


@pytest.mark.parametrize(
    ("policy", "worker", "said"),
    [
        ((Path.SOFTWARE, Path.GPU_ONLY), ChildName("worker:cpu:0"), "software: "),
        ((Path.HYBRID, Path.PASSTHROUGH), None, "passthrough"),
        ((Path.PASSTHROUGH,), None, "passthrough"),
    ],
)
def test_the_policys_order_decides(
    policy: tuple[Path, ...], worker: ChildName | None, said: str
) -> None:
    placed = rig_of(info(), settings=with_policy(*policy)).publish()
    assert placed.worker == worker
    assert placed.reason.startswith(said)


def test_refuse_ends_the_search_with_the_reasons_of_all_before_it() -> None:
    rig = rig_of(info(Path.HYBRID), settings=with_policy(Path.GPU_ONLY, Path.REFUSE))
    refused = rig.refused(rig.ask())
    assert "gpu-only: no such device" in refused.description


def test_encoder_sessions_are_one_budget_over_all_gpus() -> None:
    settings = replace(
        with_policy(Path.GPU_ONLY, Path.PASSTHROUGH), devices=Devices(max_encoder_sessions=5)
    )
    rig = rig_of(info(), info(name="GPU-other"), settings=settings)
    assert rig.publish("live/a").worker is not None
    second = rig.publish("live/b")
    assert second.worker is None
    assert "needs 3 of the 2 encoder sessions free on the host (5 in all)" in second.reason


def test_a_cap_that_a_worker_found_out_holds_for_the_host() -> None:
    rig = rig_of(info(sessions=4), info(name="GPU-other"), settings=with_policy(Path.GPU_ONLY))
    assert rig.farm.roster.fleet.host[Resource.SESSIONS] == 4


def calibration(device: str, streams: int, load: float) -> Calibration:
    return Calibration(
        device, "live", Path.GPU_ONLY, (1280, 720, 30), streams, 50.96, load, decode=1 / streams
    )


def test_a_calibrated_device_takes_what_was_measured_whatever_it_is_called() -> None:
    settings = replace(
        with_policy(Path.GPU_ONLY, Path.PASSTHROUGH),
        calibration=(calibration("65:00.0", 9, 100.0), calibration("GPU-nobody", 9, 1.0)),
    )
    small = SourceFormat(1280, 720, fps=Fraction(30))
    rig = rig_of(info(), settings=settings)
    assert rig.farm.roster.fleet.devices[GPU].limits[Resource.LOAD] == GPU_CAPACITY
    workers = [rig.publish(f"live/{n}", small).worker for n in range(9)]
    # Of nine that fit, the last ones find no room for what is reserved at first: 1080p60.
    assert workers == [GPU] * 5 + [None] * 4
    assert rig.farm.roster.fleet.used(Resource.DECODE, GPU) == pytest.approx(5 / 9)
    assert rig.farm.roster.fleet.used(Resource.LOAD, GPU) == pytest.approx(500.0, rel=1e-3)


def test_a_capacity_by_hand_is_found_by_any_spelling() -> None:
    settings = Settings(devices=Devices(capacity=(("0000:65:00.0", 77.0),)))
    rig = rig_of(info(), settings=settings)
    assert rig.farm.roster.fleet.devices[GPU].limits[Resource.LOAD] == 77.0


def test_a_lost_gpu_is_marked_its_streams_move_and_its_return_is_seen() -> None:
    rig = rig_of(info(), info(name="GPU-other"))
    placed = rig.publish()
    lost, left = (GPU, OTHER) if placed.worker == GPU else (OTHER, GPU)
    rig.farm.roster.device_lost(lost, "Xid 79: it fell off the bus")
    rig.down(lost)
    again = rig.only(rig.tick(1.0), Placed)
    assert again.worker == left
    assert rig.stream().state is StreamState.LIVE
    device = device_status(rig, lost)
    assert (device["state"], device["reason"]) == ("lost", "Xid 79: it fell off the bus")
    rig.up(lost, "worker", device=info(name=lost.removeprefix("worker:")))
    device = device_status(rig, lost)
    assert (device["state"], device["reason"]) == ("ready", "")
