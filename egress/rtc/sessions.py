"""All sessions of viewers (IO): those of each stream, and when each is looked at."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from common.ipc.identity import StreamId
from common.process.log import more, stream_label
from common.webrtc.peers import Peers
from egress.rtc.session import Session

log = logging.getLogger("tfarm.egress.rtc.sessions")

TICK_S: Final = 0.005  # of those that are sent what was
KIND: Final = "rtc"


class Sessions(Peers[Session]):
    """Those of this process; they call it back as their `Host`."""

    def __init__(
        self,
        clock: Callable[[], float],
        on_begin: Callable[[Session], object],
        on_end: Callable[[Session, str], object],
    ) -> None:
        """`on_begin`: it plays from now on; `on_end` comes for each that was added."""
        super().__init__(clock, KIND, "viewers")
        self.counters["rtc played"] = 0
        self._on_begin, self._on_end = on_begin, on_end
        self._loop = asyncio.get_running_loop()
        self._by_stream: dict[StreamId, set[Session]] = {}
        self._timed: set[Session] = set()

    def add(self, session: Session) -> None:
        super().add(session)
        self._by_stream.setdefault(session.stream_id, set()).add(session)

    def of_stream(self, stream_id: StreamId) -> tuple[Session, ...]:
        """Those that watch a stream, whatever rendition of it."""
        return tuple(self._by_stream.get(stream_id, ()))

    def check(self, now: float) -> None:
        """Look at each; once a second."""
        for session in self:
            session.check(now)
            if session.viewer.is_timed:
                self.on_timed(session)

    # ---- a session's calls --------------------------------------------------------------------

    def on_connected(self, session: Session) -> None:
        self.counters["rtc played"] += 1
        self._on_begin(session)

    def on_timed(self, session: Session) -> None:
        if not self._timed:
            self._loop.call_later(TICK_S, self._tick)
        self._timed.add(session)

    def on_session_end(self, session: Session, reason: str) -> None:
        super().on_session_end(session, reason)
        self._timed.discard(session)
        others = self._by_stream.get(session.stream_id, set())
        others.discard(session)
        if not others:
            self._by_stream.pop(session.stream_id, None)
        channel = session.viewer.channel
        if (held := self.may_log(session)) is not None:
            log.info(
                "viewer closed stream=%s rendition=%s address=%s seconds=%.1f repeated=%d "
                "reason=%s%s",
                stream_label(channel.rendition.stream_id) if channel is not None else "",
                session.viewer.rendition,
                session.address,
                self.now() - session.opened_s,
                session.viewer.video.repeated,
                reason,
                more(held),
            )
        self._on_end(session, reason)

    # ---- inside -------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self.now()
        self._timed = {session for session in self._timed if session.tick(now)}
        if self._timed:
            self._loop.call_later(TICK_S, self._tick)
