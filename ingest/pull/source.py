"""What a puller knows of the server that it fetches from: one connection, whatever it speaks."""

import math
from dataclasses import dataclass, field
from typing import Final, Protocol

from common.errors import TfarmError
from common.ipc.unit_messages import UnitItem
from common.media.units import Data

OPEN_S: Final = 10.0  # from the first packet to the answer that media will come
IDLE_S: Final = 15.0  # without media, until the connection is given up


class SourceError(TfarmError):
    """The server cannot be reached, refuses, ends, or sends what cannot be read.

    Its words are for people, and hold nothing of the URL.
    """


@dataclass(slots=True)
class Batch:
    """What came together: units for an ingest, with a payload each."""

    items: list[UnitItem] = field(default_factory=list)
    payloads: list[Data] = field(default_factory=list)

    def put(self, item: UnitItem, payload: Data) -> None:
        """Add one."""
        self.items.append(item)
        self.payloads.append(payload)

    def sizes(self) -> int:
        """How many bytes of media these are."""
        return sum(map(len, self.payloads))


@dataclass(slots=True)
class Memory:
    """What connections to one server tell the next one."""

    newest_s: float = -math.inf  # of the source's times


class Source(Protocol):
    """One connection to another server."""

    @property
    def peer(self) -> str:
        """HOST:PORT that it is connected to, once it is open."""
        ...

    async def open(self) -> None:
        """Connect, until the server says that media will come.

        Raises:
            SourceError: it will not.
        """
        ...

    async def read(self) -> Batch:
        """Wait for what comes next.

        Raises:
            SourceError: nothing more comes.
        """
        ...

    def end(self) -> None:
        """Have whoever waits in `open` or `read` get an error."""
        ...

    async def close(self) -> None:
        """Let go of everything; afterwards another connection may be made."""
        ...
