"""Answers who has a stream, from a file that a test writes (`write`).

Whoever claims a stream that the file gives to nobody has it.
"""

import asyncio
import json
import os
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from common.cluster.digest import stream_digest
from common.config.settings import Settings
from common.ipc.child import ChildProcess
from common.ipc.cluster_messages import (
    ClaimOutcome,
    ClaimStream,
    ClusterView,
    OwnerWanted,
    StreamClaimed,
    StreamOwner,
)
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from common.ipc.identity import StreamId

SECRET = b"a secret of tests"
TABLE = "REGISTRY_TABLE"


def write(path: Path, streams: dict[str, tuple[str, str, int]]) -> None:
    """Say who has streams: by id the host, the address of its relay and the epoch."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(streams))
    beside.replace(path)


class Registry:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._host = ""

    def hello(self) -> Hello:
        return self._process.new_hello(Endpoint(self._process.child, self._process.boot_id))

    def heartbeat(self) -> Heartbeat:
        return self._process.new_heartbeat()

    def configure(self, settings: Settings) -> None:
        self._host = settings.cluster.host

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None: ...

    def on_welcome(self) -> None:
        self._process.send(ClusterView(is_in_touch=True))

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        if isinstance(message, OwnerWanted):
            self._process.send(self._owner(message))
        elif isinstance(message, ClaimStream):
            owner = self._owner(OwnerWanted(message.stream_id))
            is_free = owner.is_here or not owner.host
            outcome = ClaimOutcome.OWNED if is_free else ClaimOutcome.ELSEWHERE
            claimed = StreamClaimed(message.request_id, message.stream_id, outcome, owner)
            self._process.send(claimed)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._wait(),)

    async def end(self) -> None: ...

    def close(self) -> None: ...

    async def _wait(self) -> None:
        await asyncio.Event().wait()

    def _owner(self, wanted: OwnerWanted) -> StreamOwner:
        for name, (host, relay, epoch) in json.loads(Path(os.environ[TABLE]).read_text()).items():
            stream_id = StreamId(name)
            digest = stream_digest(SECRET, stream_id)
            if stream_id == wanted.stream_id or digest == wanted.digest:
                is_here = host == self._host
                return StreamOwner(digest, stream_id, host, relay, epoch, is_here)
        digest = wanted.digest or stream_digest(SECRET, wanted.stream_id)
        return StreamOwner(digest, wanted.stream_id)
