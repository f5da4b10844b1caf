"""The packets that were made of a stream of frames, for all who are sent them. Pure.

They are made once. Kept are those since the last keyframe, where the next viewer begins, and those
of the last `KEEP_MS`, which somebody may lack. Packets are numbered as they are made; who is sent
them has sequence numbers of its own and says which of these began where.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

KEEP_MS: Final = 1_500
MAX_BYTES: Final = 16 * 1024 * 1024  # as `egress.streams.gop_buffer` has it
MAX_GOP_MS: Final = 21_500  # likewise
_TRIM: Final = 64  # frames at a time


@dataclass(slots=True)
class Frame:
    """One picture, or one frame of sound, as payloads. Not frozen, as it is made for every one."""

    first: int  # the number of its first packet
    payloads: Sequence[bytes]
    time_ms: float  # stream time of its presentation
    is_key: bool
    octets: int

    @property
    def end(self) -> int:
        """The number behind its last packet."""
        return self.first + len(self.payloads)


class KeptPacket(NamedTuple):
    """A packet that can be sent again."""

    frame: Frame
    payload: bytes
    is_last: bool  # of its frame


class History:
    """Of one stream of frames."""

    def __init__(self, *, has_keys: bool = True, max_bytes: int = MAX_BYTES) -> None:
        """`has_keys`: a viewer begins at keyframes; sound has none."""
        self.next = 0  # the number of the next packet
        self.octets = 0  # that are kept
        self._has_keys = has_keys
        self._max_bytes = max_bytes
        self._frames: list[Frame] = []
        self._firsts: list[int] = []
        self._begin = 0  # of the frames that are kept; those before go in one go
        self._key: Frame | None = None

    def __len__(self) -> int:
        return len(self._frames) - self._begin

    def append(self, payloads: Sequence[bytes], time_ms: float, *, is_key: bool) -> Frame:
        """Keep the next frame."""
        frame = Frame(self.next, payloads, time_ms, is_key, sum(map(len, payloads)))
        self.next = frame.end
        self.octets += frame.octets
        self._frames.append(frame)
        self._firsts.append(frame.first)
        if is_key:
            self._key = frame
        self._trim(time_ms)
        return frame

    def packet(self, number: int) -> KeptPacket | None:
        """A packet by its number; None: it is not kept any more, or not yet there."""
        at = bisect_right(self._firsts, number) - 1
        if at < self._begin:
            return None
        frame = self._frames[at]
        place = number - frame.first
        if place >= len(frame.payloads):
            return None
        return KeptPacket(frame, frame.payloads[place], place == len(frame.payloads) - 1)

    def since_key(self) -> list[Frame]:
        """The frames since the last keyframe; none, where that is not kept."""
        if self._key is None:
            return []
        return self._frames[bisect_right(self._firsts, self._key.first) - 1 :]

    def _trim(self, now_ms: float) -> None:
        frames = self._frames
        while self._begin < len(frames) - 1:
            oldest = frames[self._begin]
            if self.octets <= self._max_bytes and not self._is_over(oldest, now_ms):
                break
            if oldest is self._key:
                self._key = None
            self.octets -= oldest.octets
            self._begin += 1
        if self._begin >= _TRIM:
            del frames[: self._begin], self._firsts[: self._begin]
            self._begin = 0

    def _is_over(self, frame: Frame, now_ms: float) -> bool:
        age_ms = now_ms - frame.time_ms
        if self._has_keys and self._key is not None and frame.first >= self._key.first:
            return age_ms > MAX_GOP_MS
        return age_ms > KEEP_MS
