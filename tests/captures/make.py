"""Make the captures beside this file, out of black-box cases of publishers: `make.py CASES_FOLDER`.

CASES_FOLDER holds `farmcase.py` and `cases_*.py`, whose cases say what a publisher sends, and when.
Nothing is sent here: each case's messages go to a connection in virtual time that is read as ingest
reads it, held back where ingest holds back, and what was read is written, headers only, not longer
than `SECONDS` says. Needs PyAV and numpy. A capture of your own: `tfarm capture --headers-only`.
"""

import importlib
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from common.capture.capture_file import CapturedMessage, CapturedRead, CaptureInfo
from common.capture.headers_only import DATA, HeadersOnly
from common.rtmp.data_events import data_event
from ingest.streams.read_batching import TICK_S
from tests.kit.replay import Replay, events_of, save

FOLDER = Path(__file__).parent
READ_BYTES = 32 * 1024
SOCKET_BYTES = 400_000  # that wait in both ends' buffers
CHUNK_BYTES = 4096
DEFAULT_S = 8.0
# How much of a case is kept, where it shows itself later.
SECONDS = {
    "N38-stall-4s": 13.0,
    "N42-gop-cache-8s": 8.0,
    "N44-muted-5s": 20.0,
    "C7-quiet-server": 12.0,
}
NO_MEDIA = ("C18",)  # nothing comes that is RTMP


class _Caught(BaseException):
    """A case has begun to publish: what it publishes is known."""

    def __init__(self, tags: Sequence[Any]) -> None:
        super().__init__()
        self.tags = tags


@dataclass(frozen=True)
class _Arrival:
    at_s: float
    message: CapturedMessage

    @property
    def wire_bytes(self) -> int:
        return self.message.size + 12 + self.message.size // CHUNK_BYTES


def tags_of(farmcase: Any, modules: Sequence[Any], name: str) -> list[Any]:
    """What a case publishes first; its base stream is no longer than it has to be."""

    def catch(*arguments: Any, **_: Any) -> Any:
        tags = next(given for given in arguments if isinstance(given, list))
        raise _Caught(tags)

    for module in (farmcase, *modules):
        for replaced in ("run", "Pub"):
            if hasattr(module, replaced):
                setattr(module, replaced, catch)
        if hasattr(module, "Play"):
            module.Play = lambda *_, **__: _Idle()
        if hasattr(module, "ff_spans"):
            module.ff_spans = lambda *_, **__: ({}, "")
    try:
        farmcase.CASES[name].fn(None, "key", farmcase.Verdict())
    except _Caught as caught:
        return list(caught.tags)
    raise LookupError(f"{name} publishes nothing")


class _Idle:
    """A player of whom nothing is needed."""

    def start(self) -> None:
        pass


def arrivals(tags: Sequence[Any], seconds: float) -> Iterator[_Arrival]:
    outlines = HeadersOnly()
    for tag in sorted(tags, key=lambda tag: tag.at):
        if tag.at > seconds:
            return
        payload = bytes(tag.body)
        if tag.typ == DATA:
            payload = data_event(tag.ts, payload).payload
        yield _Arrival(max(0.0, tag.at), outlines.message(tag.typ, tag.ts, payload))


def as_read(coming: Sequence[_Arrival]) -> Iterator[CapturedRead]:
    """What ingest reads of it, and when; whoever sends more than fits into buffers waits."""
    run = Replay()
    run.connection.held_back.clear()
    left = deque(coming)
    waiting: deque[_Arrival] = deque()
    now = held_until_s = 0.0
    next_tick_s = TICK_S
    while left or waiting:
        due_s = max(held_until_s, now) if waiting else max(held_until_s, left[0].at_s)
        if due_s >= next_tick_s:
            _arrive(left, waiting, next_tick_s)
            unread = sum(arrival.wire_bytes for arrival in waiting)
            if held_until_s > next_tick_s:
                run.read((), next_tick_s, unread)
                yield CapturedRead(round(next_tick_s * 1e6), (), unread)
            next_tick_s += TICK_S
            continue
        now = due_s
        _arrive(left, waiting, now)
        taken: list[CapturedMessage] = []
        room = READ_BYTES
        while waiting and (room > 0 or not taken):
            room -= waiting[0].wire_bytes
            taken.append(waiting.popleft().message)
        unread = sum(arrival.wire_bytes for arrival in waiting)
        read = CapturedRead(round(now * 1e6), tuple(taken))
        asked = len(run.connection.asked)
        run.read(events_of(read), now, unread)
        yield read
        if len(run.connection.asked) > asked:
            yield CapturedRead(read.at_us, (), unread)
        held = run.connection.held_back
        held_until_s = now + held[-1] if held else now
        held.clear()


def _arrive(left: deque[_Arrival], waiting: deque[_Arrival], now: float) -> None:
    size = sum(arrival.wire_bytes for arrival in waiting)
    while left and left[0].at_s <= now and size < SOCKET_BYTES:
        size += left[0].wire_bytes
        waiting.append(left.popleft())


def main(cases: Path) -> None:
    sys.path.insert(0, str(cases))
    farmcase: Any = importlib.import_module("farmcase")
    modules = [importlib.import_module(path.stem) for path in sorted(cases.glob("cases_*.py"))]
    for name, case in farmcase.CASES.items():
        if name.startswith(NO_MEDIA):
            continue
        coming = list(arrivals(tags_of(farmcase, modules, name), SECONDS.get(name, DEFAULT_S)))
        info = CaptureInfo("live", "00000000", case.does, headers_only=True)
        path = FOLDER / f"{name}.tfcap"
        save(path, info, as_read(coming))
        print(f"{path.name}: {path.stat().st_size} bytes, {len(coming)} messages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
