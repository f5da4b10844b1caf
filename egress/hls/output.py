"""HLS as an output of the `web` child (IO: the loop): streams that are cut while somebody watches.

Its viewers are sessions. What is asked by HTTP is `routes.py`'s, which waits here.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from common.access.peer_address import host_of, subscriber
from common.config.settings import Settings
from common.ipc.control_messages import Endpoint
from common.ipc.identity import StreamId
from common.process.log import PeerLines, more, stream_label
from egress.admission import SessionAsker
from egress.hls.homes import begin_of_tokens
from egress.hls.live import MIN_IDLE_S, LiveStreams, idle_s
from egress.hls.sessions import Session, Sessions, new_token
from egress.output import Audience, OutputContext, ViewerStatus
from egress.streams.stream import Stream

log = logging.getLogger("tfarm.egress.hls.output")

PROTOCOL: Final = "hls"
DASH: Final = "dash"
MAX_ENDED: Final = 10_000  # tokens of those whom the operator has ended


class HlsOutput:
    """An `Output`."""

    protocol = PROTOCOL

    def __init__(self, context: OutputContext) -> None:
        self.endpoints: Mapping[str, str] = {}
        begins = begin_of_tokens(context.child)
        self.sessions = Sessions(lambda: begins + new_token())
        self.streams = LiveStreams(context)
        self._context = context
        self._ended_tokens: dict[str, str] = {}  # and why
        self._sent: dict[tuple[StreamId, str], int] = {}  # bytes to those who have left
        self._lines = PeerLines()
        self._askers: dict[Session, SessionAsker] = {}  # each session's place at the entrance

    # ---- an output ----------------------------------------------------------------------------

    @property
    def counters(self) -> Mapping[str, int]:
        return {
            "hls viewers": len(self.sessions),
            "hls streams": len(self.streams),
            "hls kilobytes": self.streams.size // 1000,
            "hls waiting": self.streams.blocked,
            "hls expired": self.streams.expired,
        }

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        found: dict[str, Audience] = {}
        if not self.sessions.count(stream_id) and stream_id not in self.streams:
            return found
        for (stream, name), sent in self._sent.items():
            if stream == stream_id:
                found[name] = Audience(0, 0, sent)
        for session in self.sessions.of_stream(stream_id):
            before = found.get(session.rendition, Audience(0, 0))
            others = Counter(before.others)
            if session.protocol != PROTOCOL:
                others[session.protocol] += 1
            sent = before.sent_bytes + session.sent_bytes
            found[session.rendition] = Audience(before.players + 1, 0, sent, others)
        return found

    def viewers(self) -> Iterable[ViewerStatus]:
        now = self._context.clock()
        return [
            ViewerStatus(
                one.number,
                one.stream_id,
                one.rendition,
                one.protocol,
                one.address,
                now - one.since_s,
                0,
            )
            for one in self.sessions
        ]

    def end_viewer(self, number: int, reason: str) -> None:
        for session in self.sessions:
            if session.number == number:
                self._turn_out(session, reason)

    def serves(self) -> bool:
        return bool(len(self.sessions))

    def configure(self, settings: Settings) -> None:
        self.streams.settings = settings.web

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        pass

    def on_stream(self, stream: Stream) -> None:
        is_used = self.sessions.count(stream.stream_id) > 0
        self.streams.on_stream(stream, is_used=is_used)

    def check(self, now: float) -> None:
        """Look for requests that have waited for too long, and for who has left."""
        for session in self.sessions.expire(now, self._idle_s):
            self._on_left(session, "it does not ask any more")
        for session in self.sessions:
            if session.protocol == DASH:
                self.streams.ask_all(session.stream_id)
        self.streams.check(now, self.sessions.count)
        for key in [key for key in self._sent if key[0] not in self.streams]:
            del self._sent[key]

    async def stop(self, reason: str) -> None:
        self.close(reason)
        await asyncio.sleep(0)

    def close(self, reason: str) -> None:
        self.streams.stop()
        for session in self.sessions:
            self.leave(session, reason)

    # ---- viewers ------------------------------------------------------------------------------

    def add(self, session: Session, asker: SessionAsker) -> None:
        """Take a viewer in who was admitted; `leave` is his end."""
        self._askers[session] = asker
        asker.octets = lambda: session.sent_bytes
        asker.on_finish = lambda reason: self._turn_out(session, reason)

    def now(self) -> float:
        """CLOCK_MONOTONIC."""
        return self._context.clock()

    def leave(self, session: Session, reason: str) -> None:
        """A viewer is gone, or was never sent anything."""
        if self.sessions.end(session):
            self._on_left(session, reason)

    def why_ended(self, token: str) -> str:
        """Why the operator has ended who has this token; "" where he has not."""
        return self._ended_tokens.get(token, "")

    def _turn_out(self, session: Session, reason: str) -> None:
        while len(self._ended_tokens) >= MAX_ENDED:
            del self._ended_tokens[next(iter(self._ended_tokens))]
        self._ended_tokens[session.token] = reason
        self.leave(session, reason)

    def _on_left(self, session: Session, reason: str) -> None:
        asker = self._askers.pop(session, None)
        if asker is not None:
            asker.leave(reason)
        if session.stream_id in self.streams:
            key = session.stream_id, session.rendition
            self._sent[key] = self._sent.get(key, 0) + session.sent_bytes
        now = self._context.clock()
        if (held := self._lines.allow(subscriber(host_of(session.address)), now)) is not None:
            log.info(
                "viewer closed address=%s stream=%s seconds=%.1f reason=%s%s",
                session.address,
                stream_label(session.stream_id),
                now - session.since_s,
                reason,
                more(held),
            )

    def _idle_s(self, session: Session) -> float:
        hls = self.streams.find(session.stream_id)
        return idle_s(hls) if hls is not None else MIN_IDLE_S
