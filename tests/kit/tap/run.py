"""Counts the tags of one rendition; its counters are in the farm's status."""

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any

from common.config.settings import Settings
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello, StreamWanted
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import StreamId
from common.ipc.media_listener import Sender
from common.ipc.media_messages import KEY, SHARED, Demand, RenditionOpen, Tags

STREAM, RENDITION = StreamId(os.environ["TAP_STREAM"]), os.environ["TAP_RENDITION"]
WANT_S = 2.0  # the supervisor forgets who does not ask again


class Tap:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._counters: Counter[str] = Counter()
        self._listener = process.listener("tags", self._on_frames)
        self._endpoint = Endpoint(process.child, process.boot_id, tags=self._listener.address)

    def hello(self) -> Hello:
        return self._process.new_hello(self._endpoint)

    def heartbeat(self) -> Heartbeat:
        return self._process.new_heartbeat(counters=dict(self._counters))

    def configure(self, settings: Settings) -> None: ...

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None: ...

    def on_welcome(self) -> None:
        self._want()

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None: ...

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._want_forever(),)

    async def end(self) -> None: ...

    def close(self) -> None:
        self._listener.close()

    async def _want_forever(self) -> None:
        while True:
            await asyncio.sleep(WANT_S)
            self._want()

    def _want(self) -> None:
        self._process.send(StreamWanted(self._process.child, STREAM, (RENDITION,)))

    def _on_frames(self, frames: list[bytes], sender: Sender) -> None:
        message, payloads = decode_frames(frames)
        match message:
            case RenditionOpen():
                sender.answer([encode(Demand(message.stream_id, (RENDITION,)))])  # at once, please
            case Tags():
                name = "shared" if message.rendition == SHARED else message.rendition
                self._counters[f"tags of {name}"] += len(payloads)
                first = not self._counters["pictures"]
                self._counters["pictures"] += message.rendition == RENDITION and len(payloads)
                if first and self._counters["pictures"] and message.tags[0].flags & KEY:
                    self._counters["began with a keyframe"] = 1
