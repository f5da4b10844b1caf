"""The levels of every stream that is measured, and the notices about them. Pure.

`now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from common.ipc.identity import StreamId
from common.ipc.media_messages import TagHeader
from common.ipc.status_messages import AudioLevels
from common.notices.doctor import Change, Doctor
from common.notices.notices import Notices
from worker.audio.level_rules import LEVEL_RULES, LevelFigures
from worker.audio.sampling import EVERY_S, Sample, Sampler

LOST_S: Final = 3 * EVERY_S  # without sound: the levels of before say nothing
_PARTS: Final = 16  # of EVERY_S, over which streams are spread


@dataclass(slots=True)
class _Stream:
    sampler: Sampler
    notices: Notices
    doctor: Doctor[LevelFigures]
    figures: LevelFigures | None = None
    loud_s: float | None = None  # when it was last not silent, or measured first


class Levels:
    """All streams' levels."""

    def __init__(self) -> None:
        self._streams: dict[StreamId, _Stream] = {}
        self._begun = 0

    def __iter__(self) -> Iterator[StreamId]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)

    def follow(self, streams: Iterable[StreamId], now: float) -> None:
        """Measure these streams from now on, and no others."""
        wanted = set(streams)
        self._streams = {key: found for key, found in self._streams.items() if key in wanted}
        for key in sorted(wanted - self._streams.keys()):
            self._begun += 1
            notices = Notices()
            offset_s = self._begun % _PARTS * EVERY_S / _PARTS
            self._streams[key] = _Stream(
                Sampler(now, offset_s), notices, Doctor(LEVEL_RULES, notices)
            )

    def take(
        self,
        stream_id: StreamId,
        headers: Sequence[TagHeader],
        bodies: Sequence[bytes],
        now: float,
    ) -> Sample | None:
        """Take tags of sound; a sample to be measured when one is whole. Raises FlvError."""
        stream = self._streams.get(stream_id)
        return stream.sampler.take(headers, bodies, now) if stream is not None else None

    def measured(self, stream_id: StreamId, figures: LevelFigures, now: float) -> list[Change]:
        """Take what a sample showed; which notices begin and end."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return []
        if stream.loud_s is None or not figures.is_silent:
            stream.loud_s = now
        stream.figures = replace(figures, silent_s=now - stream.loud_s)
        stream.doctor.look(stream.figures, now)
        return stream.doctor.take_changes()

    def tick(self, now: float) -> None:
        """Forget the levels of sound that comes no more."""
        for stream in self._streams.values():
            if stream.figures is not None and now - stream.sampler.came_s > LOST_S:
                stream.figures = stream.loud_s = None
                stream.doctor.restart()

    def status(self, now: float, unix: float) -> tuple[AudioLevels, ...]:
        """Of each stream that was measured, for the heartbeat."""
        return tuple(
            AudioLevels(
                key,
                round(stream.figures.peak_dbfs, 1),
                round(stream.figures.rms_dbfs, 1),
                stream.notices.as_tuple(now, unix),
            )
            for key, stream in self._streams.items()
            if stream.figures is not None
        )
