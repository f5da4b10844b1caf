"""The way to the process that codes Opus, and back (IO).

Nothing waits for it: where there is none, or it takes no more, there is no sound until it is there
again. Pictures never notice.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Final

from common.errors import EnvelopeError
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import socket_path
from common.ipc.envelope import decode_frames, encode
from common.ipc.sound_messages import OpusPackets, SoundFrames

log = logging.getLogger("tfarm.egress.rtc.sound_link")

MAX_BYTES: Final = 256 * 1024
READS: Final = 64


class SoundLink:
    """One connection, made when there is something to code."""

    def __init__(self, on_packet: Callable[[str, int, bytes], object]) -> None:
        """`on_packet` gets the stream, the time in samples and the packet."""
        self.counters = dict.fromkeys(("rtc sound dropped", "rtc sound lost"), 0)
        self._on_packet = on_packet
        self._loop = asyncio.get_running_loop()
        self._address = ""
        self._link: socket.socket | None = None

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """These children run: one of them codes."""
        address = next((end.sound for end in endpoints if end.sound), "")
        if address != self._address:
            self._address = address
            self._disconnect()

    def encode(self, frames: SoundFrames) -> None:
        """Have frames coded; they are dropped where nobody takes them."""
        link = self._link or self._connect()
        try:
            if link is None:
                raise BlockingIOError
            link.send(encode(frames))
        except (BlockingIOError, InterruptedError):
            self.counters["rtc sound dropped"] += len(frames.frames)
        except OSError:
            self._disconnect()

    def check(self, now: float) -> None:
        """Nothing is due; a lost connection is made again with the next frame."""

    def close(self) -> None:
        self._disconnect()

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
        if link is not None:
            self.counters["rtc sound lost"] += 1
            self._loop.remove_reader(link.fileno())
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
            try:
                message, _ = decode_frames([data])
            except EnvelopeError:
                continue
            if isinstance(message, OpusPackets):
                for at, packet in zip(message.times, message.packets, strict=False):
                    self._on_packet(message.stream, at, packet)
