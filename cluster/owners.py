"""Whose owner is reported to those who asked, and again when it changes. Pure."""

from collections.abc import Callable
from typing import Final

from common.ipc.cluster_messages import NO_STREAM, StreamOwner
from common.ipc.identity import StreamId

KEEP_S: Final = 15.0  # after the last time of asking
MAX_WANTED: Final = 16_000  # names come from players, and from other hosts


class Owners:
    """Those that somebody wants to know of."""

    def __init__(self, owner_of: Callable[[str], StreamOwner]) -> None:
        self._owner_of = owner_of
        self._names: dict[str, StreamId] = {}  # by digest
        self._until_s: dict[str, float] = {}
        self._reported: dict[str, StreamOwner] = {}

    def want(self, digest: str, stream_id: StreamId, now: float) -> StreamOwner:
        """Somebody asks: the answer."""
        if digest not in self._until_s and len(self._until_s) >= MAX_WANTED:
            self._forget(min(self._until_s, key=self._until_s.__getitem__))
        self._until_s[digest] = now + KEEP_S
        if stream_id:
            self._names[digest] = stream_id
        found = self._reported[digest] = self._owner_of(digest)
        return found

    @property
    def wanted(self) -> set[str]:
        """The digests that somebody has asked for."""
        return set(self._until_s)

    def name_of(self, digest: str) -> StreamId:
        """What a stream is called here, if somebody has named it."""
        return self._names.get(digest, NO_STREAM)

    def changes(self, digests: set[str], now: float) -> list[StreamOwner]:
        """Of these, whoever has another owner than was reported; `digests` is emptied."""
        changed = []
        for digest in digests & self._until_s.keys():
            if self._until_s[digest] <= now:
                self._forget(digest)
                continue
            found = self._owner_of(digest)
            if found != self._reported.get(digest):
                self._reported[digest] = found
                changed.append(found)
        digests.clear()
        return changed

    def _forget(self, digest: str) -> None:
        for table in (self._names, self._until_s, self._reported):
            table.pop(digest, None)
