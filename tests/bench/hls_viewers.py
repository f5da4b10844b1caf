"""Viewers of low-latency HLS for `hls.py`, in a process of their own.

They come together, a few at a time. Who has not come by `CONNECT_S` is left out, as where a server
has no time for more: what the others get tells.

    python -m tests.bench.hls_viewers HOST:PORT VIEWERS
"""

import asyncio
import re
import sys
from functools import partial
from typing import Final

from tests.bench.viewers import answer_words

NAME = "360p"
ANSWERS, REFUSED = "answers", "refused"
CONNECT_S: Final = 20.0
AT_ONCE: Final = 8  # that ask for their first playlist
INDEX = f"/live/cam1/index.m3u8?rendition={NAME}"
_HINT = re.compile(rb'PRELOAD-HINT:TYPE=PART,URI="(\d+)\.(\d+)\.m4s')
_LISTED = re.compile(rb'#EXT-X-PART:[^\n]*URI="([^"]+)"')
_QUERY = re.compile(rb'index\.m3u8\?([^\s"]+)')


class Watching(asyncio.Protocol):
    """One track of one viewer: a reload, the part that is listed last, and again."""

    def __init__(self, folder: str, query: str, counts: dict[str, int]) -> None:
        self._folder, self._query, self._counts = folder, query, counts
        self._buffer = bytearray()
        self._is_playlist = True
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask("index.m3u8?" + self._query)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first = bytes(self._buffer[:end])
            length = int(first.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            self._take(int(first[9:12]), body)

    def _take(self, status: int, body: bytes) -> None:
        self._counts[ANSWERS if status == 200 else REFUSED] += 1
        self._counts["bytes"] += len(body)
        if self._is_playlist and status == 200:
            hint = _HINT.search(body)
            if hint is None:  # it says that nothing follows
                return
            self._next = f"&_HLS_msn={int(hint[1])}&_HLS_part={int(hint[2])}"
            self._is_playlist = False
            self._ask(_LISTED.findall(body)[-1].decode())
        else:
            self._is_playlist = True
            self._ask("index.m3u8?" + self._query + self._next)

    def _ask(self, rest: str) -> None:
        assert self._transport is not None
        target = f"GET /live/cam1/{self._folder}/{rest} HTTP/1.1\r\nHost: bench\r\n"
        self._transport.write(f"{target}User-Agent: bench\r\nAccept: */*\r\n\r\n".encode())


def _same(made: Watching) -> Watching:
    return made


async def first_playlist(host: str, port: int) -> str:
    """The query that a viewer who is let in carries; "": he is not."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {INDEX} HTTP/1.0\r\nHost: bench\r\n\r\n".encode())
        query = _QUERY.search(await reader.read())
    finally:
        writer.close()
    return query[1].decode() if query is not None else ""


async def watch(host: str, port: int, counts: dict[str, int], turn: asyncio.Semaphore) -> None:
    """Let one viewer come."""
    async with turn:
        query = await first_playlist(host, port)
        for folder in (NAME, "sound") if query else ():
            made = Watching(folder, query, counts)
            await asyncio.get_running_loop().create_connection(partial(_same, made), host, port)


async def view(address: str, viewers: int) -> None:
    """Have so many viewers until stdin ends, and say what comes."""
    host, _, port = address.rpartition(":")
    counts = dict.fromkeys((ANSWERS, REFUSED, "bytes"), 0)
    turn = asyncio.Semaphore(AT_ONCE)
    coming = {asyncio.ensure_future(watch(host, int(port), counts, turn)) for _ in range(viewers)}
    came, late = await asyncio.wait(coming, timeout=CONNECT_S)
    for one in late:
        one.cancel()
    await asyncio.gather(*came, *late, return_exceptions=True)
    await answer_words(lambda: dict(counts))


if __name__ == "__main__":
    asyncio.run(view(sys.argv[1], int(sys.argv[2])))
