"""A stream that an SRT listener sends, as a transport stream (IO, by libsrt).

What came is looked for every `TURN_S`: the library wakes nobody. It keeps what nobody has read.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from functools import cache
from typing import Final, Protocol

from common.errors import AddressError, TransportStreamError
from common.process.listening import join_address
from common.srt.address import parse
from common.srt.library import Call, CallState, SrtLibrary
from ingest.pull.source import IDLE_S, OPEN_S, Batch, SourceError
from ingest.srt.to_units import StreamUnits

TURN_S: Final = 0.02


class Library(Protocol):
    """What is called of `SrtLibrary`."""

    def call(self, address: tuple[str, int], call: Call) -> int: ...
    def call_state(self, sock: int) -> CallState: ...
    def why_refused(self, sock: int) -> str: ...
    def receive(self, sock: int) -> list[bytes] | None: ...
    def close_socket(self, sock: int) -> None: ...


@cache
def library() -> SrtLibrary:
    """The library, loaded once. Raises OSError where it is not installed."""
    return SrtLibrary()


class SrtSource:
    """A `Source`."""

    def __init__(self, url: str, load: Callable[[], Library] = library) -> None:
        """Call nobody yet."""
        self._url, self._load = url, load
        self._library: Library | None = None
        self._sock: int | None = None
        self._units = StreamUnits()
        self._is_ending = False
        self.peer = ""

    async def open(self) -> None:
        try:
            address = parse(self._url)
            self._library = called = self._load()
            loop = asyncio.get_running_loop()
            kind = socket.SOCK_DGRAM
            async with asyncio.timeout(OPEN_S):
                found = await loop.getaddrinfo(address.host, address.port, type=kind)
                host = str(found[0][4][0])
                self.peer = join_address(host, address.port)
                call = Call(address.streamid, address.passphrase, address.latency_ms)
                self._sock = sock = called.call((host, address.port), call)
                while (state := called.call_state(sock)) is CallState.CALLING:
                    await self._turn()
        except TimeoutError:
            raise SourceError(f"the listener did not answer within {OPEN_S:.0f} s") from None
        except AddressError as error:
            raise SourceError(str(error)) from None
        except OSError as error:
            raise SourceError(f"no connection: {error.strerror or error}") from None
        if state is CallState.ENDED:
            words = called.why_refused(sock)
            raise SourceError(f"the listener refused: {words}" if words else "nobody answers")

    async def read(self) -> Batch:
        called, sock = self._library, self._sock
        assert called is not None
        assert sock is not None
        until_s = time.monotonic() + IDLE_S
        while True:
            pieces = called.receive(sock)
            if pieces is None:
                raise SourceError("the listener closed the connection, or its line is gone")
            now = time.monotonic()
            try:
                for number, data in enumerate(pieces):
                    if number:  # something is missing between each two
                        self._units.lose()
                    self._units.feed(data, now)
            except TransportStreamError as error:
                raise SourceError(str(error)) from None
            items, payloads = self._units.take()
            if items:
                return Batch(items, list(payloads))
            if now > until_s:
                raise SourceError(f"nothing came for {IDLE_S:.0f} s")
            await self._turn()

    def end(self) -> None:
        self._is_ending = True

    async def close(self) -> None:
        if self._library is not None and self._sock is not None:
            self._library.close_socket(self._sock)
            self._sock = None

    async def _turn(self) -> None:
        await asyncio.sleep(TURN_S)
        if self._is_ending:
            raise SourceError("it is ended")
