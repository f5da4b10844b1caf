"""The snapshots that are asked of this worker, on its loop (`worker/frames/snapshot.py`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from common.ipc.api_messages import MAX_JPEG_BYTES, Snapshot, SnapshotWanted
from common.ipc.identity import StreamId
from worker.session.progress import SessionCounts

WAIT_S: Final = 10.0  # for the next picture of a stream
MAX_WANTED: Final = 64

Send = Callable[[Any, Sequence[bytes]], object]


class Looked(Protocol):
    """A session, as far as it is looked at."""

    @property
    def counts(self) -> SessionCounts: ...


@dataclass(frozen=True, slots=True)
class _Wanted:
    request: SnapshotWanted
    session: Looked
    until_s: float


class Snapshots:
    """Those that are on their way."""

    def __init__(self, session: Callable[[StreamId], Looked | None], send: Send) -> None:
        self._session = session
        self._send = send
        self._wanted: list[_Wanted] = []

    def want(self, request: SnapshotWanted, now_s: float) -> None:
        """Have one made of the next picture of a stream."""
        session = self._session(request.stream_id)
        if session is None:
            self._answer(request, problem="its worker does not decode it")
        elif len(self._wanted) >= MAX_WANTED:
            self._answer(request, problem="too many are wanted at once")
        else:
            session.counts.snapshot.want(now_s)
            self._wanted.append(_Wanted(request, session, now_s + WAIT_S))

    def send_made(self, now_s: float) -> None:
        """Answer those that are made, or that cannot be; call it some times a second."""
        if not self._wanted:
            return
        made: dict[int, bytes] = {}
        left = []
        for wanted in self._wanted:
            slot = wanted.session.counts.snapshot
            if id(slot) not in made and (jpeg := slot.take()) is not None:
                made[id(slot)] = jpeg  # for all who asked meanwhile
            found = made.get(id(slot))
            if found is not None:
                fits = 0 < len(found) <= MAX_JPEG_BYTES
                self._answer(wanted.request, found if fits else b"")
            elif now_s >= wanted.until_s:
                slot.is_wanted = False
                self._answer(wanted.request, problem="no picture was decoded")
            else:
                left.append(wanted)
        self._wanted = left

    def _answer(self, request: SnapshotWanted, jpeg: bytes = b"", problem: str = "") -> None:
        why = problem or ("" if jpeg else "it could not be made")
        answer = Snapshot(request.request_id, request.asker, request.stream_id, why)
        self._send(answer, [jpeg] if jpeg else [])
