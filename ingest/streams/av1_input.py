"""A publisher's AV1, whatever protocol it came by, as units and configurations.

A message is a temporal unit, which shows one frame. The sequence header in force is the one that
came last, in a record or in band: where one in band differs, a record is made of it, ahead of the
unit that it came in. Encoders decide on some tools only when they have seen pictures, and so write
another one into their first keyframe than into the record (SVT-AV1).

Pure, one a publisher. What cannot be read comes out as `Dropped`; nothing raises.
"""

from fractions import Fraction

from common.codecs.av1 import Av1Config, read_unit, sequence_header_of, video_config
from common.codecs.h264_access_units import MessageFacts
from common.errors import Av1Error
from common.media.units import Data, MediaKind, VideoCodec, VideoConfig, VideoUnit
from ingest.streams.h264_input import MAX_RECORD_BYTES
from ingest.streams.media_events import Dropped, dropped_video
from ingest.streams.unit_maker import PictureTimes, UnitMaker

Av1Result = VideoConfig | VideoUnit | Dropped


class Av1Input:
    """One publisher's video messages, in the order of arrival."""

    def __init__(self, times: PictureTimes) -> None:
        self._maker = UnitMaker(VideoCodec.AV1, times)
        self._record = b""  # the last one that came
        self._header = b""  # the sequence header in force
        self._unreadable = b""  # one that comes with every keyframe is complained of once

    def declare_rate(self, fps: Fraction | None) -> None:
        """Take the frame rate that the publisher states beside its video."""
        self._maker.declare_rate(fps)

    def record(self, record: bytes) -> list[Av1Result]:
        """Take a configuration record."""
        if not record:
            return [dropped_video("empty sequence header")]
        if record == self._record:
            return []
        try:
            if len(record) > MAX_RECORD_BYTES:
                raise Av1Error(f"AV1 configuration of {len(record)} bytes is too long")
            header = Av1Config.parse(record).sequence_header
            if not header:
                return []  # it comes in band
            self._record = record
            return self._configured(header, record)
        except Av1Error as error:
            return [dropped_video("unreadable sequence header", error)]

    def _configured(self, header: bytes, record: bytes) -> list[Av1Result]:
        """The config if it says anything new. Raises Av1Error."""
        if header == self._header:
            return []
        info = sequence_header_of(header)
        self._header = header
        self._maker.configure(info.fps)
        return [video_config(record, info)]

    def message(self, data: Data, message: MessageFacts) -> list[Av1Result]:
        """Take a temporal unit."""
        try:
            unit = read_unit(data)
        except Av1Error as error:
            reason = "OBUs beyond their tag"
            return [Dropped(MediaKind.VIDEO, reason, str(error), breaks_references=True)]
        results: list[Av1Result] = []
        header = unit.sequence_header
        if header and header not in (self._header, self._unreadable):
            try:
                record = Av1Config.from_sequence_header(header).encode()
                results = self._configured(header, record)
            except Av1Error as error:
                self._unreadable = header
                results = [dropped_video("unreadable sequence header in band", error)]
        if not unit.has_frame:
            if not header:
                results.append(dropped_video("video tag without a picture"))
            return results
        if not self._header:
            return [*results, dropped_video("video before its sequence header")]
        results.append(
            self._maker.unit(
                unit.data,
                message,
                is_random_access=unit.is_key,
                is_claimed=message.is_flagged,
            )
        )
        return results

    def flush(self, before_s: float) -> list[Av1Result]:
        """Nothing waits: a message is a temporal unit."""
        del before_s
        return []
