"""`tfarm calibrate` (IO): a process a template and device measures, this one writes the file.

The children do the work (`worker/bench/calibrate.py`) and say each trial as they go; a running farm
is asked first, so that streams are neither disturbed nor measured along.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from common.config.ladder import Pipeline, Template
from common.config.load import load
from common.config.settings import Calibration, Settings
from common.errors import TfarmError
from common.ipc.identity import CPU, cpu_worker
from common.version import VERSION
from supervisor.commands.doctor.examination import ask_child, visible_gpu
from supervisor.commands.line.client import status as ask_status
from supervisor.commands.line.client import understanding
from supervisor.hardware.device_ids import is_called
from supervisor.hardware.gpus import find_gpus, names
from supervisor.placement.calibration import (
    Calibrated,
    Measured,
    as_calibration,
    busy_devices,
    combine,
    rescaled,
    to_toml,
)
from supervisor.placement.cost import CAPACITY_PER_CORE
from supervisor.processes.run_dir import is_served
from supervisor.processes.worker_counts import (
    encoder_processes,
    software_workers,
    trial_processes,
)

# Without a line of a child: one trial, its sessions' opening and closing, a GPU's first kernels.
NO_LINE_S = 150.0
ASK_S = 60.0  # a GPU what it is
MAX_LINE = 1024 * 1024

Say = Callable[[str], None]


class CannotCalibrate(TfarmError):
    """Something is in the way, in words."""


def devices_for(settings: Settings, wanted: str | None) -> list[str]:
    """The devices to measure. Raises CannotCalibrate when there is none such."""
    gpus = find_gpus(settings.devices)
    found = [CPU] if settings.software.workers != 0 else []
    found += [gpu.uuid for gpu in gpus]
    if wanted is None:
        if not found:
            raise CannotCalibrate("the configuration uses no device")
        return found
    workers = [cpu_worker(index).place for index in range(workers_for(settings, CPU))]
    if wanted in (CPU, *workers):
        return [CPU]
    for gpu in gpus:
        if is_called([wanted], names(gpu)):
            return [gpu.uuid]
    raise CannotCalibrate(f"there is no device {wanted}; there are: {', '.join(found)}")


def workers_for(settings: Settings, device: str) -> int:
    """Processes of a trial there: those that encode, where a GPU's worker hands pictures over."""
    cores = len(os.sched_getaffinity(0))
    if device == CPU and settings.software.encoder_processes:
        return encoder_processes(settings, cores)
    if device == CPU:
        return max(1, software_workers(settings, cores))
    return trial_processes(settings, cores, _sharing_cores(settings))


def _sharing_cores(settings: Settings) -> int:
    """Count the GPUs that share the cores for their encoders: others encode themselves."""
    gpus = find_gpus(settings.devices)
    if len(gpus) == 1 or settings.devices.encoder_processes is not None:
        return len(gpus)  # which kind they are makes no difference
    return sum(_may_be_hybrid(gpu.uuid) for gpu in gpus)


@cache
def _may_be_hybrid(uuid: str) -> bool:
    """Tell if a GPU is one for the farm's count; one that cannot be asked may be."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "worker.bench.probe",
        "--device",
        uuid,
        "--seconds",
        "0.1",
    ]
    answer = ask_child(command, visible_gpu(uuid), ASK_S)
    return bool(answer.get("used_as", Pipeline.HYBRID.value) == Pipeline.HYBRID.value)


def templates_for(settings: Settings, wanted: str | None) -> list[Template]:
    """The templates that transcode. Raises CannotCalibrate."""
    found = [t for t in settings.templates if t.renditions and wanted in (None, t.name)]
    if not found:
        raise CannotCalibrate(
            f"no template {wanted} with renditions" if wanted else "no template has renditions"
        )
    return found


def refuse_if_busy(run_dir: Path, devices: Sequence[str]) -> None:
    """Ask a running farm whether streams run there. Raises CannotCalibrate."""
    if not is_served(run_dir):
        return
    document = ask_status(run_dir)
    with understanding():
        words = [word for device in devices for word in busy_devices(document, device)]
    if words:
        raise CannotCalibrate(
            f"the farm in {run_dir} is at work: {'; '.join(dict.fromkeys(words))}. "
            "Drain it first, or calibrate another device"
        )


def measure(
    device: str,
    template: Template,
    *,
    workers: int = 1,
    seconds: float,
    config: Path | None,
    clip: Path | None,
    say: Say,
) -> Measured:
    """One template on one device, in a child of its own, which starts the further workers."""
    command = [sys.executable, "-P", "-m", "worker.bench.calibrate", "--device", device]
    command += ["--template", template.name, "--seconds", str(seconds), "--workers", str(workers)]
    if config is not None:
        command += ["--config", str(config)]
    if clip is not None:
        command += ["--clip", str(clip)]
    answer = _follow(command, visible_gpu("" if device == CPU else device), seconds, say)
    if "error" in answer:
        return Measured(device, template.name, {}, str(answer["error"]))
    return Measured(device, template.name, answer["result"])


def _follow(
    command: Sequence[str], environ: dict[str, str], seconds: float, say: Say
) -> dict[str, Any]:
    """Run a child, and pass its trials on; its result."""
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            answer = _read(child, seconds + NO_LINE_S, say)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
        finally:
            if child.stdout is not None:
                child.stdout.close()
        child.wait()
        if answer is not None:
            return answer
        errors.seek(0)
        last = errors.read()[-2000:].decode(errors="replace").strip().splitlines()
    detail = f": {last[-1]}" if last else ""
    return {"error": f"its process ended without a result (status {child.returncode}){detail}"}


def _read(child: "subprocess.Popen[bytes]", no_line_s: float, say: Say) -> dict[str, Any] | None:
    """Read the child's result, None if it ends without one; it is killed when no line comes."""
    assert child.stdout is not None
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    out = child.stdout

    def pump() -> None:
        while line := out.readline(MAX_LINE):
            lines.put(line)
        lines.put(b"")

    reader = threading.Thread(target=pump, name="calibrate output", daemon=True)
    reader.start()
    answer: dict[str, Any] | None = None
    while True:
        try:
            line = lines.get(timeout=no_line_s)
        except queue.Empty:
            os.killpg(child.pid, signal.SIGKILL)
            reader.join()
            return {"error": f"it said nothing for {no_line_s:.0f} s and was killed"}
        if not line:
            reader.join()
            return answer
        try:
            document = json.loads(line)
        except ValueError:
            continue  # a driver's or a library's own words
        if not isinstance(document, dict):
            continue
        if "trial" in document:
            say(_trial_words(document["trial"]))
        else:
            answer = document


def _trial_words(trial: dict[str, Any]) -> str:
    slowest_ms = max(trial["p50_ms"], trial["p99_ms"])
    passed = trial["missing"] == 0 and slowest_ms < trial["frame_ms"]
    lost = f", {trial['missing']} frames missing" if trial["missing"] else ""
    return (
        f"  {trial['streams']:4} streams: median {trial['p50_ms']:.1f} ms, p99 "
        f"{trial['p99_ms']:.1f} ms late{lost}, "
        f"{trial['cores']:.2f} cores: {'real time' if passed else 'too many'}"
    )


def check_clip(clip: Path) -> None:
    """Check that it holds what is to be measured with. Raises ValueError."""
    import av
    import av.error

    try:
        with av.open(str(clip)) as container:
            # what FFmpeg has no decoder for has no context, whatever PyAV's annotations say
            names = [getattr(s.codec_context, "name", "") for s in container.streams.video]
    except (av.error.FFmpegError, OSError) as error:
        raise ValueError(f"{clip} cannot be read: {error}") from error
    if "h264" not in names:
        raise ValueError(f"{clip} holds no H.264")


def read_old(out: Path) -> Calibrated:
    """Read the file that is to be written; nothing where there is none yet.

    Raises:
        ConfigError: it is there and no configuration.
        ValueError: it could not be written: better now than after the measurement.
    """
    if out.is_dir():
        raise ValueError(f"cannot write {out}: it is a directory")
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ValueError(f"cannot write {out}: {error.strerror or error}") from error
    if not out.exists():
        return Calibrated((), {})
    settings = load(out)
    capacity = dict(settings.devices.capacity)
    if settings.software.capacity is not None:
        capacity[CPU] = settings.software.capacity
    return Calibrated(settings.calibration, capacity)


def merge(
    measured: Sequence[Measured],
    templates: Sequence[Template],
    settings: Settings,
    old: Calibrated,
) -> Calibrated:
    """Put together what was measured now, and what the file held of others.

    Cores are given in the unit of the host's capacity, which each run of `cpu` measures anew.
    """
    by_name = {template.name: template for template in templates}
    new: list[Calibration] = []
    for item in measured:
        entry = as_calibration(item, by_name[item.template]) if not item.problem else None
        if entry is not None:
            new.append(entry)
    by_count = len(os.sched_getaffinity(0)) * CAPACITY_PER_CORE
    given = settings.software.capacity
    unmeasured = given if given is not None else by_count
    had = old.capacity.get(CPU, unmeasured)
    on_cores = ([e for e in entries if e.device == CPU] for entries in (new, old.entries))
    has = combine(*on_cores).capacity.get(CPU, unmeasured)
    return combine(rescaled(new, by_count, has), rescaled(old.entries, had, has))


def write(found: Calibrated, out: Path) -> None:
    """The file, whole or not at all."""
    comment = (
        f"Written by tfarm {VERSION} calibrate, {time.strftime('%Y-%m-%d %H:%M')}.",
        f'A configuration takes it in with include = ["{out.name}"] before its first table.',
    )
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        draft.write_text(to_toml(found, comment))
        os.replace(draft, out)
    finally:
        draft.unlink(missing_ok=True)
