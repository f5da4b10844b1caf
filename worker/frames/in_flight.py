"""What must be known of an access unit when its picture comes out of the decoder. Pure."""

from dataclasses import dataclass

MAX_IN_FLIGHT = 256  # units in the decoder whose facts are kept


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What is known of one access unit."""

    received_s: float  # 0: not known
    is_replay: bool
    captions: bytes
    is_key: bool = False
    user_data: tuple[bytes, ...] = ()  # that its template passes on or adds


UNKNOWN = UnitFacts(0.0, False, b"")


class UnitsInFlight:
    """The facts by PTS, from `put` to `take`; beyond `MAX_IN_FLIGHT` the oldest are forgotten."""

    def __init__(self) -> None:
        self._facts: dict[int, UnitFacts] = {}

    def put(self, pts_ms: int, facts: UnitFacts) -> None:
        if len(self._facts) >= MAX_IN_FLIGHT:
            del self._facts[next(iter(self._facts))]
        self._facts[pts_ms] = facts

    def take(self, pts_ms: int) -> UnitFacts:
        """The facts of a picture's unit, which are then forgotten; `UNKNOWN` if there are none."""
        return self._facts.pop(pts_ms, UNKNOWN)
