"""Viewers of HLS: a session each, not a connection. Pure: the time is passed in.

Whoever is given a first playlist gets a token, which every request of his carries from then on; who
has not asked for `idle_s` has left. Players who ask for a rendition's own playlist have none, as
its address does not change: they are known by where they come from and what they ask for.
"""

import secrets
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from common.ipc.identity import StreamId

TOKEN_BYTES: Final = 12
_MAX_TOKEN: Final = 64


@dataclass(slots=True, eq=False)
class Session:
    """One viewer of one stream."""

    number: int
    token: str = field(repr=False)
    stream_id: StreamId = field(repr=False)
    address: str  # HOST:PORT
    since_s: float
    seen_s: float
    rendition: str  # the one that was asked for last
    asked: StreamId = field(default=StreamId(""), repr=False)  # a hook may have named another
    sent_bytes: int = 0
    query: str = field(default="", repr=False)  # that his requests carry
    renditions: frozenset[str] = frozenset()  # that he may watch; empty: all
    protocol: str = "hls"  # or "dash": the first that was asked for
    waiting: int = 0  # requests of his that wait just now
    origin: Hashable = None  # of one who has no token


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def is_token(text: str) -> bool:
    """Whether this can be a token: one of a session that a process before this one gave."""
    return 0 < len(text) <= _MAX_TOKEN and text.replace("-", "").replace("_", "").isalnum()


class Sessions:
    """All of one process."""

    def __init__(self, new_token: Callable[[], str] = new_token) -> None:
        self._new_token = new_token
        self._by_token: dict[str, Session] = {}
        self._by_origin: dict[Hashable, Session] = {}
        self._by_stream: dict[StreamId, set[Session]] = {}
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._by_token)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._by_token.values()))

    def count(self, stream_id: StreamId) -> int:
        """How many watch a stream."""
        return len(self._by_stream.get(stream_id, ()))

    def of_stream(self, stream_id: StreamId) -> Iterable[Session]:
        """Those who watch a stream."""
        return self._by_stream.get(stream_id, ())

    def find(self, token: str, stream_id: StreamId) -> Session | None:
        """The session of a token, if it is one for what was asked for by this name."""
        session = self._by_token.get(token)
        return session if session is not None and session.asked == stream_id else None

    def find_by_origin(self, origin: Hashable, stream_id: StreamId) -> Session | None:
        """The session of one who has no token."""
        session = self._by_origin.get((origin, stream_id))
        return session if session is not None and session.token in self._by_token else None

    def begin(
        self,
        stream_id: StreamId,
        rendition: str,
        address: str,
        now: float,
        *,
        token: str = "",
        origin: Hashable = None,
        asked: StreamId | None = None,
    ) -> Session:
        """Let a viewer in; `token`: one that he has, of a process before this one.

        `asked`: the stream that he asked for, where a hook has named another.
        """
        if not token or token in self._by_token:
            token = self._new_token()
        self._last_number += 1
        session = Session(self._last_number, token, stream_id, address, now, now, rendition)
        session.origin, session.asked = origin, asked if asked is not None else stream_id
        self._by_token[token] = session
        self._by_stream.setdefault(stream_id, set()).add(session)
        if origin is not None:
            self._by_origin[origin, session.asked] = session
        return session

    def end(self, session: Session) -> bool:
        """The viewer has left, or is ended; False: he had before."""
        if self._by_token.pop(session.token, None) is None:
            return False
        others = self._by_stream[session.stream_id]
        others.discard(session)
        if not others:
            del self._by_stream[session.stream_id]
        if session.origin is not None:
            self._by_origin.pop((session.origin, session.asked), None)
        return True

    def expire(self, now: float, idle_s: Callable[[Session], float]) -> list[Session]:
        """End those who have not asked for their idle time; returns them."""
        gone = [
            one
            for one in self._by_token.values()
            if not one.waiting and now - one.seen_s > idle_s(one)
        ]
        for session in gone:
            self.end(session)
        return gone
