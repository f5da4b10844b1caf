"""What the library counts of connections, as sums over all that there ever were."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from common.srt.library import LinkFigures

# By the counter's name, the figure of a connection; all count packets.
_NAMES: Final[Mapping[str, str]] = {
    "packets received": "received",
    "packets missed": "lost",
    "packets lost": "dropped",
    "packets sent": "sent",
    "packets sent again": "repeated",
    "packets given up": "given_up",
}


class LineTotals:
    """Those of one process."""

    def __init__(self) -> None:
        self._before: dict[int, LinkFigures] = {}  # by socket, as counted last
        self._sums: Counter[str] = Counter()

    @property
    def counters(self) -> dict[str, int]:
        """The sums, for the heartbeat."""
        return {name: self._sums[name] for name in _NAMES}

    def count(self, sock: int, found: LinkFigures) -> None:
        """Take what a connection has counted since it stands."""
        before = self._before.get(sock)
        for name, field in _NAMES.items():
            self._sums[name] += getattr(found, field) - (getattr(before, field) if before else 0)
        self._before[sock] = found

    def forget(self, sock: int) -> None:
        """The connection is closed."""
        self._before.pop(sock, None)
