"""One stream of an ingest with its first publisher, and everyone it talks to."""

import itertools
from dataclasses import replace
from typing import Any

from common.codecs.aac import parse_config
from common.ipc.control_messages import Placement, SourceFormatReport
from common.ipc.identity import Generation
from ingest.streams.stream import Stream, StreamState
from ingest.streams.stream_context import StreamContext
from tests.kit.ingest_ports import (
    ANSWER,
    ASC,
    WORKER,
    FakePeers,
    RememberingPort,
    config,
    video_unit,
)

AAC = parse_config(ASC)


class StreamRig:
    """A stream with its first publisher, and everyone it talks to."""

    def __init__(self, placed: Placement = ANSWER) -> None:
        self.peers = FakePeers()
        self.told: list[Any] = []
        requests = itertools.count(10)
        around = StreamContext(
            self.peers, self.told.append, lambda: next(requests), lambda: 0.0, lambda: 5000.0
        )
        self.stream = Stream(placed, around, since_unix=1.0)
        self.stream.arrive("192.0.2.1:5000", 100.0)

    def state(self) -> StreamState:
        return self.stream.state

    @property
    def egress(self) -> RememberingPort:
        return self.peers.running[0]

    @property
    def worker(self) -> RememberingPort:
        return self.peers.workers[WORKER]

    @property
    def asked(self) -> SourceFormatReport:
        return [message for message in self.told if isinstance(message, SourceFormatReport)][-1]

    def answer(self, generation: int = 1, **changes: Any) -> None:
        """What the supervisor says to the last format."""
        values = {"request_id": self.asked.request_id, "generation": Generation(generation)}
        self.stream.place(replace(ANSWER, **{**values, **changes}))

    def put(self, at_ms: int, *, key: bool = False, at_s: float | None = None) -> None:
        now = 100 + at_ms / 1000 if at_s is None else at_s
        stamp = self.stream.timeline.video(at_ms, now)
        unit = video_unit(
            stamp.dts_ms,
            key=key,
            data=bytes(15),
            received_s=now,
            discontinuity=stamp.discontinuity,
        )
        self.stream.media.video(unit)
        self.stream.media.end_read(now)

    def live(self) -> "StreamRig":
        self.stream.configure(config(), 100.0)
        self.answer()
        self.put(0, key=True)
        self.put(40)
        return self
