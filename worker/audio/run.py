"""The audio process put together (IO): it subscribes to streams' sound and measures samples of it.

The supervisor says which streams (`AudioStreams`). Sound comes in batches, as whoever plays a
stream needs it earlier. A sample is decoded on the loop: it takes some milliseconds, and nothing
here is in a hurry.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from common.config.settings import Settings
from common.errors import EnvelopeError, FlvError
from common.ipc.child import ChildProcess
from common.ipc.control_messages import AudioStreams, Endpoint, Heartbeat, Hello, StreamWanted
from common.ipc.envelope import decode_frames
from common.ipc.identity import StreamId
from common.ipc.media_listener import Sender
from common.ipc.media_messages import SHARED, Tags
from common.notices.doctor import Change
from common.process.log import RateLimit, more, stream_label
from worker.audio.decode import Loudness, Undecodable, measure
from worker.audio.level_rules import LevelFigures
from worker.audio.levels import Levels
from worker.audio.sampling import Sample

log = logging.getLogger("tfarm.worker.audio.run")

WANT_S: Final = 3.0  # the supervisor forgets who does not ask again


class AudioMeter:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._levels = Levels()
        self._counters: Counter[str] = Counter()
        self._lines = RateLimit()
        self._listener = process.listener("tags", self._on_frames)
        self._endpoint = Endpoint(process.child, process.boot_id, tags=self._listener.address)
        process.is_idle = lambda: True  # nothing here is due sooner than once a second

    def hello(self) -> Hello:
        return self._process.new_hello(self._endpoint)

    def heartbeat(self) -> Heartbeat:
        return self._process.new_heartbeat(
            counters=dict(self._counters),
            levels=self._levels.status(time.monotonic(), time.time()),
        )

    def configure(self, settings: Settings) -> None: ...

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None: ...

    def on_welcome(self) -> None:
        self._want()

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        match message:
            case AudioStreams(streams):
                self._levels.follow(streams, time.monotonic())
                self._want()
            case _:
                log.warning("unexpected control message kind=%s", type(message).__name__)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._want_forever(),)

    async def end(self) -> None: ...

    def close(self) -> None:
        self._listener.close()

    async def _want_forever(self) -> None:
        while True:
            await asyncio.sleep(WANT_S)
            self._levels.tick(time.monotonic())
            self._want()

    def _want(self) -> None:
        """Subscribe to what every rendition shares: no pictures."""
        for stream_id in self._levels:
            self._process.send(StreamWanted(self._process.child, stream_id, (SHARED,)))

    def _on_frames(self, frames: list[bytes], sender: Sender) -> None:
        try:
            message, payloads = decode_frames(frames)
            if not isinstance(message, Tags) or message.rendition != SHARED:
                return
            sample = self._levels.take(message.stream_id, message.tags, payloads, time.monotonic())
        except (EnvelopeError, FlvError) as error:
            self._complain("sound not read", error)
            return
        if sample is not None:
            self._measure(message.stream_id, sample)

    def _measure(self, stream_id: StreamId, sample: Sample) -> None:
        self._counters["samples"] += 1
        try:
            loudness = measure(sample)
        except Undecodable as error:
            self._complain("sound not decoded stream=%s", error, stream_label(stream_id))
            return
        changes = self._levels.measured(stream_id, _figures(loudness), time.monotonic())
        for change in changes:
            self._log(stream_id, change)

    def _log(self, stream_id: StreamId, change: Change) -> None:
        held = self._lines.allow(time.monotonic())
        if held is not None:
            what, fields, values = change.line()
            level = logging.WARNING if change.begins and change.is_fault else logging.INFO
            log.log(
                level,
                f"{what} stream=%s {fields}%s",
                stream_label(stream_id),
                *values,
                more(held),
            )

    def _complain(self, what: str, error: Exception, *values: object) -> None:
        self._counters["samples not decoded"] += 1
        held = self._lines.allow(time.monotonic())
        if held is not None:
            log.warning(f"{what} reason=%s%s", *values, error, more(held))


def _figures(loudness: Loudness) -> LevelFigures:
    return LevelFigures(
        loudness.peak_dbfs, loudness.quietest_dbfs, loudness.rms_dbfs, loudness.clipped
    )
