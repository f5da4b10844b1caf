"""Coded pictures for the GPU tests and benches, and what libavcodec makes of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from common.codecs.h264 import (
    AvcConfig,
    NalType,
    SpsInfo,
    is_idr,
    join_avcc,
    nal_type,
    parameter_sets_in,
    parse_sps,
    split_annexb,
    split_avcc,
    to_annexb,
)
from common.codecs.table import CodecConfig
from tests.kit.coded import CodedUnit

Nv12 = NDArray[np.uint8]  # shape (height * 3 // 2, width)


@dataclass(frozen=True)
class Coded:
    """A short stream."""

    config: AvcConfig
    sps: SpsInfo
    units: tuple[CodedUnit, ...]  # lengths of 4 bytes, parameter sets left out


def moving_picture(index: int, width: int, height: int) -> Nv12:
    """Frame `index` of a picture with detail at every scale, as NV12."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = 50 * np.sin((columns + 6 * index) / 17) * np.cos((rows + 3 * index) / 11)
    fine = 25 * np.sin((columns * rows) / 900 + index)
    frame = np.empty((height * 3 // 2, width), np.uint8)
    frame[:height] = np.clip(125 + waves + fine, 16, 235)
    chroma = frame[height:].reshape(height // 2, width // 2, 2)
    chroma[:, :, 0] = np.clip(128 + 60 * np.sin((columns[::2, ::2] + 4 * index) / 40), 16, 240)
    chroma[:, :, 1] = np.clip(128 + 60 * np.cos((rows[::2, ::2] - 5 * index) / 30), 16, 240)
    return frame


def code(
    width: int,
    height: int,
    frames: int,
    *,
    fps: int = 30,
    b_frames: int = 0,
    gop: int = 30,
    bitrate_bps: int = 4_000_000,
    pixel_format: str = "yuv420p",
    parameters: str = "",
    pictures: Iterable[Nv12] | None = None,
    first_pts_ms: int = 0,
) -> Coded:
    """Encode `pictures`, or `frames` of the moving one, with libx264."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, pixel_format
    codec.time_base, codec.framerate = Fraction(1, 1000), Fraction(fps)
    codec.bit_rate = bitrate_bps
    codec.color_primaries = codec.color_trc = codec.colorspace = 1
    extra = f":{parameters}" if parameters else ""
    codec.options = {
        "preset": "veryfast",
        "x264-params": f"bframes={b_frames}:b-adapt=0:keyint={gop}:scenecut=0:"
        f"rc-lookahead=0:sync-lookahead=0:repeat-headers=1{extra}",
    }
    if pictures is None:
        pictures = (moving_picture(index, width, height) for index in range(frames))
    packets = []
    for index, picture in enumerate(pictures):
        if index == frames:
            break
        frame = av.VideoFrame.from_ndarray(picture, format="nv12")
        frame.pts = first_pts_ms + round(index * 1000 / fps)
        packets += codec.encode(frame.reformat(format=pixel_format))
    packets += codec.encode(None)
    units = []
    config: AvcConfig | None = None
    for packet in packets:
        nals = split_annexb(bytes(packet))
        sps, pps = parameter_sets_in(nals)
        if config is None:
            config = AvcConfig.from_parameter_sets(sps, pps)
        kept = [nal for nal in nals if nal_type(nal) in (NalType.SLICE, NalType.IDR)]
        units.append(
            CodedUnit(
                dts_ms=packet.dts or 0,
                pts_ms=packet.pts or 0,
                is_key=is_idr(kept),
                data=join_avcc(kept),
            )
        )
    assert config is not None
    return Coded(config, parse_sps(config.sps[0]), tuple(units))


def as_nv12(frame: av.VideoFrame) -> Nv12:
    """The samples of a frame in host memory, 8 bits."""
    array = frame.reformat(format="nv12").to_ndarray()
    assert array.dtype == np.uint8
    return np.asarray(array, np.uint8)


def decode_on_cpu(
    config: CodecConfig, units: Iterable[tuple[bytes, int]]
) -> Iterator[tuple[int, Nv12]]:
    """PTS and NV12 picture of AVCC units given with their PTS, by libavcodec."""
    assert isinstance(config, AvcConfig)
    codec = av.CodecContext.create("h264", "r")
    sets = to_annexb((*config.sps, *config.pps))
    for data, pts_ms in units:
        packet = av.Packet(sets + to_annexb(split_avcc(data)))
        packet.pts = pts_ms
        sets = b""
        for frame in codec.decode(packet):
            yield frame.pts or 0, as_nv12(frame)
    for frame in codec.decode(None):
        yield frame.pts or 0, as_nv12(frame)


def footage(path: Path, width: int, height: int, frames: int) -> Iterator[Nv12]:
    """Real footage scaled to a size, repeated as often as need be."""
    made = 0
    while made < frames:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                if made == frames:
                    return
                made += 1
                yield as_nv12(frame.reformat(width=width, height=height, format="nv12"))
