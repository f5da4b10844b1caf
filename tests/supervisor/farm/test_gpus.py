"""Policies, budgets and losses with GPUs that only exist as messages."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from common.config.ladder import (
    MadeWhen,
    OmittedRendition,
    Pipeline,
    Rendition,
    SourceFormat,
    Template,
)
from common.config.settings import DEFAULT_RENDITIONS, Calibration, Devices, Settings, Software
from common.ipc.control_messages import (
    DeviceInfo,
    EncoderLimitReport,
    Placement,
    Refused,
    StreamTrouble,
    SwitchGeneration,
)
from common.ipc.identity import ChildId, gpu_worker
from common.media.pictures import DecodeLimits
from common.media.units import VideoCodec
from supervisor.commands.status.document import ChildFacts, FarmFacts, snapshot
from supervisor.farm.devices import SESSION_LIMIT_S
from supervisor.farm.recovery.lost_workers import POSITIONS_TIMEOUT_S
from supervisor.farm.stream_states import StreamState
from supervisor.placement.cost import GPU_CAPACITY, Resource
from tests.kit.children import CPU0, INGEST0
from tests.kit.farm_rig import HD, Rig

UUID = "GPU-4f2b7a10-0c2d-4e5f-8a9b-0123456789ab"
GPU = gpu_worker(UUID)
OTHER = gpu_worker("GPU-other")
LIVE = Template("live", DEFAULT_RENDITIONS)


def info(path: Pipeline = Pipeline.GPU_ONLY, name: str = UUID) -> DeviceInfo:
    return DeviceInfo(name, "gpu", "NVIDIA L4", path, "00000000:65:00.0", 24 << 30)


def rig_of(*devices: DeviceInfo, settings: Settings | None = None, workers: int = 1) -> Rig:
    rig = Rig(settings, workers=workers)
    for device in devices:
        name = gpu_worker(device.name)
        rig.farm.devices.expect(name, Pipeline.GPU_ONLY, rig.now)
        rig.up(name, device=device)
    return rig


def status_of(rig: Rig) -> dict[str, Any]:
    supervisor = ChildFacts(ChildId("supervisor"), "ready", 1, 0, "", rig.now, 1, 0.0)
    facts = FarmFacts("0", "/run", "", 0.0, supervisor, [], now_s=rig.now, now_unix=1.0)
    return snapshot(facts, rig.farm)


def device_status(rig: Rig, worker: ChildId) -> dict[str, object]:
    devices = status_of(rig)["devices"]
    (found,) = [device for device in devices if device["worker"] == str(worker)]
    return dict(found)


def with_policy(*policy: Pipeline) -> Settings:
    return Settings(templates=(replace(LIVE, policy=policy),))


def test_a_gpu_that_encodes_is_preferred_and_takes_nothing_of_the_cores() -> None:
    rig = rig_of(info())
    placed = rig.publish()
    assert placed.worker == GPU
    assert placed.reason.startswith("gpu-only: ")
    assert rig.farm.state.fleet.used(Resource.CORES) == 0


def test_a_gpu_whose_worker_reports_hybrid_is_placed_on_as_hybrid() -> None:
    rig = rig_of(info(Pipeline.HYBRID))
    placed = rig.publish()
    assert placed.worker == GPU
    assert "hybrid: " in placed.reason
    assert f"gpu-only: no such device ({GPU} is hybrid)" in placed.reason
    assert rig.farm.state.fleet.used(Resource.CORES) > 0
    assert any(placed.reason in note.text for note in rig.farm.state.history)


@pytest.mark.parametrize("path", [Pipeline.GPU_ONLY, Pipeline.HYBRID])
def test_what_is_made_on_demand_is_so_wherever_it_is_encoded(path: Pipeline) -> None:
    on_demand = replace(LIVE, renditions_when=MadeWhen.DEMANDED)
    rig = rig_of(info(path), settings=Settings(templates=(on_demand,)))
    placed = rig.publish()
    assert placed.worker == GPU
    assert placed.template.names_on_demand == {one.name for one in DEFAULT_RENDITIONS}


def test_hybrid_streams_stop_at_their_own_budget_of_cores_and_software_goes_on() -> None:
    devices, software = Devices(hybrid_capacity=150.0), Software(capacity=400.0)
    settings = Settings(devices=devices, software=software)
    rig = rig_of(info(Pipeline.HYBRID), settings=settings)
    assert rig.publish("live/a").worker == GPU
    second = rig.publish("live/b")
    assert second.worker == CPU0
    assert "hybrid cores free on the host (150 in all)" in second.reason


@pytest.mark.parametrize(
    ("policy", "worker", "said"),
    [
        ((Pipeline.SOFTWARE, Pipeline.GPU_ONLY), CPU0, "software: "),
        ((Pipeline.HYBRID, Pipeline.PASSTHROUGH), None, "passthrough"),
        ((Pipeline.PASSTHROUGH,), None, "passthrough"),
    ],
)
def test_the_policys_order_decides(
    policy: tuple[Pipeline, ...], worker: ChildId | None, said: str
) -> None:
    placed = rig_of(info(), settings=with_policy(*policy)).publish()
    assert placed.worker == worker
    assert placed.reason.startswith(said)


def test_refuse_ends_the_search_with_the_reasons_of_all_before_it() -> None:
    rig = rig_of(info(Pipeline.HYBRID), settings=with_policy(Pipeline.GPU_ONLY, Pipeline.REFUSE))
    refused = rig.refused(rig.ask())
    assert "gpu-only: no such device" in refused.refusal.detail


def test_encoder_sessions_are_one_budget_over_all_gpus() -> None:
    settings = replace(
        with_policy(Pipeline.GPU_ONLY, Pipeline.PASSTHROUGH),
        devices=Devices(max_encoder_sessions=5),
    )
    rig = rig_of(info(), info(name="GPU-other"), settings=settings)
    assert rig.publish("live/a").worker is not None
    second = rig.publish("live/b")
    assert second.worker is None
    assert "needs 3 of the 2 encoder sessions free on the host (5 in all)" in second.reason


TEN_BIT = "10-bit H.264: the GPU path takes 8 bits"
HIGH_10 = "avc1.6e001f"


def hybrids(count: int, *, software: int = 1) -> tuple[Rig, list[ChildId]]:
    """A hybrid GPU's workers beside those of the cores."""
    rig = rig_of(info(Pipeline.HYBRID), workers=software)
    names = [gpu_worker(UUID, index) for index in range(count)]
    for name in names[1:]:
        rig.farm.devices.expect(name, Pipeline.HYBRID, rig.now)
        rig.up(name, device=info(Pipeline.HYBRID))
    return rig, names


def refuse_at_its_worker(rig: Rig, reason: str, *, is_workers_own: bool = False) -> Placement:
    stream = rig.stream()
    worker = rig.farm.state.device_of(stream)
    assert worker is not None
    told = StreamTrouble(worker, stream.stream_id, stream.generation, reason, is_workers_own)
    actions = rig.say(worker, told)
    if isinstance(rig.messages(actions)[0], SwitchGeneration):
        actions = rig.tick(POSITIONS_TIMEOUT_S)
    return rig.only(actions, Placement)


def test_what_one_worker_of_a_gpu_cannot_decode_is_asked_of_none_beside_it() -> None:
    rig, workers = hybrids(4)
    assert rig.publish().worker in workers
    placed = refuse_at_its_worker(rig, TEN_BIT)
    assert placed.worker == CPU0
    assert f"hybrid: {UUID}: {TEN_BIT}" in placed.reason
    assert "left out" not in placed.reason
    (stream,) = status_of(rig)["streams"]
    assert TEN_BIT in stream["reason"]


def test_a_workers_own_trouble_leaves_the_other_workers_of_its_gpu() -> None:
    rig, workers = hybrids(2)
    first = rig.publish()
    placed = refuse_at_its_worker(rig, "device lost", is_workers_own=True)
    assert [first.worker, placed.worker] == workers


def test_another_format_forgets_which_devices_could_not_serve_the_one_before() -> None:
    rig, workers = hybrids(2, software=0)
    rig.publish()
    given_up = refuse_at_its_worker(rig, TEN_BIT)
    assert (given_up.worker, given_up.reason) == (None, f"source only: {TEN_BIT}")
    measured = replace(HD, fps=Fraction(25))
    assert rig.only(rig.format(source=measured), Placement).worker is None  # coded as before
    assert rig.only(rig.format(codec=HIGH_10), Placement).worker in workers
    assert rig.stream().state is StreamState.LIVE


def test_who_changes_formats_back_and_forth_has_no_device_tried_for_ever() -> None:
    rig, _ = hybrids(1, software=0)
    rig.publish()
    refuse_at_its_worker(rig, TEN_BIT)
    tried = 0
    for turn in range(60):
        rig.tick(0.5)
        if rig.only(rig.format(codec=f"avc1.6e00{turn:02x}"), Placement).worker is not None:
            tried += 1
            refuse_at_its_worker(rig, TEN_BIT)
    assert tried == 5
    rig.tick(60.0)
    assert rig.only(rig.format(codec=HIGH_10), Placement).worker is not None


def test_another_supervisor_knows_how_a_stream_that_it_adopts_is_coded() -> None:
    rig, (worker,) = hybrids(1, software=0)
    status = rig.publisher(worker=worker, format=HD, codec=HIGH_10)
    rig.up(INGEST0, publishers=(status,))
    refuse_at_its_worker(rig, TEN_BIT)
    measured = replace(HD, fps=Fraction(25))
    assert rig.only(rig.format(source=measured, codec=HIGH_10), Placement).worker is None


def test_a_stream_that_was_given_up_waits_for_room_once_it_is_coded_otherwise() -> None:
    rig, (worker,) = hybrids(1, software=0)
    rig.publish()
    refuse_at_its_worker(rig, TEN_BIT)
    rig.down(worker)
    assert rig.only(rig.format(codec=HIGH_10), Placement).worker is None
    assert rig.stream().state is StreamState.WAITING
    back = rig.up(worker, device=info(Pipeline.HYBRID))
    assert rig.only(back, Placement).worker == worker


CAP = "720p: encoder session cap of the driver reached"


def test_a_session_cap_met_at_a_worker_keeps_later_streams_off_every_gpu_for_a_while() -> None:
    settings = with_policy(Pipeline.GPU_ONLY, Pipeline.SOFTWARE, Pipeline.PASSTHROUGH)
    rig = rig_of(info(), info(name="GPU-other"), settings=settings)
    first, second, third = (rig.publish(f"live/{name}") for name in "abc")
    assert [first.worker, second.worker, third.worker] == [GPU, OTHER, GPU]
    # The host gives seven: the third stream's second encoder is refused.
    assert rig.say(GPU, EncoderLimitReport(GPU, 4, CAP)) == []
    rig.say(GPU, StreamTrouble(GPU, third.stream_id, third.generation, CAP))
    moved = rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placement)
    assert moved.worker == CPU0
    wanted = "needs 3 of the 1 encoder sessions free on the host (7 in all)"
    assert wanted in moved.reason
    told = status_of(rig)
    assert told["host"]["encoder_sessions"] == {"capacity": 7.0, "used": 6}
    assert told["encoder_session_limit"] == {
        "sessions": 7,
        "for_s": SESSION_LIMIT_S - POSITIONS_TIMEOUT_S,
        "reason": CAP,
    }
    assert rig.publish("live/d").worker == CPU0  # no GPU is tried in vain
    rig.end("live/d")
    # Whose they were may have ended meanwhile: it is tried again.
    assert rig.farm.next_deadline() <= rig.now + SESSION_LIMIT_S
    rig.tick(SESSION_LIMIT_S)
    assert status_of(rig)["encoder_session_limit"] is None
    assert rig.publish("live/e").worker in (GPU, OTHER)


def test_a_policy_of_gpus_or_nothing_is_refused_with_the_session_cap_before_it_starts() -> None:
    rig = rig_of(info(), settings=with_policy(Pipeline.GPU_ONLY, Pipeline.REFUSE))
    rig.publish("live/a")
    rig.say(GPU, EncoderLimitReport(GPU, 3, CAP))
    refused = rig.refused(rig.ask("live/b"))
    assert "needs 1 of the 0 encoder sessions free" in refused.refusal.detail


def calibration(device: str, streams: int, load: float) -> Calibration:
    return Calibration(
        device, "live", Pipeline.GPU_ONLY, (1280, 720, 30), streams, 51.01, load, decode=1 / streams
    )


def test_a_calibrated_device_takes_what_was_measured_whatever_it_is_called() -> None:
    settings = replace(
        with_policy(Pipeline.GPU_ONLY, Pipeline.PASSTHROUGH),
        calibration=(calibration("65:00.0", 9, 100.0), calibration("GPU-nobody", 9, 1.0)),
    )
    small = SourceFormat(1280, 720, fps=Fraction(30))
    rig = rig_of(info(), settings=settings)
    assert rig.farm.state.fleet.devices[GPU].limits[Resource.LOAD] == GPU_CAPACITY
    workers = [rig.publish(f"live/{n}", small).worker for n in range(9)]
    assert workers == [GPU] * 9
    assert rig.publish("live/more", small).worker is None
    assert rig.farm.state.fleet.used(Resource.DECODE, GPU) == pytest.approx(1)
    assert rig.farm.state.fleet.used(Resource.LOAD, GPU) == pytest.approx(900.0, rel=1e-3)


def test_a_capacity_by_hand_is_found_by_any_spelling() -> None:
    settings = Settings(devices=Devices(capacity=(("0000:65:00.0", 77.0),)))
    rig = rig_of(info(), settings=settings)
    assert rig.farm.state.fleet.devices[GPU].limits[Resource.LOAD] == 77.0


def test_a_lost_gpu_is_marked_its_streams_move_and_its_return_is_seen() -> None:
    rig = rig_of(info(), info(name="GPU-other"))
    placed = rig.publish()
    lost, left = (GPU, OTHER) if placed.worker == GPU else (OTHER, GPU)
    rig.farm.devices.lost(lost, "Xid 79: it fell off the bus")
    rig.down(lost)
    again = rig.only(rig.tick(1.0), Placement)
    assert again.worker == left
    assert rig.stream().state is StreamState.LIVE
    device = device_status(rig, lost)
    assert (device["state"], device["reason"]) == ("lost", "Xid 79: it fell off the bus")
    rig.up(lost, device=info(name=lost.device))
    device = device_status(rig, lost)
    assert (device["state"], device["reason"]) == ("ready", "")


def test_a_rendition_that_its_worker_lost_is_told_with_the_reason() -> None:
    rig = rig_of(info())
    rig.publish(source=SourceFormat(640, 360, fps=Fraction(30)))
    (stream,) = status_of(rig)["streams"]
    assert [entry["name"] for entry in stream["omitted"]] == ["720p", "480p"]
    rig.beat(GPU, transcodes=(rig.transcode(omitted=(OmittedRendition("360p", "it failed"),)),))
    (stream,) = status_of(rig)["streams"]
    assert stream["omitted"][2:] == [{"name": "360p", "reason": "it failed"}]


def hybrid_rig(workers: int, settings: Settings | None = None) -> Rig:
    """One hybrid GPU with several workers, and room for all on the host."""
    settings = settings or with_policy(Pipeline.HYBRID, Pipeline.REFUSE)
    rig = Rig(replace(settings, software=Software(capacity=1e6)), workers=0)
    for index in range(workers):
        name = gpu_worker(UUID, index)
        rig.farm.devices.expect(name, Pipeline.HYBRID, rig.now)
        rig.up(name, device=info(Pipeline.HYBRID))
    return rig


def test_streams_spread_over_a_gpus_workers() -> None:
    rig = hybrid_rig(3)
    workers = [rig.publish(f"live/{number}").worker for number in range(6)]
    assert Counter(workers) == {gpu_worker(UUID, i): 2 for i in range(3)}


def test_a_gpus_workers_share_its_limits_and_one_may_take_what_the_others_left() -> None:
    small = SourceFormat(1280, 720, fps=Fraction(30))
    settings = with_policy(Pipeline.HYBRID, Pipeline.REFUSE)
    # a stream of 720p30 takes 4.2, a newcomer 0.01
    settings = replace(settings, devices=Devices(capacity=((UUID, 12.45),)))
    rig = hybrid_rig(2, settings)
    for number in range(3):
        rig.publish(f"live/{number}", small)
    refused = rig.refused(rig.ask("live/more"))
    assert "load free" in refused.refusal.detail
    assert "(12.45 in all)" in refused.refusal.detail
    rig.end("live/0")
    assert rig.publish("live/more", small).worker is not None
    by_worker = [device_status(rig, gpu_worker(UUID, index)) for index in range(2)]
    assert {device["capacity"] for device in by_worker} == {12.45}
    assert [device["workers"] for device in by_worker] == [2, 2]
    assert [device["name"] for device in by_worker] == [UUID, f"{UUID}:1"]
    assert [device["device"] for device in by_worker] == [UUID, UUID]


def test_a_gpu_is_drained_with_all_its_workers_and_a_worker_by_its_own_name() -> None:
    rig = hybrid_rig(2)
    both = [gpu_worker(UUID, index) for index in range(2)]
    assert rig.operator.find_devices(UUID.lower()) == both
    assert rig.operator.find_devices("00000000:65:00.0") == both
    assert rig.operator.find_devices(str(gpu_worker(UUID))) == both[:1]
    assert rig.operator.find_devices(f"{UUID}:1") == both[1:]
    rig.ask()
    assert rig.operator.drain(both, rig.now) == [], "there is no other device"
    assert "it is drained" in rig.farm.migration.stuck[rig.stream().stream_id]
    rig.operator.undrain(both, rig.now)
    assert not rig.farm.state.drained


def test_a_lost_gpus_other_workers_take_none_of_its_streams() -> None:
    rig = hybrid_rig(2)
    first = rig.publish().worker
    for index in range(2):
        rig.farm.devices.lost(gpu_worker(UUID, index), "Xid 79")
    rig.down(first)
    rig.tick(POSITIONS_TIMEOUT_S + 0.1)
    assert not rig.farm.state.streams, "nothing else takes it, and the policy refuses"


H264_ALONE = (DecodeLimits(VideoCodec.H264, 8, 48, 16, 4096, 4096, (66, 77, 100)),)
TEN_BITS = replace(HD, bit_depth=10, bits_per_pixel=24)


@pytest.mark.parametrize(
    ("source", "codec", "worker"),
    [
        (HD, "avc1.640028", GPU),
        (HD, "hvc1.1.6.L120.B0", CPU0),
        (TEN_BITS, "avc1.6e0028", CPU0),
        (replace(HD, width=5120), "avc1.640034", CPU0),
    ],
)
def test_a_source_goes_to_a_device_that_announces_to_decode_it(
    source: SourceFormat, codec: str, worker: ChildId
) -> None:
    rig = rig_of(replace(info(), decodes=H264_ALONE))
    assert rig.only(rig.ask(), Placement).worker == GPU, "nothing is known of it yet"
    placed = rig.only(rig.format(source=source, codec=codec), Placement)
    assert placed.worker == worker
    assert ("it decodes no" in placed.reason or "is not within" in placed.reason) == (
        worker == CPU0
    )


AV1_RENDITION = Rendition("web", 640, 360, 500_000, codec=VideoCodec.AV1)


def with_av1(policy: tuple[Pipeline, ...]) -> Settings:
    (live,) = Settings().templates
    renditions = (*live.renditions, AV1_RENDITION)
    return Settings(templates=(replace(live, renditions=renditions, policy=policy),))


def test_a_stream_goes_to_a_device_that_announces_to_encode_all_its_renditions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = with_av1((Pipeline.GPU_ONLY, Pipeline.SOFTWARE))
    rig = rig_of(replace(info(), encodes=(VideoCodec.H264, VideoCodec.H265)), settings=settings)
    placed = rig.only(rig.ask(), Placement)
    assert placed.worker == CPU0
    assert "it encodes no AV1" in placed.reason
    assert "key=templates.live.renditions[3].codec" in caplog.text


def test_where_no_device_encodes_a_rendition_its_publishers_are_refused() -> None:
    settings = with_av1((Pipeline.GPU_ONLY,))
    rig = rig_of(replace(info(), encodes=(VideoCodec.H264,)), settings=settings)
    assert "full" in rig.only(rig.ask(), Refused).refusal.words


def test_where_no_device_announces_to_decode_a_source_the_one_it_has_says_why() -> None:
    rig = rig_of(replace(info(), decodes=H264_ALONE), settings=with_policy(Pipeline.GPU_ONLY))
    rig.only(rig.ask(), Placement)
    placed = rig.only(rig.format(source=HD, codec="av01.0.08M.08"), Placement)
    assert placed.worker == GPU


def test_a_device_that_announces_nothing_is_given_what_comes() -> None:
    rig = rig_of(info())
    rig.only(rig.ask(), Placement)
    placed = rig.only(rig.format(source=TEN_BITS, codec="hvc1.2.4.L120.B0"), Placement)
    assert placed.worker == GPU
