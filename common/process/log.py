"""What the log may say: hashes in place of stream keys, and not too many lines. Pure.

Loggers are named `tfarm.<package>.<module>`. `log_lines.py` has how an event is written,
`log_output.py` where it goes.
"""

import hashlib
from collections import OrderedDict

PEER_BURST = 20  # lines of one peer at once …
PEER_INTERVAL_S = 5.0  # … then one each so often
MAX_PEERS = 1000


def key_hash(key: str) -> str:
    """A short stand-in for a stream key: keys are credentials and never stand in a log."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def stream_label(stream_id: str) -> str:
    """`live/3fa2c1d0` for the stream `live/cam1`: what a log line calls a stream."""
    app, _, key = stream_id.partition("/")
    return f"{app}/{key_hash(key)}"


class RateLimit:
    """Lets `burst` lines through, then one each `interval_s`, and counts what it held back.

    Pure: the caller passes the time. `allow` gives the number of lines held back since the last
    one that passed, or None when this one must be held back too.
    """

    def __init__(self, burst: int = 20, interval_s: float = 1.0) -> None:
        self._burst = burst
        self._interval_s = interval_s
        self._tokens = float(burst)
        self._last: float | None = None
        self._held = 0

    @property
    def held(self) -> int:
        """Lines held back since the last one that passed."""
        return self._held

    def has_token(self, now: float) -> bool:
        """Tell if a line may pass now."""
        if self._last is not None:
            refill = (now - self._last) / self._interval_s
            self._tokens = min(self._burst, self._tokens + refill)
        self._last = now
        return self._tokens >= 1

    def hold(self) -> None:
        """Count a line that is held back for another reason."""
        self._held += 1

    def allow(self, now: float) -> int | None:
        if not self.has_token(now):
            self._held += 1
            return None
        self._tokens -= 1
        held, self._held = self._held, 0
        return held


class PeerLines:
    """Rate limits by peer, so that a noisy one hides nobody else's lines; and one over all of them.

    Pure: the caller passes the time, and what counts as one peer. `allow` is as a `RateLimit`'s:
    what it gives are the lines of this peer that were held back, and those of peers that are
    evicted, since the table is bounded.
    """

    def __init__(
        self,
        most: RateLimit | None = None,
        *,
        burst: int = PEER_BURST,
        interval_s: float = PEER_INTERVAL_S,
    ) -> None:
        """`most` is the limit over all peers, the others are those of each."""
        self._most = most or RateLimit(burst=200, interval_s=0.05)
        self._burst, self._interval_s = burst, interval_s
        self._peers: OrderedDict[object, RateLimit] = OrderedDict()  # the last one spoke last
        self._untold = 0

    def __len__(self) -> int:
        return len(self._peers)

    @property
    def held(self) -> int:
        """Lines held back and not told of yet."""
        return self._untold + sum(limit.held for limit in self._peers.values())

    def allow(self, peer: object, now: float) -> int | None:
        limit = self._peers.get(peer)
        if limit is None:
            limit = self._peers[peer] = RateLimit(self._burst, self._interval_s)
            if len(self._peers) > MAX_PEERS:
                _, evicted = self._peers.popitem(last=False)
                self._untold += evicted.held
        else:
            self._peers.move_to_end(peer)
        if not limit.has_token(now) or self._most.allow(now) is None:
            limit.hold()
            return None
        held, self._untold = self._untold, 0
        return held + (limit.allow(now) or 0)


class Counts(dict[str, int]):
    """Numbers by name, as one value of a line: `720p:9360,480p:9358`; in JSON an object."""

    def __str__(self) -> str:
        return ",".join(f"{name}:{number}" for name, number in self.items()) or "-"


class More(str):
    """What the end of a line says of those like it that were held back, and how many they were."""

    held = 0


def more(held_back: int) -> More:
    """What the end of a line says of the lines like it that a `RateLimit` held back before it."""
    words = More(f" ({held_back} more like it)" if held_back else "")
    words.held = held_back
    return words
