"""How long a socket stays open for what its peer has not taken. Pure: the time is passed in."""

MAX_LINGER_S = 30.0  # while the kernel still sends …
UNTAKEN_S = 5.0  # … and the peer takes some of it now and then


class Untaken:
    """What the kernel has for a peer to whom all was sent."""

    __slots__ = ("_began_s", "_bytes", "_taken_s")

    def __init__(self, now: float) -> None:
        self._bytes = -1  # at the last look; -1: none yet
        self._began_s = self._taken_s = now

    def may_go_on(self, unsent: int, now: float) -> bool:
        """Look: whether some is left, and the peer still takes it, and not for too long."""
        if self._bytes < 0 or unsent < self._bytes:
            self._bytes, self._taken_s = unsent, now
        is_taken = now - self._taken_s < UNTAKEN_S and now - self._began_s < MAX_LINGER_S
        return unsent > 0 and is_taken
