"""Heads of requests that were read before. Pure.

A client sends the same headers with each of its requests, and many clients send the same ones. So
what has been read of them once holds for all heads that are the same byte for byte, but for the
address in the first line.
"""

from typing import Final

MAX_TARGET: Final = 2048  # bytes of path and query: a signed URL has some hundred
MAX_BLOCK: Final = 2048  # bytes of the rest of a head
MAX_KNOWN: Final = 2048  # of these; one more takes the place of the oldest
_METHOD: Final = b"GET "
_VERSION: Final = b" HTTP/1.1\r\n"
_END: Final = b"\r\n\r\n"
_VISIBLE: Final = bytes(range(0x21, 0x7F))  # all that an address is made of


def split(data: bytes) -> tuple[bytes, bytes] | None:
    """The address of a GET, and the rest of its head from the version on; None: it is no such head.

    The head is all of `data`. The address is as it was sent.
    """
    if not data.startswith(b"GET /"):
        return None
    end = data.find(_VERSION, len(_METHOD), len(_METHOD) + MAX_TARGET + len(_VERSION))
    if end < 0 or len(data) - end > MAX_BLOCK:
        return None
    if data.find(_END, end) != len(data) - len(_END):
        return None
    target = data[len(_METHOD) : end]
    return None if target.translate(None, _VISIBLE) else (target, data[end:])


class KnownHeads:
    """What is answered to each head that was read: lines of the answer's own."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, block: bytes, lines: bytes) -> None:
        """Remember a head that says nothing but who asks."""
        while len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[block] = lines

    def find(self, block: bytes) -> bytes | None:
        """What was remembered of a head; None: it was not read yet."""
        return self._known.get(block)

    def clear(self) -> None:
        """Forget all of it: what is answered is another from now on."""
        self._known.clear()
