"""Which single-use URLs have been used. Pure, in bounded memory.

Each is remembered for as long as it is good. Where more are good at once than are remembered, one
more is refused rather than let in twice: that comes about only where somebody makes very many that
last very long.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable

MAX_REMEMBERED = 100_000  # in all about 20 MiB

# Digests of uses, in hex, and until when (Unix time) each is remembered.
Uses = tuple[tuple[str, float], ...]


def digest_of_use(name: str) -> str:
    """What stands for a use: nothing of the URL can be read in it."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


class UsedUrls:
    """Remembers uses until they are over."""

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._used: dict[str, float] = {}
        self._ends: list[tuple[float, str]] = []  # a heap: what ends first is the first

    def __len__(self) -> int:
        return len(self._used)

    def use(self, digest: str, until_unix: float, now_unix: float) -> bool:
        """Take a URL's one use; False: it was used before, or cannot be remembered."""
        self.forget_old(now_unix)
        if digest in self._used or len(self._used) >= self._most:
            return False
        self._used[digest] = until_unix
        heapq.heappush(self._ends, (until_unix, digest))
        return True

    def release(self, digest: str) -> None:
        """Who took it was not let in after all."""
        self._used.pop(digest, None)

    def all(self) -> Uses:
        """Every use that is remembered."""
        return tuple(self._used.items())

    def forget_old(self, now_unix: float) -> None:
        """Forget what is over."""
        while self._ends and self._ends[0][0] < now_unix:
            until_unix, digest = heapq.heappop(self._ends)
            if self._used.get(digest) == until_unix:
                del self._used[digest]


class Claims:
    """The uses of one process: each is claimed, then kept or given back by who claimed it."""

    def __init__(self, report: Callable[[Uses], object], most: int = MAX_REMEMBERED) -> None:
        """`report` is given the uses of those who were let in."""
        self._report = report
        self._used = UsedUrls(most)
        self._claimed: dict[object, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._used)

    def claim(self, who: object, name: str, until_unix: float, now_unix: float) -> bool:
        """Take a URL's one use for now; False: it was used before, or cannot be remembered.

        `name` is what tells it from all others that are good, "" of one that is not for one use;
        it is good until `until_unix`.
        """
        if not name:
            return True
        digest = digest_of_use(name)
        if not self._used.use(digest, until_unix, now_unix):
            return False
        self.release(who)
        self._claimed[who] = digest, until_unix
        return True

    def keep(self, who: object) -> None:
        """It was let in: its use is over for good, everywhere."""
        claimed = self._claimed.pop(who, None)
        if claimed is not None:
            self._report((claimed,))

    def release(self, who: object) -> None:
        """It was refused, or has left before it was let in: another may use the URL."""
        claimed = self._claimed.pop(who, None)
        if claimed is not None:
            self._used.release(claimed[0])

    def add(self, uses: Iterable[tuple[str, float]], now_unix: float) -> None:
        """These were used at other processes."""
        for digest, until_unix in uses:
            self._used.use(digest, until_unix, now_unix)
