"""A farm of pure parts with children that only exist as messages."""

from fractions import Fraction
from typing import Any, TypeVar

from common.access.credentials import UNTOLD, Credentials
from common.config.ladder import Pipeline, SourceFormat
from common.config.settings import Settings
from common.ipc.control_messages import (
    DeviceInfo,
    Endpoint,
    Heartbeat,
    Hello,
    Placement,
    PublishEnd,
    PublishRequest,
    Refused,
    RequestQueued,
    SourceEstimate,
    SourceFormatReport,
)
from common.ipc.identity import BootId, ChildId, Generation, StreamId, cpu_worker
from common.ipc.status_messages import PublisherStatus, TranscodeStatus
from common.media.clock import ClockReference
from supervisor.farm.actions import Action, FailChild, Send, StartWorker, StopWorker
from supervisor.farm.farm import Farm
from supervisor.farm.operators.operator_commands import OperatorCommands
from supervisor.farm.stream import Stream
from tests.kit.children import EGRESS0, INGEST0

ADDRESS = "127.0.0.1:5000"  # exempt: it stands for many, and is blamed for nothing
M = TypeVar("M")
HD = SourceFormat(1280, 720, fps=Fraction(30))
SMALL = SourceFormat(640, 360, fps=Fraction(30))


class Rig:
    """`cores` x 100 units of software, workers cpu:0 and cpu:1, one ingest, one egress."""

    def __init__(self, settings: Settings | None = None, cores: int = 2, workers: int = 2) -> None:
        self.farm = Farm(settings or Settings(), cores)
        self.operator = OperatorCommands(self.farm)
        self.now = 100.0
        self.request = 0
        self.actions: list[Action] = []
        self.waits: list[Any] = []
        self.up(INGEST0)
        self.up(EGRESS0)
        for index in range(workers):
            self.expect(cpu_worker(index))
            self.up(cpu_worker(index))

    def expect(self, worker: ChildId) -> None:
        self.farm.devices.expect(worker, Pipeline.SOFTWARE, self.now)

    def up(self, child: ChildId, **fields: Any) -> list[Action]:
        name, boot_id = child, BootId("0" * 16)
        device = None
        if child.kind == "worker":
            device = fields.pop("device", DeviceInfo(child.place, "software", "x264"))
        hello = Hello(name, boot_id, 1, 1, Endpoint(name, boot_id), device=device, **fields)
        return self._keep(self.farm.child_up(hello, self.now))

    def down(self, child: ChildId | None, *, crashed: bool = True, thread: int = 0) -> list[Action]:
        assert child is not None
        down = self.farm.child_down(child, "killed", self.now, crashed=crashed, thread=thread)
        return self._keep(down)

    def say(self, child: ChildId | None, message: object) -> list[Action]:
        assert child is not None
        return self._keep(self.farm.message(child, message, self.now))

    def tick(self, seconds: float = 0.0) -> list[Action]:
        self.now += seconds
        return self._keep(self.farm.tick(self.now))

    def ask(
        self,
        stream: str = "live/a",
        ingest: ChildId = INGEST0,
        address: str = ADDRESS,
        is_at_limit: bool = False,
        credentials: Credentials = UNTOLD,
    ) -> list[Action]:
        self.request += 1
        ask = PublishRequest(self.request, StreamId(stream), address, is_at_limit, credentials)
        return self.say(ingest, ask)

    def format(
        self, stream: str = "live/a", source: SourceFormat = HD, codec: str = "avc1.64001f"
    ) -> list[Action]:
        self.request += 1
        generation = self.stream(stream).generation
        known = SourceFormatReport(self.request, StreamId(stream), generation, source, codec)
        return self.say(INGEST0, known)

    def estimate(self, stream: str = "live/a", source: SourceFormat = HD) -> list[Action]:
        """Tell what its onMetaData announces."""
        generation = self.stream(stream).generation
        return self.say(INGEST0, SourceEstimate(StreamId(stream), generation, source))

    def publish(
        self,
        stream: str = "live/a",
        source: SourceFormat = HD,
        credentials: Credentials = UNTOLD,
        address: str = ADDRESS,
    ) -> Placement:
        """Ask, and tell the format: the final placement."""
        self.only(self.ask(stream, address=address, credentials=credentials), Placement)
        return self.only(self.format(stream, source), Placement)

    def end(self, stream: str = "live/a", ingest: ChildId = INGEST0) -> list[Action]:
        generation = self.stream(stream).generation
        return self.say(ingest, PublishEnd(StreamId(stream), generation, "unpublished"))

    def beat(self, child: ChildId | None, **fields: Any) -> list[Action]:
        assert child is not None
        return self.say(child, Heartbeat(child, BootId("0" * 16), **fields))

    def stream(self, stream: str = "live/a") -> Stream:
        return self.farm.state.streams[StreamId(stream)]

    def publisher(self, stream: str = "live/a", **fields: Any) -> PublisherStatus:
        known = self.farm.state.streams.get(StreamId(stream))
        values: dict[str, Any] = {
            "generation": known.generation if known else Generation(1),
            "worker": self.farm.state.device_of(known) if known else None,
            "address": ADDRESS,
            "since_unix": 0.0,
            "is_live": True,
            "reference": ClockReference(0, 0.0),
        }
        return PublisherStatus(StreamId(stream), **(values | fields))

    def transcode(self, stream: str = "live/a", **fields: Any) -> TranscodeStatus:
        values: dict[str, Any] = {
            "generation": self.stream(stream).generation,
            "frames_in": 0,
            "frames_out": 0,
            "queue_ms": 0.0,
            "decode_errors": 0,
            "renditions": (),
        }
        return TranscodeStatus(StreamId(stream), **(values | fields))

    @staticmethod
    def messages(actions: list[Action]) -> list[Any]:
        """The messages of actions that are all `Send`."""
        assert all(isinstance(action, Send) for action in actions)
        return [action.message for action in actions if isinstance(action, Send)]

    @staticmethod
    def only(actions: list[Action], kind: type[M], child: ChildId | None = None) -> M:
        """The one action there is, its message."""
        (action,) = actions
        assert isinstance(action, Send)
        assert isinstance(action.message, kind), action
        assert child is None or action.child == child
        return action.message

    def refused(self, actions: list[Action]) -> Refused:
        return self.only(actions, Refused)

    def _keep(self, actions: list[Action]) -> list[Action]:
        """Keep what is done; that a request is queued stands in `waits` alone."""
        waits = [
            action
            for action in actions
            if isinstance(action, Send) and isinstance(action.message, RequestQueued)
        ]
        self.waits += [action.message for action in waits]
        actions = [action for action in actions if action not in waits]
        self.actions += actions
        for action in actions:
            assert isinstance(action, Send | FailChild | StartWorker | StopWorker)
        return actions


MakeRig = type[Rig]
