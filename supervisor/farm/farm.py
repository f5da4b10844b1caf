"""The supervisor's decisions, whole: children's messages and ends in, orders out. Pure.

Ties `Roster` (the facts), `Admission` (asks) and `Recovery` (losses) together. After
everything that may free room, streams that wait and asks that are parked are tried again, in that
order. The shell (`run.py`) carries out the orders and passes the time.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any

from common.config.ladder import Path
from common.config.settings import Settings
from common.ipc.control_messages import (
    EncoderCap,
    Endpoint,
    EndStream,
    FormatKnown,
    Heartbeat,
    Hello,
    Positions,
    PublishAsk,
    PublishEnd,
    PublisherBack,
    PublisherStatus,
    Readmit,
    StreamKept,
    StreamOrphaned,
    StreamRevoked,
    StreamTrouble,
    StreamWanted,
)
from common.ipc.identity import ChildName, StreamId, device_of, stream_id
from common.process.log import stream_label
from supervisor.farm.actions import CondemnChild, Order, Send, StopWorker
from supervisor.farm.address_usage import Holdings
from supervisor.farm.admission import FAILED, Admission
from supervisor.farm.degradation import Relief
from supervisor.farm.egress_routing import Routing
from supervisor.farm.host_load import CoreStreams
from supervisor.farm.migration import Moves
from supervisor.farm.quarantine import is_own_worker
from supervisor.farm.recovery import Recovery
from supervisor.farm.session_audit import (
    Forgotten,
    FoundRung,
    LostRung,
    SessionCheck,
    Stray,
    Unannounced,
)
from supervisor.farm.state import Roster
from supervisor.farm.stream import NO_INGEST, Stream, StreamState
from supervisor.processes.hang import find_hang

log = logging.getLogger("tfarm.supervisor.farm.farm")

UNLISTED_GRACE_S = 15.0  # from a placement to its ingest's heartbeat naming the stream


class Farm:
    """One farm's decisions."""

    def __init__(self, settings: Settings, cores: int) -> None:
        self.roster = Roster(settings, cores)
        self.endpoints: dict[ChildName, Endpoint] = {}
        self.hellos: dict[ChildName, Hello] = {}  # the last of each child that is up
        self.beats: dict[ChildName, Heartbeat] = {}
        self._admission = Admission(self.roster)
        self._recovery = Recovery(self.roster)
        self.moves = Moves(self.roster)
        self._routing = Routing()
        self._holdings = {"ingest": Holdings(), "egress": Holdings()}
        self._relief = Relief(self.roster)
        self._core_streams = CoreStreams()
        self._session_check = SessionCheck(self.roster)
        self._culprits: dict[ChildName, StreamId] = {}  # the streams that workers hang with
        self._end_all_s = math.inf  # when a drained farm ends what still runs

    @property
    def parked(self) -> int:
        return self._admission.parked

    @property
    def closed(self) -> str:
        """Why no new stream is taken at all; "" when they are."""
        return self._admission.closed

    def next_deadline(self) -> float:
        if self.roster.is_adopting:
            return math.inf
        return min(
            self._admission.next_deadline(),
            self._recovery.next_deadline(),
            self.moves.next_deadline(),
            self.roster.quarantine.next_deadline(),
            min((s.orphan_until_s for s in self._all()), default=math.inf),
            self._end_all_s,
            self.roster.session_cap.until_s if self.roster.session_cap else math.inf,
        )

    def tick(self, now: float) -> list[Order]:
        if self.roster.is_adopting:
            return []
        orders = [*self._recovery.tick(now), *self._admission.tick(now)]
        for stream in [s for s in self._all() if now >= s.orphan_until_s]:
            self.roster.note(stream.stream_id, "ended: its publisher did not come back", now)
            self.roster.close(stream)
            orders += self._room_came(now)
        for acquitted in self.roster.quarantine.acquitted(now):
            orders += self._acquit(acquitted, now)
        if now >= self.moves.next_deadline():
            orders += self.moves.tick(now)
        cap = self.roster.session_cap
        if cap is not None and now >= cap.until_s:
            self.roster.forget_session_cap()
            orders += self._room_came(now)
        if now >= self._end_all_s:
            self._end_all_s = math.inf
            orders += [self._end(stream, "the farm was drained") for stream in self._all()]
        return orders + self._use_freed(now)

    def configure(self, settings: Settings, now: float) -> list[Order]:
        """New settings: for new streams, and more room perhaps."""
        self.roster.configure(settings)
        for name, hello in self.hellos.items():
            if hello.device is not None:
                self._device_up(name, hello)
        return self._room_came(now)

    # ---- children ---------------------------------------------------------------------------

    def child_up(self, hello: Hello, now: float) -> list[Order]:
        """A child said hello: a new one, an adopted one, or one that says it again."""
        self.hellos[hello.child] = hello
        self.endpoints[hello.child] = hello.endpoint
        match hello.kind:
            case "ingest":
                return [*self._routes_for(hello.child), *self._ingest_up(hello, now)]
            case "worker":
                if is_own_worker(hello.child):
                    self._own_worker_up(hello.child)
                self._device_up(hello.child, hello)
                self._core_streams.forget(hello.child)
                for transcode in hello.transcodes:
                    self.roster.see_generation(transcode.generation)
                    self.roster.update_transcode(transcode, now)
            case "egress":
                before = set(self.roster.egresses)
                self.roster.egresses.add(hello.child)
                streams = self.roster.streams
                self._routing.joined(streams, before, self.roster.egresses, now)
                for served in hello.served:
                    self.roster.see_generation(served.generation)
                    self.roster.update_served(hello.child, served)
                self._routing.heard(hello.child, hello.served, now)
                return [*self._route(now), *self._room_came(now)]
        return [*self._routes_for(hello.child), *self._room_came(now)]

    def child_down(
        self, child: ChildName, reason: str, now: float, *, crashed: bool
    ) -> list[Order]:
        """A child serves nobody any more."""
        hello = self.hellos.pop(child, None)
        self.endpoints.pop(child, None)
        self.beats.pop(child, None)
        orders: list[Order] = []
        match hello.kind if hello else "":
            case "ingest":
                self._admission.forget_ingest(child)
                self._holdings["ingest"].lost(child)
                for stream in self.roster.of_ingest(child):
                    orders += self._orphan(stream, reason, now)
            case "worker":
                is_lost = child in self.roster.lost  # killed for that, perhaps
                self.roster.device_down(child, now)
                self._relief.forget(child)
                self._core_streams.forget(child)
                self._session_check.forget(child)
                culprit = self._culprits.pop(child, None)
                orders += self._recovery.worker_lost(
                    child, reason, now, crashed=crashed and not is_lost, culprit=culprit
                )
            case "egress":
                self.roster.egresses.discard(child)
                # The routes stay until the next heartbeat: one that they name, and that is a
                # stream's home by now, is none yet for those that know the old topology.
                self._routing.lost(child)
                self._holdings["egress"].lost(child)
                for stream in self.roster.streams.values():
                    stream.served.pop(child, None)
                orders += self._recovery.egress_lost(child, now)
        return [*orders, *self._room_came(now)]

    def adopt(self) -> None:
        """Children that an earlier supervisor left say hello, one after the other, up to `settle`.

        Nothing is placed before all are known: what one has not told yet may have that room, and
        the very generation that would come next.
        """
        self.roster.is_adopting = True

    def settle(self, now: float) -> list[Order]:
        """Every child that still ran has been adopted: see to streams whose worker is gone."""
        self.roster.is_adopting = False
        return [*self._recovery.settle(now), *self._room_came(now)]

    def _orphan(self, stream: Stream, reason: str, now: float) -> list[Order]:
        """Its ingest is gone: end it at its worker, hold its players, keep its room meanwhile."""
        text = f"its ingest is lost: {reason}"
        self.roster.note(stream.stream_id, text, now)
        # one without a format was never open: there is nobody to hold
        hold_ms = stream.template.hold_ms if stream.format is not None else 0
        message = StreamOrphaned(stream.stream_id, stream.generation, text, hold_ms)
        peers = sorted(self.roster.egresses)
        device = self.roster.device_of(stream)
        if device is not None:
            peers.append(device)
        if hold_ms:
            if stream.is_live:
                stream.is_live, stream.away_s = False, now
            stream.ingest = NO_INGEST
            stream.orphan_until_s = now + hold_ms / 1000
        else:
            self.roster.close(stream)
        return [Send(peer, message) for peer in peers]

    def _acquit(self, name: StreamId, now: float) -> list[Order]:
        """A stream that was alone for long and harmed nobody goes back among the others."""
        worker = self.roster.quarantine.take_worker(name)
        stream = self.roster.streams.get(name)
        if worker is None:
            return []
        orders: list[Order] = []
        if stream is not None:
            stream.own_worker = None
            stream.crashes = 0
            self.roster.quarantine.acquit(name)
            self.roster.note(name, "no longer quarantined: no crash since", now)
            is_given_up = stream.state is StreamState.SOURCE_ONLY and stream.why_refused(worker)
            if is_given_up and self.roster.has_device_left(stream):
                stream.wait(stream.why_refused(worker))  # only its worker was asked
            # It moves off its worker; where that never came up it waits, any other will do now.
            orders += self.moves.drain([worker], now)
            orders += self._recovery.retry(now)
        return [*orders, *self._dismiss_silent()]

    def _dismiss_if_idle(self, worker: ChildName, beat: Heartbeat) -> list[Order]:
        """End a worker that was one stream's own and is nobody's any more."""
        if beat.transcodes or not self._is_nobodys(worker):
            return []
        return self._dismiss(worker)

    def _dismiss_silent(self) -> list[Order]:
        """The same for those that are not up: they have no heartbeats to be dismissed by."""
        return [
            order
            for name, device in list(self.roster.fleet.devices.items())
            if not device.is_up and self._is_nobodys(name)
            for order in self._dismiss(name)
        ]

    def _is_nobodys(self, worker: ChildName) -> bool:
        """Whether a worker was one stream's own and is so no more."""
        roster = self.roster
        is_given = roster.quarantine.stream_on(worker) is not None
        return is_own_worker(worker) and not is_given and not roster.on_device(worker)

    def _dismiss(self, worker: ChildName) -> list[Order]:
        self.roster.remove_device(worker)
        return [StopWorker(worker)]

    def _ingest_up(self, hello: Hello, now: float) -> list[Order]:
        orders: list[Order] = []
        listed = {status.stream_id for status in hello.publishers}
        for stream in self.roster.of_ingest(hello.child):
            if stream.stream_id not in listed:
                self.roster.close(stream)
        for status in hello.publishers:
            known = self.roster.streams.get(status.stream_id)
            if known is None:
                self.roster.adopt(hello.child, status, now)
            elif known.generation > status.generation:
                orders.append(self.roster.placed(known, 0))  # it did not get that one
        return [*orders, *self._room_came(now)]

    def _own_worker_up(self, worker: ChildName) -> None:
        """One that an earlier supervisor started: why is not known; its stream may leave it."""
        self.roster.quarantine.see_worker(worker)
        if self.roster.quarantine.stream_on(worker) is None:
            self.roster.drained.add(worker)

    def _device_up(self, name: ChildName, hello: Hello) -> None:
        device = hello.device
        if device is None:
            self.roster.device_up(name, Path.SOFTWARE)
            return
        aliases = (device.name, device.pci_id)
        self.roster.device_up(name, device.path, aliases, device.memory_bytes)

    # ---- messages ---------------------------------------------------------------------------

    def message(
        self, child: ChildName, message: Any, now: float, payloads: Sequence[bytes] = ()
    ) -> list[Order]:
        """A message of a child that is up. Hellos go to `child_up`."""
        match message:
            case Heartbeat():
                return self._heartbeat(child, message, now)
            case PublishAsk():
                return self._admission.ask(child, message, now)
            case FormatKnown():
                return [*self._admission.format_known(child, message, now), *self._room_came(now)]
            case PublisherBack():
                self._admission.back(child, message)
                return []
            case PublishEnd():
                return self._publish_end(child, message, now)
            case StreamTrouble():
                return [*self._recovery.trouble(message, now), *self._room_came(now)]
            case EncoderCap():
                self.roster.session_refused(child, message.open_sessions, message.reason, now)
                return []
            case StreamWanted():
                self._routing.want(child, message.stream_id, now)
                return self._route(now)
            case StreamRevoked():
                return [*self._admission.revoked(child, message, now), *self._room_came(now)]
            case StreamKept():
                return self._pass_on(child, message, payloads)
            case Positions():
                return [*self._recovery.positions(child, message, now), *self._use_freed(now)]
            case _:
                return []

    def kick(self, app: str, key: str) -> list[Order]:
        """End one stream; empty when there is none. Its room comes back with its `PublishEnd`."""
        stream = self.roster.streams.get(stream_id(app, key))
        if stream is None:
            return []
        if stream.ingest == NO_INGEST:
            self.roster.close(stream)
        # Its publisher may come back to another ingest: they all keep it out.
        end = EndStream(stream.stream_id, FAILED, "ended by the operator")
        return [Send(name, end) for name in sorted(self._ingests() | {stream.ingest})]

    def clear(self, app: str, key: str) -> list[Order]:
        """Forget that a stream took workers down, everywhere; empty when it had not."""
        stream = stream_id(app, key)
        if not self.roster.quarantine.clear(stream):
            return []
        if stream not in self.roster.streams:
            self.roster.quarantine.take_worker(stream)  # it waited for the next attempt
        told = [Send(name, Readmit(stream)) for name in sorted(self._ingests())]
        return [*told, *self._dismiss_silent()]

    def _ingests(self) -> set[ChildName]:
        return {name for name, hello in self.hellos.items() if hello.kind == "ingest"}

    def find_devices(self, name: str) -> list[ChildName]:
        """What a person means: `cpu:0`, a worker by its name, all of a GPU by UUID or PCI id."""
        workers = list(self.roster.fleet.devices)
        one = [worker for worker in workers if worker.lower() == name.lower()]
        return one or [worker for worker in workers if self._is_called(worker, name)]

    def _is_called(self, worker: ChildName, name: str) -> bool:
        hello = self.hellos.get(worker)
        info = hello.device if hello else None
        names = {worker.partition(":")[2], device_of(worker)}
        if info is not None:
            names |= {info.name, info.pci_id} - {""}
        return name.lower() in {known.lower() for known in names}

    def drain(self, devices: Sequence[ChildName], now: float) -> list[Order]:
        """Move all off these devices; say it again to see how far that is."""
        orders = self.moves.drain(devices, now)
        if sum(self._relief.let_go(device) for device in devices):
            orders += self._recovery.retry(now)
        return orders

    def undrain(self, devices: Sequence[ChildName], now: float) -> list[Order]:
        for device in devices:
            self.moves.undrain(device)
        return self._room_came(now)

    def drain_all(self, timeout_s: float | None, now: float) -> None:
        """Take no new streams, and end those that still run after `timeout_s`."""
        self._admission.closed = "the farm is being drained: it takes no new streams"
        if timeout_s is not None:
            self._end_all_s = now + timeout_s

    def undrain_all(self, now: float) -> list[Order]:
        """Take streams again, on all devices."""
        self._admission.closed = ""
        self._end_all_s = math.inf
        for device in list(self.roster.drained):
            self.moves.undrain(device)
        return self._room_came(now)

    def sessions(self, device: ChildName) -> int:
        """How many sessions a worker still has, those that have moved away included."""
        beat = self.beats.get(device)
        return len(beat.transcodes) if beat is not None else 0

    def _end(self, stream: Stream, description: str) -> Order:
        return Send(stream.ingest, EndStream(stream.stream_id, FAILED, description))

    def _all(self) -> list[Stream]:
        return list(self.roster.streams.values())

    def _heartbeat(self, child: ChildName, beat: Heartbeat, now: float) -> list[Order]:
        self.beats[child] = beat
        for publisher in beat.publishers:
            self.roster.update_publisher(child, publisher, now)
        for transcode in beat.transcodes:
            self.roster.update_transcode(transcode, now)
        for served in beat.served:
            self.roster.update_served(child, served)
        match self.hellos[child].kind:
            case "worker":
                timeout_s = self.roster.settings.worker.hang_timeout_s
                hang = find_hang(child, beat.transcodes, timeout_s)
                if hang is not None:
                    if hang.stream_id is not None:
                        self._culprits[child] = hang.stream_id
                    return [CondemnChild(child, hang.reason)]
                was_behind = child in self.roster.overloaded
                orders = self._check_sessions(child, beat, now)
                orders += self._relief.observe(child, beat.transcodes, now)
                if was_behind and child not in self.roster.overloaded:
                    orders += self._room_came(now)
                elsewhere = self._core_streams.heard(child, self.roster.fleet)
                if elsewhere is not None:
                    orders.append(Send(child, elsewhere))
                return [*orders, *self._dismiss_if_idle(child, beat)]
            case "ingest":
                told = self._hear_holdings("ingest", child, beat)
                return [*told, *self._drop_unlisted(child, beat.publishers, now)]
            case "egress":
                self._routing.heard(child, beat.served, now)
                return [*self._hear_holdings("egress", child, beat), *self._route(now)]
            case _:
                return []

    def _check_sessions(self, worker: ChildName, beat: Heartbeat, now: float) -> list[Order]:
        """Begin what a worker should have and has not, end what it has and should not."""
        orders: list[Order] = []
        for finding in self._session_check.heard(worker, beat.transcodes, now):
            match finding:
                case Forgotten(name):
                    orders += self._recovery.forgotten(self.roster.streams[name], now)
                case Stray(name, generation):
                    text = "no stream is placed here under this generation"
                    log.warning(
                        "stray session ended stream=%s generation=%d worker=%s",
                        stream_label(name),
                        generation,
                        worker,
                    )
                    note = f"generation {generation} ended at {worker}: {text}"
                    self.roster.note(name, note, now)
                    orders.append(Send(worker, StreamOrphaned(name, generation, text, 0)))
                case LostRung(name, _, rung):
                    stream = self.roster.streams[name]
                    orders += self._set_lost(stream, stream.lost_rungs | {rung}, now)
                case FoundRung(name, _, rung):
                    stream = self.roster.streams[name]
                    orders += self._set_lost(stream, stream.lost_rungs - {rung}, now)
                case Unannounced(name, _, lost):
                    stream = self.roster.streams[name]
                    if stream.announced is None:
                        self.roster.stay(stream)  # adopted: now it is known what it makes
                    if lost:
                        orders += self._set_lost(stream, lost, now)
                    else:
                        orders.append(self.roster.placed(stream, 0))
        return orders

    def _set_lost(self, stream: Stream, lost: frozenset[str], now: float) -> list[Order]:
        """Whoever plays a rung that is not made is told its end; it is announced once it is."""
        stream.lost_rungs = lost
        words = f"without {', '.join(sorted(lost))}: lost" if lost else "no rendition lost any more"
        self.roster.note(stream.stream_id, words, now)
        return [self.roster.placed(stream, 0)]

    def _hear_holdings(self, kind: str, child: ChildName, beat: Heartbeat) -> list[Order]:
        """Tell a child what addresses hold at the others of its kind, if that is new."""
        elsewhere = self._holdings[kind].heard(child, beat.held)
        return [Send(child, elsewhere)] if elsewhere is not None else []

    def _routes_for(self, child: ChildName) -> list[Order]:
        """What a child that just came has to know of them."""
        return [Send(child, self._routing.told)] if self._routing.told.extra else []

    def _route(self, now: float) -> list[Order]:
        """Tell ingests and workers when streams go to other egresses than before."""
        routes = self._routing.update(self.roster.egresses, now)
        if routes is None:
            return []
        kinds = ("ingest", "worker")
        return [Send(c, routes) for c, hello in self.hellos.items() if hello.kind in kinds]

    def _pass_on(
        self, child: ChildName, kept: StreamKept, payloads: Sequence[bytes]
    ) -> list[Order]:
        """What one ingest kept of a stream goes to the one that has been given it."""
        stream = self.roster.streams.get(kept.stream_id)
        if stream is None or stream.ingest == child or kept.generation >= stream.generation:
            return []
        return [Send(stream.ingest, kept, payloads)]

    def _drop_unlisted(
        self, ingest: ChildName, publishers: tuple[PublisherStatus, ...], now: float
    ) -> list[Order]:
        """Give back the room of streams that their ingest does not know (a lost message)."""
        listed: set[StreamId] = {status.stream_id for status in publishers}
        grace_s = UNLISTED_GRACE_S + self.roster.settings.ingest.first_video_timeout_s
        gone = [
            stream
            for stream in self.roster.of_ingest(ingest)
            if stream.stream_id not in listed and now - stream.placed_s > grace_s
        ]
        for stream in gone:
            self.roster.note(stream.stream_id, "closed: its ingest does not know it", now)
            self.roster.close(stream)
        return self._room_came(now) if gone else []

    def _publish_end(self, ingest: ChildName, end: PublishEnd, now: float) -> list[Order]:
        self._admission.forget_ask(ingest, end.stream_id)
        stream = self.roster.streams.get(end.stream_id)
        if stream is None:
            self._admission.withdraw(end.stream_id)
            return []
        # An end may cross a new placement on its way: what ended is the stream, not the placement.
        if stream.ingest != ingest or end.generation > stream.generation:
            return []
        self.roster.note(end.stream_id, f"ended: {end.reason}", now)
        self.roster.close(stream)
        return self._room_came(now)

    def _use_freed(self, now: float) -> list[Order]:
        """For others, what a stream gave up when it found no room."""
        return self._room_came(now) if self._recovery.has_freed else []

    def _room_came(self, now: float) -> list[Order]:
        if self.roster.is_adopting:
            return []
        self._recovery.has_freed = False
        return [
            *self._recovery.retry(now),
            *self.moves.retry(now),
            *self._admission.retry(now),
            *self._dismiss_silent(),
        ]

    # ---- for status -------------------------------------------------------------------------

    def waiting(self) -> int:
        states = [stream.state for stream in self.roster.streams.values()]
        return states.count(StreamState.WAITING)
