"""Both ends of a media link for tests without a loop: blocking ZeroMQ sockets."""

from collections import deque
from collections.abc import Sequence

import zmq

from common.ipc.batch import pack, unpack
from common.ipc.envelope import encode
from common.ipc.media_messages import Acknowledgement

TIMEOUT_MS = 10_000  # to send a message, or the last ones


class BlockingSender:
    """Connects to a child's listener; a send waits for room."""

    def __init__(self, address: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.SNDTIMEO, TIMEOUT_MS)
        self._socket.setsockopt(zmq.LINGER, TIMEOUT_MS)
        self._socket.connect(address)
        self._answers: deque[list[bytes]] = deque(maxlen=100)

    @property
    def is_connected(self) -> bool:
        """True while the listener takes what is sent."""
        return bool(self._socket.poll(0, zmq.POLLOUT))

    def send(self, frames: Sequence[bytes]) -> None:
        while self._socket.poll(0):
            self._answers.append(self._socket.recv_multipart())
        self._socket.send_multipart(pack([frames]))

    def answer(self, timeout_s: float) -> list[bytes] | None:
        """The oldest answer that was not asked for yet; None when there is none in that time."""
        if not self._answers and self._socket.poll(round(timeout_s * 1000)):
            self._answers.append(self._socket.recv_multipart())
        return self._answers.popleft() if self._answers else None

    def close(self) -> None:
        self._socket.close()
        self._context.term()


class BlockingListener:
    """Binds an address and takes what all who connect have to say."""

    def __init__(self, address: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)  # to be polled by
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(address)

    def receive(self, timeout_s: float) -> list[list[bytes]]:
        """The messages that came, as frames; none when nothing did in that time."""
        messages: list[list[bytes]] = []
        timeout_ms = round(timeout_s * 1000)
        while self.socket.poll(timeout_ms):
            timeout_ms = 0
            identity, *frames = self.socket.recv_multipart()
            messages += unpack(frames)
            taken = Acknowledgement(1, sum(map(len, frames)))
            self.socket.send_multipart([identity, encode(taken)])
        return messages

    def close(self) -> None:
        self.socket.close()
        self._context.term()
