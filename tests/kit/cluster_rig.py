"""Several hosts' memberships against one model of etcd, in virtual time. Pure."""

import json

from cluster.actions import Action, Call, Say, Self, StartWatch
from cluster.claims import ClaimState
from cluster.keys import Keys, read_stream
from cluster.membership import Membership
from common.etcd.errors import EtcdAway, EtcdRefused
from common.etcd.messages import answer_of, watch_answer_of
from common.ipc.cluster_messages import (
    ClaimOutcome,
    ClaimStream,
    ClusterView,
    HeldStreams,
    HostReach,
    HostReachWanted,
    Reach,
    ReleaseStream,
    StreamClaimed,
)
from common.ipc.identity import StreamId
from supervisor.farm.registry.lost_streams import GRACE_S
from tests.kit.etcd_store import EtcdStore, Refused

SECRET = b"0123456789abcdef"
STEP_S = 0.1
KEYS = Keys("c")


class Host:
    """One host: its farm's streams, and its cluster child."""

    def __init__(self, rig: "Rig", name: str, farm: str = "f1") -> None:
        self.rig, self.name, self.farm = rig, name, farm
        self.streams: set[StreamId] = set()  # that its farm has
        self.is_cut = False  # from etcd, and from the other hosts
        self.is_stopped = False  # its cluster child is: SIGSTOP
        self.is_dead = False
        self.has_relay = self.has_answers = True  # of its relay, about other hosts
        self.waiting: dict[int, StreamId] = {}  # publishers, by their requests
        self.lost_s: dict[StreamId, float] = {}  # streams that are another host's: when they end
        self.said: list[object] = []
        self.answers: dict[int, StreamClaimed] = {}
        self._request = 0
        self.start()

    def start(self) -> None:
        """Its cluster child begins, perhaps in the place of another."""
        relay = f"{self.name}:1936" if self.has_relay else ""
        own = Self("c", self.name, self.farm, SECRET, 5, relay=relay)
        self.core = Membership(own, self.rig.now, 1.8e9 + self.rig.now)
        self._watch: dict[str, object] | None = None
        self._since = 0
        self.do(self.core.held(HeldStreams(tuple(self.streams)), self.rig.now))

    def publish(self, stream: str, replaces: int = 0) -> int:
        """Somebody publishes here; the number of the request."""
        self._request += 1
        name = StreamId(stream)
        self.do(self.core.claim(ClaimStream(self._request, name, replaces), self.rig.now))
        return self._request

    def outcome(self, request: int) -> ClaimOutcome | None:
        found = self.answers.get(request)
        return found.outcome if found is not None else None

    def take(self, stream: str) -> None:
        """A publisher that is let in here: registered if it may be."""
        number = self.publish(stream)
        self.waiting[number] = StreamId(stream)
        self._let_in()

    def _let_in(self) -> None:
        for number, stream in tuple(self.waiting.items()):
            outcome = self.outcome(number)
            if outcome is ClaimOutcome.LOOKING:
                continue
            del self.waiting[number]
            if outcome is not ClaimOutcome.ELSEWHERE:
                self.streams.add(stream)
            elif stream not in self.streams:
                self.end(stream)

    def _end_lost(self, claimed: StreamClaimed) -> None:
        """Its farm ends what another host has."""
        stream = claimed.stream_id
        if claimed.outcome is ClaimOutcome.OWNED:
            self.lost_s.pop(stream, None)
        elif claimed.outcome is ClaimOutcome.ELSEWHERE and stream in self.streams:
            self.lost_s.setdefault(stream, self.rig.now + GRACE_S)

    def end(self, stream: str) -> None:
        self.streams.discard(StreamId(stream))
        self.do(self.core.release(ReleaseStream(StreamId(stream)).stream_id, self.rig.now))

    def step(self) -> None:
        if self.is_stopped or self.is_dead:
            return
        if self._watch is not None:
            if self.is_cut:
                self._watch = None
                self.do(self.core.watch_ended("it was cut"))
            else:
                found, self._since = self.rig.store.watch(self._watch, self._since)
                for one in found:
                    answer = watch_answer_of(json.dumps(one).encode())
                    self.do(self.core.on_watch(answer, self.rig.now))
        self.do(self.core.tick(self.rig.now, 1.8e9 + self.rig.now))
        self._let_in()
        for stream, due_s in tuple(self.lost_s.items()):
            if due_s <= self.rig.now:
                del self.lost_s[stream]
                self.end(stream)

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Say(message):
                    self.said.append(message)
                    if isinstance(message, HostReachWanted) and self.has_answers:
                        reach = self.rig.reach(self, message.host)
                        self.do(self.core.reach(HostReach(message.host, reach), self.rig.now))
                    if isinstance(message, StreamClaimed) and message.request_id:
                        self.answers[message.request_id] = message
                    if isinstance(message, StreamClaimed) and self.rig.ends_lost:
                        self._end_lost(message)
                case StartWatch(request):
                    create = request.document
                    self._watch = create
                    self._since = int(create["create_request"]["start_revision"])
                case Call():
                    self._ask(action)

    def _ask(self, call: Call) -> None:
        now = self.rig.now
        if self.is_cut or self.rig.is_etcd_away:
            self.do(self.core.failed(call, EtcdAway("cut"), now))
            return
        try:
            document = self.rig.store.handle(call.request.path, call.request.document, now)
        except Refused as refused:
            error = EtcdRefused(refused.code, refused.words)
            self.do(self.core.failed(call, error, now))
            return
        answer = answer_of(json.dumps(document).encode())
        if self.rig.loses_answers:  # etcd has done it, and nobody learns of that
            self.do(self.core.failed(call, EtcdAway("lost"), now))
            return
        self.do(self.core.answered(call, answer, now))

    @property
    def lease(self) -> int:
        return Self("c", self.name, self.farm, SECRET, 5).lease

    @property
    def is_in_touch(self) -> bool:
        return self.core.is_in_touch(self.rig.now)

    def owned(self) -> dict[str, int]:
        """What it believes to own: epochs by digest."""
        return {
            claim.digest: claim.epoch
            for claim in self.core.claims.by_digest.values()
            if claim.state is ClaimState.OWNED
        }


class Rig:
    """The cluster."""

    def __init__(self, *names: str) -> None:
        self.now = 100.0
        self.store = EtcdStore()
        self.is_etcd_away = False
        self.loses_answers = False
        self.broken: list[set[str]] = []  # pairs of hosts without a link
        self.ends_lost = False  # farms end streams that are other hosts'
        self.owners: dict[tuple[str, int], str] = {}  # who owned a stream, by epoch
        self.hosts = [Host(self, name) for name in names]

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            if not self.is_etcd_away:
                self.store.expire(self.now)
            for host in self.hosts:
                host.step()
            self.check()

    def reach(self, host: Host, name: str) -> Reach:
        """What a host's relay finds of another one."""
        other = next(one for one in self.hosts if one.name == name)
        if host.is_cut or other.is_cut or {host.name, name} in self.broken:
            return Reach.SILENT
        return Reach.GONE if other.is_dead else Reach.UP

    def check(self) -> None:
        """An epoch of a stream is one host's, for ever."""
        for host in self.hosts:
            for digest, epoch in host.owned().items():
                assert self.owners.setdefault((digest, epoch), host.name) == host.name

    def registered(self) -> dict[str, str]:
        """The host of each stream in etcd, by digest."""
        found = {}
        for key, value in self.store.keys.items():
            digest = KEYS.digest_of(key)
            record = read_stream(value.value) if digest else None
            if record is not None:
                found[digest] = record.host
        return found


def views(host: Host) -> list[ClusterView]:
    """What a host has reported of the cluster."""
    return [message for message in host.said if isinstance(message, ClusterView)]
