"""H.264 encoding on the host with libx264, through PyAV.

Takes any surface that gives a frame in host memory: those of `soft_scale`, and on a GPU without
an encoder those that were copied down (yuv420p or nv12). Tuned for no delay: each picture out of
the call that took its frame in. Keyframes only where they are asked for; parameter sets only in
`config`. Rate control goes by the rate named at the opening, not by the frames' times: with the
zerolatency tune x264 knows no other.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from fractions import Fraction
from itertools import islice
from typing import Protocol

import av
import av.error
from av import Packet, VideoStream
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from common.codecs.h264 import AvcConfig, NalType, nal_spans
from common.config.ladder import RenditionFormat
from common.errors import AvcError, DeviceLost, EncodeFailed
from common.media.pictures import PictureFormat
from worker.devices.backend import EncodedUnit, Surface
from worker.devices.software.decode import MILLISECONDS
from worker.devices.tone_mapping import shown_format
from worker.devices.turns import Turns

# NVENC's names for how much time to take, and what x264 calls the like.
X264_PRESETS = {
    "p1": "ultrafast",
    "p2": "superfast",
    "p3": "veryfast",
    "p4": "faster",
    "p5": "fast",
    "p6": "medium",
    "p7": "slow",
}
_PICTURES = (NalType.SLICE, NalType.IDR)


class HostSurface(Protocol):
    """A `worker.devices.backend.Surface` whose frame is, or can be brought, into host memory."""

    @property
    def pts_ms(self) -> int: ...

    def video_frame(self) -> VideoFrame:
        """The frame, in the encoder's size and pixel format, time base 1/1000."""
        ...


class X264Encoder:
    """A `worker.devices.backend.Encoder` for `HostSurface`s."""

    def __init__(
        self,
        rendition: RenditionFormat,
        pictures: PictureFormat,
        fps: Fraction,
        *,
        pixel_format: str,
        threads: int = 1,
        turns: Turns | None = None,
    ) -> None:
        """`pictures`: the source's. `turns` is entered for each picture.

        Raises EncodeFailed, DeviceLost.
        """
        self._turns = turns or nullcontext()
        self._rendition = rendition
        try:
            shown = shown_format(pictures)
            self._context = _open(rendition, shown, fps, pixel_format, threads)
            self._config = AvcConfig.parse(self._context.extradata or b"")
        except (MemoryError, av.error.MemoryError) as error:
            raise DeviceLost("out of memory opening an encoder") from error
        except (av.error.FFmpegError, AvcError, ValueError) as error:
            raise EncodeFailed(f"{rendition.name}: libx264 does not open: {error}") from error

    @property
    def config(self) -> AvcConfig:
        return self._config

    def encode(self, surface: Surface, *, force_idr: bool) -> list[EncodedUnit]:
        frame = surface.video_frame()  # type: ignore[attr-defined]  # HostSurface by contract
        # A decoded frame says what it was coded as: the encoder would take that for an order.
        # Frames are shared by renditions that need no scaling; all renditions set the same type.
        frame.pict_type = PictureType.I if force_idr else PictureType.NONE
        frame.time_base = MILLISECONDS
        # Its packet comes at once. To ask for another would give the GIL up for nothing, and to get
        # it back takes a turn behind all other threads.
        with self._turns:
            return self._units(islice(self._context.encode_lazy(frame), 1))

    def flush(self) -> list[EncodedUnit]:
        return self._units(self._context.encode_lazy(None))

    def close(self) -> None:
        """Nothing is held but memory."""

    def _units(self, coming: "Iterable[Packet[VideoStream]]") -> list[EncodedUnit]:
        try:
            packets = list(coming)
        except av.error.EOFError:
            return []
        except (MemoryError, av.error.MemoryError) as error:
            raise DeviceLost("out of memory in an encoder") from error
        except av.error.FFmpegError as error:
            raise EncodeFailed(f"{self._rendition.name}: libx264: {error}") from error
        return [
            EncodedUnit(packet.pts, packet.is_keyframe, _picture_only(bytes(packet)))
            for packet in packets
            if packet.pts is not None
        ]


def _picture_only(data: bytes) -> bytes:
    """The unit without what stands before its slices: x264 writes its settings into the first."""
    if data[4] & 0x1F in _PICTURES:
        return data
    for begin, end in nal_spans(data):
        if data[begin] & 0x1F in _PICTURES:
            return data[begin - 4 :]
        del end
    return data


def _open(
    rendition: RenditionFormat,
    pictures: PictureFormat,
    fps: Fraction,
    pixel_format: str,
    threads: int,
) -> VideoCodecContext:
    context = av.CodecContext.create("libx264", "w")
    context.width = rendition.width
    context.height = rendition.height
    context.pix_fmt = pixel_format
    context.time_base = MILLISECONDS
    context.framerate = fps
    context.sample_aspect_ratio = Fraction(1)
    context.bit_rate = rendition.bitrate_bps
    context.max_b_frames = 0
    context.thread_count = threads
    context.flags |= Flags.global_header
    context.color_range = 2 if pictures.full_range else 1
    context.colorspace = pictures.colour_matrix
    context.color_primaries = pictures.colour_primaries
    context.color_trc = pictures.colour_transfer
    context.options = {
        "preset": X264_PRESETS.get(rendition.preset, "veryfast"),
        "tune": "zerolatency",
        "profile": rendition.profile,
        "maxrate": str(rendition.peak_bps),  # above the bitrate: VBR, within the VBV
        "bufsize": str(rendition.vbv_bits),
        "forced-idr": "1",
        "a53cc": "0",
        "x264-params": ":".join(_x264_parameters(rendition)),
    }
    context.open()
    return context


def _x264_parameters(rendition: RenditionFormat) -> list[str]:
    parameters = ["annexb=0", "scenecut=0", "keyint=infinite", "bframes=0"]
    # The profile is what the tools in use amount to; the fastest preset uses none of Main's.
    if rendition.preset == "p1" and rendition.profile != "baseline":
        parameters.append("cabac=1")
        if rendition.profile == "high":
            parameters.append("8x8dct=1")
    return parameters
