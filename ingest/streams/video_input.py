"""What a publisher's video of one codec is taken in by: a protocol, and the codecs that there are.

Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Protocol

from common.codecs.h264_access_units import MessageFacts
from common.media.units import Data, VideoCodec, VideoConfig, VideoUnit
from ingest.streams.av1_input import Av1Input
from ingest.streams.h264_input import H264Input
from ingest.streams.h265_input import H265Input
from ingest.streams.media_events import Dropped
from ingest.streams.unit_maker import PictureTimes

VideoInputResult = VideoConfig | VideoUnit | Dropped


class VideoInput(Protocol):
    """One publisher's video messages of a codec, in the order of arrival. Nothing raises."""

    def declare_rate(self, fps: Fraction | None) -> None:
        """Take the frame rate that the publisher states beside its video."""
        ...

    def record(self, record: bytes) -> Sequence[VideoInputResult]:
        """Take a configuration record."""
        ...

    def message(self, data: Data, message: MessageFacts) -> Sequence[VideoInputResult]:
        """Take a message's coded pictures."""
        ...

    def flush(self, before_s: float) -> Sequence[VideoInputResult]:
        """What waits for more of its picture, if the last of it came before then."""
        ...


# By codec: what takes it in. Others are refused by name.
VIDEO_INPUTS: Mapping[VideoCodec, Callable[[PictureTimes], VideoInput]] = {
    VideoCodec.H264: H264Input,
    VideoCodec.H265: H265Input,
    VideoCodec.AV1: Av1Input,
}
