"""The children that calibrate, as processes: they answer, crash, fall silent."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import av
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from typer.testing import CliRunner

from common.config.ladder import Template
from common.config.settings import DEFAULT_RENDITIONS, Devices, Settings, Software
from common.errors import ConfigError
from supervisor.commands.calibrate import measuring
from supervisor.commands.calibrate.measuring import (
    CannotCalibrate,
    check_clip,
    devices_for,
    measure,
    merge,
    read_old,
    templates_for,
    workers_for,
    write,
)
from supervisor.commands.line.cli import app
from supervisor.hardware.gpus import Gpu
from supervisor.placement.calibration import Calibrated, Measured
from tests.supervisor.placement.test_calibration import entry, measured

TRIAL = {"streams": 2, "p50_ms": 4.0, "p99_ms": 9.0, "missing": 0, "cores": 0.5, "frame_ms": 33.3}
GPUS = (Gpu("GPU-a", "00000000:65:00.0", "NVIDIA L4", 1),)


def follow(code: str) -> tuple[dict[str, object], list[str]]:
    said: list[str] = []
    answer = measuring._follow([sys.executable, "-c", code], dict(os.environ), 1.0, said.append)
    return answer, said


def test_trials_are_told_as_they_come_and_the_result_is_last() -> None:
    lines = ["a library's words", json.dumps({"trial": TRIAL})]
    lines += [json.dumps({"trial": TRIAL | {"missing": 3}}), json.dumps({"result": {"a": 1}})]
    answer, said = follow(f"print({chr(10).join(lines)!r})")
    assert answer == {"result": {"a": 1}}
    assert said[0].strip() == "2 streams: median 4.0 ms, p99 9.0 ms late, 0.50 cores: real time"
    assert "3 frames missing" in said[1]
    assert said[1].endswith("too many")


def test_a_child_that_crashes_says_how() -> None:
    answer, _ = follow("import os; os.kill(os.getpid(), 11)")
    assert answer == {"error": "its process ended without a result (status -11)"}
    answer, _ = follow("raise SystemExit('boom')")
    assert "boom" in str(answer["error"])


def test_a_child_that_falls_silent_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "NO_LINE_S", -0.5)
    answer, _ = follow("import time; time.sleep(60)")
    assert "said nothing" in str(answer["error"])


def test_a_gpus_child_sees_that_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], str]] = []

    def follow(command: list[str], environ: dict[str, str], *_: object) -> dict[str, str]:
        seen.append((command, environ["CUDA_VISIBLE_DEVICES"]))
        return {"error": "x"}

    monkeypatch.setattr(measuring, "_follow", follow)
    live = Template("live", DEFAULT_RENDITIONS)
    for device in ("cpu", "GPU-a"):
        found = measure(device, live, seconds=3, config=Path("f"), clip=Path("c"), say=print)
        assert found == Measured(device, "live", {}, "x")
    assert [environ for _, environ in seen] == ["", "GPU-a"]
    assert seen[1][0][-6:] == ["--workers", "1", "--config", "f", "--clip", "c"]


def test_devices_are_called_as_people_call_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "find_gpus", lambda devices: GPUS)
    assert devices_for(Settings(), None) == ["cpu", "GPU-a"]
    assert devices_for(Settings(), "65:00.0") == ["GPU-a"]
    assert devices_for(Settings(), "cpu:0") == ["cpu"]
    assert devices_for(Settings(software=Software(workers=0)), None) == ["GPU-a"]
    with pytest.raises(CannotCalibrate, match="there are: cpu, GPU-a"):
        devices_for(Settings(), "66:00.0")


@pytest.mark.parametrize(
    ("other", "workers"),
    [("hybrid", 6), ("gpu-only", 12), (None, 6)],  # what cannot tell may be hybrid
)
def test_a_trial_has_a_process_for_a_gpus_part_of_the_cores(
    other: str | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(command: list[str], environ: dict[str, str], timeout_s: float) -> dict[str, str]:
        asked = environ["CUDA_VISIBLE_DEVICES"]
        assert asked in command
        used_as = "hybrid" if asked == "GPU-a" else other
        return {"used_as": used_as} if used_as else {"error": "no answer within 60 s"}

    gpus = (*GPUS, replace(GPUS[0], uuid="GPU-b"))
    measuring._may_be_hybrid.cache_clear()
    monkeypatch.setattr(measuring, "ask_child", answer)
    monkeypatch.setattr(measuring, "find_gpus", lambda devices: gpus)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(48))
    assert workers_for(Settings(), "cpu") == 6
    assert workers_for(Settings(), "GPU-a") == workers
    measuring._may_be_hybrid.cache_clear()
    assert workers_for(Settings(devices=Devices(encoder_processes=4)), "GPU-a") == 4
    assert workers_for(Settings(software=Software(workers=0)), "cpu") == 1
    assert workers_for(Settings(software=Software(encoder_processes=True)), "cpu") == 12


def test_templates_without_renditions_are_passed_by() -> None:
    settings = Settings(templates=(Template("live", DEFAULT_RENDITIONS), Template("raw", ())))
    assert [template.name for template in templates_for(settings, None)] == ["live"]
    with pytest.raises(CannotCalibrate, match="raw"):
        templates_for(settings, "raw")


def test_a_second_run_keeps_what_the_first_measured_of_other_devices(tmp_path: Path) -> None:
    out = tmp_path / "calibration.toml"
    live = Template("live", DEFAULT_RENDITIONS)
    write(merge([measured(device="GPU-b")], [live], Settings(), read_old(out)), out)
    failed = Measured("cpu", "live", {}, "no codec")
    again = merge([measured(streams=7), failed], [live], Settings(), read_old(out))
    assert {e.device: e.streams for e in again.entries} == {"GPU-a": 7, "GPU-b": 90}
    write(again, out)
    assert [path.name for path in tmp_path.iterdir()] == ["calibration.toml"]
    assert "[devices.capacity]" in out.read_text()


@pytest.mark.parametrize("first_streams", [0, 3, 12], ids=["no cpu", "slower", "faster"])
def test_the_cores_of_an_older_run_follow_the_hosts_capacity(
    tmp_path: Path, first_streams: int
) -> None:
    """A hybrid GPU's encoders share the cores with `cpu`: both must be in one unit."""
    templates, out = [Template("live", DEFAULT_RENDITIONS)], tmp_path / "calibration.toml"
    gpu, cpu = measured("hybrid", 8), measured("software", 6, "cpu")
    before = [gpu, measured("software", first_streams, "cpu")] if first_streams else [gpu]
    write(merge(before, templates, Settings(), read_old(out)), out)
    apart = merge([cpu], templates, Settings(), read_old(out))
    together = merge([gpu, cpu], templates, Settings(), Calibrated((), {}))
    assert apart.capacity == together.capacity
    cores = [{e.device: e.cores for e in found.entries} for found in (apart, together)]
    assert cores[0]["GPU-a"] == pytest.approx(cores[1]["GPU-a"], rel=1e-4)


def test_runs_beside_one_another_keep_what_each_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "calibration.toml"

    def other_run(*_: object, **__: object) -> Measured:
        write(Calibrated((entry(measured(device="GPU-b")),), {}), out)
        return measured(device="GPU-a")

    monkeypatch.setattr(measuring, "measure", other_run)
    monkeypatch.setattr(measuring, "devices_for", lambda *_: ["GPU-a"])
    arguments = ["calibrate", "--out", str(out), "--run-dir", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert {entry.device for entry in read_old(out).entries} == {"GPU-a", "GPU-b"}


def test_a_file_that_cannot_be_written_leaves_no_draft(tmp_path: Path) -> None:
    out = tmp_path / "calibration.toml"
    out.mkdir()
    with pytest.raises(OSError, match=r"calibration\.toml"):
        write(Calibrated((entry(measured()),), {"GPU-a": 1.0}), out)
    assert [path.name for path in tmp_path.iterdir()] == ["calibration.toml"]


def test_a_file_that_could_not_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a directory"):
        read_old(tmp_path)
    with pytest.raises(ValueError, match="No such file or directory"):
        read_old(tmp_path / "none" / "calibration.toml")
    (tmp_path / "calibration.toml").write_text("streams = [")
    with pytest.raises(ConfigError, match="is no TOML"):
        read_old(tmp_path / "calibration.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["calibration.toml"]


def test_a_clip_is_looked_at_before_anything_is_measured(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    with pytest.raises(ValueError, match=r"cannot be read: .*No such file"):
        check_clip(clip)
    clip.write_text("no clip")
    with pytest.raises(ValueError, match="cannot be read"):
        check_clip(clip)
    for codec, holds in (("mpeg4", False), ("libx264", True)):
        with av.open(str(clip), "w") as container:
            stream = container.add_stream(codec, rate=25)
            assert isinstance(stream, VideoStream)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(VideoFrame(64, 64, "yuv420p")))
            container.mux(stream.encode())
        if holds:
            check_clip(clip)
            clip.write_bytes(clip.read_bytes().replace(b"avc1", b"none"))
            with pytest.raises(ValueError, match=r"holds no H\.264"):
                check_clip(clip)
        else:
            with pytest.raises(ValueError, match=r"holds no H\.264"):
                check_clip(clip)
