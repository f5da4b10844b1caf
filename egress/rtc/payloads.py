"""A rendition's pictures as RTP payloads, by its codec's configuration. Pure.

One class for each codec that is sent by WebRTC; `packetiser_of` chooses it.
"""

from collections.abc import Callable
from typing import Final, Protocol

from common.codecs.av1 import Av1Config
from common.codecs.h264 import AvcConfig, nal_spans
from common.codecs.h265 import HevcConfig
from common.media.units import VideoCodec, VideoConfig, VideoUnit
from common.rtp import av1, h264, h265


class Packetiser(Protocol):
    """What makes payloads of one codec's pictures."""

    @property
    def profile(self) -> str:
        """The profile as its payload types name it: H.264's profile_idc in hex, H.265's in digits.

        Empty, where payload types are not told apart by it.
        """

    def payloads(self, unit: VideoUnit, *, is_key: bool) -> list[bytes]:
        """A picture's, with what a decoder begins by where it is a keyframe. Raises CodecError."""


class H264:
    """Of H.264 (RFC 6184)."""

    def __init__(self, record: bytes) -> None:
        config = AvcConfig.parse(record)
        self._sets = (*config.sps, *config.pps)
        self._length_size = config.nal_length_size
        self.profile = f"{config.profile:02x}"

    def payloads(self, unit: VideoUnit, *, is_key: bool) -> list[bytes]:
        data = unit.data
        nals = [data[begin:end] for begin, end in nal_spans(data, self._length_size)]
        return h264.packetise(nals, self._sets if is_key else ())


class H265:
    """Of H.265 (RFC 7798)."""

    def __init__(self, record: bytes) -> None:
        config = HevcConfig.parse(record)
        self._sets = (*config.vps, *config.sps, *config.pps)
        self._length_size = config.nal_length_size
        self.profile = str(config.general[0] & 0x1F)

    def payloads(self, unit: VideoUnit, *, is_key: bool) -> list[bytes]:
        data = unit.data
        nals = [data[begin:end] for begin, end in nal_spans(data, self._length_size)]
        return h265.packetise(nals, self._sets if is_key else ())


class Av1:
    """Of AV1."""

    profile = ""

    def __init__(self, record: bytes) -> None:
        self._header = Av1Config.parse(record).sequence_header

    def payloads(self, unit: VideoUnit, *, is_key: bool) -> list[bytes]:
        return av1.packetise(unit.data, self._header, is_key=is_key)


PACKETISERS: Final[dict[VideoCodec, Callable[[bytes], Packetiser]]] = {
    VideoCodec.H264: H264,
    VideoCodec.H265: H265,
    VideoCodec.AV1: Av1,
}


def packetiser_of(config: VideoConfig) -> Packetiser | None:
    """What makes payloads of such pictures; None: WebRTC is not sent them. Raises CodecError."""
    made = PACKETISERS.get(config.codec)
    return made(config.record) if made is not None else None
