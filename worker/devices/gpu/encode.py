"""Encoding by NVENC, through PyAV on frames in device memory (IO): H.264, H.265, AV1.

Nothing is copied: the encoder registers the scaler's frames themselves, and a frame is free again
once its packet is out, which is in the same call. An encoder has a stream of its own, which waits
for the frame's event on the device, never on the host: the driver lets a stream wait for its
encoding, and the decoder must not.

Opening encodes one black picture, so that every refusal shows there, with the driver's reason from
FFmpeg's log, and the parameter sets are known; the first picture after it is an IDR.
"""

import threading
import weakref
from collections.abc import Sequence
from fractions import Fraction

import av
import av.error
import av.logging
from av.video.codeccontext import VideoCodecContext
from av.video.frame import CudaContext, PictureType, VideoFrame

from common.codecs.table import CodecConfig
from common.config.ladder import RenditionFormat
from common.errors import EncodeFailed, ProtocolError, WorkerError
from common.media.pictures import PictureFormat
from worker.devices.backend import EncodedUnit, Surface
from worker.devices.gpu.context import GpuContext, Stream
from worker.devices.gpu.memory import DeviceFrame, GpuSurface
from worker.devices.gpu.nvenc import Failure, encoder_options, read_failure
from worker.devices.gpu.nvenc_units import NVENC_FORMATS, NvencFormat
from worker.devices.gpu.plan import black_luma
from worker.devices.tone_mapping import shown_format

_MILLISECONDS = Fraction(1, 1000)
_black_frames: weakref.WeakValueDictionary[tuple[int, int, int], DeviceFrame] = (
    weakref.WeakValueDictionary()
)
_black_lock = threading.Lock()


class NvencRefused(EncodeFailed):
    """An encoder did not open; `failure` says why."""

    def __init__(self, name: str, failure: Failure) -> None:
        super().__init__(f"{name}: {failure}")
        self.failure = failure


class NvencEncoder:
    """A `worker.devices.backend.Encoder` for `GpuSurface`s on the device."""

    def __init__(
        self,
        context: GpuContext,
        lock: threading.RLock,
        rendition: RenditionFormat,
        pictures: PictureFormat,
        fps: Fraction,
    ) -> None:
        """`lock` serialises opening and closing in the worker.

        Raises NvencRefused (an EncodeFailed), EncodeFailed, DeviceLost.
        """
        self._context = context
        self._lock = lock
        self._rendition = rendition
        self._format = NVENC_FORMATS[rendition.codec]
        self._stream = Stream()
        self._cuda = CudaContext(device_id=0, primary_ctx=True, cuda_stream=self._stream.pointer)
        self._codec: VideoCodecContext | None = _make(rendition, shown_format(pictures), fps)
        # One a frame of the scaler's pool. Each holds its frame's memory until the encoder closes.
        self._videos: dict[int, VideoFrame] = {}
        self._black = _black_frame(
            rendition.width, rendition.height, black_luma(shown_format(pictures).full_range)
        )
        self._needs_idr = True
        with lock:
            self._config = self._open()

    @property
    def config(self) -> CodecConfig:
        return self._config

    @property
    def is_open(self) -> bool:
        """Return whether it holds a session of the driver."""
        return self._codec is not None

    def encode(self, surface: Surface, *, force_idr: bool) -> list[EncodedUnit]:
        assert isinstance(surface, GpuSurface)
        frame = surface.frame
        assert isinstance(frame, DeviceFrame)
        self._stream.wait(surface.written)
        packets = self._encode(frame, surface.pts_ms, force_idr or self._needs_idr)
        self._needs_idr = False
        return [_unit(self._format, packet) for packet in packets]

    def flush(self) -> list[EncodedUnit]:
        """Nothing waits inside: each picture came out of the call that took its frame in."""
        return []

    def close(self) -> None:
        """Encoder first, then its frames, then their memory and the stream."""
        with self._lock:
            if self._codec is not None:
                self._codec = None
                self._videos.clear()
                self._stream.synchronize()

    def _open(self) -> CodecConfig:
        lines: list[tuple[int, str, str]] = []
        try:
            with av.logging.Capture() as lines:
                packets = self._encode(self._black, -1, True)
        except EncodeFailed as error:
            self.close()
            free, _ = self._context.memory()
            failure = read_failure([line for _, _, line in lines], free)
            raise NvencRefused(self._rendition.name, failure) from error
        try:
            return self._format.read_config([packet.data for packet in packets])
        except ProtocolError as error:
            self.close()
            raise EncodeFailed(
                f"{self._rendition.name}: NVENC's parameter sets: {error}"
            ) from error

    def _encode(self, frame: DeviceFrame, pts_ms: int, force_idr: bool) -> Sequence["_Packet"]:
        if self._codec is None:
            raise EncodeFailed(f"{self._rendition.name}: the encoder is closed")
        try:
            video = self._videos.get(frame.pointer)
            if video is None:
                video = self._videos[frame.pointer] = self._video(frame)
            video.pts = pts_ms
            video.time_base = _MILLISECONDS
            video.pict_type = PictureType.I if force_idr else PictureType.NONE
            packets = self._codec.encode(video)
        except av.error.FFmpegError as error:
            raise self._failure(error) from error
        except Exception as error:
            raise self._context.failure(
                error, EncodeFailed(f"{self._rendition.name}: {error}")
            ) from error
        return [_Packet(packet.pts or 0, bytes(packet)) for packet in packets]

    def _failure(self, error: av.error.FFmpegError) -> WorkerError:
        _, last = av.logging.get_last_error()
        detail = f"{error.strerror}: {last[2].strip()}" if last else str(error)
        return self._context.failure(
            error, EncodeFailed(f"{self._rendition.name}: NVENC: {detail}")
        )

    def _video(self, frame: DeviceFrame) -> VideoFrame:
        return VideoFrame.from_dlpack(
            frame.planes(),
            format="nv12",
            width=frame.width,
            height=frame.height,
            device_id=0,
            primary_ctx=True,
            cuda_context=self._cuda,
            stream=self._stream.pointer,
        )


class _Packet:
    """A packet's time and bytes, as FFmpeg gives them."""

    __slots__ = ("data", "pts_ms")

    def __init__(self, pts_ms: int, data: bytes) -> None:
        self.pts_ms = pts_ms
        self.data = data


def keep_log_lines() -> None:
    """Let FFmpeg's errors reach `av.logging.Capture`: PyAV drops them by default.

    It also drops a line that equals the one before: the second of two refusals had no reason.
    """
    av.logging.set_skip_repeated(False)
    if (av.logging.get_level() or av.logging.PANIC) < av.logging.ERROR:
        av.logging.set_level(av.logging.ERROR)


def _unit(made: NvencFormat, packet: _Packet) -> EncodedUnit:
    """The coded picture alone: parameter sets go into the sequence header."""
    is_key, data = made.read_picture(packet.data)
    return EncodedUnit(packet.pts_ms, is_key, data)


def _black_frame(width: int, height: int, luma: int) -> DeviceFrame:
    """A black frame, shared by the encoders of that size that are open."""
    with _black_lock:
        frame = _black_frames.get((width, height, luma))
        if frame is None:
            frame = DeviceFrame(width, height)
            stream = Stream()
            frame.blacken(luma, stream)
            stream.synchronize()
            _black_frames[width, height, luma] = frame
        return frame


def _make(rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction) -> VideoCodecContext:
    # Not opened here: it takes the frames context of the first frame that it is given.
    codec = av.CodecContext.create(NVENC_FORMATS[rendition.codec].library, "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width = rendition.width
    codec.height = rendition.height
    codec.pix_fmt = "cuda"
    codec.time_base = _MILLISECONDS
    codec.framerate = fps
    codec.sample_aspect_ratio = Fraction(1)
    codec.color_range = 2 if pictures.full_range else 1
    codec.colorspace = pictures.colour_matrix
    codec.color_primaries = pictures.colour_primaries
    codec.color_trc = pictures.colour_transfer
    codec.options = encoder_options(rendition, fps)
    return codec
