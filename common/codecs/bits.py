"""Reading and writing of bit fields, most significant bit first, with H.264's Exp-Golomb codes.

Used by `common.codecs.h264` and `common.codecs.aac` on parameter sets of a few dozen bytes; it is
not meant for picture data. Knows nothing of emulation prevention: remove it first.
"""

from common.errors import ProtocolError

MAX_EXP_GOLOMB_ZEROS = 32  # H.264 7.2: ue(v) values fit 32 bits


class BitReader:
    """Reads bit fields; `error` is the ProtocolError subclass raised when the data end early."""

    __slots__ = ("_at", "_data", "_end", "_error")

    def __init__(self, data: bytes, error: type[ProtocolError]) -> None:
        self._data = data
        self._at = 0
        self._end = len(data) * 8
        self._error = error

    @property
    def remaining(self) -> int:
        """Bits not yet read."""
        return self._end - self._at

    def bits(self, count: int) -> int:
        """The next `count` bits as an unsigned number."""
        end = self._at + count
        if end > self._end:
            raise self._error(f"{count} bits wanted where {self.remaining} are left")
        last = (end + 7) >> 3
        value = int.from_bytes(self._data[self._at >> 3 : last], "big") >> (last * 8 - end)
        self._at = end
        return value & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.bits(1) == 1

    def ue(self) -> int:
        """An unsigned Exp-Golomb code (H.264 9.1)."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > MAX_EXP_GOLOMB_ZEROS:
                raise self._error("Exp-Golomb code of more than 32 leading zeros")
        return (1 << zeros) - 1 + self.bits(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb code (H.264 9.1.1)."""
        code = self.ue()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)

    def align(self) -> None:
        """Skip to the next byte boundary."""
        self._at = min((self._at + 7) & ~7, self._end)


class BitWriter:
    """Collects bit fields; `to_bytes` pads the last byte with zero bits."""

    __slots__ = ("_count", "_value")

    def __init__(self) -> None:
        self._value = 0
        self._count = 0

    def bits(self, value: int, count: int) -> "BitWriter":
        """Append `value` in `count` bits, and return the writer for chaining."""
        if value < 0 or value >> count:
            raise ValueError(f"{value} does not fit {count} bits")
        self._value = self._value << count | value
        self._count += count
        return self

    def to_bytes(self) -> bytes:
        padding = -self._count % 8
        return (self._value << padding).to_bytes((self._count + padding) // 8, "big")
