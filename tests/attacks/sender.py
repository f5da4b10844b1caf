"""`python -m tests.attacks.sender PLAN`: a process of its own that sends what a plan says.

The bytes were made beforehand, so that the attacker's CPU is little: it opens connections from the
addresses named, sends each its bytes at the plan's rate, and opens another for one that was closed.
At SIGTERM, or when the plan's time is over, it writes what it did as JSON to its standard output.
"""

import contextlib
import errno
import json
import resource
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PIECE = 64 * 1024
TURN_S = 0.005


@dataclass(frozen=True)
class Plan:
    """What is sent; `first` and `then` are files."""

    port: int
    addresses: Sequence[str]  # of its own, in turn
    first: str  # sent once on each connection
    then: str  # sent over and over behind it
    connections: int  # held at once
    connects_per_s: float
    bytes_per_s: float  # of all together
    seconds: float
    most_bytes: int = 1 << 40  # of `then`, on a connection; then it stays, or is closed after …
    lasts_s: float = 1e9  # … so long
    reads: bool = True  # what the farm answers
    receive_buffer: int = 0  # 0: the kernel's


class _Connection:
    def __init__(self, plan: Plan, address: str, first: memoryview) -> None:
        self.opened_s = time.monotonic()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if plan.receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, plan.receive_buffer)
        self.socket.bind((address, 0))
        self.socket.connect_ex(("127.0.0.1", plan.port))
        self.left = first
        self.sent_then = 0
        self.can_write = False


class Sender:
    """The connections of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._first = memoryview(Path(plan.first).read_bytes())
        self._then = memoryview(Path(plan.then).read_bytes())
        self._selector = selectors.DefaultSelector()
        self._open: deque[_Connection] = deque()
        self.opened = self.closed = self.refused = self.sent_bytes = 0

    def run(self) -> None:
        plan = self._plan
        began = now = time.monotonic()
        connects = tokens = 0.0
        while now < began + plan.seconds and not _stop:
            for key, events in self._selector.select(TURN_S):
                if events & selectors.EVENT_READ and not self._read(key.data):
                    self._close(key.data)
                elif events & selectors.EVENT_WRITE:
                    key.data.can_write = True
                    self._watch(key.data, is_writable=False)
            before, now = now, time.monotonic()
            connects = min(connects + (now - before) * plan.connects_per_s, 100.0)
            tokens = min(tokens + (now - before) * plan.bytes_per_s, plan.bytes_per_s * 0.1)
            while connects >= 1 and len(self._open) < plan.connections:
                connects -= 1
                self._connect()
            for connection in [c for c in self._open if now - c.opened_s > plan.lasts_s]:
                self._close(connection)
            tokens = self._send(tokens)

    def _send(self, tokens: float) -> float:
        for _ in range(len(self._open)):
            if tokens <= 0:
                break
            connection = self._open[0]
            self._open.rotate(-1)
            if connection.can_write:
                tokens -= self._send_piece(connection, int(tokens))
        return tokens

    def _send_piece(self, connection: _Connection, most: int) -> int:
        if not connection.left:
            if connection.sent_then >= self._plan.most_bytes:
                return 0
            connection.left = self._then
            connection.sent_then += len(self._then)
        try:
            sent = connection.socket.send(connection.left[: max(1, min(PIECE, most))])
        except BlockingIOError:
            connection.can_write = False
            self._watch(connection, is_writable=True)
            return 0
        except OSError:
            self._close(connection)
            return 0
        connection.left = connection.left[sent:]
        self.sent_bytes += sent
        return sent

    def _connect(self) -> None:
        address = self._plan.addresses[self.opened % len(self._plan.addresses)]
        self.opened += 1
        try:
            connection = _Connection(self._plan, address, self._first)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return
        self._open.append(connection)
        self._selector.register(
            connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, connection
        )

    def _watch(self, connection: _Connection, *, is_writable: bool) -> None:
        events = (selectors.EVENT_READ if self._plan.reads else 0) | (
            selectors.EVENT_WRITE if is_writable else 0
        )
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.socket)
        if events and connection.socket.fileno() >= 0:
            self._selector.register(connection.socket, events, connection)

    def _read(self, connection: _Connection) -> bool:
        if not self._plan.reads:
            return True
        try:
            return bool(connection.socket.recv(PIECE))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _close(self, connection: _Connection) -> None:
        if connection.socket.fileno() < 0:
            return
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.socket)
        connection.socket.close()
        with contextlib.suppress(ValueError):
            self._open.remove(connection)
        self.closed += 1


_stop: list[int] = []


def write_plan(plan: Plan, path: Path) -> Path:
    path.write_text(json.dumps(asdict(plan)))
    return path


def main() -> None:
    signal.signal(signal.SIGTERM, lambda number, _: _stop.append(number))
    sender = Sender(Plan(**json.loads(Path(sys.argv[1]).read_text())))
    sender.run()
    used = resource.getrusage(resource.RUSAGE_SELF)
    facts = {
        "opened": sender.opened,
        "closed": sender.closed,
        "sent_bytes": sender.sent_bytes,
        "cpu_s": used.ru_utime + used.ru_stime,
    }
    print(json.dumps(facts), flush=True)
    if _stop:
        return


if __name__ == "__main__":
    main()
