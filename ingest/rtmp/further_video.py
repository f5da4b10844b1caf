"""A publisher's video tracks beyond the first, as units and configurations of their own.

Their times are the first track's: what a timestamp of that stands for in stream time, it stands for
in theirs. So a picture has one PTS in each track, whatever was decided about the publisher's clock.
What comes before the first track's first picture waits for it, a few messages.

Pure, one a publisher. What cannot be read comes out as `Dropped`; nothing raises.
"""

from collections.abc import Sequence
from typing import Final

from common.codecs.h264_access_units import MessageFacts
from common.codecs.table import codec_of_record
from common.errors import FlvError
from common.flv.video import FrameType, VideoBody, VideoPacket, further_video_bodies
from common.media.units import VideoCodec
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Stamp
from ingest.streams.media_events import TrackVideo, dropped_video
from ingest.streams.video_input import VIDEO_INPUTS, VideoInput, VideoInputResult

MAX_TRACKS: Final = 9  # that are read: OBS sends up to 10 in all
MAX_WAITING: Final = 64  # messages ahead of the first track's first picture …
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024  # … and their bytes
_HALF: Final = 1 << 31


class TrackTimes:
    """The times of further tracks: `PictureTimes`."""

    def __init__(self, source: SourceTimes) -> None:
        self._source = source

    def video(
        self, timestamp: int, now: float, composition_ms: int, frame_ms: float | None
    ) -> Stamp:
        """The stream time of a picture, by the first track's last one."""
        last_timestamp, last_ms = self._source.last_video or (timestamp, 0)
        ahead_ms = (timestamp - last_timestamp + _HALF) % (2 * _HALF) - _HALF
        return Stamp(last_ms + ahead_ms)


class _Track:
    """One track of one codec at a time."""

    def __init__(self, track_id: int, times: TrackTimes) -> None:
        self._track_id = track_id
        self._times = times
        self._label: VideoCodec | None = None  # that messages for it bear
        self._codec: VideoCodec | None = None  # which it is
        self._input: VideoInput | None = None

    def take(self, body: VideoBody[bytes], timestamp: int, now: float) -> list[TrackVideo]:
        """Take its part of a message."""
        results: Sequence[VideoInputResult] = ()
        if body.codec is None or body.codec not in VIDEO_INPUTS or body.packet is None:
            return []
        if body.packet is VideoPacket.SEQUENCE_HEADER:
            results = self._record(body.codec, body.data)
        elif body.packet is VideoPacket.NALUS:
            if self._input is None or body.codec is not self._label:
                results = [dropped_video("video before its sequence header")]
            else:
                is_flagged = body.frame_type is FrameType.KEY
                facts = MessageFacts(timestamp, body.composition_ms, is_flagged, now)
                results = self._input.message(body.data, facts)
        return [TrackVideo(self._track_id, result) for result in results]

    def _record(self, label: VideoCodec, record: bytes) -> Sequence[VideoInputResult]:
        codec = codec_of_record(label, record)
        self._label = label
        if self._input is None or codec is not self._codec:
            self._codec, self._input = codec, VIDEO_INPUTS[codec](self._times)
        return self._input.record(record)


class FurtherVideo:
    """One publisher's further tracks. Costs nothing where there are none."""

    def __init__(self, source: SourceTimes) -> None:
        """`source` are the first track's times."""
        self._source = source
        self._times = TrackTimes(source)
        self._tracks: dict[int, _Track] = {}
        self._waiting: list[tuple[int, bytes, float]] = []
        self._waiting_bytes = 0

    @property
    def is_waiting(self) -> bool:
        """Whether something waits for the first track's first picture."""
        return bool(self._waiting)

    def message(self, timestamp: int, payload: bytes, now: float) -> list[TrackVideo]:
        """Take what a message has of further tracks."""
        if self._source.last_video is None:
            self._wait(timestamp, payload, now)
            return self._headers(timestamp, payload, now)
        return [*self.take_waiting(), *self._parts(timestamp, payload, now)]

    def take_waiting(self) -> list[TrackVideo]:
        """What has waited, once the first track has had a picture."""
        if self._source.last_video is None:
            return []
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return [result for entry in waiting for result in self._parts(*entry)]

    def _wait(self, timestamp: int, payload: bytes, now: float) -> None:
        size = self._waiting_bytes + len(payload)
        if len(self._waiting) < MAX_WAITING and size <= MAX_WAITING_BYTES:
            self._waiting.append((timestamp, payload, now))
            self._waiting_bytes = size

    def _headers(self, timestamp: int, payload: bytes, now: float) -> list[TrackVideo]:
        """The configurations of a message whose pictures wait."""
        bodies = [body for body in _bodies(payload) if body.packet is VideoPacket.SEQUENCE_HEADER]
        return self._take(bodies, timestamp, now)

    def _parts(self, timestamp: int, payload: bytes, now: float) -> list[TrackVideo]:
        return self._take(_bodies(payload), timestamp, now)

    def _take(
        self, bodies: Sequence[VideoBody[bytes]], timestamp: int, now: float
    ) -> list[TrackVideo]:
        results: list[TrackVideo] = []
        for body in bodies:
            track = self._tracks.get(body.track_id)
            if track is None:
                if len(self._tracks) >= MAX_TRACKS:
                    continue
                track = self._tracks[body.track_id] = _Track(body.track_id, self._times)
            results += track.take(body, timestamp, now)
        return results


def _bodies(payload: bytes) -> Sequence[VideoBody[bytes]]:
    try:
        return further_video_bodies(payload)
    except FlvError:
        return ()
