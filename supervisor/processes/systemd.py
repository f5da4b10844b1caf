"""Reports to systemd (IO): one datagram to $NOTIFY_SOCKET, as sd_notify(3) has it."""

import os
import socket
from collections.abc import Callable

TIMEOUT_S = 0.1  # systemd may be too busy to read: the farm must not wait for it


def notify(state: str) -> bool:
    """Send "READY=1", "STOPPING=1" …; False when nobody asked for it or nobody takes it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "@/":
        return False
    if address[0] == "@":  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
            peer.settimeout(TIMEOUT_S)
            peer.connect(address)
            peer.sendall(state.encode())
    except OSError:
        return False
    return True


class Systemd:
    """Reports a supervisor's life to systemd; `status` gives the line that it shows."""

    def __init__(self, status: Callable[[], str]) -> None:
        self._status = status
        self._owes_ready = False

    def ready(self) -> None:
        """Report that the farm serves, until that is taken: else systemd takes it for hung."""
        self._owes_ready = True
        self.beat()

    def beat(self) -> None:
        """Report that the farm works still."""
        ready = f"READY=1\nMAINPID={os.getpid()}\n" if self._owes_ready else ""
        if notify(f"{ready}WATCHDOG=1\nSTATUS={self._status()}"):
            self._owes_ready = False

    def stopping(self) -> None:
        """Report that the farm ends by itself."""
        self._owes_ready = False
        notify("STOPPING=1")
