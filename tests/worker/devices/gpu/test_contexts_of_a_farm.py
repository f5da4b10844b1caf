"""A whole farm on the GPUs: one CUDA context each, whoever encodes."""

import sys
from pathlib import Path

import pytest

from tests.kit.clients import Player, Publisher
from tests.kit.clips import ClipSpec, make_clip
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.gpu_choice import gpus_for_tests
from tests.kit.waiting import until

pytestmark = [pytest.mark.gpu, pytest.mark.e2e]

CONFIG = (
    DEFAULT_CONFIG.replace("use_gpus = false", "use_gpus = true")
    .replace("workers = 1", "workers = 0")
    .replace('gop = "1s"', 'gop = "1s"\npolicy = ["gpu-only", "hybrid", "refuse"]')
)


def contexts() -> dict[str, int]:
    """How many processes NVML names on each GPU; their pids may be of another namespace."""
    import pynvml

    pynvml.nvmlInit()
    try:
        found = {}
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = str(pynvml.nvmlDeviceGetUUID(handle))
            found[uuid] = len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
        return found
    finally:
        pynvml.nvmlShutdown()


@pytest.fixture
def all_gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The farm chooses by itself: this process has one GPU visible."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return gpus_for_tests()


def test_a_farm_has_one_context_on_each_gpu_while_streams_run(
    all_gpus: list[str], tmp_path: Path
) -> None:
    path = make_clip(tmp_path / "clip.flv", ClipSpec(seconds=8.0))
    before = contexts()
    excluded = [uuid for uuid in before if uuid not in all_gpus]
    config = CONFIG.replace("[devices]", f"[devices]\nexclude = {excluded}")
    # not the script: a GPU host may have the packages without an installation
    with Farm(config, supervisor=(sys.executable, "-P", "-m", "supervisor")) as farm:
        paths = {device["name"]: device["path"] for device in farm.status()["devices"]}
        assert set(paths) == set(all_gpus)
        keys = [f"s{number}" for number in range(4)]
        publishers = [Publisher(farm.url(key), path) for key in keys]
        players = [Player(farm.url(key, "240p")) for key in keys]
        for client in (*publishers, *players):
            client.__enter__()
        farm.wait_stream(*keys, timeout=20)
        after = contexts()
        spread = [device["streams"] for device in farm.status()["devices"]]
        has_encoders = any(c["kind"] == "encoder" for c in farm.status()["children"])
        until(lambda: not any(one.is_running for one in publishers), 30, "the clips sent")
        for client in (*publishers, *players):
            client.stop()
    assert {uuid: after[uuid] - before[uuid] for uuid in after} == {
        uuid: int(uuid in all_gpus) for uuid in after
    }
    assert max(spread) - min(spread) <= 1
    assert has_encoders == ("hybrid" in paths.values())
    for player in players:
        assert player.recording.decode_error == ""
        times = [unit.pts_ms for unit in player.recording.video]
        assert len(times) > 60
        assert times == sorted(set(times))
