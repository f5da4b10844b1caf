"""Requests to etcd's JSON gateway and its answers. Pure.

As etcd 3.4 to 3.6 have them: a POST to a path, 64-bit integers as strings, keys and values in
base64, fields of their default value left out (etcd's `api/etcdserverpb/rpc.proto`). Watches and
keepalives are streams: each answer of theirs stands in a `result`.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from common.etcd.errors import UNKNOWN, EtcdAway, error_of

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: a path below the endpoint, and a document."""

    path: str
    document: Json

    def body(self) -> bytes:
        """The document as it crosses."""
        return json.dumps(self.document, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Compare:
    """A condition of a transaction: a key's revision. A `create` of 0: the key is not there."""

    key: str
    create: int | None = None
    mod: int | None = None


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as etcd has it."""

    key: str
    value: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """What a watch reports. Of a deleted key only its name and `mod_revision` are there."""

    kv: KeyValue
    is_delete: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What etcd answers, whatever was asked; what does not belong to that is empty."""

    revision: int = 0  # of the whole store
    succeeded: bool = False  # of a transaction
    kvs: tuple[KeyValue, ...] = ()
    has_more: bool = False
    ttl_s: int = 0  # that a lease has left; 0: it is not there
    granted_s: int = 0  # that it had to begin with, where that was asked
    token: str = ""


@dataclass(frozen=True, slots=True)
class WatchAnswer:
    """One answer of a watch."""

    revision: int = 0
    is_created: bool = False
    canceled: str | None = None  # why it is at an end
    compact_revision: int = 0  # the first that can be watched from, where it began too early
    events: tuple[Event, ...] = ()


# ---- requests ---------------------------------------------------------------------------------


def read(key: str, end: str = "", *, limit: int = 0, revision: int = 0) -> Request:
    """Read a key, or all from it up to `end`; at a revision, 0: at the newest."""
    document: Json = {"key": _text(key)}
    if end:
        document["range_end"] = _text(end)
    if limit:
        document["limit"] = limit
    if revision:
        document["revision"] = revision
    return Request("/v3/kv/range", document)


def put(key: str, value: bytes, lease: int) -> Json:
    """An operation of a transaction."""
    return {"request_put": {"key": _text(key), "value": _bytes(value), "lease": lease}}


def get(key: str) -> Json:
    """Likewise."""
    return {"request_range": {"key": _text(key)}}


def delete(key: str) -> Json:
    """Likewise."""
    return {"request_delete_range": {"key": _text(key)}}


def transaction(
    compares: Sequence[Compare], success: Sequence[Json], failure: Sequence[Json] = ()
) -> Request:
    """Do what `success` has if all comparisons hold, else what `failure` has."""
    return Request(
        "/v3/kv/txn",
        {
            "compare": [_compare(one) for one in compares],
            "success": list(success),
            "failure": list(failure),
        },
    )


def grant(lease: int, ttl_s: int) -> Request:
    """Make a lease with a number of one's own."""
    return Request("/v3/lease/grant", {"ID": lease, "TTL": ttl_s})


def keep_alive(lease: int) -> Request:
    """Begin a lease's time anew."""
    return Request("/v3/lease/keepalive", {"ID": lease})


def time_to_live(lease: int) -> Request:
    """Ask how long a lease has left; that is whole seconds, rounded down."""
    return Request("/v3/lease/timetolive", {"ID": lease})


def revoke(lease: int) -> Request:
    """End a lease, and with it its keys."""
    return Request("/v3/lease/revoke", {"ID": lease})


def watch(key: str, end: str, start_revision: int) -> Request:
    """Report all changes of the keys from `key` to `end` since a revision."""
    what = {"key": _text(key), "range_end": _text(end), "start_revision": start_revision}
    return Request("/v3/watch", {"create_request": what})


def authenticate(user: str, password: str) -> Request:
    """Ask for a token."""
    return Request("/v3/auth/authenticate", {"name": user, "password": password})


def maintenance_status() -> Request:
    """Ask how a member is; no user is needed."""
    return Request("/v3/maintenance/status", {})


def prefix_end(prefix: str) -> str:
    """The end of the range of all keys with a prefix of ASCII."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


# ---- answers ----------------------------------------------------------------------------------


def answer_of(body: bytes) -> Answer:
    """Read an answer.

    Raises:
        EtcdError: it is a refusal, or cannot be read.
    """
    document = _document(body)
    _raise_error(document)
    try:
        if "result" in document:  # of a stream
            document = _table(document, "result")
        kvs = [_key_value(kv) for kv in _list(document, "kvs")]
        for response in _list(document, "responses"):
            found = _table(response, "response_range")
            kvs += [_key_value(kv) for kv in _list(found, "kvs")]
        return Answer(
            _int(_table(document, "header"), "revision"),
            document.get("succeeded") is True,
            tuple(kvs),
            document.get("more") is True,
            max(0, _int(document, "TTL")),
            max(0, _int(document, "grantedTTL")),
            str(document.get("token", "")),
        )
    except (ValueError, TypeError) as error:
        raise EtcdAway(f"its answer cannot be read: {error}") from None


def watch_answer_of(line: bytes) -> WatchAnswer:
    """Read a line of a watch.

    Raises:
        EtcdError: likewise.
    """
    document = _document(line)
    _raise_error(document)
    try:
        result = _table(document, "result")
        events = [
            Event(_key_value(_table(event, "kv")), event.get("type") == "DELETE")
            for event in _list(result, "events")
        ]
        is_over = result.get("canceled") is True
        return WatchAnswer(
            _int(_table(result, "header"), "revision"),
            result.get("created") is True,
            str(result.get("cancel_reason") or "it was cancelled") if is_over else None,
            _int(result, "compact_revision"),
            tuple(events),
        )
    except (ValueError, TypeError) as error:
        raise EtcdAway(f"its answer cannot be read: {error}") from None


# ---- inside -----------------------------------------------------------------------------------


def _document(body: bytes) -> Json:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise EtcdAway("its answer is no JSON") from None
    if not isinstance(document, dict):
        raise EtcdAway("its answer is no JSON object")
    return document


def _raise_error(document: Json) -> None:
    """Raise what an answer says that is none. A stream has `error` as an object (3.4)."""
    error = document.get("error")
    if error is None:
        return
    if isinstance(error, dict):
        document, error = error, error.get("message", "")
    code = document.get("code", document.get("grpc_code", UNKNOWN))
    raise error_of(code if isinstance(code, int) else UNKNOWN, str(error))


def _key_value(document: Any) -> KeyValue:
    if not isinstance(document, dict):
        raise TypeError("a key is no object")
    return KeyValue(
        _decoded(document.get("key", "")).decode(errors="replace"),
        _decoded(document.get("value", "")),
        _int(document, "create_revision"),
        _int(document, "mod_revision"),
        _int(document, "lease"),
    )


def _table(document: Any, name: str) -> Json:
    found = document.get(name, {}) if isinstance(document, dict) else None
    if not isinstance(found, dict):
        raise TypeError(f"{name} is no object")
    return found


def _list(document: Json, name: str) -> list[Any]:
    found = document.get(name, [])
    if not isinstance(found, list):
        raise TypeError(f"{name} is no array")
    return found


def _int(document: Json, name: str) -> int:
    found = document.get(name, 0)
    if type(found) not in (int, str) or len(str(found)) > 20:
        raise ValueError(f"{name} is no number")
    return int(found)


def _compare(one: Compare) -> Json:
    document: Json = {"key": _text(one.key)}
    if one.create is not None:
        return document | {"target": "CREATE", "create_revision": one.create}
    return document | {"target": "MOD", "mod_revision": one.mod}


def _text(text: str) -> str:
    return _bytes(text.encode())


def _bytes(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError):
        raise ValueError("no base64") from None
