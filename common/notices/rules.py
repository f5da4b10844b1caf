"""What a rule about a source is: a value of the figures, and where it begins and ends. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

F = TypeVar("F")  # the figures of one second


@dataclass(frozen=True, slots=True)
class Rule(Generic[F]):
    """One thing that may be wrong with a source.

    The notice begins when `value` has been at least `enter` for `after_s`, and ends when it has
    been less than `leave` for `until_s`. In between it stays what it is.
    """

    code: str  # stable, for programs
    what: str  # without figures: "keyframes too far apart"
    fix: str  # what to set
    words: Callable[[F], str]  # with figures, and with what to set
    value: Callable[[F], float]
    enter: float
    leave: float
    after_s: float
    until_s: float
    is_fault: bool = True  # False: a fact, which may be meant so

    def __post_init__(self) -> None:
        if self.leave > self.enter:
            raise ValueError(f"{self.code} would end before it begins")
