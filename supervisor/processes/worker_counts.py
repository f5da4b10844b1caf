"""How many worker processes each device has. Pure.

One process has one GIL, which ends before the cores do where it encodes on many of them: software,
and GPUs without NVENC. These have several workers, by the host's cores unless set; a GPU that
encodes itself has one. What a GPU is used as is known from its first worker's hello, so that is
started alone, and the others after it.
"""

from collections.abc import Iterable, Sequence

from common.config.ladder import Pipeline
from common.config.settings import Settings
from common.ipc.control_messages import Hello
from common.ipc.identity import ChildId, gpu_worker

CORES_A_WORKER = 8  # in software
CORES_A_HYBRID_WORKER = 4  # where threads wait for the GPU, too, and come back for the GIL
LEAST_SOFTWARE = 2  # one takes over what the other loses


def software_workers(settings: Settings, cores: int) -> int:
    """Processes on the host's cores."""
    given = settings.software.workers
    return max(LEAST_SOFTWARE, cores // CORES_A_WORKER) if given is None else given


def hybrid_workers(settings: Settings, cores: int, gpus: int) -> int:
    """Processes of each hybrid GPU, where `gpus` of them share the cores."""
    given = settings.devices.hybrid_workers
    return max(1, cores // CORES_A_HYBRID_WORKER // max(1, gpus)) if given is None else given


def further_workers(
    settings: Settings, cores: int, gpus: Sequence[str], hellos: Iterable[Hello]
) -> list[ChildId]:
    """The workers that GPUs known to be hybrid want beside their first.

    `gpus` are the UUIDs of all GPUs of the farm; one that no worker has reported yet may be hybrid.
    """
    is_hybrid = _is_hybrid(hellos)
    count = hybrid_workers(settings, cores, sum(is_hybrid.get(gpu, True) for gpu in gpus))
    known = [gpu for gpu in gpus if is_hybrid.get(gpu, False)]
    return [gpu_worker(gpu, index) for gpu in known for index in range(1, count)]


def share_of(
    worker: ChildId, settings: Settings, cores: int, gpus: Sequence[str], hellos: Iterable[Hello]
) -> int:
    """Among how many hybrid workers, itself included, one shares the turns to encode."""
    if worker.is_software:
        return 1
    is_hybrid = _is_hybrid(hellos)
    may_be = [gpu for gpu in gpus if is_hybrid.get(gpu, True)]
    return max(1, len(may_be) * hybrid_workers(settings, cores, len(may_be)))


def _is_hybrid(hellos: Iterable[Hello]) -> dict[str, bool]:
    """Tell it of each GPU that a worker of its own has reported."""
    return {
        hello.child.device: hello.device.path is Pipeline.HYBRID
        for hello in hellos
        if hello.device is not None
    }
