"""`tfarm doctor` (IO): looks at the driver, and lets a process a device try one real round.

A device that hangs costs its time limit and nothing else; a driver that crashes takes its own
process along. What follows from the answers stands in `diagnosis.py`.
"""

import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from common.access.exposure import exposure
from common.config.recording import Upload
from common.config.settings import Settings
from common.extras import S3, WEBRTC, install_words, is_installed
from common.ipc.identity import CPU
from common.media.units import VideoCodec
from common.process import sandbox
from common.process.certificate_files import dates, new_context, why_not
from common.srt import installed as libsrt
from common.version import VERSION
from supervisor.commands.banner import configured_addresses
from supervisor.commands.doctor.cluster import ClusterFindings, examine_cluster
from supervisor.commands.doctor.diagnosis import GPU_PACKAGES, DeviceFinding, Findings
from supervisor.commands.doctor.room import PlannedGpu, streams_here
from supervisor.hardware.device_ids import is_called
from supervisor.hardware.gpus import Driver, Gpu, look_up_driver, names, pci_gpus
from supervisor.placement.cost import FULL_HD30
from supervisor.placement.encoding import not_encoded

# The kernels are compiled in it, on a host that may be busy.
PROBE_TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 1024 * 1024


def examine(
    settings: Settings,
    *,
    seconds: float = 2.0,
    is_farm_running: bool = False,
    timeout_s: float = PROBE_TIMEOUT_S,
) -> Findings:
    """Look at this host; a round of `seconds` on each device, one after the other."""
    unused = Driver(problem="not looked for: devices.use_gpus = false")
    driver = look_up_driver() if settings.devices.use_gpus else unused
    missing = tuple(name for name in GPU_PACKAGES if importlib.util.find_spec(name) is None)
    arguments = ["--seconds", str(seconds)]
    label = "the host's cores"
    if settings.software.workers == 0:
        devices = [DeviceFinding("cpu", label, unfit_by="software.workers = 0")]
    else:
        devices = [_probed("cpu", label, "", arguments, timeout_s)]
    if not is_farm_running:
        arguments = [*arguments, "--sessions"]
    for gpu in driver.gpus:
        devices.append(_gpu(gpu, settings, missing, arguments, timeout_s))
    cores = len(os.sched_getaffinity(0))
    cluster = ClusterFindings()
    if settings.cluster.is_enabled:
        cluster = examine_cluster(settings.cluster, time.time(), is_farm_running=is_farm_running)
    devices = [_with_use(device, settings, cores) for device in devices]
    return Findings(
        version=VERSION,
        python=platform.python_version(),
        cores=cores,
        driver=driver.version,
        cuda=driver.cuda,
        driver_problem=driver.problem,
        bus_gpus=pci_gpus(),
        missing_packages=missing,
        uses_gpus=settings.devices.use_gpus,
        sandbox_lacks=tuple(sandbox.missing()),
        sandbox_problems=_sandbox_problems(timeout_s) if settings.has_sandbox else "",
        uses_sandbox=settings.has_sandbox,
        exposure=exposure(settings, configured_addresses(settings)),
        certificate=settings.tls.certificate if takes_tls(settings) else "",
        certificate_problem=certificate_problem(settings, time.time()),
        devices=tuple(devices),
        lacks_webrtc=(settings.webrtc.is_enabled or settings.listen_whip is not None)
        and not is_installed(WEBRTC),
        webrtc_problem=_webrtc_problem(timeout_s) if settings.webrtc.is_enabled else "",
        lacks_libsrt=settings.listen_srt is not None and not libsrt.is_there(),
        buckets=tuple(dict.fromkeys(upload.shown for upload in _uploads(settings))),
        bucket_problems=_bucket_problems(settings, timeout_s),
        pip=f"{sys.executable} -m pip",
        cluster=settings.cluster.host if settings.cluster.is_enabled else "",
        etcd_versions=cluster.versions,
        cluster_problems=cluster.problems,
    )


def _sandbox_problems(timeout_s: float) -> str:
    """What a process cannot close to itself here, though the kernel could; "": nothing."""
    command = [sys.executable, "-P", "-m", "common.process.sandbox_trial"]
    answer = ask_child(command, visible_gpu(""), timeout_s)
    return str(answer.get("problems", "")) or str(answer.get("error", ""))


def _webrtc_problem(timeout_s: float) -> str:
    """Why the packages for WebRTC, which are installed, cannot be used; "": they can."""
    if not is_installed(WEBRTC):
        return ""
    command = [sys.executable, "-P", "-m", "common.process.extras_trial", WEBRTC]
    answer = ask_child(command, visible_gpu(""), timeout_s)
    return str(answer.get("problem", "")) or str(answer.get("error", ""))


def _uploads(settings: Settings) -> list[Upload]:
    """Where recordings are copied to, each bucket once."""
    rules = [template.recording for template in settings.templates]
    return list(dict.fromkeys(rule.upload for rule in rules if rule.is_uploaded))


def _bucket_problems(settings: Settings, timeout_s: float) -> tuple[str, ...]:
    """Which buckets take no files, and why."""
    uploads = _uploads(settings)
    if uploads and not is_installed(S3):
        return (f"recordings are not uploaded: {install_words(S3)}",)
    found = []
    for upload in uploads:
        arguments = json.dumps(asdict(upload))
        command = [sys.executable, "-P", "-m", "egress.upload.trial", arguments]
        answer = ask_child(command, visible_gpu(""), timeout_s)
        if problem := str(answer.get("problem", "")) or str(answer.get("error", "")):
            found.append(f"the bucket {upload.shown} takes no files: {problem}")
    return tuple(found)


def takes_tls(settings: Settings) -> bool:
    """Tell if any listener does."""
    has_https = settings.web.is_enabled and settings.listen_https is not None
    return settings.listen_tls is not None or has_https


def certificate_problem(settings: Settings, now_unix: float) -> str:
    """What is wrong with a certificate or its key, or will be in two weeks; "": nothing."""
    if not takes_tls(settings):
        return ""
    pairs = [(settings.tls.certificate, settings.tls.key or settings.tls.certificate)]
    pairs += [(file, file) for _, file in settings.tls.named]
    return next(
        filter(None, (_problem(Path(file), Path(key), now_unix) for file, key in pairs)), ""
    )


def _problem(certificate: Path, key: Path, now_unix: float) -> str:
    """The same of one certificate."""
    try:
        new_context(certificate, key)
        complaint = dates(certificate).complaint(now_unix)
    except (OSError, ValueError) as error:
        return why_not(error, certificate, key)
    return f"the certificate {certificate} {complaint}" if complaint else ""


def _with_use(device: DeviceFinding, settings: Settings, cores: int) -> DeviceFinding:
    """A device with what it takes of the templates."""
    streams, lacking = _streams(device, settings, cores), _lacking(device, settings)
    return replace(device, streams=streams, lacking=lacking)


def _lacking(device: DeviceFinding, settings: Settings) -> tuple[str, ...]:
    """What a device that is used does not encode of what the templates ask, by key."""
    if device.used_as is None:
        return ()
    announced = [VideoCodec(name) for name in device.report.get("encodes", ())]
    return tuple(
        f"{key}: it encodes no {codec.label}"
        for key, codec in not_encoded(settings.templates, announced)
    )


def _streams(device: DeviceFinding, settings: Settings, cores: int) -> dict[str, int]:
    """How many streams of 1080p30 a device takes, by app; of one that is not used none."""
    if device.used_as is None:
        return {}
    gpu = None
    if device.name != CPU:
        memory = int(device.report["memory_total"])
        gpu = PlannedGpu(device.name, device.pci_id, device.label, memory, device.used_as)
    return streams_here(settings, cores, FULL_HD30, gpu)


def _gpu(
    gpu: Gpu,
    settings: Settings,
    missing: Sequence[str],
    arguments: Sequence[str],
    timeout_s: float,
) -> DeviceFinding:
    if is_called(settings.devices.exclude, names(gpu)):
        return DeviceFinding(gpu.uuid, gpu.name, gpu.pci_id, unfit_by="devices.exclude")
    if missing:
        problem = f"packages missing: {', '.join(missing)}"
        return DeviceFinding(gpu.uuid, gpu.name, gpu.pci_id, problem=problem)
    return _probed(gpu.uuid, gpu.name, gpu.pci_id, arguments, timeout_s)


def _probed(
    device: str, label: str, pci_id: str, arguments: Sequence[str], timeout_s: float
) -> DeviceFinding:
    command = [sys.executable, "-P", "-m", "worker.bench.probe", "--device", device, *arguments]
    answer = ask_child(command, visible_gpu("" if device == "cpu" else device), timeout_s)
    if "error" in answer:
        return DeviceFinding(device, label, pci_id, problem=str(answer["error"]))
    label = str(answer.get("name") or answer.get("label") or label)
    return DeviceFinding(device, label, pci_id, report=answer)


def visible_gpu(uuid: str) -> dict[str, str]:
    """The environment of a child that sees this GPU alone; "": none."""
    return {**os.environ, "PYTHONSAFEPATH": "1", "CUDA_VISIBLE_DEVICES": uuid}


def ask_child(command: Sequence[str], environ: dict[str, str], timeout_s: float) -> dict[str, Any]:
    """The JSON object that a child prints last; `{"error": why}` when there is none."""
    with subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            out, errors = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return {"error": f"no answer within {timeout_s:g} s"}
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
    lines = out[-MAX_ANSWER_BYTES:].decode(errors="replace").strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    last = errors.decode(errors="replace").strip().splitlines()
    detail = f": {last[-1][:300]}" if last else ""
    return {"error": f"its process ended without an answer ({_ended(child.returncode)}){detail}"}


def _ended(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def load_settings(config: Path | None) -> Settings:
    """The settings of a file, else the built-in ones. Raises ConfigError."""
    from common.config.load import load

    return Settings() if config is None else load(config)
