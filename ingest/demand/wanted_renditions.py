"""Which of a stream's renditions are made now. Pure: the caller passes the time.

One that its template makes only while it is watched is made while somebody plays it or waits for it
at any egress, whatever by, and `linger` longer: who comes back, or to whom another egress has to
report a viewer again, finds it running.
"""

from collections.abc import Collection, Set
from math import inf

from common.config.ladder import Template


class WantedRenditions:
    """Those of one stream."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}  # by rendition that was demanded
        self._demanded_until_s = -inf  # any, the source too

    def look(
        self, template: Template, made: Collection[str], demanded: Set[str], now: float
    ) -> tuple[str, ...] | None:
        """The renditions to make, of those that the stream has; None: all, whoever plays them."""
        on_demand = template.names_on_demand
        if not on_demand:
            return None
        until_s = now + template.linger_ms / 1000
        if demanded:
            self._demanded_until_s = until_s
        for name in demanded:
            if name in on_demand:
                self._until_s[name] = until_s
        return tuple(
            name for name in made if name not in on_demand or now < self._until_s.get(name, -inf)
        )

    def has_demand(self, now: float) -> bool:
        """Tell if somebody watches anything of the stream, the source and the sound too."""
        return now < self._demanded_until_s
