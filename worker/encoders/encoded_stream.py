"""One stream's pictures with an encoder process, as the worker's loop has to know them. Pure.

- A place of the pool is taken from when a picture is handed over until the process says that it is
  done with it, or is gone.
- Each placement on a process is an opening with a number of its own. Answers of an earlier one mean
  nothing: its places were given back when it ended.
- An opening begins with a keyframe: what comes before one is dropped.
- Renditions that rest are told to each process that has the stream: a new one, too, has to tell
  egress what they are.
- It numbers its tags from how many pictures were handed over before it: no process can have sent
  more of them, so what a lost one has sent or may still send stays below, and egress drops it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from worker.encoders.choice import ProcessName

Place = tuple[int, int]  # rendition and slot


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A scaled picture of one rendition, on its way to an encoder process."""

    rendition: int
    slot: int
    surface: Any  # keeps the place, as long as it is kept
    sei: bytes
    fps: Fraction | None  # to open the encoder anew for
    begins: bool


class EncodedStream:
    """The state of one stream. Call everything from the loop."""

    def __init__(self, fps: Sequence[Fraction], weight: float) -> None:
        self.fps = list(fps)  # by rendition: what its encoder was opened for last
        self.weight = weight  # as `choice.weight` has it
        self.process: ProcessName | None = None  # that has it now
        self.opening = 0
        self.needs_key = True
        self.resting: set[int] = set()  # renditions that get no pictures, as nobody plays them
        self._handed_over = [0] * len(self.fps)
        self._out: dict[Place, Any] = {}

    @property
    def first_numbers(self) -> tuple[int, ...]:
        """Of the next tag of each rendition, for an opening."""
        return tuple(self._handed_over)

    @property
    def is_idle(self) -> bool:
        """Return whether no picture is with its process."""
        return not self._out

    def open_at(self, process: ProcessName) -> int:
        """Begin an opening at a process; its number."""
        self.process = process
        self.opening += 1
        self.needs_key = True
        return self.opening

    def takes(self, *, is_key: bool) -> bool:
        """Return whether pictures that come now can be handed over."""
        return self.process is not None and (is_key or not self.needs_key)

    def hand_over(self, pictures: Sequence[HandedOver], *, is_key: bool) -> None:
        """Note pictures that went to the process."""
        self.needs_key = self.needs_key and not is_key
        for picture in pictures:
            self._handed_over[picture.rendition] += 1
            self.resting.discard(picture.rendition)
            self._out[picture.rendition, picture.slot] = picture.surface
            if picture.fps is not None:
                self.fps[picture.rendition] = picture.fps

    def done(self, opening: int, place: Place) -> bool:
        """Give a place back; False: it is not out with this opening."""
        if opening != self.opening:
            return False
        return self._out.pop(place, None) is not None

    def lose(self) -> list[int]:
        """Its process is gone: every place comes back; their renditions."""
        renditions = [rendition for rendition, _ in self._out]
        self._out.clear()
        self.process = None
        self.opening += 1
        self.needs_key = True
        return renditions
