"""A stream that another RTMP server sends, as it sends it to players (IO)."""

import asyncio
import ssl
import time
from typing import Final

from common.errors import ProtocolError
from common.process.listening import join_address
from common.rtmp.client import ClientEvent, ClientSession, Ended, Playing, Refused
from ingest.pull.from_flv import FlvUnits
from ingest.pull.source import IDLE_S, OPEN_S, Batch, SourceError

READ_BYTES: Final = 256 * 1024
MAX_WORDS: Final = 200  # of a server
FOURCCS: Final = ("hvc1", "av01", "avc1")  # what is taken beside classic FLV


class RtmpSource:
    """A `Source`."""

    def __init__(self, url: str) -> None:
        """Connect nowhere yet.

        Raises:
            ValueError: it is no URL of RTMP.
        """
        self._session = ClientSession(url, "play", fourccs=FOURCCS)
        self._units = FlvUnits()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._early: list[ClientEvent] = []  # that came with the answer
        self.peer = ""

    async def open(self) -> None:
        address = self._session.address
        try:
            async with asyncio.timeout(OPEN_S):
                context = ssl.create_default_context() if address.is_tls else None
                self._reader, self._writer = await asyncio.open_connection(
                    address.host, address.port, ssl=context, limit=READ_BYTES
                )
                self.peer = join_address(*self._writer.get_extra_info("peername")[:2])
                self._session.start()
                self._flush()
                await self._begun()
        except TimeoutError:
            raise SourceError(f"the server did not answer within {OPEN_S:.0f} s") from None
        except ssl.SSLCertVerificationError as error:
            raise SourceError(f"its certificate is not good: {error.verify_message}") from None
        except OSError as error:
            what = "the connection broke" if self.peer else "no connection"
            raise SourceError(f"{what}: {error.strerror or 'refused'}") from None

    async def read(self) -> Batch:
        try:
            async with asyncio.timeout(IDLE_S):
                while True:
                    events = self._early or await self._receive()
                    self._early = []
                    batch = self._units.take(events, time.monotonic())
                    for event in events:
                        if isinstance(event, Ended):
                            raise SourceError(f"the server ended the stream ({event.code})")
                    if batch.items:
                        return batch
        except TimeoutError:
            raise SourceError(f"nothing came for {IDLE_S:.0f} s") from None
        except OSError as error:
            raise SourceError(f"the connection broke: {error.strerror or 'reset'}") from None

    def end(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    async def close(self) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._session.close()
            self._flush()
            self._writer.close()

    # ---- inside -------------------------------------------------------------------------------

    async def _begun(self) -> None:
        while True:
            events = await self._receive()
            for index, event in enumerate(events):
                if isinstance(event, Refused):
                    raise SourceError(f"the server refused: {self._words(event)}")
                if isinstance(event, Playing):
                    self._early = events[index + 1 :]
                    return

    def _words(self, refused: Refused) -> str:
        words = f"{refused.code} {refused.description}".strip()
        return self._session.address.hidden(words)[:MAX_WORDS]

    async def _receive(self) -> list[ClientEvent]:
        assert self._reader is not None
        data = await self._reader.read(READ_BYTES)
        if not data:
            raise SourceError("the server closed the connection")
        try:
            self._session.receive_data(data, time.monotonic())
        except ProtocolError as error:
            raise SourceError(f"the server broke the protocol: {error}") from None
        self._flush()
        return self._session.events_received()

    def _flush(self) -> None:
        assert self._writer is not None
        if data := self._session.data_to_send():
            self._writer.write(data)
