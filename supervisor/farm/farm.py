"""The supervisor's decisions, whole: children's messages and ends in, actions out. Pure.

Ties the farm state (the facts) to those who decide: `Admission` (publish requests), `Recovery`
(losses), `Migration`, `Degradation` and the others. After everything that may free room, streams
that wait and requests that are queued are looked at again, in that order. What an operator wants
comes by `operator_commands.py`. The shell (`run.py`) carries out the actions and passes the
time.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from common.config.ladder import Pipeline
from common.config.settings import Settings
from common.ipc.api_messages import Snapshot
from common.ipc.capture_messages import CaptureWritten
from common.ipc.control_messages import (
    BanList,
    EncoderLimitReport,
    GopTransfer,
    Heartbeat,
    Hello,
    Positions,
    PublishEnd,
    PublisherBack,
    PublishRequest,
    SessionEnd,
    SourceEstimate,
    SourceFormatReport,
    StreamRevoked,
    StreamTrouble,
    StreamWanted,
    UrlsUsed,
)
from common.ipc.identity import ChildId
from common.ipc.kinds import has_devices, has_viewers, is_sandboxed
from common.ipc.status_messages import ChildFloods
from supervisor.farm.actions import Action, FailChild, Machine, Send
from supervisor.farm.admission.publish_requests import Admission
from supervisor.farm.admission.source_formats import RefusedSources, SourceFormats
from supervisor.farm.backups import Backups
from supervisor.farm.blame.crash_cause import session_of
from supervisor.farm.blame.isolation import Isolation
from supervisor.farm.devices import Devices
from supervisor.farm.forwarding.address_usage import AddressTotals
from supervisor.farm.forwarding.api_requests import ApiRequests
from supervisor.farm.forwarding.audio_levels import AudioMeasuring, levels
from supervisor.farm.forwarding.captures import Captures
from supervisor.farm.forwarding.hook_forwarding import HookForwarding
from supervisor.farm.forwarding.pushes import Pushes
from supervisor.farm.forwarding.quality_events import QualityEvents
from supervisor.farm.forwarding.recordings import Recordings
from supervisor.farm.forwarding.route_reports import RouteReports
from supervisor.farm.forwarding.uploads import Uploads
from supervisor.farm.forwarding.url_uses import UrlUses
from supervisor.farm.host_load import host_load
from supervisor.farm.ingests import Ingests
from supervisor.farm.operators.farm_drain import FarmDrain
from supervisor.farm.recovery.degradation import Degradation
from supervisor.farm.recovery.hang import find_hang
from supervisor.farm.recovery.lost_workers import Recovery
from supervisor.farm.recovery.migration import Migration
from supervisor.farm.recovery.session_audit import SessionAudit
from supervisor.farm.registry.registry import registry_for
from supervisor.farm.reports import take_over
from supervisor.farm.retiring import homes
from supervisor.farm.state import Child, FarmState

Handler = Callable[[ChildId, Any, float], list[Action]]


class Farm:  # long: the one table of who decides what, and in which order
    """One farm's decisions."""

    def __init__(self, settings: Settings, cores: int) -> None:
        self.state = FarmState(settings, cores)
        self.devices = Devices(self.state)
        self.isolation = Isolation(self.state, self.devices)
        refused = RefusedSources()
        self.admission = Admission(self.state, self.isolation, refused)
        self.registry = registry_for(self.state, self.admission)
        self.source_formats = SourceFormats(self.state, self.isolation, refused)
        self.recovery = Recovery(self.state, self.isolation)
        self.migration = Migration(self.state, self.devices)
        self.degradation = Degradation(self.state, self.devices)
        self.captures, self._ingests = Captures(self.state), Ingests(self.state)
        self._session_audit = SessionAudit(self.state, self.recovery, self.migration)
        self._routes, self._audio = RouteReports(self.state), AudioMeasuring(self.state)
        self.remote_plays = self._routes.remote
        summaries, self._api = self.state.summaries, ApiRequests(self.state)
        self._hooks, self._url_uses = HookForwarding(self.state), UrlUses(self.state)
        self._quality = QualityEvents(self.state)
        self.pushes, self.recordings = Pushes(self.state), Recordings(self.state)
        self.uploads = Uploads(self.state)
        self._address_totals = {"ingest": AddressTotals(), "viewers": AddressTotals()}
        self.backups = Backups(self.state)
        self.drain = FarmDrain(self.state, self.admission)
        self._machines: tuple[Machine, ...] = (
            self.recovery,
            self.admission,
            self._ingests,
            self.isolation,
            self.migration,
            self.devices,
            self.drain,
            summaries,
            self._routes,
            self.registry,
        )
        # Which messages of a child go where. Hellos go to `child_up`.
        self._handlers: dict[type, Handler] = {
            Heartbeat: self._on_heartbeat,
            PublishRequest: self.registry.request,
            **self.registry.handlers,
            SourceEstimate: self._then_retry(self.source_formats.on_estimate),
            SourceFormatReport: self._then_retry(self.source_formats.on_format),
            PublisherBack: self._on_publisher_back,
            PublishEnd: self._on_publish_end,
            SessionEnd: summaries.on_session_end,
            StreamTrouble: self._then_retry(self._on_trouble),
            EncoderLimitReport: self._on_encoder_limit,
            StreamWanted: self._on_stream_wanted,
            StreamRevoked: self._then_retry(self.admission.revoked),
            Positions: self._on_positions,
            CaptureWritten: self.captures.on_written,
            ChildFloods: self._on_floods,
            **self._api.handlers,
            **self._hooks.handlers,
            **self.pushes.handlers,
            **self.recordings.handlers,
            **self.uploads.handlers,
            **self._routes.remote.handlers,
            UrlsUsed: self._url_uses.on_used,
        }

    @property
    def hellos(self) -> dict[ChildId, Hello]:
        """The last hello of each child that is up."""
        return {name: child.hello for name, child in self.state.children.items()}

    # ---- time -------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When to call `tick` if nothing else comes."""
        if self.state.is_adopting:
            return math.inf
        return min(machine.next_deadline() for machine in self._machines)

    def tick(self, now: float) -> list[Action]:
        if self.state.is_adopting:
            return []
        ticked = [action for machine in self._machines for action in machine.tick(now)]
        return ticked + self._use_freed(now)

    def room_came(self, now: float) -> list[Action]:
        """Look again at all that waits for room."""
        if self.state.is_adopting:
            return []
        self.state.has_freed = False
        return [
            *self.recovery.retry(now),
            *self.migration.retry(now),
            *self.admission.retry(now),
            *self.isolation.remove_silent(),
        ]

    def _use_freed(self, now: float) -> list[Action]:
        """Look again, if room came free while time passed or a stream was given up."""
        return self.room_came(now) if self.state.has_freed else []

    def configure(self, settings: Settings, now: float) -> list[Action]:
        """New settings: for new streams, and more room perhaps."""
        self.devices.configure(settings)
        for child in self.state.children.values():
            if child.hello.device is not None and has_devices(child.hello.child.kind):
                self._device_up(child.hello)
        return self.room_came(now)

    # ---- children ---------------------------------------------------------------------------

    def adopt(self) -> None:
        """Children that an earlier supervisor left say hello, one after the other, up to `settle`.

        Nothing is placed before all are known: what one has not reported yet may have that room,
        and the very generation that would come next.
        """
        self.state.is_adopting = True

    def settle(self, now: float) -> list[Action]:
        """Every child that still ran has been adopted: see to streams whose worker is gone."""
        self.state.is_adopting = False
        return [*self.registry.settle(), *self.recovery.settle(now), *self.room_came(now)]

    def child_up(self, hello: Hello, now: float) -> list[Action]:
        """A child's hello: of a new one, an adopted one, or one that says it again."""
        before = homes(self.state)
        self.state.children[hello.child] = Child.of(hello, self.state.children.get(hello.child))
        match hello.child.kind:
            case "ingest":
                routes = [*self._access_for(hello.child), *self._routes.child_up(hello.child)]
                self.registry.publishers(hello.child, hello.publishers)
                return [*routes, *self._ingests.up(hello, now), *self.room_came(now)]
            case "worker":
                self._worker_up(hello, now)
                return [*self._routes.child_up(hello.child), *self.room_came(now)]
            case kind if has_viewers(kind):
                return self._serving_up(hello, before, now)
            case "encoder":
                return self._routes.child_up(hello.child)
            case "audio":
                return self._audio.child_up(hello.child)
            case _:
                return [*self._hooks.child_up(hello.child), *self.registry.child_up(hello.child)]

    def _worker_up(self, hello: Hello, now: float) -> None:
        self._device_up(hello)
        if hello.child.is_dedicated:
            self.isolation.worker_up(hello.child)
        for transcode in hello.transcodes:
            self.state.see_generation(transcode.generation)
            self.state.update_transcode(hello.child, transcode, now)

    def _device_up(self, hello: Hello) -> None:
        device = hello.device
        if device is None:
            self.devices.up(hello.child, Pipeline.SOFTWARE)
            return
        aliases = (device.name, device.pci_id)
        announced = device.decodes, device.encodes
        self.devices.up(hello.child, device.path, aliases, device.memory_bytes, *announced)

    def _serving_up(self, hello: Hello, before: set[ChildId], now: float) -> list[Action]:
        for served in hello.served:
            self.state.see_generation(served.generation)
            self.state.update_served(hello.child, served)
        if hello.child.kind == "egress":
            self._routes.egress_up(hello, before, now)
        else:
            self._routes.remote.relay_up(hello.child)
        actions = [*self._access_for(hello.child), *self._routes.update(now)]
        return [*actions, *self.registry.child_up(hello.child), *self.room_came(now)]

    def child_down(
        self, child: ChildId, reason: str, now: float, *, crashed: bool, thread: int = 0
    ) -> list[Action]:
        """A child serves nobody any more; `thread`: what it died in, 0: that is not known."""
        known = self.state.children.pop(child, None)
        if known is None:
            return self.room_came(now)
        actions: list[Action] = []
        # The others' routes stay until the next heartbeat: an egress that they name, and that is a
        # stream's home by now, is none yet for those that know the old topology.
        self._routes.remove(child)
        match child.kind:
            case "ingest":
                self.admission.forget_ingest(child)
                self.registry.forget_ingest(child)
                self._address_totals["ingest"].remove(child)
                actions = self._ingests.down(child, reason, now)
            case "worker":
                actions = self._worker_down(known, reason, now, crashed=crashed, thread=thread)
            case kind if has_viewers(kind):
                self._address_totals["viewers"].remove(child)
                for stream in self.state.streams.values():
                    stream.forget_egress(child)
                actions = self.recovery.egress_lost(child, now)
                if kind != "egress":
                    actions += self._routes.update(now)
                    actions += self.registry.child_down(child, now)
            case _:
                self._audio.forget(child)
                actions = [*self.registry.child_down(child, now), *self._routes.update(now)]
        return [*actions, *self.room_came(now)]

    def _worker_down(
        self, known: Child, reason: str, now: float, *, crashed: bool, thread: int
    ) -> list[Action]:
        child, crashed_in = known.hello.child, session_of(known.heartbeat, thread)
        worker = self.state.workers.get(child)
        cause = worker.hangs_with if worker is not None else None
        is_crash = crashed and not (worker is not None and worker.lost)  # killed for that, perhaps
        self.devices.down(child, now)
        self.degradation.worker_lost(child)
        return self.recovery.worker_lost(
            child, reason, now, crashed=is_crash, cause=cause, crashed_in=crashed_in
        )

    # ---- messages ---------------------------------------------------------------------------

    def message(
        self, child: ChildId, message: Any, now: float, payloads: Sequence[bytes] = ()
    ) -> list[Action]:
        """A message of a child that is up."""
        if isinstance(message, GopTransfer):
            return self._ingests.pass_on(child, message, payloads)
        if isinstance(message, Snapshot):
            return self._api.snapshot(child, message, payloads)
        handler = self._handlers.get(type(message))
        return handler(child, message, now) if handler is not None else []

    def _then_retry(self, handler: Handler) -> Handler:
        """A handler after which there may be room."""
        return lambda child, message, now: [*handler(child, message, now), *self.room_came(now)]

    def _on_publisher_back(self, child: ChildId, back: PublisherBack, _: float) -> list[Action]:
        self.admission.back(child, back)
        return []

    def _on_publish_end(self, child: ChildId, end: PublishEnd, now: float) -> list[Action]:
        self.admission.withdraw(child, end.stream_id)
        self.registry.withdraw(child, end.stream_id)
        if not self._ingests.publish_end(child, end, now):
            return []
        is_moving = self.registry.is_moving(end.stream_id)
        moved = self._routes.on_moved(end.stream_id, now) if is_moving else []
        return [*moved, *self.room_came(now)]

    def _on_trouble(self, child: ChildId, trouble: StreamTrouble, now: float) -> list[Action]:
        return self.recovery.trouble(child, trouble, now)

    def _on_encoder_limit(
        self, child: ChildId, met: EncoderLimitReport, now: float
    ) -> list[Action]:
        self.devices.refuse_session(child, met.open_sessions, met.reason, now)
        return []

    def _on_stream_wanted(self, child: ChildId, wanted: StreamWanted, now: float) -> list[Action]:
        if child.kind == "audio" and not self._audio.may_want(child, wanted):
            return []
        return self._routes.on_wanted(child, wanted, now)

    def _on_positions(self, child: ChildId, positions: Positions, now: float) -> list[Action]:
        return [*self.recovery.positions(child, positions, now), *self._use_freed(now)]

    def _on_floods(self, child: ChildId, found: ChildFloods, _: float) -> list[Action]:
        """End a child that is out of hand, if strangers' media may have taken it over."""
        if not is_sandboxed(found.child.kind) or found.child not in self.state.children:
            return []
        return [FailChild(found.child, f"it floods: {found.what}")]

    # ---- heartbeats -------------------------------------------------------------------------

    def _on_heartbeat(self, child: ChildId, beat: Heartbeat, now: float) -> list[Action]:
        take_over(self.state, child, beat, now)
        match child.kind:
            case "worker":
                return self._on_worker_heartbeat(child, beat, now)
            case "ingest":
                actions = self._on_address_usage(child, beat)
                self.registry.publishers(child, beat.publishers)
                if self._ingests.close_unlisted(child, beat.publishers, now):
                    actions += self.room_came(now)
                return actions + self._look_at_backups(child, beat, now)
            case kind if has_viewers(kind):
                served = beat.served if kind == "egress" else ()  # others say what they want
                routes = self._routes.on_served(child, served, now)
                return [*self._on_address_usage(child, beat), *routes]
            case "audio":
                return [*self._audio.report(child), *self._routes.update(now)]
            case _:
                return self.registry.beat(child)

    def _look_at_backups(self, child: ChildId, beat: Heartbeat, now: float) -> list[Action]:
        if not any(publisher.role for publisher in beat.publishers):
            return []
        self.backups.forget_ended()
        sound = {name: found.notices for name, found in levels(self.state).items()}
        return self.backups.look(child, sound, now)

    def _on_worker_heartbeat(self, child: ChildId, beat: Heartbeat, now: float) -> list[Action]:
        worker = self.state.workers.get(child)
        if worker is None:
            return []  # a dedicated one that is about to end
        hang = find_hang(child, beat.transcodes, self.state.settings.worker.hang_timeout_s)
        if hang is not None:
            worker.hangs_with = hang.stream_id or worker.hangs_with
            return [FailChild(child, hang.reason)]
        was_behind = worker.is_overloaded
        actions = self._session_audit.observe(worker, beat.transcodes, now)
        actions += self.degradation.observe(worker, beat.transcodes, now)
        actions += self.captures.observe(child, beat.transcodes, now)
        actions += self._hooks.tell(self._quality.observe(child, beat.transcodes))
        if was_behind and not worker.is_overloaded:
            actions += self.room_came(now)
        load = host_load(worker, self.state.fleet)
        if load is not None:
            actions.append(Send(child, load))
        return [*actions, *self.isolation.remove_if_idle(child, beat)]

    def _on_address_usage(self, child: ChildId, beat: Heartbeat) -> list[Action]:
        """Tell a child what addresses have at the others like it, if that is new."""
        like_it = "viewers" if has_viewers(child.kind) else child.kind
        elsewhere = self._address_totals[like_it].on_usage(child, beat.address_usage)
        return [Send(child, elsewhere)] if elsewhere is not None else []

    def _access_for(self, child: ChildId) -> list[Action]:
        """Whom a child that just came must not let in, and by what not any more."""
        bans = self.state.bans.all()
        return [*([Send(child, BanList(bans))] if bans else []), *self._url_uses.child_up(child)]

    def retire(self, child: ChildId, now: float) -> list[Action]:
        """A child takes nobody new from now on; who it has keeps what it gets."""
        return self._routes.retire(child, now)
