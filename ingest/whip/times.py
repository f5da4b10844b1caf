"""The stamps of a publisher's pictures and sound, in ms, from its RTP times. Pure.

Each track's times begin anywhere. The first of a track counts as what came when it arrived. As soon
as the publisher's reports say which times of both belong to one moment of its clock, sound is moved
to where it belongs, little by little, so that its stamps go up; OBS sends no report for a while.
"""

from dataclasses import dataclass
from typing import Final

from common.rtp.header import CLOCK_HZ, OPUS_CLOCK_HZ, TIMESTAMPS, unwrap
from common.rtp.rtcp import SenderInfo

FIRST_MS: Final = 1000  # what begins ahead of the first is not below 0 then
MAX_STEP_MS: Final = 2.0  # of the sound's move, at each of its packets
MIN_MOVE_MS: Final = 2.0  # what nobody hears
MAX_MOVE_MS: Final = 5_000.0  # more than that is a clock that means nothing
PICTURES, SOUND = "pictures", "sound"
_PER_MS: Final = {PICTURES: CLOCK_HZ // 1000, SOUND: OPUS_CLOCK_HZ // 1000}


@dataclass(slots=True)
class _Track:
    per_ms: int
    last: int | None = None  # the last time, which never wraps
    offset_ms: float = 0.0
    report: tuple[float, int] | None = None  # the sender's clock in ms, and the track's time then


class Times:
    """One publisher's."""

    def __init__(self) -> None:
        self._first_s: float | None = None
        self._tracks = {name: _Track(per_ms) for name, per_ms in _PER_MS.items()}

    def begin_anew(self, name: str) -> None:
        """The track's times begin anywhere again."""
        self._tracks[name] = _Track(_PER_MS[name])

    def stamp_ms(self, name: str, timestamp: int, arrived_s: float) -> int:
        """The stamp of what has this time and came then."""
        track = self._tracks[name]
        if self._first_s is None:
            self._first_s = arrived_s
        if track.last is None:
            track.last = timestamp % TIMESTAMPS
            arrived_ms = FIRST_MS + (arrived_s - self._first_s) * 1000
            track.offset_ms = arrived_ms - track.last / track.per_ms
        else:
            track.last = unwrap(timestamp % TIMESTAMPS, track.last, TIMESTAMPS)
        if name == SOUND:
            self._move()
        return round(track.last / track.per_ms + track.offset_ms)

    def on_report(self, name: str, info: SenderInfo) -> None:
        """Take a report of the track's sender."""
        track = self._tracks[name]
        if track.last is not None and info.ntp:
            track.report = (info.clock_s * 1000, unwrap(info.timestamp, track.last, TIMESTAMPS))

    def _move(self) -> None:
        """Move the sound a step towards where the publisher's clock has it."""
        sound, pictures = self._tracks[SOUND], self._tracks[PICTURES]
        if sound.report is None or pictures.report is None:
            return
        clock_ms, time = pictures.report
        stamp_of_clock = time / pictures.per_ms + pictures.offset_ms - clock_ms
        clock_ms, time = sound.report
        wanted_ms = clock_ms + stamp_of_clock - time / sound.per_ms
        move_ms = wanted_ms - sound.offset_ms
        if MIN_MOVE_MS <= abs(move_ms) <= MAX_MOVE_MS:
            sound.offset_ms += max(-MAX_STEP_MS, min(MAX_STEP_MS, move_ms))
