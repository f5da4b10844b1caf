# long: one machine, whose state all its answers share
"""This host's place in the cluster: what to ask etcd next, and what its answers mean. Pure.

Each turn (`tick`) looks what is missing and asks for that: the lease, the view of all keys, this
host's key, its streams' keys, in this order. So a start, a lease that ended while etcd was away and
a store that lost its data are one path. Rules:

- The lease has a number of this farm's own: a process that takes this one's place goes on with it.
- In touch is who has its key in etcd and had an answer within `TOUCH_S`.
- Etcd's revisions only grow. An answer with a lower one than was known when it was asked for says
  that the data were lost: all is done anew.
- Time counts for the others' absence as far as etcd has answered, and no further.
- A watch that does not bring back this host's own key within `WATCH_S` is dead: another is begun.
"""

from collections.abc import Sequence
from typing import Final

from cluster.actions import Action, Call, Say, Self, StartWatch, What
from cluster.claims import Claim, Claims, ClaimState
from cluster.host_key import differs, host_views
from cluster.keys import (
    HostRecord,
    Keys,
    StreamRecord,
    read_stream,
    write_base,
    write_host,
    write_stream,
)
from cluster.owners import Owners
from cluster.view import View
from common.cluster.digest import stream_digest
from common.etcd import messages
from common.etcd.errors import EtcdError, EtcdRefused
from common.etcd.messages import Answer, Compare, KeyValue, Request, WatchAnswer, prefix_end
from common.ipc.cluster_messages import (
    ClaimOutcome,
    ClaimStream,
    ClusterView,
    HeldStreams,
    HostRoom,
    OwnerWanted,
    StreamClaimed,
    StreamOwner,
)
from common.ipc.identity import StreamId

NOT_YET: Final = "etcd has not answered yet"
BEAT_S: Final = 1.0  # between keepalives: five of them in the shortest lease
TOUCH_S: Final = 2.5
RETRY_S: Final = 0.5
WATCH_S: Final = 3.0
PROBE_S: Final = 10.0  # this host's key is written as often at least, for its watch to show it
WRITE_S: Final = 1.0  # … and at most
PAGE: Final = 1_000  # keys read at once
MAX_CLAIMS: Final = 16  # that are asked for at a time


class Membership:  # long: one machine, whose state all its answers share
    """One host's; times are of one clock, `unix` beside it is for people."""

    def __init__(self, own: Self, now: float, unix: float) -> None:
        self._own = own
        self._keys = Keys(own.cluster)
        self.view = View(self._keys)
        self.claims = Claims()
        self._owners = Owners(self._owner_of)
        self._busy: dict[What, int] = dict.fromkeys(What, 0)
        self._retry_s: dict[What, float] = dict.fromkeys(What, 0.0)
        self._has_lease: bool | None = None  # None: that is not known yet
        self._revision = 0  # the highest that was seen …
        self._watch_revision = 0  # … by the watch …
        self._written = 0  # … and of this host's key
        self._written_s = now
        self._unix = unix
        self._needs_read = True
        self._page: list[KeyValue] = []
        self._page_revision = 0
        self._is_registered = False
        self._answer_s = -1e9  # when what was answered last had been asked
        self._in_touch_s: float | None = None
        self._since_unix = unix
        self._reason = NOT_YET
        self._room = HostRoom()
        self._shown: HostRecord | None = None  # in etcd
        self._holding: list[StreamId] = []
        self._knows_held = False
        self._last_view: ClusterView | None = None
        self._view_s = -1e9

    # ---- what the supervisor says -------------------------------------------------------------

    def claim(self, message: ClaimStream, now: float) -> list[Action]:
        """This farm has a stream, or is about to."""
        digest = self._digest(message.stream_id)
        before = self.claims.by_digest.get(digest)
        claim = self.claims.add(message.stream_id, digest, message.request_id)
        if before is not None and claim.state is ClaimState.OWNED:
            return self._answer(claim, ClaimOutcome.OWNED)
        if not self.is_in_touch(now):
            return self._answer(claim, ClaimOutcome.AWAY)
        owner = self.view.owners.get(digest)
        if owner is not None and owner.kept_s is not None and claim.requests:
            self.claims.leave(claim)
            return self._answer(claim, ClaimOutcome.ELSEWHERE)
        return self._next_claims(now)

    def release(self, stream_id: StreamId, now: float) -> list[Action]:
        """This farm has a stream no more."""
        self.claims.remove(self._digest(stream_id))
        return self._next_releases(now)

    def held(self, message: HeldStreams, now: float) -> list[Action]:
        """All that it has; what else is claimed is so no more."""
        self._holding += message.stream_ids
        if not message.is_last:
            return []
        holding, self._holding = {self._digest(name): name for name in self._holding}, []
        for digest in self.claims.by_digest.keys() - holding.keys():
            self.claims.remove(digest)
        for digest, name in holding.items():
            self.claims.add(name, digest, 0)
        self._knows_held = True
        self._release_leftovers()
        return self.tick(now, self._since_unix)

    def room(self, message: HostRoom) -> None:
        """What is free here."""
        self._room = message

    def want(self, message: OwnerWanted, now: float) -> list[Action]:
        """Somebody wants to know who has a stream."""
        digest = message.digest or self._digest(message.stream_id)
        return [Say(self._owners.want(digest, message.stream_id, now))]

    # ---- time ---------------------------------------------------------------------------------

    def tick(self, now: float, unix: float) -> list[Action]:
        """Ask for what is missing; several times a second."""
        self._unix = unix
        self._follow_touch(now, unix)
        if self._is_settled(now):  # who has been missing for a TTL of being in touch is gone
            self.view.expire(self._answer_s - self._own.ttl_s)
        if self._watch_revision < self._written and now - self._written_s > WATCH_S:
            self._needs_read, self._written = True, 0
        self._claim_what_is_free()
        return [*self._next_calls(now), *self._report(now)]

    def is_in_touch(self, now: float) -> bool:
        """Tell if this host is registered and etcd answers."""
        return self._is_registered and now - self._answer_s <= TOUCH_S

    def _is_settled(self, now: float) -> bool:
        """Tell if this host has been in touch for a whole TTL."""
        since_s = self._in_touch_s
        is_long = since_s is not None and self._answer_s - since_s >= self._own.ttl_s
        return is_long and self.is_in_touch(now)

    def ends(self) -> Request:
        """What to ask at a clean end: this host's keys go at once."""
        return messages.revoke(self._own.lease)

    # ---- what etcd says -----------------------------------------------------------------------

    def answered(self, call: Call, answer: Answer, now: float) -> list[Action]:
        """Etcd has answered a call."""
        self._busy[call.what] -= 1
        self._answer_s = max(self._answer_s, call.sent_s)
        if call.what in (What.READ, What.BASE, What.HOST, What.CLAIM, What.RELEASE):
            if answer.revision < call.revision:
                self._begin_anew(answer.revision)
                claim = self.claims.by_digest.get(call.digest)
                if claim is not None and claim.state is ClaimState.CLAIMING:
                    self.claims.lose(claim)
                return self._next_calls(now)
            self._revision = max(self._revision, answer.revision)
        match call.what:
            case What.LEASE:
                self._on_lease(answer.ttl_s > 0, now)
            case What.GRANT:
                self._on_lease(True, now)
            case What.READ:
                return [*self._on_read(answer, now), *self._next_calls(now)]
            case What.BASE:
                self._needs_read = True  # whoever has made it
            case What.HOST:
                self._on_host(call, answer, now)
            case What.CLAIM:
                return [*self._on_claim(call, answer, now), *self._next_calls(now)]
            case What.RELEASE:
                self.claims.releases.pop(call.digest, None)
        return self._next_calls(now)

    def failed(self, call: Call, error: EtcdError, now: float) -> list[Action]:
        """Etcd has not answered, or refused."""
        self._busy[call.what] -= 1
        self._retry_s[call.what] = now + RETRY_S
        is_refused = isinstance(error, EtcdRefused)
        if isinstance(error, EtcdRefused) and error.is_lease_taken:
            self._on_lease(True, now)
        elif isinstance(error, EtcdRefused) and error.is_lease_missing:
            self._retry_s[call.what] = 0.0
            self._lose_lease()
        else:
            self._reason = f"etcd refuses: {error}" if is_refused else f"etcd is away: {error}"
        if call.what is What.READ:
            self._page = []
        claim = self.claims.by_digest.get(call.digest)
        if call.what is What.CLAIM:
            self.claims.released.discard(call.digest)  # its key, if it came to be, shows in a watch
            if claim is not None and claim.state is ClaimState.CLAIMING:
                self.claims.lose(claim, now + RETRY_S, claim.replaces)
                return self._answer(claim, ClaimOutcome.AWAY)
        return []

    def on_watch(self, answer: WatchAnswer, now: float) -> list[Action]:
        """A watch reports."""
        if answer.canceled is not None:
            return self.watch_ended(answer.canceled)
        self._watch_revision = max(self._watch_revision, answer.revision)
        self.view.apply(answer.events, now, is_settled=self._is_settled(now))
        for event in answer.events:
            self._revision = max(self._revision, event.kv.mod_revision)
            digest = self._keys.digest_of(event.kv.key)
            claim = self.claims.by_digest.get(digest)
            if not event.is_delete:
                continue
            if claim is not None and claim.state is ClaimState.OWNED:
                if event.kv.mod_revision > claim.mod_revision:
                    self.claims.lose(claim)
            elif self._keys.host_of(event.kv.key) == self._own.host:
                self._is_registered &= event.kv.mod_revision <= self._written
        self._release_leftovers([self._keys.digest_of(event.kv.key) for event in answer.events])
        self._claim_what_is_free()
        return [*self._next_calls(now), *map(Say, self._owners.changes(self.view.changed, now))]

    def watch_ended(self, reason: str) -> list[Action]:
        """A watch has failed: what changed meanwhile is in the next whole read."""
        self._needs_read = True
        if not self._is_registered:
            self._reason = f"etcd is away: {reason}"
        return []

    # ---- inside: asking -----------------------------------------------------------------------

    def _next_calls(self, now: float) -> list[Action]:
        actions: list[Action] = []
        if self._is_due(What.LEASE, now) and self._has_lease is not False:
            self._retry_s[What.LEASE] = now + BEAT_S
            actions += self._call(What.LEASE, messages.keep_alive(self._own.lease), now)
        if self._is_due(What.GRANT, now) and self._has_lease is False:
            asked = messages.grant(self._own.lease, self._own.ttl_s)
            actions += self._call(What.GRANT, asked, now)
        if self._needs_read and self._is_due(What.READ, now):
            actions += self._read_page(self._keys.prefix, 0, now)
        elif not self._needs_read and not self.view.base and self._is_due(What.BASE, now):
            put = messages.put(self._keys.base, write_base(self._unix), 0)
            asked = messages.transaction([Compare(self._keys.base, create=0)], [put])
            actions += self._call(What.BASE, asked, now)
        if self._has_lease and self._is_synced and self._is_due(What.HOST, now):
            actions += self._write_host(now)
        return [*actions, *self._next_releases(now), *self._next_claims(now)]

    @property
    def _is_synced(self) -> bool:
        """Tell if all keys are known, and how epochs are made of their revisions."""
        return not self._needs_read and self.view.base > 0

    def _is_due(self, what: What, now: float) -> bool:
        return not self._busy[what] and self._retry_s[what] <= now

    def _call(
        self,
        what: What,
        request: Request,
        now: float,
        digest: str = "",
        record: HostRecord | None = None,
    ) -> list[Action]:
        self._busy[what] += 1
        return [Call(what, request, now, self._revision, digest, record)]

    def _read_page(self, key: str, revision: int, now: float) -> list[Action]:
        end = prefix_end(self._keys.prefix)
        return self._call(What.READ, messages.read(key, end, limit=PAGE, revision=revision), now)

    def _write_host(self, now: float) -> list[Action]:
        """Write this host's key, if it is not there or not as it should be."""
        room, before = self._room, self._shown
        record = HostRecord(
            self._own.farm,
            self._own.version,
            self._own.relay,
            self._own.rtmp,
            room.free,
            room.capacity,
            room.is_draining,
        )
        if self._is_registered and before is not None:
            since_s = now - self._written_s
            is_worth = since_s >= WRITE_S and differs(record, before)
            if not is_worth and since_s < PROBE_S:
                return []
        seen = self.view.hosts.get(self._own.host)
        if seen is not None and seen.missing_s is None and seen.record.farm != self._own.farm:
            self._reason = f"another farm of this cluster has the name {self._own.host}"
            self._retry_s[What.HOST] = now + RETRY_S
            return []
        key = self._keys.host(self._own.host)
        is_there = seen is not None and seen.missing_s is None
        compare = (
            Compare(key, mod=seen.mod_revision) if seen and is_there else Compare(key, create=0)
        )
        put = messages.put(key, write_host(record), self._own.lease)
        asked = messages.transaction([compare], [put], [messages.get(key)])
        return self._call(What.HOST, asked, now, record=record)

    def _next_claims(self, now: float) -> list[Action]:
        if not self._is_registered or not self._is_synced or self._retry_s[What.CLAIM] > now:
            return []
        actions: list[Action] = []
        for claim in tuple(self.claims.due(now)):
            if self._busy[What.CLAIM] >= MAX_CLAIMS:
                break
            key = self._keys.stream(claim.digest)
            record = StreamRecord(self._own.host, self._own.farm)
            asked = messages.transaction(
                [Compare(key, mod=claim.replaces) if claim.replaces else Compare(key, create=0)],
                [messages.put(key, write_stream(record), self._own.lease)],
                [messages.get(key)],
            )
            self.claims.begin(claim)
            actions += self._call(What.CLAIM, asked, now, claim.digest)
        return actions

    def _next_releases(self, now: float) -> list[Action]:
        if not self._is_due(What.RELEASE, now) or not self._is_registered:
            return []
        for digest, revision in self.claims.releases.items():
            key = self._keys.stream(digest)
            asked = messages.transaction([Compare(key, mod=revision)], [messages.delete(key)])
            return self._call(What.RELEASE, asked, now, digest)
        return []

    # ---- inside: answers ----------------------------------------------------------------------

    def _on_lease(self, is_there: bool, now: float) -> None:
        self._has_lease = is_there
        if not is_there:
            self._retry_s[What.GRANT] = 0.0
            self._lose_lease()

    def _lose_lease(self) -> None:
        """All keys of this farm are gone, or will be."""
        self._has_lease, self._is_registered = False, False
        self._needs_read = True  # with the leases all may be lost
        self._reason = "etcd had not heard this host for its TTL"
        self.claims.lose_all()

    def _begin_anew(self, revision: int) -> None:
        """Etcd has lost its data."""
        self._revision, self._watch_revision, self._written = revision, 0, 0
        self._lose_lease()
        self._has_lease = None
        self._needs_read, self._page = True, []
        self._retry_s = dict.fromkeys(What, 0.0)
        self._reason = "etcd has lost its data"

    def _on_read(self, answer: Answer, now: float) -> list[Action]:
        self._page += answer.kvs
        if not self._page_revision or not self._page[: -len(answer.kvs)]:
            self._page_revision = answer.revision
        if answer.has_more and answer.kvs:
            return self._read_page(f"{answer.kvs[-1].key}\0", self._page_revision, now)
        kvs, self._page = self._page, []
        self._needs_read = False
        self.view.replace(kvs, now)
        own = next((kv for kv in kvs if self._keys.host_of(kv.key) == self._own.host), None)
        if own is None:
            self._is_registered = False
        there = {self._keys.digest_of(kv.key): kv.mod_revision for kv in kvs}
        for digest, claim in self.claims.by_digest.items():
            is_there = there.get(digest) == claim.mod_revision
            is_older = claim.mod_revision <= self._page_revision
            if claim.state is ClaimState.OWNED and not is_there and is_older:
                self.claims.lose(claim)
        self._release_leftovers()
        since = self._page_revision + 1
        self._watch_revision = max(self._watch_revision, self._page_revision)
        prefix = self._keys.prefix
        return [
            StartWatch(messages.watch(prefix, prefix_end(prefix), since)),
            *map(Say, self._owners.changes(self.view.changed, now)),
        ]

    def _on_host(self, call: Call, answer: Answer, now: float) -> None:
        assert call.record is not None
        if not answer.succeeded:
            for kv in answer.kvs:
                self.view.put(kv)
            if not answer.kvs:
                self.view.hosts.pop(self._own.host, None)
            self._is_registered = bool(answer.kvs) and self._is_registered
            self._retry_s[What.HOST] = now + 0.1
            return
        self._shown = call.record
        self._written, self._written_s = answer.revision, now
        key = self._keys.host(self._own.host)
        self.view.put(KeyValue(key, write_host(call.record), mod_revision=answer.revision))
        self._is_registered = self._has_lease is True

    def _on_claim(self, call: Call, answer: Answer, now: float) -> list[Action]:
        digest = call.digest
        found = answer.kvs[0] if answer.kvs else None
        record = read_stream(found.value) if found is not None else None
        mod = found.mod_revision if found is not None else answer.revision
        is_own = answer.succeeded or (
            record is not None
            and (record.host, record.farm) == (self._own.host, self._own.farm)
            and found is not None
            and found.lease == self._own.lease
        )
        claim = self.claims.by_digest.get(digest)
        if digest in self.claims.released:
            self.claims.released.discard(digest)
            if is_own:
                self.claims.releases[digest] = mod
            return []
        if claim is None:
            return []
        if is_own:
            self.claims.own(claim, mod, self.view.base + mod)
            return self._answer(claim, ClaimOutcome.OWNED)
        if found is None:  # its key went between two looks
            self.claims.lose(claim)
            return []
        self.view.put(found)
        if record is not None and self._may_replace(record, now):
            self.claims.lose(claim, replaces=found.mod_revision)
            return []
        self.claims.leave(claim)
        return self._answer(claim, ClaimOutcome.ELSEWHERE)

    def _may_replace(self, record: StreamRecord, now: float) -> bool:
        """Tell if the host that made a stream's key is gone."""
        if record.host == self._own.host:
            return record.farm != self._own.farm or self._is_registered
        return self._is_settled(now) and self.view.is_gone(record.host)

    def _answer(self, claim: Claim, outcome: ClaimOutcome) -> list[Action]:
        """Tell who waits for a claim; of one that runs already, that it has come to something."""
        requests, claim.requests = claim.requests, []
        if not requests and outcome is not ClaimOutcome.AWAY:
            requests = [0]
        owner = self._owner_of(claim.digest)
        stream_id = claim.stream_id
        reports: list[Action] = [
            Say(StreamClaimed(number, stream_id, outcome, owner)) for number in requests
        ]
        self.view.changed.add(claim.digest)
        return reports

    # ---- inside: what follows -----------------------------------------------------------------

    def _claim_what_is_free(self) -> None:
        """Claim again what runs here and was another host's, which has it no more."""
        for claim in self.claims.elsewhere():
            if claim.digest not in self.view.owners:
                self.claims.lose(claim)

    def _release_leftovers(self, digests: Sequence[str] | None = None) -> None:
        """Delete keys of this farm for streams that it has no more."""
        if not self._knows_held:
            return
        owners = self.view.owners
        for digest in tuple(owners) if digests is None else digests:
            owner = owners.get(digest)
            if owner is None or owner.kept_s is not None or digest in self.claims.by_digest:
                continue
            if (owner.host, owner.farm) == (self._own.host, self._own.farm):
                self.claims.releases.setdefault(digest, owner.mod_revision)

    def _follow_touch(self, now: float, unix: float) -> None:
        is_in_touch = self.is_in_touch(now)
        if is_in_touch and self._in_touch_s is None:
            self._in_touch_s, self._since_unix, self._reason = now, unix, ""
            self.view.stay_missing(now)
        elif not is_in_touch and self._in_touch_s is not None:
            self._in_touch_s, self._since_unix = None, unix
            self._reason = self._reason or "etcd does not answer"
        else:
            return
        self.view.changed |= self._owners.wanted  # what is known of them is more certain, or less

    def _digest(self, stream_id: StreamId) -> str:
        return stream_digest(self._own.secret, stream_id)

    def _owner_of(self, digest: str) -> StreamOwner:
        """Who has a stream, as far as is known."""
        is_in_touch = self._in_touch_s is not None
        claim = self.claims.by_digest.get(digest)
        if claim is not None and claim.state is not ClaimState.ELSEWHERE:
            own = self._own
            is_certain = is_in_touch and claim.state is ClaimState.OWNED
            return StreamOwner(
                digest, claim.stream_id, own.host, own.relay, claim.epoch, True, is_certain
            )
        stream_id = claim.stream_id if claim is not None else self._owners.name_of(digest)
        owner = self.view.owners.get(digest)
        if owner is None:
            return StreamOwner(digest, stream_id)
        host = self.view.hosts.get(owner.host)
        relay = host.record.relay if host is not None else ""
        epoch = self.view.base + owner.mod_revision
        is_certain = is_in_touch and owner.kept_s is None
        return StreamOwner(digest, stream_id, owner.host, relay, epoch, is_certain=is_certain)

    def _report(self, now: float) -> list[Action]:
        """What has changed of the view, once a second at most; and who owns what."""
        actions: list[Action] = list(map(Say, self._owners.changes(self.view.changed, now)))
        if now - self._view_s < WRITE_S:
            return actions
        is_in_touch = self._in_touch_s is not None
        reason = "" if is_in_touch else self._reason
        hosts = host_views(self.view)
        counts = self.claims.counts()
        found = ClusterView(is_in_touch, self._since_unix, reason, hosts, *counts)
        if found != self._last_view:
            self._last_view, self._view_s = found, now
            actions.append(Say(found))
        return actions

    def again(self) -> None:
        """The supervisor is another one: it knows nothing."""
        self._last_view, self._knows_held, self._holding = None, False, []
