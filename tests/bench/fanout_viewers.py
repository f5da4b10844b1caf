"""The viewers of `fanout`, in processes of their own: they connect, and throw away what comes."""

import asyncio
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from common.ipc.api_messages import ViewRequest
from common.ipc.envelope import encode
from common.ipc.socket_handover import HandoverClient
from common.rtmp.blocking_client import RtmpPlayer
from common.rtmp.client import ClientSession, Playing
from common.rtmp.events import ConnectRequested, VideoReceived
from common.rtmp.session import ServerSession


def drain(port: int, players: int, mode: str) -> None:
    """Connect, say "ready", then throw away what comes; tells its counts at the end of stdin."""
    viewers = [_view(port, mode) for _ in range(players)]
    poll = select.epoll()
    by_fd = {viewer.fileno(): viewer for viewer in viewers}
    for fd, viewer in by_fd.items():
        viewer.setblocking(False)
        poll.register(fd, select.EPOLLIN)
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    scratch = bytearray(1 << 20)
    received = 0
    longest = 0.0
    last: dict[int, float] = {}  # by viewer: when it last got something
    while True:
        for fd, _ in poll.poll():
            if fd == sys.stdin.fileno():
                line = sys.stdin.readline()
                print(json.dumps({"bytes": received, "gap_ms": longest * 1000}), flush=True)
                if not line:
                    return
                received, longest = 0, 0.0
                last.clear()
                continue
            try:
                # MSG_TRUNC: the kernel drops the bytes without copying them
                count = by_fd[fd].recv_into(scratch, len(scratch), socket.MSG_TRUNC)
            except BlockingIOError:
                continue
            if not count:
                poll.unregister(fd)
                continue
            received += count
            now = time.monotonic()
            longest = max(longest, now - last.get(fd, now))
            last[fd] = now


def _view(port: int, mode: str) -> socket.socket:
    viewer = socket.create_connection(("127.0.0.1", port), 30)
    if mode == "raw":
        return viewer
    session = ClientSession(f"rtmp://127.0.0.1:{port}/live/cam1", "play")
    session.start()
    while True:
        viewer.sendall(session.data_to_send())
        session.receive_data(viewer.recv(65536), time.monotonic())
        if any(isinstance(event, Playing) for event in session.events_received()):
            return viewer


class Viewers:
    """The draining process."""

    def __init__(self, port: int, players: int, mode: str) -> None:
        command = [*PROGRAM, "drain", str(port), str(players), mode]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def wait_ready(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def counts(self) -> dict[str, float]:
        """Since the last call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        counts: dict[str, float] = json.loads(self._process.stdout.readline())
        return counts

    def close(self) -> None:
        self._process.communicate(timeout=30)


def start_watching(port: int) -> "subprocess.Popen[str]":
    """One viewer in a process that tells when each picture arrived, in the end."""
    return subprocess.Popen([*PROGRAM, "watch", str(port)], stdout=subprocess.PIPE, text=True)


def watch(port: int) -> None:
    """Play, and tell when each picture arrived."""
    arrived = {}
    with RtmpPlayer(f"rtmp://127.0.0.1:{port}/live/cam1") as player:
        for event in player:
            if isinstance(event, VideoReceived):
                arrived[event.timestamp] = time.monotonic()
    print(json.dumps(arrived))


@contextmanager
def door() -> Iterator[tuple[int, "LetIn"]]:
    """A listener, and what takes one player up to its play request and hands it over."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        yield listener.getsockname()[1], LetIn(listener)


class LetIn:
    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def view(self, handover: str) -> None:
        """Hand over who connects as a viewer of HTTP-FLV."""
        viewer, peer = self._listener.accept()
        request = ViewRequest("live", "cam1", "", {}, f"{peer[0]}:{peer[1]}")
        with viewer:
            self._hand_over(viewer, handover, encode(request))

    def __call__(self, handover: str) -> None:
        viewer, _ = self._listener.accept()
        session = ServerSession()
        with viewer:
            viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not session.has_pending_play:
                session.receive_data(viewer.recv(65536), time.monotonic())
                for event in session.events_received():
                    if isinstance(event, ConnectRequested):
                        session.accept(event.request_id)
                viewer.sendall(session.data_to_send())
            self._hand_over(viewer, handover, session.snapshot().to_bytes())

    def _hand_over(self, viewer: socket.socket, handover: str, snapshot: bytes) -> None:
        client = HandoverClient(handover)
        ack = asyncio.run(client.send(viewer.fileno(), snapshot, time.monotonic() + 30))
        if not ack.adopted:
            raise RuntimeError(f"a player was not adopted: {ack.reason}")


PROGRAM = (sys.executable, "-m", "tests.bench.fanout_viewers")

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["drain", port, players, mode]:
            drain(int(port), int(players), mode)
        case ["watch", port]:
            watch(int(port))
