"""The breaks of a stream, as its splices begin and end them. Pure."""

from dataclasses import dataclass, replace
from typing import Final

from common.scte35.section import Way
from egress.cues.splice_point import SplicePoint

MAX_BREAKS: Final = 32  # the oldest give way


@dataclass(frozen=True, slots=True)
class Break:
    """A splice out of the programme with the one that leads back; or one of these alone."""

    begin: SplicePoint
    end: SplicePoint | None = None  # that leads back; None: none has come

    @property
    def begin_ms(self) -> int:
        return self.begin.at_ms

    @property
    def end_ms(self) -> int:
        """When it is over, as far as that is known."""
        if self.end is not None:
            return self.end.at_ms
        return self.begin_ms + round(1000 * (self.begin.duration_s or 0.0))

    @property
    def name(self) -> str:
        """What tells it from the others, and is the same in every process."""
        splice = self.begin.splice
        return f"{splice.command}-{splice.event_id or 0}-{splice.way.value.lower()}"


class Splices:
    """What is known of a stream's splices, each once however often it is told."""

    def __init__(self) -> None:
        self.breaks: list[Break] = []  # by their begin

    def add(self, point: SplicePoint) -> None:
        """Take a splice. One that is cancelled goes, unless it has been."""
        if point.splice.is_cancelled:
            self.breaks = [
                one
                for one in self.breaks
                if one.begin.splice.event_id != point.splice.event_id or one.begin_ms <= point.at_ms
            ]
            return
        if any(
            known.is_repeated_by(point)
            for one in self.breaks
            for known in (one.begin, one.end)
            if known is not None
        ):
            return
        if point.splice.way is not Way.IN or not self._ends(point):
            self.breaks.append(Break(point))
            self.breaks.sort(key=lambda one: one.begin_ms)
            del self.breaks[:-MAX_BREAKS]

    def _ends(self, point: SplicePoint) -> bool:
        """End the newest break that it belongs to; whether there was one."""
        for index in reversed(range(len(self.breaks))):
            one = self.breaks[index]
            is_same = one.begin.splice.event_id == point.splice.event_id
            is_open = one.begin.splice.way is Way.OUT and one.end is None
            if is_open and is_same and one.begin_ms <= point.at_ms:
                self.breaks[index] = replace(one, end=point)
                return True
        return False
