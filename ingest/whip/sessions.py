"""All sessions of publishers (IO): when each is looked at, and what is logged of its end."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from common.process.log import more
from common.webrtc.peers import Peers
from ingest.whip.session import Session

log = logging.getLogger("tfarm.ingest.whip.sessions")

TICK_S: Final = 0.02
KIND: Final = "whip"


class Sessions(Peers[Session]):
    """Those of this process; they call it back as their `Host`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, KIND, "publishers")
        self.counters |= {"whip published": 0, "whip lost packets": 0, "whip skipped units": 0}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def check(self, now: float) -> None:
        """Look at each; once a second."""
        for session in self:
            session.check(now)

    # ---- a session's calls --------------------------------------------------------------------

    def on_connected(self, session: Session) -> None:
        self.counters["whip published"] += 1
        log.info("publisher connected stream=%s peer=%s", session.label, session.address)
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def on_session_end(self, session: Session, reason: str) -> None:
        super().on_session_end(session, reason)
        self.counters["whip lost packets"] += session.lost
        self.counters["whip skipped units"] += session.skipped
        if (held := self.may_log(session)) is not None:
            log.info(
                "session of a publisher ended stream=%s peer=%s seconds=%.1f lost=%d keyframes=%d "
                "reason=%s%s",
                session.label,
                session.address,
                self.now() - session.opened_s,
                session.lost,
                session.wish.asked,
                reason,
                more(held),
            )
        session.on_end(reason)

    # ---- inside -------------------------------------------------------------------------------

    def _tick(self) -> None:
        now, self._timer = self.now(), None
        connected = [session for session in self if session.is_connected]
        for session in connected:
            session.tick(now)
        if connected:
            self._timer = self._loop.call_later(TICK_S, self._tick)
