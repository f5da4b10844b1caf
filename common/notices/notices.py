"""What is to be said about one publisher's source, by code: its notices as status shows them.

Whoever finds something out sets a notice, and clears it when that holds no more; how long a
measurement must hold before it is one is its finder's. Pure; `now` is CLOCK_MONOTONIC in seconds.
"""

from common.ipc.status_messages import Notice


class Notices:
    """Of one publisher, in the order in which they began."""

    def __init__(self) -> None:
        # words, since when, and whether it is a fault
        self._by_code: dict[str, tuple[str, float, bool]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_code)

    def set(self, code: str, words: str, now: float, *, is_fault: bool = True) -> bool:
        """Say this from now on; whether the code is new. Words may change, their start stays.

        `is_fault` False: a fact, which may be meant so.
        """
        before = self._by_code.get(code)
        self._by_code[code] = (words, now if before is None else before[1], is_fault)
        return before is None

    def clear(self, code: str) -> bool:
        """Say it no more; whether it was said."""
        return self._by_code.pop(code, None) is not None

    def clear_all(self) -> None:
        """Another publisher begins."""
        self._by_code.clear()

    def as_tuple(self, now: float, unix_now: float) -> tuple[Notice, ...]:
        """All of them, for status; `unix_now` is UNIX time in seconds at the same moment."""
        return tuple(
            Notice(code, words, unix_now - (now - since), is_fault)
            for code, (words, since, is_fault) in self._by_code.items()
        )
