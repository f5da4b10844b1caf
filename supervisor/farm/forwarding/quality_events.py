"""Tells an app's hook when a rendition looks worse than its floor allows, and when no more. Pure.

A worker measures and judges; it may tell no hook, so it is the supervisor that does, of streams
which are that worker's. A rendition that is not measured any more, as it is not made, is as it was;
with its stream it is forgotten.
"""

from collections.abc import Iterable, Iterator

from common.config.hooks import HookEvent
from common.ipc.hook_messages import HookNotice, HookSubject
from common.ipc.identity import ChildId, StreamId, split_stream_id
from common.ipc.status_messages import Quality, RenditionStatus, TranscodeStatus
from supervisor.farm.state import FarmState


class QualityEvents:
    """What was told of each rendition."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._since_unix: dict[tuple[StreamId, str], float] = {}  # they have been low

    def observe(self, worker: ChildId, transcodes: Iterable[TranscodeStatus]) -> list[HookNotice]:
        """What a worker's heartbeat brings about."""
        streams = self._state.streams
        for of in [of for of in self._since_unix if of[0] not in streams]:
            del self._since_unix[of]
        found: list[HookNotice] = []
        for status in transcodes:
            stream = streams.get(status.stream_id)
            if stream is None or self._state.device_of(stream) != worker:
                continue
            if status.generation == stream.generation:
                found += self._changes(status)
        return found

    def _changes(self, status: TranscodeStatus) -> Iterator[HookNotice]:
        for rendition in status.renditions:
            of = status.stream_id, rendition.name
            quality = rendition.quality
            if quality is None or rendition.is_low is (of in self._since_unix):
                continue
            since_unix = quality.at_unix
            if rendition.is_low:
                self._since_unix[of] = since_unix
            else:
                since_unix = self._since_unix.pop(of)
            yield _notice(status, rendition, quality, quality.at_unix - since_unix)


def _notice(
    status: TranscodeStatus, rendition: RenditionStatus, quality: Quality, seconds: float
) -> HookNotice:
    """A rendition looks bad from now on, or no more, after so many seconds."""
    app, key = split_stream_id(status.stream_id)
    # one of its own: who hears two of one session and event takes them for one
    session = f"quality-{status.generation}-{rendition.name}-{int(quality.at_unix)}"
    return HookNotice(
        HookEvent.QUALITY,
        HookSubject(app, key, rendition.name, "", session, ""),
        quality.at_unix,
        max(0.0, seconds),
        0,
        f"SSIM {quality.ssim:.3f}, its floor is {rendition.quality_floor or 0:g}",
        is_low=rendition.is_low,
    )
