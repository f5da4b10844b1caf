"""What a source's configuration record says, as devices open for it. Pure.

Sessions pass a `Source` on and look at its size and rate alone: what a codec's record holds is the
devices' business.
"""

from dataclasses import dataclass
from fractions import Fraction

from common.codecs.h264 import AvcConfig, SpsInfo, is_random_access, parse_sps
from common.config.ladder import SourceFormat
from common.errors import AvcError, DecodeFailed
from common.media.units import VideoCodec


@dataclass(frozen=True, slots=True)
class Source:
    """A source's configuration."""

    record: bytes
    config: AvcConfig
    sps: SpsInfo

    @property
    def format(self) -> SourceFormat:
        """What a ladder is fitted to."""
        return SourceFormat(self.sps.width, self.sps.height, self.sps.sar, self.sps.fps)

    @property
    def fps(self) -> Fraction | None:
        return self.sps.fps

    @property
    def size(self) -> str:
        """For people."""
        return f"{self.sps.width}x{self.sps.height}"

    @property
    def samples(self) -> int:
        """Luma samples of a picture."""
        return self.sps.width * self.sps.height

    @property
    def length_size(self) -> int:
        """Bytes of the length in front of each NAL unit."""
        return self.config.nal_length_size

    def can_start_at(self, data: bytes) -> bool:
        """Return whether a unit is an IDR picture: nothing before it need be decoded."""
        try:
            return is_random_access(data, self.record)
        except AvcError:
            return False


def read_source(record: bytes, codec: VideoCodec = VideoCodec.H264) -> Source:
    """Parse the record and its first SPS. Raises AvcError, DecodeFailed."""
    if codec is not VideoCodec.H264:
        raise DecodeFailed(f"{codec.label} is not decoded here")
    config = AvcConfig.parse(record)
    if not config.sps:
        raise DecodeFailed("the sequence header holds no SPS")
    return Source(record, config, parse_sps(config.sps[0]))
