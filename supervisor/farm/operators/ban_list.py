"""The operator's list of who is kept out. Pure; times are wall-clock.

`supervisor/processes/ban_file.py` keeps it for the next supervisor; `common/access/bans.py` looks
up in it at ingests and egresses, which get all of it whenever it changes.
"""

from collections.abc import Iterable
from typing import Any

from common.access.bans import Ban

MAX_BANS = 1_000


class BanList:
    """Entries by what they ban."""

    def __init__(self) -> None:
        self._bans: dict[str, Ban] = {}

    def load(self, bans: Iterable[Ban]) -> None:
        """Take over what an earlier supervisor had."""
        for ban in bans:
            if ban.target and len(self._bans) < MAX_BANS:
                self._bans[ban.target] = ban

    def add(self, ban: Ban, now_unix: float) -> bool:
        """Ban from now on, or for another time; False: there are too many."""
        self._forget_over(now_unix)
        if ban.target not in self._bans and len(self._bans) >= MAX_BANS:
            return False
        self._bans[ban.target] = ban
        return True

    def remove(self, target: str, now_unix: float) -> bool:
        """Let in again; whether it was banned."""
        self._forget_over(now_unix)
        return self._bans.pop(target, None) is not None

    def all(self) -> tuple[Ban, ...]:
        """Those that hold, and those that are over: who is given them knows the time."""
        return tuple(self._bans.values())

    def current(self, now_unix: float) -> tuple[Ban, ...]:
        """Those that hold, the oldest first."""
        self._forget_over(now_unix)
        return tuple(sorted(self._bans.values(), key=lambda ban: ban.since_unix))

    def _forget_over(self, now_unix: float) -> None:
        self._bans = {key: ban for key, ban in self._bans.items() if not ban.is_over(now_unix)}


def ban_documents(bans: Iterable[Ban]) -> list[dict[str, Any]]:
    """The entries for `--json`."""
    return [
        {
            "target": ban.target,
            "until_unix": ban.until_unix or None,
            "since_unix": ban.since_unix,
            "reason": ban.reason,
            "by": ban.by,
        }
        for ban in bans
    ]
