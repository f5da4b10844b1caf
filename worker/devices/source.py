"""What a source's configuration record says, as devices open for it. Pure.

Sessions pass a `Source` on and look at its size and rate alone: what a codec's record holds is the
devices' business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from common.codecs import h264, h265_sps
from common.codecs.av1 import Av1Config, sequence_header_of
from common.codecs.h264 import AvcConfig
from common.codecs.h265 import HevcConfig
from common.codecs.table import VIDEO_CODECS, CodecConfig
from common.config.ladder import SourceFormat
from common.errors import DecodeFailed, ProtocolError
from common.media.pictures import PictureFormat
from common.media.units import VideoCodec

DecoderConfig = CodecConfig


@dataclass(frozen=True, slots=True)
class Source:
    """A source's configuration."""

    record: bytes
    config: DecoderConfig
    pictures: PictureFormat

    @property
    def codec(self) -> VideoCodec:
        return self.config.codec

    @property
    def format(self) -> SourceFormat:
        """What a ladder is fitted to."""
        pictures = self.pictures
        return SourceFormat(pictures.width, pictures.height, pictures.sar, pictures.fps)

    @property
    def fps(self) -> Fraction | None:
        return self.pictures.fps

    @property
    def size(self) -> str:
        """For people."""
        return f"{self.pictures.width}x{self.pictures.height}"

    @property
    def samples(self) -> int:
        """Luma samples of a picture."""
        return self.pictures.width * self.pictures.height

    @property
    def length_size(self) -> int:
        """Bytes of the length in front of each NAL unit; 0: the codec has none."""
        return self.config.nal_length_size

    @property
    def has_leading(self) -> bool:
        """Pictures may refer to what came before the keyframe that they follow (RASL of H.265)."""
        return self.codec is VideoCodec.H265

    def can_start_at(self, data: bytes) -> bool:
        """Return whether nothing before a unit need be decoded."""
        try:
            return VIDEO_CODECS[self.codec].is_random_access(data, self.record)
        except ProtocolError:
            return False


def read_source(record: bytes, codec: VideoCodec = VideoCodec.H264) -> Source:
    """Parse the record and the first headers in it. Raises ProtocolError, DecodeFailed."""
    read = _READ.get(codec)
    if read is None:
        raise DecodeFailed(f"{codec.label} is not decoded here")
    return read(record)


def _h264(record: bytes) -> Source:
    config = AvcConfig.parse(record)
    if not config.sps:
        raise DecodeFailed("the sequence header holds no SPS")
    return Source(record, config, h264.parse_sps(config.sps[0]))


def _h265(record: bytes) -> Source:
    config = HevcConfig.parse(record)
    if not config.sps:
        raise DecodeFailed("the sequence header holds no SPS")
    return Source(record, config, h265_sps.parse_sps(config.sps[0]))


def _av1(record: bytes) -> Source:
    config = Av1Config.parse(record)
    header = config.sequence_header
    if not header:
        raise DecodeFailed("the configuration record holds no sequence header")
    return Source(record, config, sequence_header_of(header))


_READ: Mapping[VideoCodec, Callable[[bytes], Source]] = {
    VideoCodec.H264: _h264,
    VideoCodec.H265: _h265,
    VideoCodec.AV1: _av1,
}
