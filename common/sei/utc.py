"""The UTC of a picture, as unregistered user data on it: a UUID, and a time. Pure.

The message has 24 bytes: `UTC_UUID`, then the Unix time in microseconds, 8 bytes, big-endian. It is
this project's own, with a random UUID (RFC 9562, version 4), and is written the same in H.264
(D.1.7) and H.265 (D.2.7).
"""

from collections.abc import Callable, Iterable
from uuid import UUID

from common.sei.user_data import UserData

UTC_UUID = UUID("fbf877ab-8346-41b5-a684-600b87cbc4bf")
_PREFIX = UTC_UUID.bytes


def utc_stamp(unix_us: int) -> bytes:
    """The message that says this Unix time, in microseconds; one before 1970 is called 1970."""
    return _PREFIX + max(0, unix_us).to_bytes(8, "big")


def has_utc(messages: Iterable[bytes]) -> bool:
    """Return whether one of them says a UTC."""
    return any(message.startswith(_PREFIX) for message in messages)


def without_utc(messages: UserData) -> UserData:
    """Those that say something else."""
    return tuple(message for message in messages if not message.startswith(_PREFIX))


class UtcStamps:
    """Adds to a picture's user data the UTC at which it came in."""

    def __init__(self, clock: Callable[[], float], unix_time: Callable[[], float]) -> None:
        """`clock`: the one that pictures' arrival is told in, in seconds; `unix_time` likewise."""
        self._clock = clock
        self._unix_time = unix_time

    def added(self, messages: UserData, received_s: float) -> UserData:
        """The same with a stamp, unless the publisher has set one; `received_s` 0: not known."""
        if not received_s or has_utc(messages):
            return messages
        unix_s = self._unix_time() - (self._clock() - received_s)
        return (*messages, utc_stamp(round(unix_s * 1_000_000)))
