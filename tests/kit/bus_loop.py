"""Scenarios with sockets of a bus, each on a loop of its own."""

import asyncio
from collections.abc import Awaitable, Callable

from common.ipc.bus import Bus
from tests.kit.waiting import patient

TIMEOUT_S = patient(20.0)


def run(scenario: Callable[[Bus], Awaitable[None]]) -> None:
    """Run it, and close the bus. Raises TimeoutError where it takes longer than `TIMEOUT_S`."""

    async def bounded() -> None:
        bus = Bus()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await scenario(bus)
        finally:
            bus.close()

    asyncio.run(bounded())
