"""Which single-use URLs have been used. Pure, in bounded memory.

Each is remembered for as long as it is good. Where more are good at once than are remembered, one
more is refused rather than let in twice: `MAX_REMEMBERED` of them are used within their lives only
where somebody makes very many that last very long.
"""

import hashlib
import heapq

MAX_REMEMBERED = 100_000  # of 8 bytes and some, in all about 12 MiB


class UsedUrls:
    """Remembers what `use` took, until it is over."""

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._used: set[bytes] = set()
        self._ends: list[tuple[float, bytes]] = []  # a heap: what ends first is the first

    def __len__(self) -> int:
        return len(self._used)

    @property
    def is_full(self) -> bool:
        """Whether no other URL can be remembered now."""
        return len(self._used) >= self._most

    def use(self, name: str, until_unix: float, now_unix: float) -> bool:
        """Take a URL's one use; False: it was used before, or cannot be remembered.

        `name` is what tells it from all others that are good, "" of one that is not for one use;
        it is good until `until_unix`.
        """
        if not name:
            return True
        self._forget(now_unix)
        digest = hashlib.sha256(name.encode()).digest()[:16]
        if digest in self._used or self.is_full:
            return False
        self._used.add(digest)
        heapq.heappush(self._ends, (until_unix, digest))
        return True

    def _forget(self, now_unix: float) -> None:
        while self._ends and self._ends[0][0] < now_unix:
            self._used.discard(heapq.heappop(self._ends)[1])
