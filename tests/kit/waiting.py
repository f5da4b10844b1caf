"""Waiting for a condition, with a deadline that says what was waited for."""

import asyncio
import time
from collections.abc import Callable

DEADLINE_S = 30.0  # where a test has no limit of its own
PATIENCE = 4.0  # how much longer than on a quiet machine whatever is waited for may take


def patient(seconds: float) -> float:
    """Return the deadline for what takes so long at most on a quiet machine."""
    return seconds * PATIENCE


def until(
    condition: Callable[[], object],
    timeout: float = DEADLINE_S,
    what: str = "",
    every: float = 0.05,
) -> None:
    """Look again and again until the condition holds; fails at the deadline, saying what.

    `timeout` is for a quiet machine: a busy one has `PATIENCE` times as long.
    """
    deadline = time.monotonic() + patient(timeout)
    while not condition():
        assert time.monotonic() < deadline, f"not within {patient(timeout)} s: {what}"
        time.sleep(every)


async def until_async(condition: Callable[[], object]) -> None:
    """The same inside a loop, by its clock, which may be a virtual one."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while not condition():
        assert loop.time() < deadline, f"not within {DEADLINE_S} s"
        await asyncio.sleep(0.001)
