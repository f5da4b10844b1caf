"""Keys that keep few out: short ones, one for two streams; and hooks in clear. Pure.

They are warnings of `tfarm check`: a farm takes them. Only the file's form has keys in clear.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from common.config.key_values import DIGEST, digest
from common.config.model import File
from common.config.model_templates import TemplateTable
from common.errors import ConfigFault

LEAST_CHARS = 8
LEAST_TOKEN_CHARS = 16  # of the API: who has one may do what an operator may


def weak_keys(file: File) -> list[ConfigFault]:
    """The keys to be warned of, by their paths."""
    tables = file.templates or {}
    return [
        *_short_tokens(file),
        *_of_templates(tables),
    ]


def _short_tokens(file: File) -> Iterator[ConfigFault]:
    tokens = file.api.tokens if file.api is not None else None
    for index, token in enumerate(tokens or ()):
        if len(token) < LEAST_TOKEN_CHARS and not token.startswith(DIGEST):
            problem = f"can be guessed: take {LEAST_TOKEN_CHARS} characters or more"
            yield ConfigFault(f"api.tokens[{index}]", problem)


def _of_templates(tables: Mapping[str, TemplateTable]) -> list[ConfigFault]:
    return [
        ConfigFault(f"templates.{app}.{path}", problem)
        for app, table in tables.items()
        for path, problem in (*_short(table), *_shared(table), *_unencrypted(table))
    ]


def _unencrypted(table: TemplateTable) -> Iterator[tuple[str, str]]:
    """Hooks that are asked over a network, in clear."""
    parts = urlsplit(table.hooks.url or "") if table.hooks is not None else urlsplit("")
    if parts.scheme == "http" and not _is_here(parts.hostname or ""):
        yield "hooks.url", "is not encrypted: who is on the way can answer in its place; take https"


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _keys(table: TemplateTable) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every key of an app as the file has it, by its path in the template."""
    for name in ("publish_keys", "play_keys"):
        yield name, getattr(table, name) or ()
    for stream, own in (table.stream_keys or {}).items():
        yield f"stream_keys.{stream}.publish", own.publish or ()
        yield f"stream_keys.{stream}.play", own.play or ()


def _short(table: TemplateTable) -> Iterator[tuple[str, str]]:
    for path, keys in _keys(table):
        for index, key in enumerate(keys):
            if len(key) < LEAST_CHARS and not key.startswith(DIGEST):
                at = f"{path}[{index}]" if len(keys) > 1 or "stream_keys" not in path else path
                problem = f"is a key that can be guessed: take {LEAST_CHARS} characters or more"
                yield at, problem


def _shared(table: TemplateTable) -> Iterator[tuple[str, str]]:
    """Streams whose publishers may publish as another stream."""
    known: dict[str, str] = {}
    for key in table.publish_keys or ():
        known[digest(key)] = "publish_keys"
    for key in table.publish_keys_sha256 or ():
        known[key] = "publish_keys_sha256"
    for stream, own in (table.stream_keys or {}).items():
        path = f"stream_keys.{stream}.publish"
        for key in own.publish or ():
            other = known.setdefault(digest(key), path)
            if other != path:
                yield path, f"has a key that {other} has too: who knows it can publish both"
