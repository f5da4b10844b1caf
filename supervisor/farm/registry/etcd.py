"""Streams of a farm that is one of several hosts: the cluster child is asked for each. Pure.

A new stream is claimed before its publisher is let in. The answer is waited for where etcd is in
touch, and for `CLAIM_S` at most: then the publisher is let in unregistered, as it is at once where
etcd is away, and the cluster child registers the stream when it can. The publisher of a stream that
another host has is forwarded there, where this host has a relay; and so is one that there is no
room for here, to a host that has some (`forwards.py`). When its way is lost the claim is made anew,
over that of a host that cannot be reached. What runs ends for no reason that lies in etcd but one:
that another host owns it, who came to it later (`lost_streams.py`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any, Final

from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import SourceFormat
from common.ipc.cluster_messages import (
    MAX_HELD,
    ClaimOutcome,
    ClaimStream,
    ClusterTemplates,
    ClusterView,
    HeldStreams,
    HostReach,
    HostReachWanted,
    HostRoom,
    LeaveCluster,
    PushTemplates,
    ReleaseStream,
    StreamClaimed,
    StreamOwner,
    TemplatesPushed,
)
from common.ipc.control_messages import PublishRequest, Refused
from common.ipc.forward_messages import ForwardLost
from common.ipc.identity import ChildId, StreamId
from common.ipc.status_messages import PublisherStatus
from supervisor.farm.actions import Action, Send
from supervisor.farm.admission.candidates import RequestedStream
from supervisor.farm.admission.publish_requests import Admission
from supervisor.farm.registry.drain import HostDrain
from supervisor.farm.registry.forwards import MAX_TRIES, Forwarded, Forwards
from supervisor.farm.registry.host_choice import HostChoices, units_for
from supervisor.farm.registry.host_room import host_room
from supervisor.farm.registry.leaving import LeavingForwards
from supervisor.farm.registry.lost_streams import LostStreams
from supervisor.farm.registry.registry import Templates
from supervisor.farm.retiring import taking
from supervisor.farm.state import FarmState

CLUSTER, RELAY = "cluster", "relay"
CLAIM_S: Final = 0.5
RELAY_S: Final = 3.0  # for a relay to be started again
TOPOLOGY_S: Final = 0.2  # for ingests to know a relay that has come
LOOK_S: Final = 5.0  # for a host to be found lost, or there


@dataclass(frozen=True, slots=True)
class _Pending:
    """A request whose claim is not answered yet."""

    ingest: ChildId
    request: PublishRequest
    deadline_s: float
    lost: Forwarded | None = None  # its way before, which is gone …
    is_move: bool = False  # … or works, and goes to a host that is drained


# long: what becomes of a request, which each of its answers leads on
class EtcdRegistry:
    """A `Registry`."""

    def __init__(self, state: FarmState, admission: Admission) -> None:
        self._state = state
        self._admission = admission
        self._pending: dict[int, _Pending] = {}
        self._last_request = 0
        self._claimed: set[StreamId] = set()  # that the cluster child has been told of
        self._fleet = state.fleet  # as it was looked at last
        self.view: ClusterView | None = None
        self.unregistered: set[StreamId] = set()
        self.templates = Templates()
        self._lost = LostStreams(state)
        self.forwards = Forwards(state)
        own = state.settings.cluster
        self._choices = HostChoices(own.host, f"{own.name}/{own.host}")
        # Whose way was lost with this host's relay, and for how long that is waited for.
        self._without_relay: dict[tuple[ChildId, StreamId], tuple[ForwardLost, float]] = {}
        self._relay_s = inf  # when ingests know a relay that has come
        self._epochs: dict[StreamId, int] = {}  # of claims whose streams are not here yet
        admission.give_away = self._give_away
        self._drain = HostDrain(state, self.forwards, self._choices)
        self._leaving = LeavingForwards(state, self.forwards)

    @property
    def handlers(self) -> dict[type, Callable[[ChildId, Any, float], list[Action]]]:
        return {
            StreamClaimed: self._on_claimed,
            ClusterView: self._on_view,
            ForwardLost: self._on_forward_lost,
            ClusterTemplates: self._on_templates,
            TemplatesPushed: self._on_pushed,
            HostReachWanted: self._on_reach_wanted,
            HostReach: partial(self._pass_on, CLUSTER),
        }

    def _pass_on(self, kind: str, _: ChildId, message: object, now: float) -> list[Action]:
        return [Send(child, message) for child in self._state.of_kind(kind)]

    def _on_reach_wanted(self, _: ChildId, wanted: HostReachWanted, now: float) -> list[Action]:
        """One relay finds out, or two might not agree."""
        return [Send(child, wanted) for child in taking(self._state, RELAY)[:1]]

    # ---- publishers ---------------------------------------------------------------------------

    def request(self, ingest: ChildId, request: PublishRequest, now: float) -> list[Action]:
        """Claim a stream that is new here."""
        if request.stream_id in self._state.streams:
            return self._admission.request(ingest, request, now)
        return self._claim(ingest, request, now)

    def _claim(
        self,
        ingest: ChildId,
        request: PublishRequest,
        now: float,
        lost: Forwarded | None = None,
        *,
        is_move: bool = False,
    ) -> list[Action]:
        child = self._child()
        if child is None or self.view is None or not self.view.is_in_touch:
            self.forwards.forget(ingest, request.stream_id)
            return [*self._admission.request(ingest, request, now), *self._follow_streams()]
        self._last_request += 1
        self._pending[self._last_request] = _Pending(ingest, request, now + CLAIM_S, lost, is_move)
        self._claimed.add(request.stream_id)
        replaces = lost.epoch if lost is not None else request.replaces
        return [Send(child, ClaimStream(self._last_request, request.stream_id, replaces))]

    def withdraw(self, ingest: ChildId, stream_id: StreamId) -> None:
        """Who asked, or was forwarded, has gone; the claim goes at the next look."""
        self.forwards.forget(ingest, stream_id)
        self._drop(lambda one: (one.ingest, one.request.stream_id) == (ingest, stream_id))

    def forget_ingest(self, ingest: ChildId) -> None:
        """Likewise all of an ingest."""
        self.forwards.forget_ingest(ingest)
        self._drop(lambda one: one.ingest == ingest)

    def is_moving(self, stream_id: StreamId) -> bool:
        return self._drain.is_moving(stream_id)

    def publishers(self, ingest: ChildId, publishers: Sequence[PublisherStatus]) -> None:
        """What an ingest has; some of it may be forwarded."""
        self.forwards.adopt(ingest, publishers)

    def _on_forward_lost(self, ingest: ChildId, lost: ForwardLost, now: float) -> list[Action]:
        """A publisher's way to the host that has its stream is gone: take that stream over."""
        way = self.forwards.lost(ingest, lost)
        if way is None:
            return []
        request = way.request
        self._state.note(lost.stream_id, lost.reason, now)
        if way.before is not None and lost.request_id == 0 and not lost.is_here:
            self.forwards.stay(ingest, lost.stream_id, way.before)
            self._choices.refused(way.host, now)
            return []  # it was to move: it stays for now
        if lost.is_here and way.relay:
            self._without_relay.setdefault((ingest, lost.stream_id), (lost, now + RELAY_S))
            return []
        if lost.request_id == 0 and lost.stream_id in self._state.streams:
            self.forwards.forget(ingest, lost.stream_id)  # it was to move: it stays for now
            return []
        if lost.refusal is not None:
            self._choices.refused(way.host, now)
            requested = RequestedStream(ingest, request)
            refused = Refused(request.request_id, lost.stream_id, lost.refusal)
            return self._give_away(requested, None, now) or [Send(ingest, refused)]
        if lost.stream_id in self._state.streams:
            self.forwards.forget(ingest, lost.stream_id)
            return self._admission.request(ingest, request, now)
        if way.tries >= MAX_TRIES:
            self.forwards.forget(ingest, lost.stream_id)
            refusal = Refusal(RefusalReason.UNAVAILABLE, f"{lost.reason}; try again")
            return [Send(ingest, Refused(request.request_id, lost.stream_id, refusal))]
        if any(one.request.stream_id == lost.stream_id for one in self._pending.values()):
            return []
        return self._claim(ingest, request, now, way)

    def _after_relay(self, now: float, *, is_up: bool) -> list[Action]:
        """Try the same hosts by a relay that is there again, or do without one."""
        if is_up:
            self._relay_s = inf
        actions: list[Action] = []
        for key, (lost, until_s) in tuple(self._without_relay.items()):
            if not is_up and now < until_s:
                continue
            del self._without_relay[key]
            way = self.forwards.lost(key[0], lost)
            if way is not None and is_up and lost.stream_id not in self._state.streams:
                place = way.host, way.relay
                actions += self.forwards.to(key[0], way.request, place, epoch=way.epoch, now=now)
            elif way is not None:
                actions += self._on_forward_lost(key[0], replace(lost, is_here=False), now)
        return actions

    def _drop(self, which: Callable[[_Pending], bool]) -> None:
        self._pending = {n: one for n, one in self._pending.items() if not which(one)}

    # ---- the cluster child --------------------------------------------------------------------

    def child_up(self, child: ChildId) -> list[Action]:
        """Tell a cluster child what this farm has; a relay, whom it was away for."""
        if child.kind == RELAY and self._without_relay:
            self._relay_s = 0.0  # at the next tick
        if child.kind != CLUSTER or self._state.is_adopting:
            return []
        held = [*self._state.streams, *(one.request.stream_id for one in self._pending.values())]
        self._claimed, self.unregistered = set(held), set(self._state.streams)
        parts = [held[i : i + MAX_HELD] for i in range(0, len(held), MAX_HELD)] or [[]]
        actions: list[Action] = [
            Send(child, HeldStreams(tuple(part), part is parts[-1])) for part in parts
        ]
        for number, one in self._pending.items():
            actions.append(Send(child, ClaimStream(number, one.request.stream_id)))
        return [*actions, *self.beat(child)]

    def settle(self) -> list[Action]:
        child = self._child()
        return self.child_up(child) if child is not None else []

    def child_down(self, child: ChildId, now: float) -> list[Action]:
        """Who waits for a cluster child that is gone waits no more; nor for a relay's successor."""
        if child.kind == RELAY and self._without_relay and taking(self._state, RELAY):
            self._relay_s = 0.0  # it is there already, as the one that is gone retired
        if child.kind != CLUSTER or self._child() is not None:
            return []
        self.view = None
        if self.templates.is_pushing:
            self._on_pushed(
                child, TemplatesPushed("the cluster process has ended; look again"), now
            )
        return self._admit_all(tuple(self._pending), now)

    def beat(self, child: ChildId) -> list[Action]:
        """Tell the cluster child what is free, once a second."""
        if child.kind != CLUSTER:
            return []
        state = self._state
        free, capacity = host_room(state.fleet)
        is_draining = bool(self._admission.closed)
        held = self.templates.revision, self.templates.problem
        room = HostRoom(dict(free), dict(capacity), len(state.streams), is_draining, *held)
        return [Send(child, room), *self._follow_streams()]

    def leave(self) -> list[Action]:
        """Have the cluster child give up what this farm has, when it ends."""
        return [Send(child, LeaveCluster()) for child in self._state.of_kind(CLUSTER)]

    def _on_claimed(self, child: ChildId, claimed: StreamClaimed, now: float) -> list[Action]:
        """The cluster child answers, or says what has become of a stream that runs."""
        if claimed.outcome is ClaimOutcome.LOOKING:
            pending = self._pending.get(claimed.request_id)
            if pending is not None:
                self._pending[claimed.request_id] = replace(pending, deadline_s=now + LOOK_S)
            return []
        stream_id, pending = claimed.stream_id, self._pending.pop(claimed.request_id, None)
        if stream_id in self._state.streams:
            self._note(claimed, now)
        if pending is None:
            return []
        if pending.is_move and claimed.outcome is not ClaimOutcome.OWNED:
            return self._not_moved(pending, claimed.owner, now)
        if claimed.outcome is not ClaimOutcome.ELSEWHERE:
            self._epochs[stream_id] = claimed.owner.epoch if claimed.owner is not None else 0
            if claimed.outcome is ClaimOutcome.OWNED:
                self.unregistered.discard(stream_id)
            else:
                self.unregistered.add(stream_id)
            actions = self._admission.request(pending.ingest, pending.request, now)
            if stream_id in self._state.streams:
                self.forwards.forget(pending.ingest, stream_id)
            return [*actions, *self._follow_streams()]
        ingest, request, owner = pending.ingest, pending.request, claimed.owner
        if stream_id in self._state.streams:  # let in meanwhile, by another request
            self.forwards.forget(ingest, stream_id)
            return self._admission.request(ingest, request, now)
        if owner is not None and self._may_forward(request) and owner.relay:
            host = owner.host, owner.relay
            sent = self.forwards.to(ingest, request, host, epoch=owner.epoch, now=now)
        else:
            self.forwards.forget(ingest, stream_id)
            self._state.note(stream_id, f"refused: {_where(owner)} has it", now)
            sent = [Send(ingest, Refused(request.request_id, stream_id, _elsewhere(owner)))]
        return [*sent, *self._release([stream_id])]

    def _give_away(
        self, requested: RequestedStream, source: SourceFormat | None, now: float
    ) -> list[Action]:
        """Have a stream that there is no room for begin at a host that has some; none: nothing."""
        ingest, request = requested.ingest, requested.request
        template = self._state.settings.template_of(request.stream_id, request.overrides)
        tried = self.forwards.tried(ingest, request.stream_id)
        is_in_touch = self.view is not None and self.view.is_in_touch
        if not self._may_forward(request) or template is None or not is_in_touch:
            return []
        if self.view is None or len(tried) >= MAX_TRIES or request.stream_id in self._state.streams:
            return []
        host = self._choices.choose(self.view.hosts, units_for(template, source), now, tried)
        if host is None:
            return []
        place, epoch = (host.name, host.relay), self._epochs.get(request.stream_id, 0)
        return self.forwards.to(ingest, request, place, replaces=epoch, now=now)

    def _may_forward(self, request: PublishRequest) -> bool:
        """Tell if its publisher may go to another host: it has not come from one."""
        return self._state.settings.cluster.has_relay and not request.is_forwarded

    def _on_view(self, child: ChildId, view: ClusterView, now: float) -> list[Action]:
        self.view = view
        actions: list[Action] = []
        for ingest, stream_id, way in self._leaving.due(view, now):
            request = replace(way.request, request_id=0)
            if not self._admission.closed and self._leaving.has_room(stream_id, way):
                actions += self._claim(ingest, request, now, way, is_move=True)
                continue
            template = self._state.settings.template_of(stream_id, request.overrides)
            units = units_for(template) if template is not None else ({}, {})
            host = self._choices.choose(view.hosts, units, now, (way.host,))
            if host is not None:
                place, epoch = (host.name, host.relay), way.epoch
                actions += self.forwards.to(
                    ingest, request, place, replaces=epoch, is_cut=True, now=now
                )
        return actions

    def _not_moved(self, pending: _Pending, owner: StreamOwner | None, now: float) -> list[Action]:
        """The claim of a host that is drained did not come here: try again if it is another one."""
        way, request = pending.lost, pending.request
        is_its = way is not None and owner is not None and owner.host == way.host
        if way is not None and owner is not None and is_its and owner.epoch != way.epoch:
            way = replace(way, epoch=owner.epoch)
            self.forwards.stay(pending.ingest, request.stream_id, way)
            return self._claim(pending.ingest, request, now, way, is_move=True)
        return self._release([request.stream_id])

    def push_templates(self, text: str) -> list[Action]:
        """An operator gives all hosts other templates."""
        child = self._child()
        self.templates.is_pushing, self.templates.push_problem = child is not None, ""
        if child is None:
            self.templates.push_problem = "the cluster process is not running"
            return []
        return [Send(child, PushTemplates(text))]

    def _on_templates(self, child: ChildId, found: ClusterTemplates, now: float) -> list[Action]:
        self.templates.seen = found  # whether they are taken the configuration decides
        return []

    def _on_pushed(self, child: ChildId, pushed: TemplatesPushed, now: float) -> list[Action]:
        self.templates.is_pushing, self.templates.push_problem = False, pushed.problem
        return []

    def _note(self, claimed: StreamClaimed, now: float) -> None:
        if claimed.outcome is ClaimOutcome.OWNED:
            self.unregistered.discard(claimed.stream_id)
            self._lost.kept(claimed.stream_id)
            if claimed.owner is not None:
                self._epochs[claimed.stream_id] = claimed.owner.epoch
        elif claimed.outcome is ClaimOutcome.ELSEWHERE:
            self.unregistered.add(claimed.stream_id)
            if self._drain.is_moving(claimed.stream_id):
                self._drain.claimed(claimed.stream_id, now)
                return  # it is that host's from its next keyframe on
            self._lost.lost(claimed.stream_id, _where(claimed.owner), now)

    # ---- time ---------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """At once, when a stream may have begun or ended, or the farm is drained."""
        drain_s = self._drain.next_deadline()
        if self._fleet is not self._state.fleet or (self._admission.closed and drain_s == inf):
            return 0.0
        deadlines = [one.deadline_s for one in self._pending.values()]
        if self._without_relay:
            deadlines += [self._relay_s, *(s for _, s in self._without_relay.values())]
        return min(*deadlines, self._lost.next_deadline(), drain_s)

    def tick(self, now: float) -> list[Action]:
        """Let in who has waited for long enough; tell what has begun and ended."""
        due = [number for number, one in self._pending.items() if one.deadline_s <= now]
        actions = [*self._admit_all(due, now), *self._lost.tick(now)]
        if self._relay_s == 0.0:
            self._relay_s = now + TOPOLOGY_S
        actions += self._after_relay(now, is_up=now >= self._relay_s)
        is_on = bool(self._admission.closed) and self._state.settings.cluster.has_relay
        actions += self._drain.tick(self.view, self._epochs, now, is_on=is_on)
        self._fleet = self._state.fleet
        return [*actions, *self._follow_streams()]

    def _admit_all(self, numbers: Iterable[int], now: float) -> list[Action]:
        actions: list[Action] = []
        for number in numbers:
            one = self._pending.pop(number)
            if one.is_move:
                continue  # it stays where it is
            self.unregistered.add(one.request.stream_id)
            actions += self._admission.request(one.ingest, one.request, now)
        return actions

    def _follow_streams(self) -> list[Action]:
        """Claim what runs and was not claimed; release what was claimed and is not here."""
        child, streams = self._child(), self._state.streams
        if child is None:
            self.unregistered = set(streams)
            return []
        pending = {one.request.stream_id for one in self._pending.values()}
        here = streams.keys() | pending | self._admission.asked_for
        begun = streams.keys() - self._claimed
        self._claimed |= begun
        self.unregistered |= begun
        claims: list[Action] = [Send(child, ClaimStream(0, name)) for name in begun]
        return [*claims, *self._release(self._claimed - here)]

    def _release(self, stream_ids: Iterable[StreamId]) -> list[Action]:
        child, names = self._child(), tuple(stream_ids)
        self._claimed.difference_update(names)
        for name in names:
            self._epochs.pop(name, None)
        self.unregistered.difference_update(names)
        return [Send(child, ReleaseStream(name)) for name in names] if child is not None else []

    def _child(self) -> ChildId | None:
        return next(reversed(self._state.of_kind(CLUSTER)), None)  # a successor before who goes


def _where(owner: StreamOwner | None) -> str:
    return f"host {owner.host}" if owner is not None and owner.host else "another host"


def _elsewhere(owner: StreamOwner | None) -> Refusal:
    where = _where(owner)
    if owner is not None and not owner.is_certain:
        words = f"the stream is published at {where}, which is not in touch; try again in 10 s"
    else:
        words = f"the stream is published at {where}: publish it there, or end it there first"
    return Refusal(RefusalReason.NAME_IN_USE, words)
