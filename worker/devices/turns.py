"""A lock that lets several threads in, the others in the order in which they came (IO: threads)."""

import queue
from types import TracebackType


class Turns:
    """`with turns:` waits until fewer than `count` others are inside."""

    def __init__(self, count: int) -> None:
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def __enter__(self) -> None:
        self._free.get()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._free.put(None)
