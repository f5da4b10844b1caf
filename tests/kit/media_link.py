"""Both ends of a media link for tests without a loop: blocking Unix sockets."""

import selectors
import socket
from collections.abc import Sequence

from common.ipc.endpoint import socket_path
from common.ipc.framing import FrameReader, header


class BlockingSender:
    """Connects to a child's inlet; a send waits until all is written."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(socket_path(address))

    def send(self, frames: Sequence[bytes]) -> None:
        self._socket.sendall(header(frames) + b"".join(frames))

    def close(self) -> None:
        self._socket.close()


class BlockingListener:
    """Binds an address and takes what all who connect have to say."""

    def __init__(self, address: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(socket_path(address))
        self._listener.listen()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def fileno(self) -> int:
        """To be polled by: readable when `receive` has something to do."""
        return self._selector.fileno()

    def receive(self, timeout_s: float) -> list[list[bytes]]:
        """The messages that came, as frames; none when nothing did in that time."""
        messages: list[list[bytes]] = []
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._listener:
                peer, _ = self._listener.accept()
                self._selector.register(peer, selectors.EVENT_READ, FrameReader())
                continue
            assert isinstance(key.fileobj, socket.socket)
            count = key.fileobj.recv_into(key.data.room())
            if count == 0:
                self._selector.unregister(key.fileobj)
                key.fileobj.close()
                continue
            key.data.filled(count)
            messages += key.data.messages()
        return messages

    def close(self) -> None:
        for key in tuple(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
