"""Which finished recordings are not in their bucket yet (IO: it looks at folders).

Nothing but the files' names and marks is remembered, so a process that is new goes on where
another one ended. A folder that has not changed since it was read is not read again.
"""

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple

from egress.record.names import MARK, is_finished, is_mark, mark_of
from egress.upload.backlog import Waiting

# What a file system's clock may be late by: a folder that changed just now is read once more.
FRESH_NS: Final = 2_000_000_000
MAX_DEPTH: Final = 3  # APP/KEY/RENDITION


class _Listing(NamedTuple):
    changed_ns: int
    folders: tuple[Path, ...]
    waiting: tuple[Waiting, ...]


class AppFolder:
    """All recordings of one app; used by one thread at a time."""

    def __init__(self, app: Path) -> None:
        self._app = app
        self._listings: dict[Path, _Listing] = {}

    def waiting(self, now_unix: float) -> list[Waiting]:
        """All that are not marked; what cannot be read is left out."""
        found: list[Waiting] = []
        seen: dict[Path, _Listing] = {}
        folders = [(self._app, 0)]
        while folders:
            folder, depth = folders.pop()
            with contextlib.suppress(OSError):
                listing = self._listing(folder, now_unix)
                seen[folder] = listing
                found += listing.waiting
                if depth < MAX_DEPTH - 1:
                    folders += [(below, depth + 1) for below in listing.folders]
        self._listings = seen
        return found

    def _listing(self, folder: Path, now_unix: float) -> _Listing:
        changed_ns = folder.stat().st_mtime_ns
        known = self._listings.get(folder)
        if known is not None and known.changed_ns == changed_ns:
            return known
        folders, names, marks = [], {}, set()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(folder / entry.name)
                elif is_mark(entry.name):
                    marks.add(entry.name.removesuffix(MARK))
                elif is_finished(entry.name) and entry.is_file(follow_symlinks=False):
                    names[entry.name] = entry.stat()
        for name in marks - names.keys():  # of a recording that somebody has removed
            with contextlib.suppress(OSError):
                mark_of(folder / name).unlink()
        waiting = tuple(
            Waiting(folder / name, stat.st_size, stat.st_mtime)
            for name, stat in sorted(names.items())
            if name not in marks
        )
        is_fresh = now_unix * 1e9 - changed_ns < FRESH_NS
        return _Listing(0 if is_fresh else changed_ns, tuple(folders), waiting)


def mark(path: Path, text: str) -> None:
    """Say that a recording is in its bucket. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(mark_of(path), flags, 0o640)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
