"""The sound process put together (IO): frames in, packets out, on the connection they came by."""

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from common.ipc.endpoint import UNIX, socket_path
from common.ipc.envelope import decode_frames, encode
from common.ipc.farm_socket import FarmSocket
from common.ipc.socket_peers import SocketPeers
from common.ipc.sound_messages import SoundFrames, SoundPackets
from common.process.log import RateLimit, more
from worker.sound.coder import Coder, Undecodable

log = logging.getLogger("tfarm.worker.sound.run")

SOCKET: Final = "sound"
MAX_BYTES: Final = 256 * 1024
MAX_LINKS: Final = 64
MAX_STREAMS: Final = 500
MAX_PACKETS: Final = 100  # a message
READS: Final = 16  # messages a turn of the loop
FORGET_S: Final = 10.0  # a stream without frames


class SoundService:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._counters: Counter[str] = Counter()
        self._lines = RateLimit()
        self._links: set[socket.socket] = set()
        self._coders: dict[tuple[socket.socket, str, str], tuple[Coder, float]] = {}
        address = process.address(SOCKET, UNIX)
        self._socket = FarmSocket(
            socket_path(address),
            SocketPeers(SOCKET),
            self._take,
            kind=socket.SOCK_SEQPACKET,
            may_accept=lambda: len(self._links) < MAX_LINKS,
        )
        self._endpoint = Endpoint(process.child, process.boot_id, sound=address)
        process.is_idle = lambda: not self._coders

    def hello(self) -> Hello:
        return self._process.new_hello(self._endpoint)

    def heartbeat(self) -> Heartbeat:
        counters = {**self._counters, "streams": len(self._coders)}
        return self._process.new_heartbeat(counters=counters)

    def configure(self, settings: Settings) -> None: ...

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._socket.follow(endpoints)

    def on_welcome(self) -> None: ...

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        log.warning("unexpected control message kind=%s", type(message).__name__)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._forget_forever(),)

    async def end(self) -> None: ...

    def close(self) -> None:
        self._socket.close()
        for link in tuple(self._links):
            self._lose(link)

    async def _forget_forever(self) -> None:
        while True:
            await asyncio.sleep(FORGET_S / 2)
            until_s = time.monotonic() - FORGET_S
            for key, (_, since_s) in tuple(self._coders.items()):
                if since_s < until_s:
                    del self._coders[key]
            with contextlib.suppress(OSError):  # the run directory is not there yet
                self._socket.listen_again()

    def _take(self, link: socket.socket, pid: int) -> None:
        self._links.add(link)
        self._loop.add_reader(link.fileno(), self._on_readable, link)

    def _lose(self, link: socket.socket) -> None:
        if link in self._links:
            self._links.discard(link)
            self._loop.remove_reader(link.fileno())
            link.close()
            for key in [key for key in self._coders if key[0] is link]:
                del self._coders[key]

    def _on_readable(self, link: socket.socket) -> None:
        for _ in range(READS):
            try:
                data = link.recv(MAX_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                self._lose(link)
                return
            try:
                message, _ = decode_frames([data])
            except EnvelopeError as error:
                self._complain(error)
                continue
            if isinstance(message, SoundFrames):
                self._code(link, message)

    def _code(self, link: socket.socket, frames: SoundFrames) -> None:
        try:
            coder = self._coder(link, frames)
        except Undecodable as error:
            self._complain(error)
            return
        if coder is None:
            return
        before = coder.undecoded
        made = coder.code(frames)
        self._counters["packets"] += len(made)
        self._counters["frames not decoded"] += coder.undecoded - before
        # Frames of Opus may be long: what a message of them becomes would not fit into one.
        for begin in range(0, len(made), MAX_PACKETS):
            times, packets = zip(*made[begin : begin + MAX_PACKETS], strict=True)
            try:
                link.send(encode(SoundPackets(frames.stream, frames.form, times, packets)))
            except (BlockingIOError, InterruptedError):
                self._counters["packets dropped"] += len(packets)
            except OSError:
                self._lose(link)
                return

    def _coder(self, link: socket.socket, frames: SoundFrames) -> Coder | None:
        now, key = time.monotonic(), (link, frames.stream, frames.form)
        found = self._coders.get(key)
        if found is None and len(self._coders) >= MAX_STREAMS:
            return None
        coder = found[0] if found is not None else None
        if coder is None or coder.key != (frames.codec, frames.record):
            coder = Coder(frames.codec, frames.record, frames.form)
        self._coders[key] = (coder, now)
        return coder

    def _complain(self, error: Exception) -> None:
        self._counters["sound not read"] += 1
        if (held := self._lines.allow(time.monotonic())) is not None:
            log.warning("sound not coded reason=%s%s", error, more(held))
