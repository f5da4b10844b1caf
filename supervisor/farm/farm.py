"""The supervisor's decisions, whole: children's messages and ends in, orders out. Pure.

Ties `FarmState` (the facts), `Admission` (asks) and `Recovery` (losses) together. After
everything that may free room, streams that wait and asks that are parked are tried again, in that
order. The shell (`run.py`) carries out the orders and passes the time.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any

from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import Pipeline
from common.config.settings import Settings
from common.ipc.control_messages import (
    EncoderLimitReport,
    Endpoint,
    EndStream,
    GopTransfer,
    Heartbeat,
    Hello,
    IngestLost,
    Positions,
    PublishEnd,
    PublisherBack,
    PublisherStatus,
    PublishRequest,
    Readmit,
    SourceFormatReport,
    StreamRevoked,
    StreamTrouble,
    StreamWanted,
)
from common.ipc.identity import ChildId, StreamId, stream_id
from common.process.log import stream_label
from supervisor.farm.actions import Action, FailChild, Send, StopWorker, end_stream
from supervisor.farm.address_usage import AddressTotals
from supervisor.farm.admission import Admission
from supervisor.farm.degradation import Degradation
from supervisor.farm.egress_routing import Routing
from supervisor.farm.host_load import HostLoadTracker
from supervisor.farm.migration import Migration
from supervisor.farm.recovery import Recovery
from supervisor.farm.session_audit import (
    FoundRendition,
    LostRendition,
    MissingSession,
    OrphanSession,
    SessionAudit,
    Unannounced,
)
from supervisor.farm.state import FarmState
from supervisor.farm.stream import NO_INGEST, Stream, StreamState
from supervisor.processes.hang import find_hang

log = logging.getLogger("tfarm.supervisor.farm.farm")

UNLISTED_GRACE_S = 15.0  # from a placement to its ingest's heartbeat naming the stream


class Farm:
    """One farm's decisions."""

    def __init__(self, settings: Settings, cores: int) -> None:
        self.roster = FarmState(settings, cores)
        self.endpoints: dict[ChildId, Endpoint] = {}
        self.hellos: dict[ChildId, Hello] = {}  # the last of each child that is up
        self.beats: dict[ChildId, Heartbeat] = {}
        self._admission = Admission(self.roster)
        self._recovery = Recovery(self.roster)
        self.migration = Migration(self.roster)
        self._routing = Routing()
        self._address_totals = {"ingest": AddressTotals(), "egress": AddressTotals()}
        self._degradation = Degradation(self.roster)
        self._host_load = HostLoadTracker()
        self._session_audit = SessionAudit(self.roster)
        self._causes: dict[ChildId, StreamId] = {}  # the streams that workers hang with
        self._end_all_s = math.inf  # when a drained farm ends what still runs

    @property
    def queued(self) -> int:
        return self._admission.queued

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
            self.migration.next_deadline(),
            self.roster.quarantine.next_deadline(),
            min((s.ingest_lost_until_s for s in self._all()), default=math.inf),
            self._end_all_s,
            self.roster.session_cap.until_s if self.roster.session_cap else math.inf,
        )

    def tick(self, now: float) -> list[Action]:
        if self.roster.is_adopting:
            return []
        actions = [*self._recovery.tick(now), *self._admission.tick(now)]
        for stream in [s for s in self._all() if now >= s.ingest_lost_until_s]:
            self.roster.note(stream.stream_id, "ended: its publisher did not come back", now)
            self.roster.close(stream)
            actions += self._room_came(now)
        for cleared in self.roster.quarantine.cleared(now):
            actions += self._clear(cleared, now)
        if now >= self.migration.next_deadline():
            actions += self.migration.tick(now)
        cap = self.roster.session_cap
        if cap is not None and now >= cap.until_s:
            self.roster.forget_session_cap()
            actions += self._room_came(now)
        if now >= self._end_all_s:
            self._end_all_s = math.inf
            actions += [self._end(stream, "the farm was drained") for stream in self._all()]
        return actions + self._use_freed(now)

    def configure(self, settings: Settings, now: float) -> list[Action]:
        """New settings: for new streams, and more room perhaps."""
        self.roster.configure(settings)
        for name, hello in self.hellos.items():
            if hello.device is not None:
                self._device_up(name, hello)
        return self._room_came(now)

    # ---- children ---------------------------------------------------------------------------

    def child_up(self, hello: Hello, now: float) -> list[Action]:
        """A child said hello: a new one, an adopted one, or one that says it again."""
        self.hellos[hello.child] = hello
        self.endpoints[hello.child] = hello.endpoint
        match hello.child.kind:
            case "ingest":
                return [*self._routes_for(hello.child), *self._ingest_up(hello, now)]
            case "worker":
                if hello.child.is_dedicated:
                    self._dedicated_worker_up(hello.child)
                self._device_up(hello.child, hello)
                self._host_load.forget(hello.child)
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

    def child_down(self, child: ChildId, reason: str, now: float, *, crashed: bool) -> list[Action]:
        """A child serves nobody any more."""
        hello = self.hellos.pop(child, None)
        self.endpoints.pop(child, None)
        self.beats.pop(child, None)
        actions: list[Action] = []
        match child.kind if hello else "":
            case "ingest":
                self._admission.forget_ingest(child)
                self._address_totals["ingest"].remove(child)
                for stream in self.roster.of_ingest(child):
                    actions += self._ingest_lost(stream, reason, now)
            case "worker":
                is_lost = child in self.roster.lost  # killed for that, perhaps
                self.roster.device_down(child, now)
                self._degradation.forget(child)
                self._host_load.forget(child)
                self._session_audit.forget(child)
                cause = self._causes.pop(child, None)
                actions += self._recovery.worker_lost(
                    child, reason, now, crashed=crashed and not is_lost, cause=cause
                )
            case "egress":
                self.roster.egresses.discard(child)
                # The routes stay until the next heartbeat: one that they name, and that is a
                # stream's home by now, is none yet for those that know the old topology.
                self._routing.lost(child)
                self._address_totals["egress"].remove(child)
                for stream in self.roster.streams.values():
                    stream.served.pop(child, None)
                actions += self._recovery.egress_lost(child, now)
        return [*actions, *self._room_came(now)]

    def adopt(self) -> None:
        """Children that an earlier supervisor left say hello, one after the other, up to `settle`.

        Nothing is placed before all are known: what one has not told yet may have that room, and
        the very generation that would come next.
        """
        self.roster.is_adopting = True

    def settle(self, now: float) -> list[Action]:
        """Every child that still ran has been adopted: see to streams whose worker is gone."""
        self.roster.is_adopting = False
        return [*self._recovery.settle(now), *self._room_came(now)]

    def _ingest_lost(self, stream: Stream, reason: str, now: float) -> list[Action]:
        """Its ingest is gone: end it at its worker, hold its players, keep its room meanwhile."""
        text = f"its ingest is lost: {reason}"
        self.roster.note(stream.stream_id, text, now)
        # one without a format was never open: there is nobody to hold
        hold_ms = stream.template.hold_ms if stream.format is not None else 0
        message = IngestLost(stream.stream_id, stream.generation, text, hold_ms)
        peers = sorted(self.roster.egresses)
        device = self.roster.device_of(stream)
        if device is not None:
            peers.append(device)
        if hold_ms:
            if stream.is_live:
                stream.is_live, stream.away_s = False, now
            stream.ingest = NO_INGEST
            stream.ingest_lost_until_s = now + hold_ms / 1000
        else:
            self.roster.close(stream)
        return [Send(peer, message) for peer in peers]

    def _clear(self, name: StreamId, now: float) -> list[Action]:
        """A stream that was alone for long and harmed nobody goes back among the others."""
        worker = self.roster.quarantine.take_worker(name)
        stream = self.roster.streams.get(name)
        if worker is None:
            return []
        actions: list[Action] = []
        if stream is not None:
            stream.dedicated_worker = None
            stream.crashes = 0
            self.roster.quarantine.clear_stream(name)
            self.roster.note(name, "no longer quarantined: no crash since", now)
            is_given_up = stream.state is StreamState.SOURCE_ONLY and stream.why_refused(worker)
            if is_given_up and self.roster.has_device_left(stream):
                stream.wait(stream.why_refused(worker))  # only its worker was asked
            # It moves off its worker; where that never came up it waits, any other will do now.
            actions += self.migration.drain([worker], now)
            actions += self._recovery.retry(now)
        return [*actions, *self._remove_silent()]

    def _remove_if_idle(self, worker: ChildId, beat: Heartbeat) -> list[Action]:
        """End a worker that was one stream's own and is nobody's any more."""
        if beat.transcodes or not self._is_nobodys(worker):
            return []
        return self._remove(worker)

    def _remove_silent(self) -> list[Action]:
        """The same for those that are not up: they have no heartbeats to be dismissed by."""
        return [
            order
            for name, device in list(self.roster.fleet.devices.items())
            if not device.is_up and self._is_nobodys(name)
            for order in self._remove(name)
        ]

    def _is_nobodys(self, worker: ChildId) -> bool:
        """Whether a worker was one stream's own and is so no more."""
        roster = self.roster
        is_given = roster.quarantine.stream_on(worker) is not None
        return worker.is_dedicated and not is_given and not roster.on_device(worker)

    def _remove(self, worker: ChildId) -> list[Action]:
        self.roster.remove_device(worker)
        return [StopWorker(worker)]

    def _ingest_up(self, hello: Hello, now: float) -> list[Action]:
        actions: list[Action] = []
        listed = {status.stream_id for status in hello.publishers}
        for stream in self.roster.of_ingest(hello.child):
            if stream.stream_id not in listed:
                self.roster.close(stream)
        for status in hello.publishers:
            known = self.roster.streams.get(status.stream_id)
            if known is None:
                self.roster.adopt(hello.child, status, now)
            elif known.generation > status.generation:
                actions.append(self.roster.placed(known, 0))  # it did not get that one
        return [*actions, *self._room_came(now)]

    def _dedicated_worker_up(self, worker: ChildId) -> None:
        """One that an earlier supervisor started: why is not known; its stream may leave it."""
        self.roster.quarantine.see_worker(worker)
        if self.roster.quarantine.stream_on(worker) is None:
            self.roster.drained.add(worker)

    def _device_up(self, name: ChildId, hello: Hello) -> None:
        device = hello.device
        if device is None:
            self.roster.device_up(name, Pipeline.SOFTWARE)
            return
        aliases = (device.name, device.pci_id)
        self.roster.device_up(name, device.path, aliases, device.memory_bytes)

    # ---- messages ---------------------------------------------------------------------------

    def message(
        self, child: ChildId, message: Any, now: float, payloads: Sequence[bytes] = ()
    ) -> list[Action]:
        """A message of a child that is up. Hellos go to `child_up`."""
        match message:
            case Heartbeat():
                return self._heartbeat(child, message, now)
            case PublishRequest():
                return self._admission.ask(child, message, now)
            case SourceFormatReport():
                return [*self._admission.format_known(child, message, now), *self._room_came(now)]
            case PublisherBack():
                self._admission.back(child, message)
                return []
            case PublishEnd():
                return self._publish_end(child, message, now)
            case StreamTrouble():
                return [*self._recovery.trouble(message, now), *self._room_came(now)]
            case EncoderLimitReport():
                self.roster.session_refused(child, message.open_sessions, message.reason, now)
                return []
            case StreamWanted():
                self._routing.want(child, message.stream_id, now)
                return self._route(now)
            case StreamRevoked():
                return [*self._admission.revoked(child, message, now), *self._room_came(now)]
            case GopTransfer():
                return self._pass_on(child, message, payloads)
            case Positions():
                return [*self._recovery.positions(child, message, now), *self._use_freed(now)]
            case _:
                return []

    def kick(self, app: str, key: str) -> list[Action]:
        """End one stream; empty when there is none. Its room comes back with its `PublishEnd`."""
        stream = self.roster.streams.get(stream_id(app, key))
        if stream is None:
            return []
        if stream.ingest == NO_INGEST:
            self.roster.close(stream)
        # Its publisher may come back to another ingest: they all keep it out.
        end = EndStream(
            stream.stream_id,
            Refusal(RefusalReason.KICKED, "ended by the operator", is_lasting=True),
        )
        return [Send(name, end) for name in sorted(self._ingests() | {stream.ingest})]

    def clear(self, app: str, key: str) -> list[Action]:
        """Forget that a stream took workers down, everywhere; empty when it had not."""
        stream = stream_id(app, key)
        if not self.roster.quarantine.clear(stream):
            return []
        if stream not in self.roster.streams:
            self.roster.quarantine.take_worker(stream)  # it waited for the next attempt
        told = [Send(name, Readmit(stream)) for name in sorted(self._ingests())]
        return [*told, *self._remove_silent()]

    def _ingests(self) -> set[ChildId]:
        return {name for name in self.hellos if name.kind == "ingest"}

    def find_devices(self, name: str) -> list[ChildId]:
        """What a person means: `cpu:0`, a worker by its name, all of a GPU by UUID or PCI id."""
        workers = list(self.roster.fleet.devices)
        one = [worker for worker in workers if str(worker).lower() == name.lower()]
        return one or [worker for worker in workers if self._is_called(worker, name)]

    def _is_called(self, worker: ChildId, name: str) -> bool:
        hello = self.hellos.get(worker)
        info = hello.device if hello else None
        names = {worker.place, worker.device_name}
        if info is not None:
            names |= {info.name, info.pci_id} - {""}
        return name.lower() in {known.lower() for known in names}

    def drain(self, devices: Sequence[ChildId], now: float) -> list[Action]:
        """Move all off these devices; say it again to see how far that is."""
        actions = self.migration.drain(devices, now)
        if sum(self._degradation.let_go(device) for device in devices):
            actions += self._recovery.retry(now)
        return actions

    def undrain(self, devices: Sequence[ChildId], now: float) -> list[Action]:
        for device in devices:
            self.migration.undrain(device)
        return self._room_came(now)

    def drain_all(self, timeout_s: float | None, now: float) -> None:
        """Take no new streams, and end those that still run after `timeout_s`."""
        self._admission.closed = "the farm is being drained: it takes no new streams"
        if timeout_s is not None:
            self._end_all_s = now + timeout_s

    def undrain_all(self, now: float) -> list[Action]:
        """Take streams again, on all devices."""
        self._admission.closed = ""
        self._end_all_s = math.inf
        for device in list(self.roster.drained):
            self.migration.undrain(device)
        return self._room_came(now)

    def sessions(self, device: ChildId) -> int:
        """How many sessions a worker still has, those that have moved away included."""
        beat = self.beats.get(device)
        return len(beat.transcodes) if beat is not None else 0

    def _end(self, stream: Stream, description: str) -> Action:
        return end_stream(stream.ingest, stream.stream_id, description)

    def _all(self) -> list[Stream]:
        return list(self.roster.streams.values())

    def _heartbeat(self, child: ChildId, beat: Heartbeat, now: float) -> list[Action]:
        self.beats[child] = beat
        for publisher in beat.publishers:
            self.roster.update_publisher(child, publisher, now)
        for transcode in beat.transcodes:
            self.roster.update_transcode(transcode, now)
        for served in beat.served:
            self.roster.update_served(child, served)
        match child.kind:
            case "worker":
                timeout_s = self.roster.settings.worker.hang_timeout_s
                hang = find_hang(child, beat.transcodes, timeout_s)
                if hang is not None:
                    if hang.stream_id is not None:
                        self._causes[child] = hang.stream_id
                    return [FailChild(child, hang.reason)]
                was_behind = child in self.roster.overloaded
                actions = self._check_sessions(child, beat, now)
                actions += self._degradation.observe(child, beat.transcodes, now)
                if was_behind and child not in self.roster.overloaded:
                    actions += self._room_came(now)
                elsewhere = self._host_load.heard(child, self.roster.fleet)
                if elsewhere is not None:
                    actions.append(Send(child, elsewhere))
                return [*actions, *self._remove_if_idle(child, beat)]
            case "ingest":
                told = self._on_address_usage("ingest", child, beat)
                return [*told, *self._drop_unlisted(child, beat.publishers, now)]
            case "egress":
                self._routing.heard(child, beat.served, now)
                return [*self._on_address_usage("egress", child, beat), *self._route(now)]
            case _:
                return []

    def _check_sessions(self, worker: ChildId, beat: Heartbeat, now: float) -> list[Action]:
        """Begin what a worker should have and has not, end what it has and should not."""
        actions: list[Action] = []
        for finding in self._session_audit.heard(worker, beat.transcodes, now):
            match finding:
                case MissingSession(name):
                    actions += self._recovery.forgotten(self.roster.streams[name], now)
                case OrphanSession(name, generation):
                    text = "no stream is placed here under this generation"
                    log.warning(
                        "stray session ended stream=%s generation=%d worker=%s",
                        stream_label(name),
                        generation,
                        worker,
                    )
                    note = f"generation {generation} ended at {worker}: {text}"
                    self.roster.note(name, note, now)
                    actions.append(Send(worker, IngestLost(name, generation, text, 0)))
                case LostRendition(name, _, rendition):
                    stream = self.roster.streams[name]
                    actions += self._set_lost(stream, stream.lost_renditions | {rendition}, now)
                case FoundRendition(name, _, rendition):
                    stream = self.roster.streams[name]
                    actions += self._set_lost(stream, stream.lost_renditions - {rendition}, now)
                case Unannounced(name, _, lost):
                    stream = self.roster.streams[name]
                    if stream.announced is None:
                        self.roster.stay(stream)  # adopted: now it is known what it makes
                    if lost:
                        actions += self._set_lost(stream, lost, now)
                    else:
                        actions.append(self.roster.placed(stream, 0))
        return actions

    def _set_lost(self, stream: Stream, lost: frozenset[str], now: float) -> list[Action]:
        """Players of a rendition that is not made are told its end; it is announced when it is."""
        stream.lost_renditions = lost
        words = f"without {', '.join(sorted(lost))}: lost" if lost else "no rendition lost any more"
        self.roster.note(stream.stream_id, words, now)
        return [self.roster.placed(stream, 0)]

    def _on_address_usage(self, kind: str, child: ChildId, beat: Heartbeat) -> list[Action]:
        """Tell a child what addresses have at the others of its kind, if that is new."""
        elsewhere = self._address_totals[kind].on_usage(child, beat.address_usage)
        return [Send(child, elsewhere)] if elsewhere is not None else []

    def _routes_for(self, child: ChildId) -> list[Action]:
        """What a child that just came has to know of them."""
        return [Send(child, self._routing.told)] if self._routing.told.extra else []

    def _route(self, now: float) -> list[Action]:
        """Tell ingests and workers when streams go to other egresses than before."""
        routes = self._routing.update(self.roster.egresses, now)
        if routes is None:
            return []
        kinds = ("ingest", "worker")
        return [Send(child, routes) for child in self.hellos if child.kind in kinds]

    def _pass_on(
        self, child: ChildId, kept: GopTransfer, payloads: Sequence[bytes]
    ) -> list[Action]:
        """What one ingest kept of a stream goes to the one that has been given it."""
        stream = self.roster.streams.get(kept.stream_id)
        if stream is None or stream.ingest == child or kept.generation >= stream.generation:
            return []
        return [Send(stream.ingest, kept, payloads)]

    def _drop_unlisted(
        self, ingest: ChildId, publishers: tuple[PublisherStatus, ...], now: float
    ) -> list[Action]:
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

    def _publish_end(self, ingest: ChildId, end: PublishEnd, now: float) -> list[Action]:
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

    def _use_freed(self, now: float) -> list[Action]:
        """For others, what a stream gave up when it found no room."""
        return self._room_came(now) if self._recovery.has_freed else []

    def _room_came(self, now: float) -> list[Action]:
        if self.roster.is_adopting:
            return []
        self._recovery.has_freed = False
        return [
            *self._recovery.retry(now),
            *self.migration.retry(now),
            *self._admission.retry(now),
            *self._remove_silent(),
        ]

    # ---- for status -------------------------------------------------------------------------

    def waiting(self) -> int:
        states = [stream.state for stream in self.roster.streams.values()]
        return states.count(StreamState.WAITING)
