"""Writes captures to files, in a thread of its own (IO).

A disk may stall, and ingest's loop must not. A file appears whole: it is written beside its name
and then renamed, readable for its user alone. The oldest are removed when there are too many.
"""

import asyncio
import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from common.capture.capture_file import CapturedRead, encode
from common.config.settings import CaptureSettings
from ingest.capture.recorder import CaptureJob
from ingest.streams.captures import CaptureResult, Done

log = logging.getLogger("tfarm.ingest.capture.files")

SUFFIX = ".tfcap"
MAX_WAITING = 2  # files: each may hold as much memory as a publisher's messages
STEP_READS = 64
PAUSE_S = 0.002  # after these, for the loop to have the interpreter


class CaptureFiles:
    """A `CaptureSink`: its thread begins with the first file and ends with the process."""

    def __init__(self, default_directory: Path) -> None:
        self._default = default_directory
        self._settings = CaptureSettings()
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[tuple[CaptureJob, Done]] = queue.SimpleQueue()
        self._waiting = 0
        self._thread: threading.Thread | None = None

    def configure(self, settings: CaptureSettings) -> None:
        """Use other settings for the next file."""
        self._settings = settings

    @property
    def is_busy(self) -> bool:
        return self._waiting >= MAX_WAITING

    def put(self, job: CaptureJob, done: Done) -> None:
        self._waiting += 1
        self._jobs.put((job, done))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="captures", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            job, done = self._jobs.get()
            result = self._write(job)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._finish, result, done)
            del job

    def _finish(self, result: CaptureResult, done: Done) -> None:
        self._waiting -= 1
        done(result)

    def _write(self, job: CaptureJob) -> CaptureResult:
        settings, info = self._settings, job.info
        directory = Path(settings.directory) if settings.directory else self._default
        label = f"{info.app}/{info.key_hash}"
        try:
            path, size = write_capture(directory, job)
            remove_oldest(directory, settings.kept_files, settings.kept_bytes, path)
        except Exception as error:
            why = getattr(error, "strerror", None) or repr(error)
            log.warning(
                "capture not written stream=%s directory=%s reason=%s error=%s",
                label,
                directory,
                info.reason,
                why,
            )
            return CaptureResult(error=f"cannot write to {directory}: {why}")
        log.info(
            "capture written stream=%s file=%s bytes=%d seconds=%.1f reason=%s",
            label,
            path,
            size,
            job.seconds,
            info.reason,
        )
        return CaptureResult(str(path), size, job.seconds)


def write_capture(directory: Path, job: CaptureJob) -> tuple[Path, int]:
    """Write one file; its path and size. Raises OSError, and then leaves nothing behind."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = job.info
    when = time.strftime("%Y%m%d-%H%M%S", time.gmtime(info.created_unix))
    name = f"{info.app}-{info.key_hash}-{when}-{os.urandom(2).hex()}{SUFFIX}"
    path = directory / name
    part = directory / f".{name}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        size = 0
        with os.fdopen(descriptor, "wb") as file:
            for piece in encode(info, _with_pauses(job.captured())):
                size += file.write(piece)
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path, size


def _with_pauses(reads: Iterable[CapturedRead]) -> Iterator[CapturedRead]:
    for count, read in enumerate(reads, 1):
        yield read
        if count % STEP_READS == 0:
            time.sleep(PAUSE_S)


def remove_oldest(directory: Path, max_files: int, max_bytes: int, newest: Path) -> None:
    """Keep no more than so many captures, and bytes of them; the newest stays in any case."""
    found: list[tuple[float, Path, int]] = []
    for path in directory.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):  # another process has removed it
            stat = path.stat()
            found.append((stat.st_mtime, path, stat.st_size))
    found.sort(reverse=True)
    total = 0
    for count, (_, path, size) in enumerate(found):
        total += size
        if (count >= max_files or total > max_bytes) and path != newest:
            with contextlib.suppress(OSError):
                path.unlink()
