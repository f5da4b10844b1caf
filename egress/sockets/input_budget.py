"""How much one player may send: acknowledgements, now and then a command. Pure."""

BURST_BYTES = 64 * 1024
BYTES_PER_S = 4 * 1024


class InputBudget:
    """Fills at a constant rate up to a burst."""

    __slots__ = ("_bytes", "_counted_s")

    def __init__(self, now: float) -> None:
        self._bytes = float(BURST_BYTES)
        self._counted_s = now

    def allows(self, size: int, now: float) -> bool:
        """Take so much from it; False: it was not there."""
        filled = self._bytes + (now - self._counted_s) * BYTES_PER_S
        self._bytes = min(BURST_BYTES, filled) - size
        self._counted_s = now
        return self._bytes >= 0
