"""Which of several `web` processes serves a viewer. Pure.

A viewer's requests come by any connection, and so to any of the processes. One of them has his
session, so that he is counted once: the process that let him in, whose number his token begins
with. Of those without a token, and where that process has gone or retires, it is the one that
everybody finds from what the viewer is known by (rendezvous hashing).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from common.ipc.control_messages import Endpoint
from common.ipc.egress_homes import weight
from common.ipc.identity import ChildId

_NUMBERED: Final = re.compile(r"(\d{1,6})-")


def begin_of_tokens(child: ChildId) -> str:
    """What the tokens begin with that a process gives."""
    return f"{child.index}-"


class Homes:
    """The processes, as one of them sees them."""

    def __init__(self, own: ChildId) -> None:
        self._own = own
        self._others: Mapping[ChildId, str] = {}  # those that take viewers, and where
        self._takes_viewers = True

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        """These children run; those that retire take nobody new."""
        taking = {end.child: end.requests for end in endpoints if _takes_viewers(end)}
        self._takes_viewers = self._own in taking
        self._others = {child: path for child, path in taking.items() if child != self._own}

    @property
    def are_several(self) -> bool:
        """Whether there is another that takes viewers."""
        return bool(self._others)

    def elsewhere(self, known_by: str) -> str:
        """The address of the process that serves a viewer; "": this one does.

        `known_by`: his token, or what one without is known by.
        """
        if not self._others:
            return ""
        numbered = _NUMBERED.match(known_by)
        if numbered is not None:
            index = int(numbered[1])
            if index == self._own.index:
                return ""
            for child, address in self._others.items():
                if child.index == index:
                    return address
        taking = [*self._others, *([self._own] if self._takes_viewers else [])]
        home = max(taking, key=lambda child: (weight(known_by, child), child))
        return self._others.get(home, "")


def _takes_viewers(end: Endpoint) -> bool:
    return bool(end.requests) and not end.is_retiring
