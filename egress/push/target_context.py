"""What a push's target is given of its process. Pure."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from common.config.settings import Settings


@dataclass(frozen=True, slots=True)
class TargetContext:
    """The process, as targets see it."""

    loop: asyncio.AbstractEventLoop
    settings: Callable[[], Settings]
    clock: Callable[[], float]  # CLOCK_MONOTONIC
