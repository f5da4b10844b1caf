"""What recordings are called, and which of them are removed. Pure.

`DIRECTORY/APP/KEY/RENDITION/20261130T230507.123Z.mp4`, by the moment at which the file began (UTC),
so that names sort by age. While a file is written it ends in `.part.mp4`; each prefix of it plays.
Beside one that is in its app's bucket lies a mark, `….mp4.uploaded`.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

FINISHED: Final = ".mp4"
PART: Final = ".part.mp4"
MARK: Final = ".uploaded"
MAX_NAME: Final = 200  # characters of a folder's name; file systems take 255 bytes
_STAMP: Final = r"\d{8}T\d{6}\.\d{3}Z"
_FINISHED_NAME: Final = re.compile(_STAMP + re.escape(FINISHED))
_PART_NAME: Final = re.compile(_STAMP + re.escape(PART))


class Kept(NamedTuple):
    """A finished file."""

    path: Path
    size: int
    is_needed: bool = False  # it is still to be copied to a bucket


def folder(directory: str, app: str, key: str, rendition: str) -> Path:
    """Where a stream's rendition is; no part of it leads out of the directory."""
    return Path(directory, *map(_safe, (app, key, rendition)))


def app_folder(directory: str, app: str) -> Path:
    """Where all of an app's recordings are."""
    return Path(directory, _safe(app))


def part_name(at_unix: float) -> str:
    """The name of a file that begins now."""
    at = datetime.fromtimestamp(round(at_unix * 1000) / 1000, UTC)
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03}Z{PART}"


def finished_name(part: Path) -> Path:
    """What a file is called when it is whole."""
    return part.with_name(part.name.removesuffix(PART) + FINISHED)


def is_part(name: str) -> bool:
    """Whether a file of this name is being written, or was when its process ended."""
    return _PART_NAME.fullmatch(name) is not None


def is_finished(name: str) -> bool:
    """Whether a file of this name is a recording; nothing else is ever removed."""
    return _FINISHED_NAME.fullmatch(name) is not None


def mark_of(path: Path) -> Path:
    """What lies beside a recording that is in its bucket."""
    return path.with_name(path.name + MARK)


def is_mark(name: str) -> bool:
    """Whether a file of this name is such a mark."""
    return name.endswith(MARK) and is_finished(name.removesuffix(MARK))


def to_remove(files: Sequence[Kept], keep_bytes: int, *, is_nearly_full: bool) -> list[Kept]:
    """The oldest ones, until the others are no larger than this together; 0: none.

    The newest one stays, however large it is; so does what is needed, until the disk is nearly
    full. Even then those that are not needed go first.
    """
    if not keep_bytes:
        return []
    total, removed = sum(file.size for file in files), []
    by_age = sorted(files, key=lambda file: (file.path.name, str(file.path)))[:-1]
    for file in sorted(by_age, key=lambda file: file.is_needed):
        if total <= keep_bytes or (file.is_needed and not is_nearly_full):
            break
        removed.append(file)
        total -= file.size
    return removed


def _safe(text: str) -> str:
    """A folder's name that stands for this text alone, and is never `.`, `..` or empty."""
    name = quote(text, safe="~+@=,!") or "%"
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > MAX_NAME:
        digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
        name = f"{name[: MAX_NAME - 65]}%{digest}"
    return name
