"""The other hosts and the owners of streams, as etcd had them last. Pure.

A host whose key is deleted while this one has been in touch with etcd for a whole TTL is gone. At
any other time it is *missing*: etcd may have been away, and all leases with it. It is gone when it
has not come back for a TTL, counted from when this host was in touch again; its streams' owners
are kept as long. So nobody is declared gone by a host that is cut off itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from cluster.keys import HostRecord, Keys, read_base, read_host, read_stream
from common.config.shared_templates import MAX_BYTES
from common.etcd.messages import Event, KeyValue
from common.ipc.cluster_messages import ClusterTemplates


@dataclass(frozen=True, slots=True)
class Host:
    """A host's key as it was seen last."""

    record: HostRecord
    mod_revision: int
    missing_s: float | None = None  # since when, if it is


@dataclass(frozen=True, slots=True)
class Owner:
    """A stream's key as it was seen last."""

    host: str
    farm: str
    mod_revision: int
    kept_s: float | None = None  # since when its key is not there, if its host is missing


class View:
    """What this host knows of the cluster."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.hosts: dict[str, Host] = {}
        self.owners: dict[str, Owner] = {}  # by digest
        self.streams: dict[str, int] = {}  # how many each host owns; none: it is not named
        self._kept: set[str] = set()  # digests whose key is not there
        self.templates = ClusterTemplates(0, "")  # that all hosts share, as they were seen last
        self.base = 0  # of epochs; 0: there is none yet
        self.changed: set[str] = set()  # digests whose owner may be another one; who reads clears

    def replace(self, kvs: Iterable[KeyValue], now: float) -> None:
        """Take over all keys that there are; who is not among them is missing."""
        hosts, owners = set(), set()
        self.base = 0
        self.templates = ClusterTemplates(0, self.templates.text)
        for kv in kvs:
            self.put(kv)
            hosts.add(self._keys.host_of(kv.key))
            owners.add(self._keys.digest_of(kv.key))
        for name in self.hosts.keys() - hosts:
            self._miss(name, now)
        for digest in self.owners.keys() - owners:
            self._keep(digest, now)

    def apply(self, events: Iterable[Event], now: float, *, is_settled: bool) -> None:
        """Take over what has changed; `is_settled`: this host was in touch for a TTL."""
        events = tuple(events)
        for event in events:
            if not event.is_delete:
                self.put(event.kv)
                continue
            name = self._keys.host_of(event.kv.key)
            if name and is_settled:
                self.hosts.pop(name, None)
            elif name:
                self._miss(name, now)
        for event in events:  # hosts first: a lease's keys end together, in any order
            digest = self._keys.digest_of(event.kv.key) if event.is_delete else ""
            owner = self.owners.get(digest)
            if owner is None or owner.mod_revision > event.kv.mod_revision:
                continue
            host = self.hosts.get(owner.host)
            if is_settled or (host is not None and host.missing_s is None):
                self._forget(digest)
            else:
                self._keep(digest, now)

    def put(self, kv: KeyValue) -> None:
        """Take over a key that is there."""
        name, digest = self._keys.host_of(kv.key), self._keys.digest_of(kv.key)
        if name:
            record = read_host(kv.value)
            if record is not None:
                self.hosts[name] = Host(record, kv.mod_revision)
        elif digest:
            found = read_stream(kv.value)
            if found is None:
                return
            self._own(digest, Owner(found.host, found.farm, kv.mod_revision))
        elif kv.key == self._keys.base:
            self.base = read_base(kv.value)
        elif kv.key == self._keys.config and len(kv.value) <= MAX_BYTES:
            text = kv.value.decode(errors="replace")
            self.templates = ClusterTemplates(kv.mod_revision, text)

    def expire(self, before_s: float) -> None:
        """Forget who has been missing since before then."""
        for name, host in tuple(self.hosts.items()):
            if host.missing_s is not None and host.missing_s <= before_s:
                del self.hosts[name]
        for digest in tuple(self._kept):
            kept_s = self.owners[digest].kept_s
            if kept_s is not None and kept_s <= before_s:
                self._forget(digest)

    def stay_missing(self, now: float) -> None:
        """Count anew for how long hosts are missing: this one is in touch again."""
        self.hosts = {
            name: host if host.missing_s is None else replace(host, missing_s=now)
            for name, host in self.hosts.items()
        }
        for digest in self._kept:
            self.owners[digest] = replace(self.owners[digest], kept_s=now)

    def is_gone(self, name: str) -> bool:
        """Tell if a host is neither there nor missing."""
        return name not in self.hosts

    def _miss(self, name: str, now: float) -> None:
        host = self.hosts.get(name)
        if host is not None and host.missing_s is None:
            self.hosts[name] = replace(host, missing_s=now)

    def _own(self, digest: str, owner: Owner) -> None:
        self._uncount(digest)
        self.owners[digest] = owner
        self.streams[owner.host] = self.streams.get(owner.host, 0) + 1
        self._kept.discard(digest)
        self.changed.add(digest)

    def _keep(self, digest: str, now: float) -> None:
        owner = self.owners.get(digest)
        if owner is not None and owner.kept_s is None:
            self.owners[digest] = replace(owner, kept_s=now)
            self._kept.add(digest)
            self.changed.add(digest)

    def _forget(self, digest: str) -> None:
        if digest in self.owners:
            self._uncount(digest)
            del self.owners[digest]
            self._kept.discard(digest)
            self.changed.add(digest)

    def _uncount(self, digest: str) -> None:
        owner = self.owners.get(digest)
        if owner is not None:
            self.streams[owner.host] -= 1
            if not self.streams[owner.host]:
                del self.streams[owner.host]
