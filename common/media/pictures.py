"""What the pictures of a source are, as its headers tell, whatever the codec. Pure values."""

from dataclasses import dataclass
from fractions import Fraction

from common.media.units import Colour, VideoCodec, VideoConfig


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """What an SPS or a sequence header tells about the pictures; None where it is silent."""

    width: int  # luma samples, cropped
    height: int  # luma samples of a frame, cropped
    sar: Fraction  # width : height of a sample, 1 when unspecified
    profile: int  # the codec's number of it
    compat: int  # H.264's constraint flags; 0 for other codecs
    level: int
    fps: Fraction | None  # frames per second, if timing is told
    reorder_frames: int | None  # how many frames may precede one in decoding and follow it on show
    interlaced: bool  # fields may occur
    chroma_format: int  # 0 mono, 1 4:2:0, 2 4:2:2, 3 4:4:4
    bit_depth: int  # of luma
    bit_depth_chroma: int
    full_range: bool
    colour_primaries: int  # ISO/IEC 23091-2 code points, 2 = unspecified
    colour_transfer: int
    colour_matrix: int

    @property
    def depth(self) -> int:
        """Bits of the deepest sample."""
        return max(self.bit_depth, self.bit_depth_chroma)

    @property
    def bits_per_pixel(self) -> int:
        """Of a decoded picture in memory, where a sample of more than 8 bits takes 16."""
        samples_of_two = (2, 3, 4, 6)[self.chroma_format]  # of two pixels
        return samples_of_two * (4 if self.depth <= 8 else 8)

    @property
    def colour(self) -> Colour:
        """How samples become light."""
        return Colour(
            self.colour_primaries, self.colour_transfer, self.colour_matrix, self.full_range
        )


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What a device decodes of one codec and depth, 4:2:0."""

    codec: VideoCodec
    bit_depth: int
    min_width: int
    min_height: int
    max_width: int
    max_height: int
    profiles: tuple[int, ...] = ()  # the codec's numbers; none: all


def config_of(
    codec: VideoCodec, record: bytes, pictures: PictureFormat, reference_frames: int = 0
) -> VideoConfig:
    """The configuration of a record whose headers tell this of the pictures."""
    return VideoConfig(
        codec,
        record,
        pictures.width,
        pictures.height,
        sample_aspect=pictures.sar,
        fps=pictures.fps,
        colour=pictures.colour,
        reference_frames=reference_frames,
        bits_per_pixel=pictures.bits_per_pixel,
        bit_depth=pictures.depth,
        chroma_format=pictures.chroma_format,
    )
