"""H.264 and H.265 decoding by NVDEC, through PyNvVideoCodec, into device memory (IO).

Low-latency mode: a picture comes out of the call that took its unit in where nothing is reordered,
in display order where something is. A picture's memory is the decoder's and is written again by the
next call; that is ordered by the stream, on which the decoder, the scaler and nothing else of the
session work. Interlaced pictures are deinterlaced by NVDEC itself (adaptive mode).

Pictures of 10 bits come as P016, and the scaler takes them so. HDR becomes NV12 of SDR right behind
its decoding (`to_nv12.py`), and so does a picture of 10 bits that somebody wants to look at.

NVDEC conceals damage inside a slice, and the package only prints a line about it: that is where
`is_damaged` comes from (`nvdec_errors.py`), for all pictures of the call, which is one where
nothing is reordered. Also noticed is a unit that cannot be read, one that the package refuses, and
a decoder that gives no more pictures.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from common.codecs import h264, h265, h265_sps
from common.codecs.h264 import AvcConfig, nal_spans, to_annexb
from common.codecs.h265 import HevcConfig
from common.errors import AvcError, DecodeFailed, ProtocolError
from common.media.pictures import PictureFormat
from common.media.units import VideoCodec
from worker.devices.backend import Picture
from worker.devices.gpu.caps import GpuCaps, refusal
from worker.devices.gpu.context import GpuContext, Stream
from worker.devices.gpu.luma_rows import LumaRows
from worker.devices.gpu.nvdec_errors import damaged_pictures
from worker.devices.gpu.snapshot import gpu_jpeg
from worker.devices.gpu.to_nv12 import Nv12Converter
from worker.devices.source import DecoderConfig
from worker.devices.tone_mapping import needs_mapping

# H.264 lets 16 pictures wait for reordering; more units without a picture are a decoder that hangs
# on what it was fed.
MAX_SILENT_UNITS = 24
_START_CODE = b"\x00\x00\x00\x01"
_CUDA_NAMES = {VideoCodec.H264: "H264", VideoCodec.H265: "HEVC"}
# What an SPS begins with: the bits of its type, and their value.
_SPS_HEADERS = {
    VideoCodec.H264: (0x1F, int(h264.NalType.SPS)),
    VideoCodec.H265: (0x7E, h265.NalType.SPS << 1),
}


@dataclass(slots=True)  # not frozen: made for every frame, under the GIL
class GpuPicture:
    """A decoded picture in device memory, valid until the decoder's next call.

    NV12; P016 (16-bit samples, the value in the upper 10 bits) where `sample_bytes` is 2.
    """

    pts_ms: int
    width: int
    height: int
    sar: Fraction
    is_damaged: bool
    luma: int  # device pointers
    chroma: int
    pitch: int  # bytes
    sample_bytes: int
    stream: Stream  # where it is written, and must be read
    owner: Any  # keeps the decoder's frame

    def kept(self) -> "GpuPicture":
        import cupy

        luma_bytes, chroma_bytes = self.height * self.pitch, (self.height // 2) * self.pitch
        try:
            array: Any = cupy.empty(luma_bytes + chroma_bytes, cupy.uint8)
            pointer = int(array.data.ptr)
            with self.stream.cupy:
                for target, source, size in (
                    (pointer, self.luma, luma_bytes),
                    (pointer + luma_bytes, self.chroma, chroma_bytes),
                ):
                    # the last row as far as it is the picture's: behind it may be nobody's memory
                    count = size - self.pitch + self.width * self.sample_bytes
                    runtime = cupy.cuda.runtime
                    runtime.memcpyAsync(
                        target, source, count, runtime.memcpyDeviceToDevice, self.stream.cupy.ptr
                    )
            self.stream.synchronize()
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise DecodeFailed(f"no memory for a picture to be kept: {error}") from error
        return replace(
            self, luma=pointer, chroma=pointer + luma_bytes, owner=array, is_damaged=False
        )

    def at(self, pts_ms: int) -> "GpuPicture":
        return replace(self, pts_ms=pts_ms)


class GpuDecoder:
    """A `worker.devices.backend.Decoder`. `lock` serialises opening and closing in the worker."""

    def __init__(
        self,
        context: GpuContext,
        caps: GpuCaps,
        lock: threading.RLock,
        config: DecoderConfig,
        pictures: PictureFormat,
    ) -> None:
        """Raises DecodeFailed for what NVDEC cannot decode, DeviceLost."""
        self._context = context
        self._caps = caps
        self._lock = lock
        self._config = self._checked(config, pictures)
        self._format = pictures
        self._stream = Stream()
        self._retired: Any = None  # a decoder that still owns pictures handed out
        self._needs_sets = True
        self._silent_units = 0
        self._is_damaged = False  # what came out of the last call
        self._made_for = (0, 0)
        self._new_size: tuple[int, int] | None = None
        self._decoder: Any = self._make((pictures.width, pictures.height))
        self._packet, self._flags = _packet()
        self._rows: LumaRows | None = None
        self._mapper: Nv12Converter | None = None  # of HDR; of the format that it is for
        self._rounder: Nv12Converter | None = None

    def decode(self, data: bytes, dts_ms: int, pts_ms: int) -> list[GpuPicture]:
        self._retire()
        try:
            unit, sps = to_start_codes(data, self._config.nal_length_size, self._config.codec)
        except AvcError as error:
            raise DecodeFailed(str(error)) from error
        if not unit:
            return []
        pictures = self._follow(sps) if sps else []
        if self._needs_sets:
            unit = to_annexb(_parameter_sets(self._config)) + unit
            self._needs_sets = False
        pictures += self._pictures(self._feed(unit, pts_ms))
        if pictures:
            self._silent_units = 0
            return pictures
        self._silent_units += 1
        if self._silent_units > MAX_SILENT_UNITS:
            self._silent_units = 0
            self._restart()
            raise DecodeFailed(f"no picture out of {MAX_SILENT_UNITS} units")
        return []

    def reconfigure(self, config: DecoderConfig, pictures: PictureFormat) -> list[GpuPicture]:
        config = self._checked(config, pictures)
        ready = self.flush()
        is_other = config.codec is not self._config.codec or pictures.depth != self._format.depth
        if is_other or config.sps != self._config.sps:
            self._config = config
            self._follow_size((pictures.width, pictures.height), in_place=not is_other)
        self._config, self._format = config, pictures
        return ready

    def flush(self) -> list[GpuPicture]:
        self._retire()
        self._needs_sets = True
        self._silent_units = 0
        return self._pictures(self._feed(b"", 0))

    def look(self, picture: Picture) -> bytes | None:
        assert isinstance(picture, GpuPicture)
        if self._rows is None:
            self._rows = LumaRows()
        try:
            seen = self._of_8_bits(picture)
            return self._rows.take(seen.luma, seen.pitch, seen.width, seen.height, self._stream)
        except Exception as error:
            failure = self._context.failure(error, DecodeFailed(f"looking: {error}"))
            if isinstance(failure, DecodeFailed):
                return None
            raise failure from error

    def snapshot(self, picture: Picture) -> bytes | None:
        assert isinstance(picture, GpuPicture)
        try:
            return gpu_jpeg(self._of_8_bits(picture))
        except Exception as error:
            failure = self._context.failure(error, DecodeFailed(f"a snapshot: {error}"))
            if isinstance(failure, DecodeFailed):
                return None
            raise failure from error

    def close(self) -> None:
        with self._lock:
            self._stream.synchronize()
            self._rows = None
            self._retired = None
            self._decoder = None

    def _follow(self, sps: tuple[bytes, ...]) -> list[GpuPicture]:
        """In-band SPS: when they are others than before, the pictures still inside."""
        if sps == self._config.sps:
            return []
        try:
            is_h264 = self._config.codec is VideoCodec.H264
            parse_sps = h264.parse_sps if is_h264 else h265_sps.parse_sps
            info: PictureFormat = parse_sps(sps[0])
        except ProtocolError as error:
            raise DecodeFailed(str(error)) from error
        self._checked(self._config, info)
        pictures = self.flush()
        is_same_depth = info.depth == self._format.depth
        self._follow_size((info.width, info.height), in_place=is_same_depth and not pictures)
        self._resize()
        self._config, self._format = replace(self._config, sps=sps), info
        self._needs_sets = False  # the unit brings its own
        return pictures

    def _follow_size(self, size: tuple[int, int], *, in_place: bool = True) -> None:
        """Make ready for another SPS, in place or by a new decoder.

        PyNvVideoCodec 2.2.4 reconfigures well when it is told of a new size no larger than the
        first (told nothing, pictures come out garbled). For the same size it does nothing, and
        other SPS may need more reference pictures: that, and a larger size, takes a new decoder.
        The old one lives as long as its pictures may be read.
        """
        now = self._format.width, self._format.height
        largest = self._made_for
        if in_place and size != now and size[0] <= largest[0] and size[1] <= largest[1]:
            self._new_size = size  # done at the next unit: it frees the pictures
        else:
            self._new_size = None
            self._retired, self._decoder = self._decoder, self._make(size)

    def _resize(self) -> None:
        if self._new_size is not None:
            self._stream.synchronize()
            self._decoder.setReconfigParams(*self._new_size)
            self._new_size = None

    def _checked(self, config: DecoderConfig, pictures: PictureFormat) -> AvcConfig | HevcConfig:
        codec = config.codec
        reason = refusal(pictures, self._caps.of(codec, pictures.depth), codec)
        if reason is not None:
            raise DecodeFailed(reason)
        assert isinstance(config, AvcConfig | HevcConfig)
        return config

    def _make(self, size: tuple[int, int]) -> Any:
        import PyNvVideoCodec as nvc

        self._made_for = size
        with self._lock:
            try:
                return nvc.CreateDecoder(
                    gpuid=0,
                    codec=getattr(nvc.cudaVideoCodec, _CUDA_NAMES[self._config.codec]),
                    cudacontext=self._context.pointer,
                    cudastream=self._stream.pointer,
                    usedevicememory=True,
                    latency=nvc.DisplayDecodeLatencyType.LOW,
                )
            except Exception as error:
                raise self._context.failure(
                    error, DecodeFailed(f"NVDEC does not open: {error}")
                ) from error

    def _restart(self) -> None:
        with self._lock:
            self._stream.synchronize()
            self._decoder = None
        self._new_size = None
        self._decoder = self._make((self._format.width, self._format.height))
        self._needs_sets = True

    def _retire(self) -> None:
        """Pictures handed out are read no more: let go of what held them."""
        if self._retired is not None:
            with self._lock:
                self._stream.synchronize()
                self._retired = None
        self._resize()

    def _feed(self, unit: bytes | bytearray, pts_ms: int) -> Sequence[Any]:
        """The frames of one call; an empty unit ends the stream."""
        packet = self._packet
        held = np.frombuffer(unit, np.uint8)
        packet.bsl_data = held.__array_interface__["data"][0] if unit else 0
        packet.bsl = len(unit)
        packet.pts = pts_ms
        packet.decode_flag = self._flags.ENDOFPICTURE if unit else self._flags.ENDOFSTREAM
        try:
            frames: Sequence[Any] = self._decoder.Decode(packet)
            self._is_damaged = damaged_pictures() > 0
            return frames
        except Exception as error:
            damaged_pictures()  # those of this call come no more
            failure = self._context.failure(error, DecodeFailed(f"NVDEC: {error}"))
            if isinstance(failure, DecodeFailed):
                self._restart()  # after an error the package's decoder is of no use
            raise failure from error

    def _pictures(self, frames: Sequence[Any]) -> list[GpuPicture]:
        pictures = [self._picture(frame) for frame in frames]
        if not pictures or not needs_mapping(self._format):
            return pictures
        mapper = self._mapper
        if mapper is None or mapper.format is not self._format:
            self._stream.synchronize()  # pictures of the one before may still be read
            mapper = self._mapper = Nv12Converter(self._format)
        try:
            return [mapper.convert(picture, index) for index, picture in enumerate(pictures)]
        except Exception as error:
            failure = DecodeFailed(f"tone mapping: {error}")
            raise self._context.failure(error, failure) from error

    def _of_8_bits(self, picture: GpuPicture) -> GpuPicture:
        """The picture, or one made of it, as long as nobody looks at another one."""
        if picture.sample_bytes == 1:
            return picture
        if self._rounder is None:
            self._rounder = Nv12Converter(None)
        return self._rounder.convert(picture, 0)

    def _picture(self, frame: Any) -> GpuPicture:
        rows, width = frame.shape
        if self._format.depth > 8:
            # the package gives strides in samples or in bytes, by the way that it was asked
            size, pitch = 2, max(int(frame.strides[0]), 2 * int(width))
        else:
            size, pitch = 1, int(frame.strides[0])
        return GpuPicture(
            pts_ms=int(frame.timestamp),
            width=int(width),
            height=int(rows) * 2 // 3,
            sar=self._format.sar,
            is_damaged=self._is_damaged,
            luma=int(frame.GetPtrToPlane(0)),
            chroma=int(frame.GetPtrToPlane(1)),
            pitch=pitch,
            sample_bytes=size,
            stream=self._stream,
            owner=frame,
        )


def _packet() -> tuple[Any, Any]:
    """A packet to be filled for every call, and the names of its flags."""
    import PyNvVideoCodec as nvc

    return nvc.PacketData(), nvc.VideoPacketFlag


def _parameter_sets(config: AvcConfig | HevcConfig) -> tuple[bytes, ...]:
    vps = config.vps if isinstance(config, HevcConfig) else ()
    return (*vps, *config.sps, *config.pps)


def to_start_codes(
    data: bytes, length_size: int, codec: VideoCodec = VideoCodec.H264
) -> tuple[bytes | bytearray, tuple[bytes, ...]]:
    """Length-prefixed NAL units to Annex B, and the SPS among the units. Raises AvcError.

    Lengths of four bytes are overwritten in place, the usual case.
    """
    spans = nal_spans(data, length_size)
    mask, kind = _SPS_HEADERS[codec]
    sps = tuple(data[begin:end] for begin, end in spans if data[begin] & mask == kind)
    if length_size != 4:
        return to_annexb(data[begin:end] for begin, end in spans), sps
    unit = bytearray(data)
    for begin, _ in spans:
        unit[begin - 4 : begin] = _START_CODE
    return unit if spans else b"", sps
