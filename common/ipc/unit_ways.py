"""What publishers by way of another process, and their ways, are to one another. Protocols; pure.

`unit_link.py` has the ways themselves.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from common.ipc.forward_messages import ForwardAsk
from common.ipc.unit_messages import (
    PublishAccepted,
    PublishAsk,
    PublishCutOff,
    PublishFinished,
    PublishHeldBack,
    PublishRefused,
    PublishTimed,
    UnitItem,
)
from common.media.units import Data

Answer = (
    PublishAccepted
    | PublishRefused
    | PublishFinished
    | PublishCutOff
    | PublishTimed
    | PublishHeldBack
)


class UnitPublisher(Protocol):
    """One who publishes by such a way, or asks to."""

    def on_answer(self, answer: Answer, /) -> None:
        """The other end says something; after refused, finished, cut off it says nothing more."""
        ...

    def on_cut_off(self, reason: str, /) -> None:
        """The other end is gone; it says nothing more."""
        ...


class Way(Protocol):
    """The way of one publisher."""

    def send(self, items: Sequence[UnitItem], payloads: Sequence[Data]) -> bool:
        """Send units; False: no more are taken now. Drop up to a keyframe."""
        ...

    def over(self, reason: str, *, is_meant: bool = False, goes_on: bool = False) -> None:
        """The publisher is gone; nothing more is said of it, either way.

        `goes_on`: its stream goes on elsewhere.
        """
        ...


class Ways(Protocol):
    """The ways of one process."""

    def ask(
        self,
        publisher: UnitPublisher,
        stream: str,
        make: Callable[[int], PublishAsk | ForwardAsk],
        payloads: Sequence[Data] = (),
    ) -> Way | None:
        """Ask for a publisher; `make` is given its number. None: nobody is there now."""
        ...
