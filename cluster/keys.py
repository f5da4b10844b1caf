"""The keys of a cluster in etcd, and what is in them. Pure.

    /tfarm/1/CLUSTER/hosts/HOST      a host, by its own word
    /tfarm/1/CLUSTER/streams/DIGEST  which host has a stream
    /tfarm/1/CLUSTER/base            what is added to a key's revision for an epoch
    /tfarm/1/CLUSTER/config          the templates of all hosts, as an operator gave them

The first two are on the lease of their host: without it they are gone. The base is made by the
host that finds none, of its clock: so epochs grow even if etcd loses its data. What another host
wrote is read with care: it may be of another version.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from common.cluster.digest import is_digest

PREFIX: Final = "/tfarm/1/"
MAX_VALUE_BYTES: Final = 64 * 1024
MAX_TEXT: Final = 256
REVISIONS_A_MS: Final = 1_000  # at most
MAX_POOLS: Final = 16  # amounts by pipeline


@dataclass(frozen=True, slots=True)
class HostRecord:
    """A host's key."""

    farm: str  # one farm from its start to its end, whatever of it is started anew
    version: str = ""
    relay: str = ""
    rtmp: str = ""
    free: dict[str, float] = field(default_factory=dict)
    capacity: dict[str, float] = field(default_factory=dict)
    is_draining: bool = False
    templates_revision: int = 0
    templates_problem: str = ""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A stream's key."""

    host: str
    farm: str


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of one cluster's keys."""

    cluster: str

    @property
    def prefix(self) -> str:
        """What all of them begin with."""
        return f"{PREFIX}{self.cluster}/"

    def host(self, name: str) -> str:
        """The key of a host."""
        return f"{self.prefix}hosts/{name}"

    def stream(self, digest: str) -> str:
        """The key of a stream."""
        return f"{self.prefix}streams/{digest}"

    @property
    def base(self) -> str:
        """The key of the base."""
        return f"{self.prefix}base"

    @property
    def config(self) -> str:
        """The key of the templates that all hosts share."""
        return f"{self.prefix}config"

    def host_of(self, key: str) -> str:
        """The host whose key this is; "": it is none's."""
        return _rest(key, f"{self.prefix}hosts/")

    def digest_of(self, key: str) -> str:
        """The stream whose key this is; "": it is none's."""
        digest = _rest(key, f"{self.prefix}streams/")
        return digest if is_digest(digest) else ""


def write_host(record: HostRecord) -> bytes:
    """The value of a host's key."""
    return _json(
        {
            "farm": record.farm,
            "version": record.version,
            "relay": record.relay,
            "rtmp": record.rtmp,
            "free": {name: round(value, 2) for name, value in record.free.items()},
            "capacity": {name: round(value, 2) for name, value in record.capacity.items()},
            "draining": record.is_draining,
            "templates": record.templates_revision,
            "templates_problem": record.templates_problem[:MAX_TEXT],
        }
    )


def read_host(value: bytes) -> HostRecord | None:
    """What a host wrote; None: it cannot be read."""
    document = _document(value)
    farm = _text(document, "farm")
    if not farm:
        return None
    return HostRecord(
        farm,
        _text(document, "version"),
        _text(document, "relay"),
        _text(document, "rtmp"),
        _amounts(document, "free"),
        _amounts(document, "capacity"),
        document.get("draining") is True,
        _number(document, "templates"),
        _text(document, "templates_problem"),
    )


def write_stream(record: StreamRecord) -> bytes:
    """The value of a stream's key."""
    return _json({"host": record.host, "farm": record.farm})


def read_stream(value: bytes) -> StreamRecord | None:
    """What a stream's owner wrote; None: it cannot be read."""
    document = _document(value)
    host, farm = _text(document, "host"), _text(document, "farm")
    return StreamRecord(host, farm) if host and farm else None


def write_base(unix: float) -> bytes:
    """The value of the base's key: later than any epoch before, if the clock is."""
    return _json({"base": int(unix * 1000) * REVISIONS_A_MS})


def read_base(value: bytes) -> int:
    """The base; 0: it cannot be read."""
    return _number(_document(value), "base")


# ---- inside -----------------------------------------------------------------------------------


def _rest(key: str, prefix: str) -> str:
    return key[len(prefix) :] if key.startswith(prefix) else ""


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _document(value: bytes) -> dict[str, Any]:
    if len(value) > MAX_VALUE_BYTES:
        return {}
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _text(document: dict[str, Any], name: str) -> str:
    found = document.get(name)
    is_good = isinstance(found, str) and len(found) <= MAX_TEXT and found.isprintable()
    return found if isinstance(found, str) and is_good else ""


def _number(document: dict[str, Any], name: str) -> int:
    found = document.get(name)
    return found if type(found) is int and 0 <= found < 1 << 60 else 0


def _amounts(document: dict[str, Any], name: str) -> dict[str, float]:
    found = document.get(name)
    if not isinstance(found, dict) or len(found) > MAX_POOLS:
        return {}
    return {
        key: float(value)
        for key, value in found.items()
        if len(key) <= MAX_TEXT and type(value) in (int, float) and 0 <= value < 1e12
    }
