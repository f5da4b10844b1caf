"""The address of a stream, whatever protocol it stands in: APP/KEY[/RENDITION]?QUERY. Pure.

A stream key is a credential: no message from here shows it or the query.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote

MAX_PART_CHARS: Final = 128
MAX_QUERY_FIELDS: Final = 64
BACKUP: Final = "backup"  # `KEY#backup`, or `?backup=1`

# RFC 3986 unreserved characters, and a few more that nothing on the way gives a meaning.
_PART = re.compile(r"[A-Za-z0-9._~+@=,!-]+")


def problem_of(parts: Sequence[str]) -> str:
    """Say what is wrong with an app, a stream key and a rendition, as far as they are there."""
    for part, what in zip(parts, ("app", "stream key", "rendition"), strict=False):
        if len(part) > MAX_PART_CHARS:
            return f"the {what} is longer than {MAX_PART_CHARS} characters"
        if part.strip(".") == "" or not _PART.fullmatch(part):
            return f"the {what} may hold only letters, digits and . _ ~ - + @ = , !"
    return ""


def take_backup_mark(parts: list[str]) -> dict[str, str]:
    """Take `#backup` off a publisher's stream key; the query's field that says the same."""
    for mark in (f"#{BACKUP}", f"%23{BACKUP}"):
        if parts[-1].endswith(mark):
            parts[-1] = parts[-1].removesuffix(mark)
            return {BACKUP: "1"}
    return {}


def is_backup_wanted(query: Mapping[str, str]) -> bool:
    """Whether a publisher is to stand by."""
    return query.get(BACKUP) in ("1", "true")


def query_fields(text: str) -> dict[str, str]:
    """Split at & and =, then percent-decode once; "+" stays as it is (it is no form)."""
    fields: dict[str, str] = {}
    for item in text.split("&", MAX_QUERY_FIELDS)[:MAX_QUERY_FIELDS]:
        key, _, value = item.partition("=")
        if key:
            fields[unquote(key)] = unquote(value)
    return fields
