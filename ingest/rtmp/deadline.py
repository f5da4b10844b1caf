"""One call to come, on the event loop (IO)."""

import asyncio
from collections.abc import Callable


class Deadline:
    """The next one replaces it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def set(self, after_s: float, callback: Callable[[], None]) -> None:
        """Call this after so long."""
        self.clear()
        self._handle = self._loop.call_later(after_s, callback)

    def clear(self) -> None:
        """Call nothing."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
