"""Waiting for a condition, with a deadline that says what was waited for."""

import asyncio
import time
from collections.abc import Callable

DEADLINE_S = 30.0  # where a test has no limit of its own


def until(
    condition: Callable[[], object],
    timeout: float = DEADLINE_S,
    what: str = "",
    every: float = 0.05,
) -> None:
    """Look again and again until the condition holds; fails at the deadline, saying what."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(every)


async def until_async(condition: Callable[[], object]) -> None:
    """The same inside a loop, by its clock, which may be a virtual one."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while not condition():
        assert loop.time() < deadline, f"not within {DEADLINE_S} s"
        await asyncio.sleep(0.001)
