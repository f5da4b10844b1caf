"""How many worker processes each device has, and how many encoder processes the farm. Pure.

One process has one GIL, which ends before the cores do where it encodes on many of them. In
software there are several workers, by the host's cores unless set. A GPU has one worker, and one
CUDA context; where it has no NVENC, encoder processes encode, which all such GPUs of the host
share. What a GPU is used as is known from its worker's hello, so these are started after it.
"""

from collections.abc import Iterable

from common.config.ladder import Pipeline
from common.config.settings import Settings
from common.ipc.control_messages import Hello
from common.ipc.identity import ChildId

CORES_A_WORKER = 8  # in software
CORES_AN_ENCODER = 4  # few enough that one that is lost costs few streams a keyframe
LEAST_SOFTWARE = 2  # one takes over what the other loses
LEAST_ENCODERS = 2  # likewise


def software_workers(settings: Settings, cores: int) -> int:
    """Processes on the host's cores."""
    given = settings.software.workers
    return max(LEAST_SOFTWARE, cores // CORES_A_WORKER) if given is None else given


def encoder_processes(settings: Settings, cores: int) -> int:
    """Encoder processes of a farm that has any."""
    given = settings.devices.encoder_processes
    return max(LEAST_ENCODERS, cores // CORES_AN_ENCODER) if given is None else given


def trial_processes(settings: Settings, cores: int, gpus: int) -> int:
    """Encoder processes of a GPU's calibration, where `gpus` of them share the cores."""
    given = settings.devices.encoder_processes
    return max(1, cores // CORES_AN_ENCODER // max(1, gpus)) if given is None else given


def encoders(settings: Settings, cores: int, hellos: Iterable[Hello]) -> list[ChildId]:
    """The encoder processes that the workers which are up want: none unless the host encodes."""
    pipelines = {hello.device.path for hello in hellos if hello.device is not None}
    shares = settings.software.encoder_processes and Pipeline.SOFTWARE in pipelines
    if not (shares or Pipeline.HYBRID in pipelines):
        return []
    return [ChildId("encoder", index=i) for i in range(encoder_processes(settings, cores))]
