"""Captures: what became of those that were asked for; which are written by themselves. Pure.

The ingest of a stream has what its publisher sent lately (`ingest/capture`), and writes it. It does
so by itself when it closes a publisher; for what a worker meets it is told from here: `BURST`
decode errors within `WINDOW_S`, and a stream that is suspected to take workers down.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.ipc.capture_messages import CaptureStream, CaptureWritten
from common.ipc.identity import ChildId, Generation, StreamId, stream_id
from common.ipc.status_messages import TranscodeStatus
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState
from supervisor.farm.stream import NO_INGEST, Stream

BURST = 10  # decode errors …
WINDOW_S = 5.0  # … within this time
TIMEOUT_S = 60.0  # for an ingest to write a file
MAX_KNOWN = 64  # captures that were asked for


@dataclass(slots=True)
class _Asked:
    """A capture that somebody asked for."""

    stream_id: StreamId
    since_s: float
    result: CaptureWritten | None = None


@dataclass(frozen=True, slots=True)
class _Errors:
    generation: Generation
    since_s: float
    count: int


def capture_by_itself(stream: Stream, reason: str) -> list[Action]:
    """Have a stream captured that nobody asked for."""
    if stream.ingest == NO_INGEST:
        return []
    return [Send(stream.ingest, CaptureStream(0, stream.stream_id, reason))]


class Captures:
    """Those of one farm."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._last_request = 0
        self._asked: dict[int, _Asked] = {}  # the latest last
        self._errors: dict[StreamId, _Errors] = {}

    # ---- asked for ----------------------------------------------------------------------------

    def request(
        self, app: str, key: str, now: float, *, headers_only: bool
    ) -> tuple[int, list[Action]]:
        """Ask for a stream's capture; its number, for `result`; 0: there is no such stream."""
        stream = self._state.streams.get(stream_id(app, key))
        if stream is None or stream.ingest == NO_INGEST:
            return 0, []
        self._last_request += 1
        if len(self._asked) >= MAX_KNOWN:
            del self._asked[next(iter(self._asked))]
        self._asked[self._last_request] = _Asked(stream.stream_id, now)
        message = CaptureStream(self._last_request, stream.stream_id, "asked for", headers_only)
        return self._last_request, [Send(stream.ingest, message)]

    def on_written(self, _: ChildId, message: CaptureWritten, now: float) -> list[Action]:
        """An ingest's answer."""
        asked = self._asked.get(message.request_id)
        if asked is not None and asked.stream_id == message.stream_id:
            asked.result = message
        return []

    def result(self, request_id: int, now: float) -> CaptureWritten | None:
        """What became of a capture; None: it is being written."""
        asked = self._asked.get(request_id)
        if asked is None:
            return CaptureWritten(request_id, StreamId(""), error="nobody knows of it")
        if asked.result is None and now - asked.since_s >= TIMEOUT_S:
            return CaptureWritten(request_id, asked.stream_id, error="its ingest does not answer")
        return asked.result

    # ---- by themselves ------------------------------------------------------------------------

    def observe(
        self, worker: ChildId, transcodes: Sequence[TranscodeStatus], now: float
    ) -> list[Action]:
        """Look at what a worker counts; from its heartbeats."""
        actions: list[Action] = []
        for transcode in transcodes:
            if transcode.decode_errors == 0:
                continue
            name, count = transcode.stream_id, transcode.decode_errors
            stream = self._state.streams.get(name)
            if stream is None or stream.generation != transcode.generation:
                continue
            if self._state.device_of(stream) != worker:
                continue
            before = self._errors.get(name)
            if before is None or before.generation != transcode.generation:
                before = _Errors(transcode.generation, now, 0)
            elif now - before.since_s > WINDOW_S:
                before = _Errors(transcode.generation, now, count)
            if count - before.count >= BURST:
                reason = f"{count - before.count} decode errors within {WINDOW_S:g} s"
                actions += capture_by_itself(stream, reason)
                before = _Errors(transcode.generation, now, count)
            self._errors[name] = before
        if len(self._errors) > len(self._state.streams):
            streams = self._state.streams
            self._errors = {name: seen for name, seen in self._errors.items() if name in streams}
        return actions
