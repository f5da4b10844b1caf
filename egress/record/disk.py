"""The files of recordings (IO): made, written and named in threads, never on the loop.

What is written stays whole: a write that fails is taken back up to the boxes before it. A file that
its process left behind is cut likewise, and named as finished.
"""

import asyncio
import contextlib
import errno
import fcntl
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Final, NamedTuple

from common.config.recording import Recording
from common.mp4.boxes import HEADER_BYTES, whole_bytes
from egress.record.names import Kept, finished_name, is_finished, is_part, mark_of, to_remove
from egress.record.recorder import Begin, Command, Finish, Write

MAX_WAITING: Final = 32 << 20  # bytes of one recording that no thread has taken
TOO_SLOW: Final = "the disk is too slow"
LEFT: Final = "its process ended"
NEARLY_FULL: Final = 0.05  # of a disk is free


class Finished(NamedTuple):
    """A file with its final name."""

    path: Path
    size: int
    seconds: float
    reason: str


class Done(NamedTuple):
    """What came of some commands."""

    written: int = 0  # bytes
    finished: Sequence[Finished] = ()
    problem: str = ""  # why the file is over; commands behind that were not carried out
    lost: int = 0  # files that were removed before they were uploaded: the disk is nearly full


class Files:
    """One recording's files; its commands are carried out in order, one call at a time."""

    def __init__(self, app: Path, rule: Callable[[], Recording]) -> None:
        """`app`: where all files of its app are; `rule`: how much of them is kept."""
        self._app, self._rule = app, rule
        self._lost = 0
        self._fd: int | None = None
        self._path = Path()
        self._size = 0

    def run(self, commands: Sequence[Command]) -> Done:
        """Carry out commands; in a thread."""
        written, finished = 0, []
        self._lost = 0
        try:
            for command in commands:
                match command:
                    case Begin(path):
                        self._begin(path)
                    case Write(data):
                        written += self._write(data)
                    case Finish(seconds, reason):
                        finished += self._finish(seconds, reason)
        except OSError as error:
            problem = words_of(error)
            with contextlib.suppress(OSError):
                finished += self._finish(0.0, problem)
            self._drop()
            return Done(written, finished, problem, self._lost)
        return Done(written, finished, lost=self._lost)

    def _begin(self, path: Path) -> None:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o640)
        self._path, self._size = path, 0
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _write(self, data: bytes) -> int:
        if self._fd is None:
            return 0
        view, at = memoryview(data), 0
        try:
            while at < len(data):
                at += os.write(self._fd, view[at:])
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)
        return len(data)

    def _finish(self, seconds: float, reason: str) -> list[Finished]:
        if self._fd is None:
            return []
        if not self._size:
            self._path.unlink()
            self._drop()
            return []
        os.fdatasync(self._fd)
        final = finished_name(self._path)
        self._path.rename(final)
        self._drop()
        self._lost += _remove_oldest(self._app, self._rule())
        return [Finished(final, self._size, seconds, reason)]

    def _drop(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)


class FileQueue:
    """What is to be done with one recording's files, and a thread at a time for it."""

    def __init__(
        self,
        files: Files,
        executor: Executor,
        on_done: Callable[[Done], object],
    ) -> None:
        """`on_done` is called on the loop."""
        self._files, self._executor, self._on_done = files, executor, on_done
        self._waiting: list[Command] = []
        self._size = 0
        self._running: asyncio.Future[Done] | None = None

    def put(self, commands: Sequence[Command]) -> bool:
        """Have these carried out; False: too much waits, and the file is finished as it is."""
        size = sum(len(one.data) for one in commands if isinstance(one, Write))
        is_full = self._size + size > MAX_WAITING
        self._waiting += [Finish(0.0, TOO_SLOW)] if is_full else commands
        self._size += 0 if is_full else size
        self._next()
        return not is_full

    async def drain(self) -> None:
        """Wait until all is done."""
        while self._running is not None:
            await asyncio.wait([self._running])
            await asyncio.sleep(0)

    def _next(self) -> None:
        if self._running is None and self._waiting:
            commands, self._waiting, self._size = self._waiting, [], 0
            loop = asyncio.get_running_loop()
            self._running = loop.run_in_executor(self._executor, self._files.run, commands)
            self._running.add_done_callback(self._ended)

    def _ended(self, future: "asyncio.Future[Done]") -> None:
        self._running = None
        if not future.cancelled():
            done = future.result()
            if done.problem:  # of a file that is over
                self._waiting, self._size = [], 0
            self._on_done(done)
        self._next()


def recover(folder: Path) -> list[Finished]:
    """Finish what a process left behind below a folder; what another one writes is left alone."""
    found = []
    for path in _below(folder, is_part):
        with contextlib.suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fd, size = file.fileno(), path.stat().st_size
            whole = whole_bytes(functools.partial(os.pread, fd, HEADER_BYTES), size)
            if not whole:
                path.unlink()
                continue
            file.truncate(whole)
            final = finished_name(path)
            path.rename(final)
            found.append(Finished(final, whole, 0.0, LEFT))
    return found


def words_of(error: OSError) -> str:
    """Why something cannot be written, for the operator."""
    words = (error.strerror or str(error)).lower()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{words}: the farm's user needs to write there; a new directory needs a restart"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{words}: make room, or set `keep`"
    return words


def _below(folder: Path, is_wanted: Callable[[str], bool]) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names if is_wanted(name))


def _remove_oldest(app: Path, rule: Recording) -> int:
    """Remove what is too much; how many of these were still to be uploaded."""
    if not rule.keep_bytes:
        return 0
    files = []
    for path in _below(app, is_finished):
        with contextlib.suppress(OSError):
            is_needed = rule.is_uploaded and not mark_of(path).exists()
            files.append(Kept(path, path.stat().st_size, is_needed))
    lost, disk = 0, shutil.disk_usage(app)
    is_nearly_full = disk.free < NEARLY_FULL * disk.total
    for file in to_remove(files, rule.keep_bytes, is_nearly_full=is_nearly_full):
        with contextlib.suppress(OSError):
            file.path.unlink()
            lost += file.is_needed
            mark_of(file.path).unlink(missing_ok=True)
    return lost
