"""The keys of this farm's streams in etcd: made, replaced, deleted, and what that comes to. Pure.

`claims.py` knows in which state each stream is; here is what etcd is asked for it.
"""

from collections.abc import Sequence

from cluster.actions import Action, Call, Say, What
from cluster.claim_pace import ClaimPace
from cluster.claims import Claim, Claims, ClaimState
from cluster.etcd_session import EtcdSession
from cluster.keys import Keys, StreamRecord, read_stream, write_stream
from cluster.looking import Looking, Verdict, Verdicts
from cluster.own_key import RETRY_S
from cluster.view import View
from common.etcd import messages
from common.etcd.messages import Answer, Compare, KeyValue
from common.ipc.cluster_messages import (
    NO_STREAM,
    ClaimOutcome,
    HostReach,
    StreamClaimed,
    StreamOwner,
)


class StreamKeys:
    """Those of one farm."""

    def __init__(self, session: EtcdSession, keys: Keys, view: View) -> None:
        self._session = session
        self._keys = keys
        self._view = view
        self.claims = Claims()
        self.knows_held = False  # all streams that the farm has
        self._pace = ClaimPace()
        self._looking = Looking(session, view)

    # ---- asking -------------------------------------------------------------------------------

    def claim(self, now: float) -> list[Action]:
        """Ask for keys that are to be made."""
        session = self._session
        if not session.is_registered or not session.is_synced or session.retry_s[What.CLAIM] > now:
            return []
        actions: list[Action] = []
        for claim in self.claims.due(now, self._pace.limit - session.busy[What.CLAIM]):
            key = self._keys.stream(claim.digest)
            record = StreamRecord(session.own.host, session.own.farm)
            asked = messages.transaction(
                [Compare(key, mod=claim.replaces) if claim.replaces else Compare(key, create=0)],
                [messages.put(key, write_stream(record), session.own.lease)],
                [messages.get(key)],
            )
            self.claims.begin(claim)
            actions += session.call(What.CLAIM, asked, now, claim.digest)
        return actions

    def release(self, now: float) -> list[Action]:
        """Ask for a key to be deleted."""
        session = self._session
        if not session.is_due(What.RELEASE, now) or not session.is_registered:
            return []
        for digest, revision in self.claims.releases.items():
            key = self._keys.stream(digest)
            asked = messages.transaction([Compare(key, mod=revision)], [messages.delete(key)])
            return session.call(What.RELEASE, asked, now, digest)
        return []

    # ---- answers ------------------------------------------------------------------------------

    def answered(self, call: Call, answer: Answer, now: float) -> list[Action]:
        """Etcd has made a key, or there is another one."""
        self._pace.took(now - call.sent_s)
        digest, own = call.digest, self._session.own
        found = answer.kvs[0] if answer.kvs else None
        record = read_stream(found.value) if found is not None else None
        mod = found.mod_revision if found is not None else answer.revision
        is_own = answer.succeeded or (
            record is not None
            and (record.host, record.farm) == (own.host, own.farm)
            and found is not None
            and found.lease == own.lease
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
            self.claims.own(claim, mod, self._view.base + mod)
            return self.answer(claim, ClaimOutcome.OWNED)
        if found is None:  # its key went between two looks
            self.claims.lose(claim)
            return []
        self._view.put(found)
        is_given_up = self._view.base + found.mod_revision == claim.may_replace
        if record is not None and (is_given_up or self._may_replace(record, now)):
            self.claims.lose(claim, replaces=found.mod_revision)
            return []
        looked = self._looking.begin(digest, record.host, found, now) if record is not None else []
        if looked:
            self.claims.look(claim)
            return [*self.say_looking(claim), *looked]
        self.claims.leave(claim)
        return self.answer(claim, ClaimOutcome.ELSEWHERE)

    def failed(self, call: Call, now: float) -> list[Action]:
        """Etcd has not answered, or refused."""
        self._pace.took(now - call.sent_s)
        claim = self.claims.by_digest.get(call.digest)
        self.claims.released.discard(call.digest)  # its key, if it came to be, shows in a watch
        if claim is None or claim.state is not ClaimState.CLAIMING:
            return []
        self.claims.lose(claim, now + RETRY_S, claim.replaces)
        return self.answer(claim, ClaimOutcome.AWAY)

    def begin_anew(self, call: Call) -> None:
        """The answer is of an etcd that has lost its data."""
        claim = self.claims.by_digest.get(call.digest)
        if claim is not None and claim.state is ClaimState.CLAIMING:
            self.claims.lose(claim)

    def answer(self, claim: Claim, outcome: ClaimOutcome) -> list[Action]:
        """Tell who waits for a claim; of one that runs already, that it has come to something."""
        requests, claim.requests = claim.requests, []
        if not requests and outcome is not ClaimOutcome.AWAY:
            requests = [0]
        owner = self.owner_of(claim.digest)
        stream_id = claim.stream_id
        self._view.changed.add(claim.digest)
        return [Say(StreamClaimed(number, stream_id, outcome, owner)) for number in requests]

    def say_looking(self, claim: Claim) -> list[Action]:
        """Tell who waits for a claim that it takes longer: its key's host is looked for."""
        owner, stream_id = self.owner_of(claim.digest), claim.stream_id
        return [
            Say(StreamClaimed(number, stream_id, ClaimOutcome.LOOKING, owner))
            for number in claim.requests
        ]

    # ---- whether another host is there --------------------------------------------------------

    def on_reach(self, message: HostReach, now: float) -> list[Action]:
        """The relay says whether a host is there."""
        return self._judged(self._looking.on_reach(message, now))

    def on_age(self, call: Call, answer: Answer, now: float) -> list[Action]:
        """Etcd says when it has heard a host."""
        return self._judged(self._looking.answered(call, answer, now))

    def look(self, now: float) -> list[Action]:
        """Go on looking for hosts."""
        return [*self._judged(self._looking.tick(now)), *self._looking.ask(now)]

    def _judged(self, verdicts: Verdicts) -> list[Action]:
        actions: list[Action] = []
        for digest, verdict, revision in verdicts:
            claim = self.claims.by_digest.get(digest)
            if claim is None or claim.state is not ClaimState.LOOKING:
                continue
            if verdict is Verdict.LOST:
                self.claims.lose(claim, replaces=revision)
            else:
                self.claims.leave(claim)
                actions += self.answer(claim, ClaimOutcome.ELSEWHERE)
        return actions

    def _may_replace(self, record: StreamRecord, now: float) -> bool:
        """Tell if the host that made a stream's key is gone."""
        own = self._session.own
        if record.host == own.host:
            return record.farm != own.farm or self._session.is_registered
        return self._session.is_settled(now) and self._view.is_gone(record.host)

    # ---- what was seen ------------------------------------------------------------------------

    def on_read(self, kvs: Sequence[KeyValue], revision: int) -> list[Action]:
        """All keys of a revision: those of this farm that are not among them are to be made."""
        there = {self._keys.digest_of(kv.key): kv for kv in kvs}
        actions: list[Action] = []
        for digest, claim in self.claims.by_digest.items():
            found, is_older = there.get(digest), claim.mod_revision <= revision
            if found is not None:
                actions += self.on_put(found)
            is_there = found is not None and found.mod_revision == claim.mod_revision
            if claim.state is ClaimState.OWNED and is_older and not is_there:
                self.claims.lose(claim)
        self.release_leftovers()
        return actions

    def on_put(self, kv: KeyValue) -> list[Action]:
        """A key was made or replaced: by another host over this one's, the stream is that one's."""
        claim = self.claims.by_digest.get(self._keys.digest_of(kv.key))
        if claim is not None and claim.state is ClaimState.LOOKING:
            self._look_again(claim, kv.mod_revision)
        if claim is None or claim.state is not ClaimState.OWNED:
            return []
        own, record = self._session.own, read_stream(kv.value)
        if kv.mod_revision <= claim.mod_revision or record is None:
            return []
        if (record.host, record.farm) == (own.host, own.farm):
            return []
        self.claims.leave(claim)
        return self.answer(claim, ClaimOutcome.ELSEWHERE)

    def on_deleted(self, digest: str, revision: int) -> None:
        """A key was deleted, perhaps one of this farm's."""
        claim = self.claims.by_digest.get(digest)
        if claim is not None and claim.state is ClaimState.OWNED and revision > claim.mod_revision:
            self.claims.lose(claim)
        elif claim is not None and claim.state is ClaimState.LOOKING:
            self._look_again(claim, revision)

    def _look_again(self, claim: Claim, revision: int) -> None:
        """Its key has changed since."""
        if self._looking.end(claim.digest, revision):
            self.claims.lose(claim)

    def claim_what_is_free(self) -> None:
        """Claim again what runs here and was another host's, which has it no more."""
        for claim in self.claims.elsewhere():
            if claim.digest not in self._view.owners:
                self.claims.lose(claim)

    def release_leftovers(self, digests: Sequence[str] | None = None) -> None:
        """Delete keys of this farm for streams that it has no more."""
        if not self.knows_held:
            return
        owners, own = self._view.owners, self._session.own
        for digest in tuple(owners) if digests is None else digests:
            owner = owners.get(digest)
            if owner is None or owner.kept_s is not None or digest in self.claims.by_digest:
                continue
            if (owner.host, owner.farm) == (own.host, own.farm):
                self.claims.releases.setdefault(digest, owner.mod_revision)

    def owner_of(self, digest: str) -> StreamOwner:
        """Who has a stream, as far as is known."""
        is_in_touch = self._session.in_touch_s is not None
        claim = self.claims.by_digest.get(digest)
        stream_id = claim.stream_id if claim is not None else NO_STREAM
        if claim is not None and claim.state is not ClaimState.ELSEWHERE:
            own = self._session.own
            is_certain = is_in_touch and claim.state is ClaimState.OWNED
            epoch = claim.epoch
            return StreamOwner(
                digest, stream_id, own.host, own.relay, epoch, True, is_certain, own.farm
            )
        owner = self._view.owners.get(digest)
        if owner is None:
            return StreamOwner(digest, stream_id)
        host = self._view.hosts.get(owner.host)
        relay = host.record.relay if host is not None else ""
        epoch = self._view.base + owner.mod_revision
        is_certain = is_in_touch and owner.kept_s is None
        return StreamOwner(
            digest, stream_id, owner.host, relay, epoch, is_certain=is_certain, farm=owner.farm
        )
