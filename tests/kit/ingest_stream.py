"""One stream of an ingest with its first publisher, and everyone it talks to."""

import itertools
from dataclasses import replace
from typing import Any

from common.codecs.aac import AudioSpecificConfig
from common.ipc.control_messages import Placement, SourceFormatReport
from common.ipc.identity import Generation
from ingest.rtmp.to_units import AudioConfig, VideoUnit
from ingest.streams.stream import SessionContext, Stream, StreamState
from tests.kit.stream import (
    ANSWER,
    WORKER,
    FakePeers,
    RememberingPort,
    config,
)

AAC = AudioConfig(b"\xaf\x00\x11\x90", AudioSpecificConfig(2, 48000, 2, 2), "AAC")


class Around:
    """A stream with its first publisher, and everyone it talks to."""

    def __init__(self, placed: Placement = ANSWER) -> None:
        self.peers = FakePeers()
        self.told: list[Any] = []
        requests = itertools.count(10)
        around = SessionContext(self.peers, self.told.append, lambda: next(requests), lambda: 0.0)
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
        body = b"\x17\x01\0\0\0" + bytes(10)
        unit = VideoUnit(stamp.dts_ms, 0, key, key, body, now, stamp.discontinuity)
        self.stream.video(unit)
        self.stream.end_read(now)

    def live(self) -> "Around":
        self.stream.video_config(config(), 100.0)
        self.answer()
        self.put(0, key=True)
        self.put(40)
        return self
