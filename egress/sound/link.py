"""The way to the process that codes sound, and back (IO).

Nothing waits for it: where there is none, or it takes no more, there is no sound until it is there
again. Pictures never notice.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from common.errors import EnvelopeError
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import socket_path
from common.ipc.envelope import decode_frames, encode
from common.ipc.sound_messages import SoundFrames, SoundPackets

MAX_BYTES: Final = 256 * 1024
MAX_QUEUED: Final = 64  # messages: some GOPs that players begin with
READS: Final = 64


class SoundLink:
    """One connection, made when there is something to code."""

    def __init__(self, on_packets: Callable[[SoundPackets], object]) -> None:
        self.counters = dict.fromkeys(("sound dropped", "sound lost"), 0)
        self._on_packets = on_packets
        self._loop = asyncio.get_running_loop()
        self._address = ""
        self._link: socket.socket | None = None
        self._queue: deque[tuple[bytes, int]] = deque()  # messages, with their frames

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """These children run: one of them codes."""
        address = next((end.sound for end in endpoints if end.sound), "")
        if address != self._address:
            self._address = address
            self._disconnect()

    def encode(self, frames: SoundFrames) -> None:
        """Have frames coded; they are dropped where nobody takes them."""
        link = self._link or self._connect()
        if link is None or len(self._queue) >= MAX_QUEUED:
            self.counters["sound dropped"] += len(frames.frames)
            return
        self._queue.append((encode(frames), len(frames.frames)))
        if len(self._queue) == 1:
            self._send(link)

    def close(self) -> None:
        self._disconnect()

    def _send(self, link: socket.socket) -> None:
        """Send what waits, as far as it is taken."""
        try:
            while self._queue:
                link.send(self._queue[0][0])
                self._queue.popleft()
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(link.fileno(), self._send, link)
        except OSError:
            self._disconnect()
        else:
            self._loop.remove_writer(link.fileno())

    def _connect(self) -> socket.socket | None:
        if not self._address:
            return None
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.setblocking(False)
        try:
            link.connect(socket_path(self._address))
        except OSError:
            link.close()
            return None
        self._link = link
        self._loop.add_reader(link.fileno(), self._on_readable, link)
        return link

    def _disconnect(self) -> None:
        link, self._link = self._link, None
        self.counters["sound dropped"] += sum(frames for _, frames in self._queue)
        self._queue.clear()
        if link is not None:
            self.counters["sound lost"] += 1
            self._loop.remove_reader(link.fileno())
            self._loop.remove_writer(link.fileno())
            link.close()

    def _on_readable(self, link: socket.socket) -> None:
        for _ in range(READS):
            try:
                data = link.recv(MAX_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                self._disconnect()
                return
            with contextlib.suppress(EnvelopeError):
                message, _ = decode_frames([data])
                if isinstance(message, SoundPackets):
                    self._on_packets(message)
