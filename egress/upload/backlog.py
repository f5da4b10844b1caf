"""The files of one app that are still to be copied: which is next, and when. Pure.

One file at a time: the oldest of those that failed the least often, so that one that a server does
not take holds up no other. After a failure all wait, twice as long after each one more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.ipc.upload_messages import UploadState, UploadStatus
from common.retries import DoublingWait

RETRY_S: Final = 5.0
MOST_RETRY_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A finished file that is not in the bucket."""

    path: Path
    size: int
    finished_unix: float


class Backlog:
    """One of a process."""

    def __init__(self, app: str, shown: str, now: float) -> None:
        """`shown`: the bucket, for people."""
        self.app, self.shown = app, shown
        self.current: Waiting | None = None  # on its way
        self.sent = 0  # bytes of it
        self.files = self.bytes = 0  # that are in the bucket by now
        self.failures = 0
        self.reason = ""  # of the last failure, until one is taken
        self._waiting: dict[Path, Waiting] = {}
        self._failed: dict[Path, int] = {}  # how often
        self._taken: set[Path] = set()  # that a look at the disk from before may still name
        self._wait = DoublingWait(RETRY_S, MOST_RETRY_S)
        self._again_s = now
        self._state, self._since_s = UploadState.IDLE, now

    def found(self, files: Iterable[Waiting], now: float) -> None:
        """All that wait, as the disk has them, or had them a moment ago."""
        found = {file.path: file for file in files}
        self._taken &= found.keys()
        self._waiting = {path: found[path] for path in found.keys() - self._taken}
        self._failed = {path: n for path, n in self._failed.items() if path in self._waiting}
        self._follow(now)

    def begin(self, now: float) -> Waiting | None:
        """The file that is to be sent now; None: none is."""
        if self.current is not None or now < self._again_s or not self._waiting:
            return None
        self.current, self.sent = min(self._waiting.values(), key=self._order), 0
        self._follow(now)
        return self.current

    def done(self, now: float) -> None:
        """It is in the bucket."""
        file = self._end()
        self.files += 1
        self.bytes += file.size
        self.reason = ""
        self._wait.begin_anew()
        self._follow(now)

    def gone(self, now: float) -> None:
        """It is not there any more: somebody has removed it."""
        self._end()
        self._follow(now)

    def failed(self, reason: str, now: float) -> None:
        """It was not taken."""
        file = self.current
        assert file is not None
        self.current, self.reason = None, reason
        self.failures += 1
        self._failed[file.path] = self._failed.get(file.path, 0) + 1
        self._again_s = now + self._wait.take()
        self._follow(now)

    @property
    def state(self) -> UploadState:
        return self._state

    def status(self, now: float, now_unix: float) -> UploadStatus:
        files = tuple(self._waiting.values())
        oldest = min((file.finished_unix for file in files), default=now_unix)
        return UploadStatus(
            self.app,
            self.shown,
            self._state,
            self.reason,
            round(now - self._since_s, 1),
            len(files),
            sum(file.size for file in files),
            round(max(0.0, now_unix - oldest), 1),
            self.sent if self.current is not None else 0,
            self.files,
            self.bytes,
            self.failures,
        )

    # ---- inside -------------------------------------------------------------------------------

    def _order(self, file: Waiting) -> tuple[int, str, str]:
        return self._failed.get(file.path, 0), file.path.name, str(file.path)

    def _end(self) -> Waiting:
        file, self.current = self.current, None
        assert file is not None
        self._taken.add(file.path)
        self._waiting.pop(file.path, None)
        self._failed.pop(file.path, None)
        return file

    def _follow(self, now: float) -> None:
        if self.reason:  # also while it is tried again
            state = UploadState.RETRYING
        else:
            state = UploadState.UPLOADING if self.current is not None else UploadState.IDLE
        if state is not self._state:
            self._state, self._since_s = state, now
