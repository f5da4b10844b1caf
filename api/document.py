"""The status document as the API gives it out. Pure.

It is that of `tfarm status --json` (docs/status-json.md), with two differences: each stream has an
`id`, the label that logs have, and a stream key that is a credential is there for those alone who
gave a token; others see null. A stream is found by its key or by the label of it.
"""

from collections.abc import Mapping
from typing import Any

from common.process.log import key_hash, stream_label

Json = dict[str, Any]


def published(document: Mapping[str, Any], *, shows_keys: bool) -> Json:
    """The document as one reader sees it."""
    hidden: dict[str, str] = {}  # APP/KEY, by what stands in its place
    if not shows_keys:
        for part in ("streams", "decisions", "kicked", "pulls"):
            for entry in document.get(part, ()):
                name = f"{entry['app']}/{entry['key']}"
                if entry.get("is_key_secret", True):
                    hidden[name] = stream_label(name)
        for ban in document.get("bans", ()):
            target = ban["target"]
            if _is_stream(target) and ban.get("is_key_secret", True):
                hidden[target] = stream_label(target)
    return {
        **document,
        "streams": [_named(entry, hidden) for entry in document["streams"]],
        "decisions": [_named(entry, hidden) for entry in document["decisions"]],
        "kicked": [_named(entry, hidden) for entry in document["kicked"]],
        "pulls": [_named(entry, hidden) for entry in document.get("pulls", ())],
        "bans": [
            ban | {"target": hidden.get(ban["target"], ban["target"])} for ban in document["bans"]
        ],
    }


def find_stream(published: Mapping[str, Any], app: str, key: str) -> Json | None:
    """A stream by its app and its key, or the label of its key."""
    label = f"{app}/{key}"
    by_label = None
    for stream in published["streams"]:
        if stream["app"] == app:
            if stream["key"] == key:
                found: Json = stream
                return found
            if stream["id"] == label:
                by_label = stream
    return by_label


def real_name(document: Mapping[str, Any], app: str, key: str) -> tuple[str, str]:
    """App and key of a stream as the farm has it, by its key or the label of it.

    `document` is the status document as it came. One that is not there is taken as it was written.
    """
    names = {
        entry["key"]
        for part in ("streams", "kicked", "pulls")
        for entry in document.get(part, ())
        if entry["app"] == app
    }
    if key in names:
        return app, key
    return app, next((name for name in names if key_hash(name) == key), key)


def real_target(document: Mapping[str, Any], target: str) -> str:
    """What a ban is of, as the farm has it: a stream may be named by its label."""
    app, slash, key = target.partition("/")
    for ban in document["bans"]:
        if target in (ban["target"], stream_label(ban["target"])):
            found: str = ban["target"]
            return found
    return "/".join(real_name(document, app, key)) if slash else target


def _is_stream(target: str) -> bool:
    """Whether a ban's target is a stream, and no network."""
    app, slash, key = target.partition("/")
    return bool(slash) and not (key.isdecimal() and (":" in app or app.count(".") == 3))


_TEXTS = ("text", "reason", "cannot_move")


def _named(entry: Mapping[str, Any], hidden: Mapping[str, str]) -> Json:
    name = f"{entry['app']}/{entry['key']}"
    found = {**entry, "id": stream_label(name)}
    if name in hidden:
        found["key"] = None
        if "recordings" in found:  # their files stand below a folder of the key
            found["recordings"] = [one | {"file": ""} for one in found["recordings"]]
    for field in _TEXTS:
        text = found.get(field)
        if text and "/" in text:
            for other, label in hidden.items():
                if other in text:
                    text = text.replace(other, label)
            found[field] = text
    return found
