"""What a device can do, for `tfarm doctor`: a process of its own that answers in JSON (IO).

`python -P -m worker.bench.probe --device cpu|UUID [--sessions]` opens the device as a worker would
and makes one real round on it. Its answer is one JSON object on the last line of stdout: the fields
of `SoftwareReport`, or of `worker.devices.gpu.probe.GpuReport`, or `{"error": why}` with exit code
3.
"""

import argparse
import json
import logging
import os
import re
import sys
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from common.errors import BootFailed, ExitCode, WorkerError
from common.ipc.identity import CPU

_X264 = re.compile(rb"x264 - core (\d+(?: r\d+)?)")  # in the SEI of its first picture


@dataclass(frozen=True, slots=True)
class SoftwareReport:
    """What the host's cores do."""

    label: str
    cores: int
    memory_free: int
    memory_total: int
    used_as: str
    notes: tuple[str, ...]
    round_fps: float  # 1080p H.264 → 720p, 480p, 360p H.264, one stream on one thread
    versions: dict[str, str]
    encodes: tuple[str, ...] = ()  # codecs of renditions


def probe_software(seconds: float) -> SoftwareReport:
    """Raises WorkerError."""
    import av

    from worker.bench.trial import moving_clip, run_round
    from worker.devices.software.device import SoftBackend

    backend = SoftBackend("cpu")
    clip = moving_clip()
    x264 = _X264.search(clip.units[0])
    memory = psutil.virtual_memory()
    return SoftwareReport(
        label=backend.info.label,
        cores=len(os.sched_getaffinity(0)),
        memory_free=memory.available,
        memory_total=memory.total,
        used_as=backend.info.path.value,
        notes=backend.info.notes,
        round_fps=round(run_round(backend, clip, seconds), 1),
        versions={
            "PyAV": av.__version__,
            "FFmpeg": av.ffmpeg_version_info,
            "libx264": x264[1].decode() if x264 else "unknown",
        },
        encodes=backend.info.encodes,
    )


def probe(device: str, seconds: float, *, counts_sessions: bool) -> dict[str, Any]:
    """The report as a JSON object. Raises WorkerError."""
    if device == CPU:
        return asdict(probe_software(seconds))
    from worker.devices.gpu.probe import probe as probe_gpu

    return asdict(probe_gpu(device, seconds, counts_sessions=counts_sessions))


def main() -> int:
    parser = argparse.ArgumentParser(prog="worker.bench.probe", description=__doc__)
    parser.add_argument("--device", required=True, help="cpu, or a GPU's UUID")
    parser.add_argument("--seconds", type=float, default=2.0, help="of the round")
    parser.add_argument(
        "--sessions", action="store_true", help="open encoders until the driver refuses one"
    )
    arguments = parser.parse_args()
    if arguments.device != CPU:
        # before any CUDA library is imported: no context, no memory on any other GPU
        os.environ["CUDA_VISIBLE_DEVICES"] = arguments.device
    logging.disable(logging.CRITICAL)
    answer: dict[str, Any]
    code = ExitCode.OK
    try:
        answer = probe(arguments.device, arguments.seconds, counts_sessions=arguments.sessions)
    except WorkerError as error:
        answer, code = {"error": str(error)}, ExitCode.BOOT_FAILED
    except ImportError as error:
        failed = BootFailed(
            f"{error}; install requirements/gpu12.txt or gpu13.txt, as the driver's CUDA is"
        )
        answer, code = {"error": str(failed)}, ExitCode.BOOT_FAILED
    print(json.dumps(answer), flush=True)
    return code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a driver that hangs at its end must not hold the answer up
