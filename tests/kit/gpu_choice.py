"""One GPU for a test process, chosen before anything in it touches CUDA.

A worker wants to see one GPU, and CUDA reads `CUDA_VISIBLE_DEVICES` once, when it is first used. So
`tests/conftest.py` calls `choose_for_this_process` when pytest starts, before any test module is
imported. The GPUs that pytest itself was allowed to use stay in `TFARM_TEST_GPUS`: the processes of
pytest-xdist share them out, and a test that needs more than one finds them there.
"""

import os
from collections.abc import MutableMapping, Sequence
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
ALLOWED = "TFARM_TEST_GPUS"
XDIST_WORKER = "PYTEST_XDIST_WORKER"  # "gw0", "gw1", …


def allowed_gpus(uuids: Sequence[str], visible: str | None) -> list[str]:
    """Those of the host's GPUs that `CUDA_VISIBLE_DEVICES` allows, in its order.

    `uuids` come in PCI order. As CUDA reads it: indexes, UUIDs or their beginnings, and nothing
    counts from the first entry on that names no GPU. An instance of a GPU (MIG) stays as it is.
    """
    if visible is None:
        return list(uuids)
    allowed: list[str] = []
    for entry in map(str.strip, visible.split(",")):
        if entry.startswith("MIG-"):
            found = [entry]
        elif entry.isdecimal():
            found = list(uuids[int(entry) : int(entry) + 1])
        else:
            found = [uuid for uuid in uuids if entry and uuid.startswith(entry)]
        if len(found) != 1:
            break
        allowed += found
    return allowed


def choose_gpu(allowed: Sequence[str], xdist_worker: str = "") -> str:
    """The GPU of this process; "" where none is allowed."""
    if not allowed:
        return ""
    number = xdist_worker.removeprefix("gw")
    return allowed[(int(number) if number.isdecimal() else 0) % len(allowed)]


def set_up(environment: MutableMapping[str, str], uuids: Sequence[str]) -> None:
    """Leave one GPU visible, and note those that were allowed."""
    noted = environment.get(ALLOWED)
    allowed = noted.split(",") if noted else allowed_gpus(uuids, environment.get(VISIBLE))
    environment[ALLOWED] = ",".join(allowed)
    environment[VISIBLE] = choose_gpu(allowed, environment.get(XDIST_WORKER, ""))
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"


def choose_for_this_process() -> None:
    """Leave one GPU of this host visible; nothing happens where there is none."""
    if Path("/dev/nvidiactl").exists() and (uuids := _host_gpus()):
        set_up(os.environ, uuids)


def gpus_for_tests() -> list[str]:
    """The UUIDs of all GPUs that tests may use."""
    return [uuid for uuid in os.environ.get(ALLOWED, "").split(",") if uuid]


def _host_gpus() -> list[str]:
    """By NVML, which makes no CUDA context and knows no `CUDA_VISIBLE_DEVICES`."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [
            str(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(index)))
            for index in range(pynvml.nvmlDeviceGetCount())
        ]
    finally:
        pynvml.nvmlShutdown()
