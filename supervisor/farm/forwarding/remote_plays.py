"""Streams of other hosts that somebody wants here: the relay is told of them. Pure.

What children want and no ingest here has, another host may have. The relay finds out which, by
asking the cluster child through here, and pulls it. A stream that is published here is pulled no
more.

A relay that retires goes on with the streams that it has, and its successor has all others: so no
picture is lost by an upgrade. Such a relay says which it has, for a supervisor that starts anew.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from common.config.ladder import SOURCE
from common.ipc.cluster_messages import OwnerWanted, StreamOwner
from common.ipc.control_messages import StreamWanted
from common.ipc.identity import BootId, ChildId, StreamId
from common.ipc.relay_messages import RemotePlay, RemotePlayEnd
from common.ipc.status_messages import ServedStatus
from supervisor.farm.actions import Action, Send
from supervisor.farm.forwarding.egress_routing import MAX_WANTED
from supervisor.farm.retiring import retiring
from supervisor.farm.state import FarmState, next_generation

RELAY, CLUSTER = "relay", "cluster"
HANDOVER_MS: Final = 5_000  # for the ingest that has it now to say so to the egresses


Incarnation = tuple[ChildId, BootId]


@dataclass(slots=True)
class _Wanted:
    """A stream that somebody wants here and that is not here."""

    until_s: float
    renditions: tuple[str, ...]
    relay: Incarnation | None = None  # that pulls it, or is to; None: none yet
    is_reported: bool = False  # to that relay, since its last hello
    epoch: int = 0  # of its owner, as heard of last
    host: str = ""  # its owner; "": none is known
    had_by: tuple[str, str] | None = None  # host and farm; None: none, or it let it go


class RemotePlays:
    """Those of one farm; nothing happens where it has no relay."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._wanted: dict[StreamId, _Wanted] = {}

    @property
    def handlers(self) -> dict[type, Callable[[ChildId, Any, float], list[Action]]]:
        """Which messages are taken here."""
        return {OwnerWanted: self._on_owner_wanted, StreamOwner: self._on_owner}

    @property
    def hosts(self) -> Mapping[StreamId, str]:
        """The streams that come from other hosts, or are wanted of them, with their owners."""
        return {name: one.host for name, one in self._wanted.items() if one.host}

    # ---- what is wanted -----------------------------------------------------------------------

    def on_wanted(self, child: ChildId, wanted: StreamWanted, now: float) -> None:
        """A child asks for a stream; relays ask for what is here alone."""
        if child.kind != RELAY:
            self._want(wanted.stream_id, wanted.renditions, now)

    def on_served(self, child: ChildId, served: Iterable[ServedStatus], now: float) -> None:
        """An egress has players of these."""
        if child.kind == RELAY or self._state.is_adopting or not self._is_in_cluster:
            return
        for status in served:
            played = tuple([r.name for r in status.renditions if r.players])
            if played or status.waiting_players:
                self._want(status.stream_id, played, now)

    def relay_up(self, relay: ChildId) -> None:
        """A relay says hello, and is welcomed anew: it waits to hear what is wanted."""
        for entry in self._wanted.values():
            if entry.relay is not None and entry.relay[0] == relay:
                entry.is_reported = False

    def update(self, now: float) -> list[Action]:
        """Tell each relay what is new to it."""
        if not self._wanted:
            return []
        relays = self._relays()
        actions: list[Action] = []
        for stream_id, entry in tuple(self._wanted.items()) if relays else ():
            if entry.relay not in relays:
                entry.relay = None  # it is gone
            end = self._end_of(stream_id, entry, now)
            if end is not None:
                del self._wanted[stream_id]
                if entry.relay is not None:
                    actions.append(Send(entry.relay[0], end))
                continue
            if entry.relay is None:
                entry.relay, entry.is_reported = self._relay_for(stream_id, relays), False
            if not entry.is_reported:
                entry.is_reported = True
                actions.append(self._play(entry.relay, stream_id, entry))
        return actions

    def _relays(self) -> list[Incarnation]:
        """Those that run, the one that takes what is new first."""
        names = sorted(self._state.of_kind(RELAY), key=retiring(self._state).__contains__)
        return [(name, self._state.children[name].hello.boot_id) for name in names]

    def _relay_for(self, stream_id: StreamId, relays: Sequence[Incarnation]) -> Incarnation:
        """One that retires and goes on with it, or the one that takes what is new."""
        for relay in relays:
            child = self._state.children[relay[0]]
            if stream_id in (child.heartbeat or child.hello).pulled:
                return relay
        return relays[0]

    @property
    def _is_in_cluster(self) -> bool:
        return self._state.settings.cluster.has_relay

    def _want(self, stream_id: StreamId, renditions: tuple[str, ...], now: float) -> None:
        if not self._is_in_cluster or stream_id in self._state.streams:
            return
        known = self._wanted.get(stream_id)
        if known is None:
            if len(self._wanted) >= MAX_WANTED and not self._forget_unknown(now):
                return
            begin = renditions or self._smallest(stream_id)
            known = self._wanted[stream_id] = _Wanted(now, begin)
        known.until_s = now + self._state.settings.cluster.keep_s

    def _smallest(self, stream_id: StreamId) -> tuple[str, ...]:
        """What a stream is pulled by whose renditions nobody here has named, until somebody does.

        Who wants all of them knows which there are once the stream is here.
        """
        template = self._state.settings.template_of(stream_id)
        names = [each.name for each in template.renditions] if template is not None else []
        return tuple(names[-1:]) or (SOURCE,)

    def _forget_unknown(self, now: float) -> bool:
        """Let go of the oldest that no host has: names come from players, and are of no stream too.

        False: there is none.
        """
        for stream_id, entry in self._wanted.items():
            if not entry.epoch and entry.relay is None:
                del self._wanted[stream_id]
                return True
            if not entry.epoch and entry.until_s > now:
                entry.until_s = now  # its end is told at the next update
                return False
        return False

    def _end_of(self, stream_id: StreamId, entry: _Wanted, now: float) -> RemotePlayEnd | None:
        if stream_id in self._state.streams:
            return RemotePlayEnd(stream_id, "it is published here", HANDOVER_MS)
        if entry.until_s <= now:
            return RemotePlayEnd(stream_id, "nobody plays it here any more", 0)
        return None

    def _play(self, relay: Incarnation, stream_id: StreamId, entry: _Wanted) -> Send:
        generation = next_generation(self._state)
        return Send(relay[0], RemotePlay(stream_id, generation, entry.renditions))

    # ---- whose it is --------------------------------------------------------------------------

    def _on_owner_wanted(self, child: ChildId, wanted: OwnerWanted, _: float) -> list[Action]:
        return self._pass_on(CLUSTER, wanted) if child.kind == RELAY else []

    def _on_owner(self, child: ChildId, owner: StreamOwner, now: float) -> list[Action]:
        """Pass it on; a stream that has another owner goes on under another generation.

        A farm whose lease has ended claims what it has anew: that is the same media.
        """
        if child.kind != CLUSTER:
            return []
        actions: list[Action] = []
        entry = self._wanted.get(owner.stream_id)
        if entry is not None and owner.host and owner.epoch > entry.epoch:
            who = owner.host, owner.farm
            is_other = entry.epoch > 0 and entry.had_by != who
            if is_other and entry.relay is not None and entry.relay in self._relays():
                actions.append(self._play(entry.relay, owner.stream_id, entry))
            entry.epoch, entry.host, entry.had_by = owner.epoch, owner.host, who
        elif entry is not None and not owner.host and owner.is_certain:
            entry.had_by = None
        return [*actions, *self._pass_on(RELAY, owner)]

    def _pass_on(self, kind: str, message: object) -> list[Action]:
        return [Send(child, message) for child in self._state.of_kind(kind)]
