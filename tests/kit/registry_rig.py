"""All streams of an ingest, with connections and a supervisor that only exist as messages."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from common.access.refusal import Refusal
from common.config.ladder import Takeover
from common.config.settings import IngestSettings, Settings
from common.ipc.control_messages import PublishRequest
from common.ipc.media_messages import StreamClosed
from common.media.units import AudioConfig
from common.rtmp.events import Event, PublishRequested
from common.rtmp.status_codes import PUBLISH_DONE, publish_code
from ingest.rtmp.publish_address import attempt_of
from ingest.rtmp.to_units import Demuxer
from ingest.streams.admission import Admission
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import MediaEvent
from ingest.streams.registry import Streams
from ingest.streams.supervisor_messages import SupervisorMessages
from tests.kit.ingest_ports import ANSWER, TEMPLATE, FakePeers, header, picture

LOCKED = replace(TEMPLATE, name="locked", publish_keys=(hashlib.sha256(b"sesame").hexdigest(),))


@dataclass(eq=False)
class FakeConnection:
    """An RTMP connection that notes what it is told."""

    host: str = "203.0.113.7"
    peer: str = "203.0.113.7:5000"
    accepted: list[int] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    held_back: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # before it was refused
    is_batched: bool = False
    unread: int | None = None
    received_bytes: int = 0
    read_batching: int = 0
    on_look: Callable[[], None] = field(default=lambda: None)  # what reading it brings
    on_accept: Callable[[], None] = field(default=lambda: None)  # … and what answering it

    demuxer: Demuxer | None = None

    @property
    def last_media_s(self) -> float:
        return self.demuxer.last_media_s if self.demuxer is not None else 0.0

    def accept_publish(
        self, request_id: int, timeline: Timeline, now: float, before: AudioConfig | None = None
    ) -> None:
        self.demuxer = Demuxer(timeline, now, before)
        self.accepted.append(request_id)
        self.on_accept()

    def refuse_publish(self, request_id: int, refusal: Refusal, after_s: float = 0.0) -> None:
        self.waits.append(after_s)
        self.end_publish(refusal)

    def hold_back(self, seconds: float) -> None:
        self.held_back.append(seconds)

    def unread_bytes(self) -> int | None:
        return self.unread

    def flush(self, before_s: float) -> Sequence[MediaEvent]:
        return self.demuxer.flush(before_s) if self.demuxer is not None else ()

    def look_again(self) -> None:
        self.on_look()

    def read_batched(self) -> None:
        self.is_batched = True
        self.read_batching += 1

    def read_immediately(self) -> None:
        self.is_batched = False

    def end_publish(self, refusal: Refusal) -> None:
        self.told.append((publish_code(refusal.reason), refusal.words))

    def finish_publish(self, words: str) -> None:
        self.told.append((PUBLISH_DONE, words))


class RegistryRig:
    def __init__(self, takeover: Takeover = Takeover.IDLE, **ingest: Any) -> None:
        self.template = replace(TEMPLATE, takeover=takeover)
        limits = IngestSettings(takeover_idle_s=3.0, exempt_networks=(), **ingest)
        self.settings = Settings(ingest=limits, templates=(self.template, LOCKED))
        self.peers = FakePeers()
        self.told: list[Any] = []
        self.payloads: list[Sequence[bytes]] = []  # of what was told
        self.admission = Admission(limits, 1000)
        self.streams = Streams(
            self.settings, self.admission, self.peers, self.tell, lambda: 1.0, lambda: 100.0
        )
        self.from_supervisor = SupervisorMessages(self.streams, self.tell)

    def tell(self, message: object, payloads: Sequence[bytes] = ()) -> None:
        self.told.append(message)
        self.payloads.append(payloads)

    def publish(
        self, path: str = "live/cam", now: float = 100.0, peer: FakeConnection | None = None
    ) -> FakeConnection:
        peer = peer or FakeConnection()
        app, _, name = path.partition("/")
        request = PublishRequested(7, 1, app, f"rtmp://host/{app}", name, "live")
        attempt = attempt_of(request)
        if isinstance(attempt, Refusal):
            self.streams.refuse(peer, request.request_id, attempt, now)
        else:
            self.streams.publish(peer, attempt, now)
        return peer

    def media(self, peer: FakeConnection, events: Sequence[Event], now: float) -> None:
        """What one read brings from a connection, as its listener hands it on."""
        if peer.demuxer is not None:
            self.streams.media(peer, peer.demuxer.take(events, now), now)

    def place(self, now: float = 100.0, **changes: Any) -> None:
        """Say yes to the last one who asked."""
        ask = self.last(PublishRequest)
        values = {"request_id": ask.request_id, "stream_id": ask.stream_id}
        values["template"] = self.template
        self.from_supervisor.placed(replace(ANSWER, **{**values, **changes}), now)

    def last(self, kind: type[Any]) -> Any:
        return [message for message in self.told if isinstance(message, kind)][-1]

    def count(self, kind: type[Any]) -> int:
        return sum(isinstance(message, kind) for message in self.told)

    def tick(self, now: float) -> None:
        self.streams.tick(now)
        self.streams.read_batching.read(1.0, len(self.streams.read_batching))

    def live(self, now: float = 100.0, path: str = "live/cam") -> FakeConnection:
        """A publisher whose stream is on the air."""
        peer = self.publish(path, now)
        self.place(now)
        self.media(peer, [header(), picture(0, key=True)], now)
        return peer

    def closed(self) -> list[int]:
        """The holds that egress was told."""
        return [message.hold_ms for message in self.peers.running[0].of(StreamClosed)]
