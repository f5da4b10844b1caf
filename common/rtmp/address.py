"""App, stream key and rendition out of whatever an RTMP client sent (docs/rtmp.md, Addresses).

Clients split a URL into app and stream name in different places (FFmpeg takes two path components
for the app when there are three, OBS the whole server field), and put the query into either, or
into tcUrl. So the server joins app and name, takes the queries off, and splits again:

    publish   APP/KEY[#backup]           play   APP/KEY[/RENDITION]

Pure. Whether app, key and rendition exist is not decided here. A stream key is a credential: no
message of AddressError, and no repr of an Address, shows it or the query.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from common.access.stream_address import problem_of, query_fields, take_backup_mark
from common.errors import AddressError

MAX_INPUT_CHARS = 4096
SOURCE_RENDITION = "source"

_NAME_PREFIX = re.compile(r"(?:mp4|flv|mp3):", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """What a client asked for; `query` holds its percent-decoded fields ("start", "key", …)."""

    app: str
    key: str = field(repr=False)
    rendition: str | None  # None: the stream as published (also when asked for as "source")
    query: Mapping[str, str] = field(repr=False)


def parse_publish(app: str, tc_url: str, name: str) -> Address:
    """The address of a publish request: APP/KEY.

    Raises AddressError with a reason that a person understands.
    """
    parts, query = _split(app, tc_url, name, is_publish=True)
    if len(parts) > 2:
        raise AddressError(f"the address has {len(parts)} parts after the host; publish to APP/KEY")
    return Address(parts[0], parts[1], None, query)


def parse_play(app: str, tc_url: str, name: str) -> Address:
    """The address of a play request: APP/KEY or APP/KEY/RENDITION.

    Raises AddressError with a reason that a person understands.
    """
    parts, query = _split(app, tc_url, name)
    if len(parts) > 3:
        raise AddressError(
            f"the address has {len(parts)} parts after the host; play APP/KEY or APP/KEY/RENDITION"
        )
    rendition = parts[2] if len(parts) == 3 and parts[2] != SOURCE_RENDITION else None
    return Address(parts[0], parts[1], rendition, query)


def connect_app(app: str) -> str | None:
    """The template name in a connect command's app, to be checked there; None when it has none."""
    if len(app) > MAX_INPUT_CHARS:
        return None
    parts = _path_parts(app.partition("?")[0])
    return parts[0] if parts else None


def _split(
    app: str, tc_url: str, name: str, *, is_publish: bool = False
) -> tuple[list[str], Mapping[str, str]]:
    if max(len(app), len(tc_url), len(name)) > MAX_INPUT_CHARS:
        raise AddressError(f"the address is longer than {MAX_INPUT_CHARS} characters")
    app_path, _, app_query = app.partition("?")
    name_path, _, name_query = name.partition("?")
    name_path = _NAME_PREFIX.sub("", name_path.lstrip("/"), count=1)
    parts = [*_path_parts(app_path), *_path_parts(name_path)]
    if not parts:
        raise AddressError("the address names no app; use APP/KEY after the host")
    if len(parts) == 1:
        raise AddressError("the address names no stream key; use APP/KEY after the host")
    marked = take_backup_mark(parts) if is_publish else {}
    if problem := problem_of(parts):
        raise AddressError(problem)
    query: dict[str, str] = {}
    for text in (tc_url.partition("?")[2], app_query, name_query):  # the later one wins
        query.update(query_fields(text))
    query.update(marked)
    return parts, MappingProxyType(query)


def _path_parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part and part != "_definst_"]
