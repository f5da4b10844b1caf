"""Decoding on the host with libavcodec, through PyAV: H.264, H.265, and AV1 by libdav1d.

One thread a decoder, so that a picture comes out of the call that took its unit in, as far as the
stream's reordering allows. What is damaged is concealed by libavcodec and marked. Interlaced
pictures are deinterlaced here, one picture a frame, and only from the first one that is flagged
interlaced until pictures are progressive again for a while, since the filter holds one picture.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import av.error
import av.filter
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from common.errors import DecodeFailed, DeviceLost
from common.media.pictures import PictureFormat
from common.media.units import VideoCodec
from worker.devices.backend import Picture
from worker.devices.software.snapshot import jpeg_of
from worker.devices.source import DecoderConfig
from worker.frames.picture_content import grid_of
from worker.frames.snapshot import snapshot_size

MILLISECONDS = Fraction(1, 1000)  # the time base of every frame in a worker
_PROGRESSIVE_AGAIN = 50  # progressive pictures in a row that end deinterlacing
# The VUI's matrices (H.264 table E-5) that libswscale knows. Scaling needs none, but no graph is
# made for frames with another: YCgCo, BT.2020 with constant luminance, ICtCp, what is reserved.
_KNOWN_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
_UNSPECIFIED_MATRIX = 2
# By codec: libavcodec's decoder, and its options. libdav1d would hold pictures back for threads.
DECODER_OPTIONS: Mapping[VideoCodec, tuple[str, Mapping[str, str]]] = {
    VideoCodec.H264: ("h264", {}),
    VideoCodec.H265: ("hevc", {}),
    VideoCodec.AV1: ("libdav1d", {"max_frame_delay": "1"}),
}
DECODERS = tuple(name for name, _ in DECODER_OPTIONS.values())
_REORDER_GUESS = 2  # pictures, where the SPS is silent and the composition times say there are some


@dataclass(frozen=True, slots=True)
class SoftPicture:
    """A decoded picture in host memory, any 4:2:0, 4:2:2 or 4:4:4 format of 8 bits or more."""

    frame: VideoFrame
    pts_ms: int
    sar: Fraction
    is_damaged: bool

    @property
    def width(self) -> int:
        return self.frame.width

    @property
    def height(self) -> int:
        return self.frame.height

    def kept(self) -> "SoftPicture":
        return self

    def at(self, pts_ms: int) -> "SoftPicture":
        # Encoders write a frame's time and type, and may still be at it: another frame, same data.
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add("buffer", buffer_arguments(self.frame)),
            graph.add("null"),
            graph.add("buffersink"),
        ).configure()
        graph.vpush(self.frame)
        frame = graph.vpull()
        frame.pts = pts_ms
        frame.time_base = MILLISECONDS
        return replace(self, frame=frame, pts_ms=pts_ms)


class SoftDecoder:
    """A `worker.devices.backend.Decoder`."""

    def __init__(self, config: DecoderConfig, pictures: PictureFormat) -> None:
        self._config = config
        self._format = pictures
        self._context = _open(config, pictures)
        self._is_fresh = True  # nothing went in since the opening or a flush
        self._deinterlacer: _Deinterlacer | None = None

    def decode(self, data: bytes, dts_ms: int, pts_ms: int) -> list[SoftPicture]:
        if not data:  # to libavcodec that is the stream's end
            raise DecodeFailed("a unit without data")
        packet = av.Packet(data)
        packet.dts = dts_ms
        packet.pts = pts_ms
        packet.time_base = MILLISECONDS
        if self._is_fresh:
            self._is_fresh = False
            if self._format.reorder_frames is None and pts_ms > dts_ms:
                # libavcodec begins with none and loses a picture each time it learns better
                self._context.reorder_depth = _REORDER_GUESS
        try:
            frames = self._context.decode(packet)
        except (MemoryError, av.error.MemoryError) as error:
            raise DeviceLost("out of memory in the decoder") from error
        except av.error.FFmpegError as error:
            raise DecodeFailed(str(error)) from error
        return self._pictures(frames)

    def reconfigure(self, config: DecoderConfig, pictures: PictureFormat) -> list[SoftPicture]:
        ready = self.flush()
        self._config, self._format = config, pictures
        self._context = _open(config, pictures)
        return ready

    def flush(self) -> list[SoftPicture]:
        try:
            frames = self._context.decode(None)
        except av.error.FFmpegError:
            frames = []
        pictures = self._pictures(frames)
        if self._deinterlacer is not None:
            pictures += [self._picture(frame) for frame in self._deinterlacer.flush()]
            self._deinterlacer = None
        self._context.flush_buffers()
        self._is_fresh = True
        return pictures

    def look(self, picture: Picture) -> bytes | None:
        assert isinstance(picture, SoftPicture)
        frame = picture.frame
        component = frame.format.components[0]
        if not component.is_luma:
            return None
        if component.bits != 8:
            frame = frame.reformat(format="yuv420p")  # once a second
        plane = frame.planes[0]
        return grid_of(memoryview(plane), plane.line_size, frame.width, frame.height)

    def snapshot(self, picture: Picture) -> bytes | None:
        assert isinstance(picture, SoftPicture)
        size = snapshot_size(picture.width, picture.height, float(picture.sar))
        try:
            return jpeg_of(picture.frame, *size)
        except DecodeFailed:
            return None

    def close(self) -> None:
        self._deinterlacer = None

    def _pictures(self, frames: list[VideoFrame]) -> list[SoftPicture]:
        for frame in frames:
            if frame.colorspace not in _KNOWN_MATRICES:
                frame.colorspace = _UNSPECIFIED_MATRIX  # what renditions say of it is the SPS's
        if self._deinterlacer is None and not any(frame.interlaced_frame for frame in frames):
            return [self._picture(frame) for frame in frames if frame.pts is not None]
        pictures = []
        for frame in frames:
            if frame.pts is not None:
                pictures += [self._picture(ready) for ready in self._deinterlaced(frame)]
        return pictures

    def _deinterlaced(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        deinterlacer = self._deinterlacer
        if deinterlacer is not None and not deinterlacer.suits(frame):
            yield from deinterlacer.flush()
            deinterlacer = None
        if deinterlacer is None and frame.interlaced_frame:
            deinterlacer = _Deinterlacer(frame)
        self._deinterlacer = deinterlacer
        if deinterlacer is None:
            yield frame
        else:
            yield from deinterlacer.push(frame)

    def _picture(self, frame: VideoFrame) -> SoftPicture:
        assert frame.pts is not None
        return SoftPicture(frame, frame.pts, self._format.sar, frame.is_corrupt)


class _Deinterlacer:
    """bwdif on pictures of one size and format; it holds one picture back."""

    def __init__(self, frame: VideoFrame) -> None:
        self._format = (frame.width, frame.height, frame.format.name)
        self._progressive = 0
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        source = self._graph.add("buffer", buffer_arguments(frame))
        filtered = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        sink = self._graph.add("buffersink")
        self._graph.link_nodes(source, filtered, sink).configure()

    def suits(self, frame: VideoFrame) -> bool:
        """Return whether this picture goes through the filter too."""
        self._progressive = 0 if frame.interlaced_frame else self._progressive + 1
        return (
            self._progressive < _PROGRESSIVE_AGAIN
            and (frame.width, frame.height, frame.format.name) == self._format
        )

    def push(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        frame.time_base = MILLISECONDS
        self._graph.vpush(frame)
        return self._pull()

    def flush(self) -> Iterator[VideoFrame]:
        self._graph.vpush(None)
        return self._pull()

    def _pull(self) -> Iterator[VideoFrame]:
        while True:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if frame.pts is not None and frame.time_base is not None:
                # the filter counts in fields
                frame.pts = round(frame.pts * frame.time_base / MILLISECONDS)
                frame.time_base = MILLISECONDS
                yield frame


def buffer_arguments(frame: VideoFrame) -> str:
    """The arguments of a graph's `buffer` for frames like this one."""
    return (
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
        f":time_base=1/1000:pixel_aspect=1/1"
        f":colorspace={frame.colorspace}:range={frame.color_range}"
    )


def _open(config: DecoderConfig, pictures: PictureFormat) -> VideoCodecContext:
    name, options = DECODER_OPTIONS[config.codec]
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, VideoCodecContext)
    context.extradata = config.encode()
    context.thread_count = 1
    # parameter sets in band, garbage maybe, must not make it take memory for anything larger
    most = 2 * (pictures.width + 64) * (pictures.height + 64)
    context.options = {"max_pixels": str(most), **options}
    try:
        context.open()
    except av.error.FFmpegError as error:
        raise DecodeFailed(f"libavcodec refuses the stream: {error}") from error
    return context
