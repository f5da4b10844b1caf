"""`StrictClient` over HTTP: its requests go out at once, as a player's do."""

import asyncio
import time
from collections.abc import Callable

import aiohttp

from tests.kit.hls_client import Request, Response, StrictClient


def watch_by_http(
    client: StrictClient, origin: str, is_done: Callable[[StrictClient], bool], timeout_s: float
) -> None:
    """Let a client watch what is at `http://HOST:PORT` until it is done; raises what it raises.

    Then it asks its probes, too.
    """
    asyncio.run(_watch(client, origin, is_done, timeout_s))


async def _watch(
    client: StrictClient, origin: str, is_done: Callable[[StrictClient], bool], timeout_s: float
) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.timeout(timeout_s):
        waiting: set[asyncio.Task[tuple[Request, Response]]] = set()
        while not is_done(client):
            for request in client.wanted():
                waiting.add(asyncio.create_task(_ask(session, origin, request)))
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                client.take(*task.result(), time.monotonic())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        probes = client.probes(time.monotonic())
        for answer in await asyncio.gather(*(_ask(session, origin, one) for one in probes)):
            client.take(*answer, time.monotonic())


async def _ask(
    session: aiohttp.ClientSession, origin: str, request: Request
) -> tuple[Request, Response]:
    async with session.get(origin + request.url) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return request, Response(response.status, headers, await response.read())
