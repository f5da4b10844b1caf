"""A viewer who asks by requests at the entrance of all viewers (IO: it waits): HLS, DASH and WHEP.

An `Asker` as a coroutine; what it watches by is a session, not a connection.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from common.access.peer_address import host_of
from common.access.refusal import Refusal
from egress.access import PlayWanted, Wish
from egress.entrance import Asker, Entrance
from egress.streams.rendition import Rendition
from egress.streams.subscribers import Start


class NotAdmitted(Exception):
    """A viewer is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a viewer is given."""

    rendition: Rendition
    start: Start


class SessionAsker:
    """One who asks, and watches later; from `admit` to `leave` it counts as a viewer."""

    def __init__(self, entrance: Entrance, address: str, protocol: str) -> None:
        self.protocol = protocol
        self.wish: Wish | Refusal | None = None
        self.wanted: PlayWanted | None = None
        self.address = address
        self.host = host_of(address)
        self.is_asking = False
        self.octets: Callable[[], int] = lambda: 0  # of its session
        self.on_finish: Callable[[str], object] = lambda reason: None  # likewise
        self._entrance = entrance
        self._loop = asyncio.get_running_loop()
        self._verdict: asyncio.Future[Admitted] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._has_left = False
        entrance.arrived(self)

    async def admit(self, wish: Wish) -> Admitted:
        """Wait until it may watch. Raises NotAdmitted; whoever is not let in has to `leave`."""
        self._verdict = self._loop.create_future()
        self._entrance.ask(self, wish)
        return await self._verdict

    def leave(self, reason: str) -> None:
        """It asks and watches no more. Does nothing the second time."""
        if not self._has_left:
            self._has_left = True
            self._stop_waiting()
            self._entrance.ended(self, reason)
            self._entrance.left(self)

    # ---- the entrance's calls -----------------------------------------------------------------

    @property
    def taken_bytes(self) -> int:
        return self.octets()

    def takes_video(self, codec: str, /) -> bool:
        return True  # its output looks at the codec

    def wait(self, seconds: float, on_timeout: Callable[[Asker], None], /) -> None:
        self._stop_waiting()
        self.is_asking = True
        self._timer = self._loop.call_later(seconds, self._on_timeout, on_timeout)

    def accept(self, rendition: Rendition, start: Start, /) -> None:
        self._stop_waiting()
        if not self._verdict.done():
            self._verdict.set_result(Admitted(rendition, start))

    def refuse(self, refusal: Refusal, /) -> None:
        self._stop_waiting()
        if not self._verdict.done():
            self._verdict.set_exception(NotAdmitted(refusal))

    def finish(self, reason: str, /) -> None:
        self.on_finish(reason)

    def _on_timeout(self, on_timeout: Callable[[Asker], None]) -> None:
        if self.is_asking:
            on_timeout(self)

    def _stop_waiting(self) -> None:
        self.is_asking = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
