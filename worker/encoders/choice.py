"""Which encoder process a stream's pictures go to. Pure.

All renditions of a stream go to the same one: a picture is one message, and whoever has encoded the
last of it tells egress that this was the last. The process with the least to encode takes a stream,
by the pixel rate of the streams that this worker has there; of equal ones the first from a place of
the worker's own on, so that the workers of several GPUs do not all begin with the same.
"""

import zlib
from collections.abc import Mapping, Sequence

from common.config.ladder import RenditionFormat
from common.ipc.identity import BootId, ChildId

ProcessName = tuple[ChildId, BootId]  # of one incarnation

DEFAULT_FPS = 30


def weight(renditions: Sequence[tuple[RenditionFormat, float]]) -> float:
    """Samples a second of renditions at these rates."""
    return sum(one.width * one.height * (fps or DEFAULT_FPS) for one, fps in renditions)


def first_turn(worker: ChildId) -> int:
    """Where among equals a worker begins."""
    return zlib.crc32(worker.text.encode())


def least_loaded(loads: Mapping[ProcessName, float], turn: int) -> ProcessName | None:
    """The process that takes the next stream; None: there is none.

    `loads` has every process that takes streams, with what it has already.
    """
    names = sorted(loads)
    if not names:
        return None
    begin = turn % len(names)
    return min(names[begin:] + names[:begin], key=lambda name: loads[name])


def better_than(
    present: ProcessName, own: float, loads: Mapping[ProcessName, float], turn: int
) -> ProcessName | None:
    """The process to which a stream of that weight had better move; None: it stays.

    It moves where the larger of the two loads becomes smaller: a process that came (back) gets its
    part, and then nothing moves to and fro.
    """
    others = {name: load for name, load in loads.items() if name != present}
    target = least_loaded(others, turn)
    if target is None or present not in loads:
        return target
    return target if others[target] + own < loads[present] else None
