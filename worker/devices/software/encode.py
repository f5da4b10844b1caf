"""Encoding on the host with libx264, libx265 and SVT-AV1, through PyAV.

Takes any surface that gives a frame in host memory: those of `soft_scale`, and on a GPU without
an encoder those that were copied down (yuv420p or nv12). Tuned for no delay: each picture out of
the call that took its frame in. Keyframes only where they are asked for; parameter sets only in
`config`, but those of AV1. Rate control goes by the rate named at the opening, not by the frames'
times: with the zerolatency tune x264 knows no other.
"""

import os
from collections.abc import Iterable
from contextlib import nullcontext
from fractions import Fraction
from itertools import islice
from typing import Final, Protocol

import av
import av.error
from av import Packet, VideoStream
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from common.codecs.table import CodecConfig
from common.config.ladder import RenditionFormat
from common.errors import DeviceLost, EncodeFailed, ProtocolError
from common.media.pictures import PictureFormat
from common.media.units import VideoCodec
from worker.devices.backend import EncodedUnit, Surface
from worker.devices.software.decode import MILLISECONDS
from worker.devices.software.encoder_formats import FORMATS, SoftwareFormat
from worker.devices.tone_mapping import shown_format
from worker.devices.turns import Turns

PLANAR: Final = "yuv420p"  # that every library takes
# SVT-AV1 writes on stderr what it is and how it is set; FFmpeg tells what it refuses.
os.environ.setdefault("SVT_LOG", "0")


class HostSurface(Protocol):
    """A `worker.devices.backend.Surface` whose frame is, or can be brought, into host memory."""

    @property
    def pts_ms(self) -> int: ...

    def video_frame(self) -> VideoFrame:
        """The frame, in the encoder's size and pixel format, time base 1/1000."""
        ...


def encoded_here() -> tuple[VideoCodec, ...]:
    """The codecs that this build of FFmpeg has an encoder for."""
    found = []
    for codec, made in FORMATS.items():
        try:
            av.Codec(made.library, "w")
        except ValueError:
            continue
        found.append(codec)
    return tuple(found)


class SoftEncoder:
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
        made = self._format = FORMATS[rendition.codec]
        # What the library does not take becomes planar, sample by sample.
        self._reformatter = None if pixel_format in made.pixel_formats else VideoReformatter()
        taken = pixel_format if self._reformatter is None else PLANAR
        shown = shown_format(pictures)
        self._range = ColorRange.JPEG if shown.full_range else ColorRange.MPEG
        try:
            self._context = _open(made, rendition, shown, fps, taken, threads)
            record = self._context.extradata or b""
            if (
                made.is_config_in_band
            ):  # of another one: a black picture would tell its rate control
                record = _black_picture(_open(made, rendition, shown, fps, taken, threads))
            self._config = made.read_config(record)
        except (MemoryError, av.error.MemoryError) as error:
            raise DeviceLost("out of memory opening an encoder") from error
        except (av.error.FFmpegError, ProtocolError, ValueError) as error:
            words = f"{rendition.name}: {made.library} does not open: {error}"
            raise EncodeFailed(words) from error

    @property
    def config(self) -> CodecConfig:
        return self._config

    def encode(self, surface: Surface, *, force_idr: bool) -> list[EncodedUnit]:
        frame = surface.video_frame()  # type: ignore[attr-defined]  # HostSurface by contract
        if self._reformatter is not None:
            frame = self._reformatter.reformat(
                frame,
                format=PLANAR,
                src_color_range=self._range,
                dst_color_range=self._range,
            )
            frame.pts = surface.pts_ms
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
            words = f"{self._rendition.name}: {self._format.library}: {error}"
            raise EncodeFailed(words) from error
        picture_only = self._format.picture_only
        return [
            EncodedUnit(packet.pts, packet.is_keyframe, picture_only(bytes(packet)))
            for packet in packets
            if packet.pts is not None
        ]


def _black_picture(context: VideoCodecContext) -> bytes:
    """A black picture, coded."""
    assert context.pix_fmt is not None
    frame = VideoFrame(context.width, context.height, context.pix_fmt)
    for number, plane in enumerate(frame.planes):
        plane.update(bytes((128 if number else 16,)) * plane.buffer_size)
    frame.pts, frame.time_base = 0, MILLISECONDS
    return b"".join(map(bytes, context.encode(frame)))


def _open(
    made: SoftwareFormat,
    rendition: RenditionFormat,
    pictures: PictureFormat,
    fps: Fraction,
    pixel_format: str,
    threads: int,
) -> VideoCodecContext:
    context = av.CodecContext.create(made.library, "w")
    assert isinstance(context, VideoCodecContext)
    context.width = rendition.width
    context.height = rendition.height
    context.pix_fmt = pixel_format
    context.time_base = MILLISECONDS
    context.framerate = fps
    context.sample_aspect_ratio = Fraction(1)
    context.max_b_frames = 0
    context.thread_count = threads
    context.flags |= Flags.global_header
    context.color_range = 2 if pictures.full_range else 1
    context.colorspace = pictures.colour_matrix
    context.color_primaries = pictures.colour_primaries
    context.color_trc = pictures.colour_transfer
    context.options = dict(made.options(rendition, threads))
    context.open()
    return context
