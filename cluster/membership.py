"""This host's place in the cluster: what to ask etcd next, and what its answers mean. Pure.

Each turn (`tick`) looks what is missing and asks for that: the lease, the view of all keys, this
host's key, its streams' keys, in this order. So a start, a lease that ended while etcd was away and
a store that lost its data are one path. Rules:

- The lease has a number of this farm's own: a process that takes this one's place goes on with it.
- Etcd's revisions only grow. An answer with a lower one than was known when it was asked for says
  that the data were lost: all is done anew.
- A watch that does not bring back this host's own key within `WATCH_S` is dead: another is begun.

`etcd_session.py`, `all_keys.py`, `own_key.py` and `stream_keys.py` are its parts.
"""

from dataclasses import replace
from typing import Final

from cluster.actions import Action, Call, Say, Self, StartWatch, What
from cluster.all_keys import AllKeys
from cluster.claims import ClaimState
from cluster.etcd_session import EtcdSession
from cluster.host_key import host_views
from cluster.keys import Keys, write_base
from cluster.own_key import RETRY_S, WRITE_S, OwnKey
from cluster.owners import Owners
from cluster.shared_templates import SharedTemplates
from cluster.stream_keys import StreamKeys
from cluster.view import View
from common.cluster.digest import stream_digest
from common.etcd import messages
from common.etcd.errors import EtcdError, EtcdRefused
from common.etcd.messages import Answer, Compare, Request, WatchAnswer, prefix_end
from common.ipc.cluster_messages import (
    ClaimOutcome,
    ClaimStream,
    ClusterView,
    HeldStreams,
    HostReach,
    HostRoom,
    OwnerWanted,
    StreamOwner,
)
from common.ipc.identity import StreamId

BEAT_S: Final = 1.0  # between keepalives: five of them in the shortest lease
WATCH_S: Final = 3.0


class Membership:
    """One host's; times are of one clock, `unix` beside it is for people."""

    def __init__(self, own: Self, now: float, unix: float) -> None:
        self._own = own
        self._keys = Keys(own.cluster)
        self._unix = unix
        self.view = View(self._keys)
        self._session = EtcdSession(own, self.view, unix)
        self._all_keys = AllKeys(self._session, self._keys)
        self._own_key = OwnKey(self._session, self._keys, self.view, now)
        self._streams = StreamKeys(self._session, self._keys, self.view)
        self.claims = self._streams.claims
        self._templates = SharedTemplates(self._session, self._keys, self.view)
        self._owners = Owners(self._owner_of)
        self._watch_revision = 0  # the highest that a watch has shown
        self._holding: list[StreamId] = []
        self._last_view: ClusterView | None = None
        self._view_s = -1e9

    # ---- what the supervisor says -------------------------------------------------------------

    def claim(self, message: ClaimStream, now: float) -> list[Action]:
        """This farm has a stream, or is about to."""
        digest = self._digest(message.stream_id)
        before = self.claims.by_digest.get(digest)
        claim = self.claims.add(message.stream_id, digest, message.request_id)
        if before is not None and claim.state is ClaimState.OWNED:
            return self._streams.answer(claim, ClaimOutcome.OWNED)
        if claim.state is ClaimState.LOOKING:
            return self._streams.say_looking(claim)
        if not self.is_in_touch(now):
            return self._streams.answer(claim, ClaimOutcome.AWAY)
        owner = self.view.owners.get(digest)
        claim.may_replace = message.replaces or claim.may_replace
        is_kept = owner is not None and owner.kept_s is not None
        if is_kept and claim.requests and not claim.may_replace:
            self.claims.leave(claim)
            return self._streams.answer(claim, ClaimOutcome.ELSEWHERE)
        return self._streams.claim(now)

    def release(self, stream_id: StreamId, now: float) -> list[Action]:
        """This farm has a stream no more."""
        self.claims.remove(self._digest(stream_id))
        return self._streams.release(now)

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
        self._streams.knows_held = True
        self._streams.release_leftovers()
        return self.tick(now, self._session.since_unix)

    def room(self, message: HostRoom) -> None:
        """What is free here."""
        self._own_key.room = message

    def push(self, text: str, now: float) -> list[Action]:
        """An operator gives all hosts other templates."""
        return self._templates.push(text, now)

    def want(self, message: OwnerWanted, now: float) -> list[Action]:
        """Somebody wants to know who has a stream."""
        digest = message.digest or self._digest(message.stream_id)
        return [Say(self._owners.want(digest, message.stream_id, now))]

    def reach(self, message: HostReach, now: float) -> list[Action]:
        """The relay says whether a host is there."""
        return [*self._streams.on_reach(message, now), *self._next_calls(now)]

    def again(self) -> None:
        """The supervisor is another one: it knows nothing."""
        self._last_view, self._streams.knows_held, self._holding = None, False, []
        self._templates.again()

    # ---- time ---------------------------------------------------------------------------------

    def tick(self, now: float, unix: float) -> list[Action]:
        """Ask for what is missing; several times a second."""
        self._unix = unix
        session, own_key = self._session, self._own_key
        if session.follow(now, unix):
            if session.in_touch_s is not None:
                self.view.stay_missing(now)
            # what is known of them is more certain, or less
            self.view.changed |= self._owners.wanted
        if session.is_settled(now):  # who has been missing for a TTL of being in touch is gone
            self.view.expire(session.answer_s - self._own.ttl_s)
        if self._watch_revision < own_key.revision and now - own_key.written_s > WATCH_S:
            self._session.needs_read = True
            own_key.revision = 0
        self._streams.claim_what_is_free()
        return [*self._next_calls(now), *self._report(now)]

    def is_in_touch(self, now: float) -> bool:
        """Tell if this host is registered and etcd answers."""
        return self._session.is_in_touch(now)

    def ends(self) -> Request:
        """What to ask at a clean end: this host's keys go at once."""
        return messages.revoke(self._own.lease)

    # ---- what etcd says -----------------------------------------------------------------------

    def answered(self, call: Call, answer: Answer, now: float) -> list[Action]:
        """Etcd has answered a call."""
        session = self._session
        session.busy[call.what] -= 1
        session.answer_s = max(session.answer_s, call.sent_s)
        if call.what not in (What.LEASE, What.GRANT, What.AGE):
            if answer.revision < call.revision:
                self._begin_anew(answer.revision)
                self._streams.begin_anew(call)
                return self._next_calls(now)
            session.revision = max(session.revision, answer.revision)
        actions: list[Action] = []
        match call.what:
            case What.LEASE:
                self._on_lease(answer.ttl_s > 0)
            case What.GRANT:
                self._on_lease(True)
            case What.READ:
                actions = self._on_read(answer, now)
            case What.BASE:
                self._session.needs_read = True  # whoever has made it
            case What.HOST:
                self._own_key.answered(call, answer, now)
            case What.CLAIM:
                actions = self._streams.answered(call, answer, now)
            case What.AGE:
                actions = self._streams.on_age(call, answer, now)
            case What.RELEASE:
                self.claims.releases.pop(call.digest, None)
            case What.TEMPLATES:
                actions = self._templates.answered(answer)
        return [*actions, *self._next_calls(now)]

    def failed(self, call: Call, error: EtcdError, now: float) -> list[Action]:
        """Etcd has not answered, or refused."""
        session = self._session
        session.busy[call.what] -= 1
        session.retry_s[call.what] = now + RETRY_S
        is_refused = isinstance(error, EtcdRefused)
        if isinstance(error, EtcdRefused) and error.is_lease_taken:
            self._on_lease(True)
        elif isinstance(error, EtcdRefused) and error.is_lease_missing:
            session.retry_s[call.what] = 0.0
            self._lose_lease()
        else:
            session.reason = f"etcd refuses: {error}" if is_refused else f"etcd is away: {error}"
        if call.what is What.READ:
            self._all_keys.forget()
        if call.what is What.TEMPLATES:
            return self._templates.failed(str(error))
        return self._streams.failed(call, now) if call.what is What.CLAIM else []

    def on_watch(self, answer: WatchAnswer, now: float) -> list[Action]:
        """A watch reports."""
        if answer.canceled is not None:
            return self.watch_ended(answer.canceled)
        session = self._session
        self._watch_revision = max(self._watch_revision, answer.revision)
        self.view.apply(answer.events, now, is_settled=session.is_settled(now))
        actions: list[Action] = []
        digests = [self._keys.digest_of(event.kv.key) for event in answer.events]
        for event, digest in zip(answer.events, digests, strict=True):
            revision = event.kv.mod_revision
            session.revision = max(session.revision, revision)
            if not event.is_delete:
                actions += self._streams.on_put(event.kv)
                continue
            self._streams.on_deleted(digest, revision)
            if self._keys.host_of(event.kv.key) == self._own.host:
                session.is_registered &= revision <= self._own_key.revision
        self._streams.release_leftovers(digests)
        self._streams.claim_what_is_free()
        calls = self._next_calls(now) if self.claims.has_work else []  # most are of others
        return [*actions, *calls, *self._changes(now)]

    def watch_ended(self, reason: str) -> list[Action]:
        """A watch has failed: what changed meanwhile is in the next whole read."""
        self._session.needs_read = True
        if not self._session.is_registered:
            self._session.reason = f"etcd is away: {reason}"
        return []

    # ---- inside: asking -----------------------------------------------------------------------

    def _next_calls(self, now: float) -> list[Action]:
        session, lease = self._session, self._own.lease
        actions: list[Action] = []
        if session.is_due(What.LEASE, now) and session.has_lease is not False:
            session.retry_s[What.LEASE] = now + BEAT_S
            actions += session.call(What.LEASE, messages.keep_alive(lease), now)
        if session.is_due(What.GRANT, now) and session.has_lease is False:
            actions += session.call(What.GRANT, messages.grant(lease, self._own.ttl_s), now)
        actions += self._all_keys.read(now)
        if not session.needs_read and not self.view.base and session.is_due(What.BASE, now):
            put = messages.put(self._keys.base, write_base(self._unix), 0)
            asked = messages.transaction([Compare(self._keys.base, create=0)], [put])
            actions += session.call(What.BASE, asked, now)
        actions += self._own_key.write(now)
        actions += self._streams.look(now)
        return [*actions, *self._streams.release(now), *self._streams.claim(now)]

    # ---- inside: answers ----------------------------------------------------------------------

    def _on_lease(self, is_there: bool) -> None:
        self._session.has_lease = is_there
        if not is_there:
            self._session.retry_s[What.GRANT] = 0.0
            self._lose_lease()

    def _lose_lease(self) -> None:
        """All keys of this farm are gone, or will be."""
        self._session.has_lease = self._session.is_registered = False
        self._session.reason = "etcd had not heard this host for its TTL"
        self._session.needs_read = True  # with the leases all may be lost
        self.claims.lose_all()

    def _begin_anew(self, revision: int) -> None:
        """Etcd has lost its data."""
        session = self._session
        session.revision, self._watch_revision, self._own_key.revision = revision, 0, 0
        self._lose_lease()
        session.has_lease = None
        self._all_keys.forget()
        session.retry_s = dict.fromkeys(What, 0.0)
        session.reason = "etcd has lost its data"

    def _on_read(self, answer: Answer, now: float) -> list[Action]:
        kvs, actions = self._all_keys.answered(answer, now)
        if kvs is None:
            return actions
        self.view.replace(kvs, now)
        self._session.is_registered &= any(
            self._keys.host_of(kv.key) == self._own.host for kv in kvs
        )
        revision, prefix = self._all_keys.revision, self._keys.prefix
        actions = self._streams.on_read(kvs, revision)
        self._watch_revision = max(self._watch_revision, revision)
        watch = messages.watch(prefix, prefix_end(prefix), revision + 1)
        return [StartWatch(watch), *actions, *self._changes(now)]

    # ---- inside: what is said -----------------------------------------------------------------

    def _digest(self, stream_id: StreamId) -> str:
        return stream_digest(self._own.secret, stream_id)

    def _owner_of(self, digest: str) -> StreamOwner:
        found = self._streams.owner_of(digest)
        if found.stream_id:
            return found
        return replace(found, stream_id=self._owners.name_of(digest))

    def _changes(self, now: float) -> list[Action]:
        """Who has another owner, of those that somebody wants to know of."""
        return list(map(Say, self._owners.changes(self.view.changed, now)))

    def _report(self, now: float) -> list[Action]:
        """What has changed of the view, once a second at most; and who owns what."""
        actions, session = [*self._changes(now), *self._templates.changes()], self._session
        if now - self._view_s < WRITE_S:
            return actions
        is_in_touch = session.in_touch_s is not None
        reason = "" if is_in_touch else session.reason
        hosts, counts = host_views(self.view), self.claims.counts()
        found = ClusterView(is_in_touch, session.since_unix, reason, hosts, *counts)
        found = replace(found, templates_revision=self.view.templates.revision)
        if found != self._last_view:
            self._last_view, self._view_s = found, now
            actions.append(Say(found))
        return actions
