"""The handover of a viewer's connection: the sender's half (IO), and the form both agree on.

One Unix SEQPACKET connection a handover. First packet: `HEADER` (magic, length of the snapshot),
the snapshot's first piece, and the TCP socket as SCM_RIGHTS; more packets until the snapshot is
whole. The snapshot says what the receiver must know: of a player from ingest, its RTMP session; of
one from the API, what it asks for. The answer is one packet: `ADOPTED`, or `DECLINED` and a reason.
The sender keeps its copy of the socket, neither reads nor writes it meanwhile, and closes it once
it is adopted; an end without an answer means that it was not.
"""

import asyncio
import socket
import struct
import time
from dataclasses import dataclass
from typing import Final

from common.ipc.endpoint import socket_path
from common.rtmp.snapshot import MAX_SNAPSHOT_BYTES

HEADER: Final = struct.Struct(">4sI")
MAGIC: Final = b"TFH1"
PIECE_BYTES: Final = 32 * 1024  # of the snapshot a packet; the kernel takes some 200 KiB
ADOPTED: Final = b"\x01"
DECLINED: Final = b"\x00"  # a reason in UTF-8 follows
MAX_STATE_BYTES: Final = MAX_SNAPSHOT_BYTES
MAX_ANSWER_BYTES: Final = 512
RETRY_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class HandoverAck:
    """The outcome of a handover; `reason` is why it was not adopted."""

    adopted: bool
    reason: str = ""
    is_declined: bool = False  # by the receiver; else it may have taken it all the same


def packets(snapshot: bytes) -> list[bytes]:
    """The packets of a snapshot; the socket goes with the first.

    Raises:
        ValueError: it is empty, or longer than a snapshot may be.
    """
    if not 0 < len(snapshot) <= MAX_STATE_BYTES:
        raise ValueError(f"snapshot of {len(snapshot)} bytes, 1 to {MAX_STATE_BYTES} can go")
    pieces = [snapshot[i : i + PIECE_BYTES] for i in range(0, len(snapshot), PIECE_BYTES)]
    pieces[0] = HEADER.pack(MAGIC, len(snapshot)) + pieces[0]
    return pieces


class HandoverClient:
    """Hands connections over to one egress. Any number of `send` may run at once."""

    def __init__(self, endpoint: str) -> None:
        self._path = socket_path(endpoint)

    async def send(self, sock_fd: int, snapshot: bytes, deadline: float) -> HandoverAck:
        """Hand a socket over; returns when it is adopted, declined, or `deadline` has come.

        `deadline` is CLOCK_MONOTONIC. An egress that is away is told at once: its successor has
        another endpoint. Never raises for the peer's sake; ValueError for a snapshot of an
        impossible length.
        """
        pieces = packets(snapshot)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await self._hand_over(sock_fd, pieces)
        except TimeoutError:
            return HandoverAck(False, "no answer in time")
        except OSError as error:
            return HandoverAck(False, error.strerror or str(error))

    async def _hand_over(self, sock_fd: int, pieces: list[bytes]) -> HandoverAck:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            link.setblocking(False)
            await self._connect(link)
            first = True
            for piece in pieces:
                while True:
                    try:
                        if first:
                            socket.send_fds(link, [piece], [sock_fd])
                        else:
                            link.send(piece)
                    except BlockingIOError:
                        await _writable(link)
                    else:
                        break
                first = False
            while True:
                try:
                    answer = link.recv(MAX_ANSWER_BYTES)
                except BlockingIOError:
                    await _readable(link)
                else:
                    break
        if not answer:
            return HandoverAck(False, "egress closed without an answer")
        if answer[:1] == ADOPTED:
            return HandoverAck(True)
        return HandoverAck(False, answer[1:].decode(errors="replace"), is_declined=True)

    async def _connect(self, link: socket.socket) -> None:
        while True:
            try:
                link.connect(self._path)
            except BlockingIOError:  # its backlog is full
                await asyncio.sleep(RETRY_S)
            else:
                return


async def _writable(link: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(link.fileno(), _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_writer(link.fileno())


async def _readable(link: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(link.fileno(), _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(link.fileno())


def _resolve(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
