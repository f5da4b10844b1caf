"""What etcd keeps, as a model: keys with revisions, leases, transactions, changes. Pure.

It takes and gives the documents of the JSON gateway, as etcd 3.4.23 does (tried against it); what
no test needs is not there. The time is passed in.
"""

import base64
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class Refused(Exception):
    """A code of gRPC's, and words."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code, self.words = code, words

    def document(self) -> Json:
        return {"error": self.words, "message": self.words, "code": self.code}


@dataclass
class Key:
    value: bytes
    create: int
    mod: int
    lease: int


@dataclass
class Change:
    key: str
    revision: int
    now: Key | None  # None: it was deleted


@dataclass
class Lease:
    ttl_s: int
    until_s: float
    keys: set[str] = field(default_factory=set)


class EtcdStore:
    """One cluster of etcd, whatever its members do."""

    def __init__(self) -> None:
        self.revision = 1
        self.keys: dict[str, Key] = {}
        self.leases: dict[int, Lease] = {}
        self.changes: list[Change] = []
        self.compacted = 0
        self.password: dict[str, str] = {}  # by user; empty: no authentication
        self.tokens: set[str] = set()

    def wipe(self) -> None:
        """Lose everything, as a cluster that is started with empty folders."""
        self.__init__()  # type: ignore[misc]  # that is what it is

    def handle(self, path: str, document: Json, now: float, token: str = "") -> Json:
        """Answer a request; a watch is `watch` instead. Raises Refused."""
        self.expire(now)
        if path == "/v3/auth/authenticate":
            return self._authenticate(document)
        if self.password and token not in self.tokens:
            raise Refused(16, "etcdserver: invalid auth token")
        match path:
            case "/v3/kv/range":
                return self._header() | self._range(document)
            case "/v3/kv/txn":
                return self._txn(document)
            case "/v3/lease/grant":
                return self._grant(document, now)
            case "/v3/lease/keepalive":
                return {"result": self._keep_alive(document, now)}
            case "/v3/lease/timetolive":
                return self._time_to_live(document, now)
            case "/v3/lease/revoke":
                if int(document["ID"]) not in self.leases:
                    raise Refused(5, "etcdserver: requested lease not found")
                self._end_leases([int(document["ID"])])
                return self._header()
        raise Refused(5, "Not Found")

    def expire(self, now: float) -> None:
        """End the leases whose time is over."""
        self._end_leases([number for number, one in self.leases.items() if one.until_s <= now])

    def renew(self, now: float) -> None:
        """Give every lease its whole time, as a new leader does."""
        for lease in self.leases.values():
            lease.until_s = now + lease.ttl_s

    def watch(self, document: Json, since: int) -> tuple[list[Json], int]:
        """Documents of what changed from a revision on, and from where to go on."""
        what = document["create_request"]
        key, end = text(what["key"]), text(what.get("range_end", ""))
        if since <= self.compacted:
            result = self._header() | {"canceled": True, "compact_revision": f"{self.compacted}"}
            return [{"result": result}], since
        by_revision: dict[int, list[Json]] = {}
        for change in self.changes:
            if change.revision >= since and _is_in(change.key, key, end):
                by_revision.setdefault(change.revision, []).append(_event(change))
        documents = [{"result": self._header() | {"events": e}} for e in by_revision.values()]
        return documents, self.revision + 1

    # ---- inside -------------------------------------------------------------------------------

    def _header(self) -> Json:
        return {"header": {"revision": f"{self.revision}"}}

    def _authenticate(self, document: Json) -> Json:
        if not self.password:
            raise Refused(9, "etcdserver: authentication is not enabled")
        if self.password.get(document["name"]) != document["password"]:
            raise Refused(3, "etcdserver: authentication failed, invalid user ID or password")
        token = f"token-{len(self.tokens)}"
        self.tokens.add(token)
        return self._header() | {"token": token}

    def _range(self, document: Json) -> Json:
        key, end = text(document["key"]), text(document.get("range_end", ""))
        found = sorted(name for name in self.keys if _is_in(name, key, end))
        limit = int(document.get("limit", 0)) or len(found)
        answer: Json = {"count": f"{len(found)}"}
        if found:
            answer["kvs"] = [_kv(name, self.keys[name]) for name in found[:limit]]
        return answer | ({"more": True} if len(found) > limit else {})

    def _txn(self, document: Json) -> Json:
        holds = all(self._holds(one) for one in document.get("compare", ()))
        operations = document.get("success" if holds else "failure", ())
        for one in operations:
            lease = int(one.get("request_put", {}).get("lease", 0))
            if lease and lease not in self.leases:
                raise Refused(5, "etcdserver: requested lease not found")
        if any("request_put" in one for one in operations) or any(
            text(one["request_delete_range"]["key"]) in self.keys
            for one in operations
            if "request_delete_range" in one
        ):
            self.revision += 1
        responses = [self._operate(one) for one in operations]
        return (
            self._header()
            | ({"succeeded": True} if holds else {})
            | ({"responses": responses} if responses else {})
        )

    def _holds(self, compare: Json) -> bool:
        key = self.keys.get(text(compare["key"]))
        if compare["target"] == "CREATE":
            return (key.create if key else 0) == int(compare.get("create_revision", 0))
        return (key.mod if key else 0) == int(compare.get("mod_revision", 0))

    def _operate(self, one: Json) -> Json:
        if "request_put" in one:
            put = one["request_put"]
            name, lease = text(put["key"]), int(put.get("lease", 0))
            before = self.keys.get(name)
            if before is not None and before.lease:
                self.leases[before.lease].keys.discard(name)
            create = before.create if before is not None else self.revision
            value = base64.b64decode(put.get("value", ""))
            self.keys[name] = key = Key(value, create, self.revision, lease)
            if lease:
                self.leases[lease].keys.add(name)
            self.changes.append(Change(name, self.revision, key))
            return {"response_put": self._header()}
        if "request_delete_range" in one:
            self._delete([text(one["request_delete_range"]["key"])])
            return {"response_delete_range": self._header()}
        return {"response_range": self._header() | self._range(one["request_range"])}

    def _grant(self, document: Json, now: float) -> Json:
        number, ttl = int(document["ID"]), int(document["TTL"])
        if number in self.leases:
            raise Refused(9, "etcdserver: lease already exists")
        self.leases[number] = Lease(ttl, now + ttl)
        return self._header() | {"ID": f"{number}", "TTL": f"{ttl}"}

    def _keep_alive(self, document: Json, now: float) -> Json:
        number = int(document["ID"])
        lease = self.leases.get(number)
        if lease is None:
            return self._header() | {"ID": f"{number}"}
        lease.until_s = now + lease.ttl_s
        return self._header() | {"ID": f"{number}", "TTL": f"{lease.ttl_s}"}

    def _time_to_live(self, document: Json, now: float) -> Json:
        lease = self.leases.get(int(document["ID"]))
        if lease is None:
            return self._header() | {"ID": document["ID"], "TTL": "-1"}
        left = {"TTL": f"{int(lease.until_s - now)}", "grantedTTL": f"{lease.ttl_s}"}
        return self._header() | {"ID": document["ID"]} | left

    def _end_leases(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            lease = self.leases.pop(number)
            if lease.keys:
                self.revision += 1
                self._delete(sorted(lease.keys))

    def _delete(self, names: Iterable[str]) -> None:
        """At the revision that there is by now."""
        for name in names:
            key = self.keys.pop(name, None)
            if key is not None:
                if key.lease in self.leases:
                    self.leases[key.lease].keys.discard(name)
                self.changes.append(Change(name, self.revision, None))

    def next_end(self) -> float:
        """When the next lease ends."""
        return min((lease.until_s for lease in self.leases.values()), default=math.inf)


def text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


def _is_in(name: str, key: str, end: str) -> bool:
    return key <= name < end if end else name == key


def _kv(name: str, key: Key) -> Json:
    numbers = {"create_revision": key.create, "mod_revision": key.mod, "lease": key.lease}
    return {
        "key": base64.b64encode(name.encode()).decode(),
        "value": base64.b64encode(key.value).decode(),
        **{field: f"{number}" for field, number in numbers.items() if number},
    }


def _event(change: Change) -> Json:
    if change.now is not None:
        return {"kv": _kv(change.key, change.now)}
    key = base64.b64encode(change.key.encode()).decode()
    return {"type": "DELETE", "kv": {"key": key, "mod_revision": f"{change.revision}"}}
