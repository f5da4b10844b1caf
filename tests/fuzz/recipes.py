"""What the fuzzing targets share: numbers and pieces out of an input, and ways to cut it up."""

from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Recipe:
    """Numbers and pieces taken off the front of an input; zeros when it is used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        self._at += size
        return piece

    def rest(self) -> bytes:
        return self.take(len(self._data))


def cuts(data: bytes, how: int) -> Iterator[bytes]:
    """The data in pieces; `how` is a byte: 0 whole, else sizes that vary with it."""
    if how == 0:
        yield data
        return
    at, size = 0, how
    while at < len(data):
        yield data[at : at + size]
        at += size
        size = size * 7 % 251 % (how + 1) + 1


def zeros(size: int) -> bytes:
    return bytes(size)


def outcome(read: Callable[[], Iterator[T]], *errors: type[Exception]) -> tuple[list[T], str]:
    """What was read until the end or one of the errors, and that error's name."""
    results: list[T] = []
    try:
        results.extend(read())
    except errors as error:
        return results, type(error).__name__
    return results, ""
