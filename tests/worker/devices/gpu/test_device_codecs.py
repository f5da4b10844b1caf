"""NVDEC with H.265 of 8 and 10 bits, and HDR: compared with libavcodec and the reference."""

import io
from dataclasses import replace

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from common.errors import DecodeFailed
from common.media.units import VideoCodec
from tests.kit.coded_video import CodedSpec, CodedVideo, coded_video, decoded
from tests.kit.scale_reference import psnr
from tests.kit.tone_reference import sdr_planes
from worker.devices.gpu.decode import GpuDecoder, GpuPicture
from worker.devices.gpu.device import GpuBackend
from worker.devices.source import Source, read_source

pytestmark = pytest.mark.gpu

EIGHT = CodedSpec(VideoCodec.H265, 640, 360, frames=30, bitrate_bps=2_000_000)
TEN = replace(EIGHT, pixel_format="yuv420p10le", colour=(1, 1, 1))
PQ = replace(TEN, colour=(9, 16, 9))

Samples = NDArray[np.uint8 | np.uint16]


def fetch(picture: GpuPicture) -> Samples:
    """The picture's samples, luma's rows and then chroma's; ask before the decoder's next call."""
    import cupy

    picture.stream.synchronize()
    planes = []
    size = picture.sample_bytes
    for pointer, rows in ((picture.luma, picture.height), (picture.chroma, picture.height // 2)):
        count = (rows - 1) * picture.pitch + picture.width * size
        memory = cupy.cuda.UnownedMemory(pointer, count, picture.owner)
        plane = cupy.ndarray(
            (rows, picture.width),
            cupy.uint8 if size == 1 else cupy.uint16,
            cupy.cuda.MemoryPointer(memory, 0),
            strides=(picture.pitch, size),
        )
        planes.append(np.asarray(plane.get()))
    return np.concatenate(planes)


def source_of(made: CodedVideo) -> Source:
    return read_source(made.record, made.spec.codec)


def decode_all(decoder: GpuDecoder, made: CodedVideo) -> list[tuple[int, Samples]]:
    shown = []
    for unit in made.units:
        pictures = decoder.decode(unit.data, unit.dts_ms, unit.pts_ms)
        shown += [(picture.pts_ms, fetch(picture)) for picture in pictures]
    return shown + [(picture.pts_ms, fetch(picture)) for picture in decoder.flush()]


def planes_of(frame: VideoFrame) -> tuple[NDArray[np.float64], ...]:
    """Y', Cb, Cr as they were coded."""
    wide = frame.format.components[0].bits > 8
    found = []
    for plane in frame.planes:
        samples = np.frombuffer(memoryview(plane), np.uint16 if wide else np.uint8)
        rows = samples.reshape(plane.height, -1)[:, : plane.width]
        found.append(rows.astype(np.float64))
    return tuple(found)


def split(picture: Samples) -> tuple[Samples, ...]:
    height = picture.shape[0] * 2 // 3
    chroma = picture[height:]
    return picture[:height], chroma[:, 0::2], chroma[:, 1::2]


@pytest.mark.parametrize(
    "spec", [EIGHT, replace(EIGHT, b_frames=3), replace(EIGHT, width=1920, height=1080, frames=10)]
)
def test_eight_bits_are_as_libavcodec_has_them(device: GpuBackend, spec: CodedSpec) -> None:
    made = coded_video(spec)
    source = source_of(made)
    decoder = device.open_decoder(source.config, source.pictures)
    shown, right = decode_all(decoder, made), decoded(made)
    assert [pts for pts, _ in shown] == [frame.pts for frame in right]
    for (_, picture), frame in zip(shown, right, strict=True):
        for a, b in zip(split(picture), planes_of(frame), strict=True):
            assert (a == b).all()
    decoder.close()


def test_ten_bits_come_as_they_were_coded(device: GpuBackend) -> None:
    made = coded_video(TEN)
    source = source_of(made)
    decoder = device.open_decoder(source.config, source.pictures)
    for (_, picture), frame in zip(decode_all(decoder, made), decoded(made), strict=True):
        for a, b in zip(split(picture), planes_of(frame), strict=True):
            assert (a >> 6 == b).all()
    decoder.close()


def test_a_picture_of_ten_bits_can_be_looked_at(device: GpuBackend) -> None:
    """As one of 8: what is seen of it now, and what the copy of its rows was."""
    ten, eight = coded_video(TEN), coded_video(replace(EIGHT, colour=(1, 1, 1)))
    seen = []
    for made in (ten, eight):
        source = source_of(made)
        decoder = device.open_decoder(source.config, source.pictures)
        for unit in made.units[:2]:
            [picture] = decoder.decode(unit.data, unit.dts_ms, unit.pts_ms)
            jpeg, grid = decoder.snapshot(picture), decoder.look(picture)
        assert jpeg is not None
        assert grid is not None
        with av.open(io.BytesIO(jpeg), "r") as shown:
            seen.append((next(shown.decode(video=0)).to_ndarray(format="gray"), grid))
        kept = picture.kept()
        assert decoder.snapshot(kept) == jpeg
        decoder.close()
    (of_ten, grid_of_ten), (of_eight, grid_of_eight) = seen
    assert psnr(of_ten, of_eight.astype(np.float64)) > 30
    wanted = np.frombuffer(grid_of_eight, np.uint8).astype(np.float64)
    assert psnr(np.frombuffer(grid_of_ten, np.uint8), wanted) > 30


def test_hdr_is_mapped_as_the_reference_has_it(device: GpuBackend) -> None:
    made = coded_video(PQ)
    source = source_of(made)
    decoder = device.open_decoder(source.config, source.pictures)
    for (_, picture), frame in zip(decode_all(decoder, made), decoded(made), strict=True):
        luma, blue, red = planes_of(frame)
        for a, b in zip(split(picture), sdr_planes((luma, blue, red), 16), strict=True):
            assert psnr(a, b) >= 45
    decoder.close()


def test_a_decoder_goes_from_one_codec_and_depth_to_another(device: GpuBackend) -> None:
    videos = [coded_video(spec) for spec in (replace(EIGHT, codec=VideoCodec.H264), EIGHT, TEN)]
    first = source_of(videos[0])
    decoder = device.open_decoder(first.config, first.pictures)
    for made in (*videos, *videos[::-1]):
        source = source_of(made)
        decoder.reconfigure(source.config, source.pictures)
        assert len(decode_all(decoder, made)) == len(made.units)
    decoder.close()


def test_what_nvdec_does_not_take_here_is_refused_by_name(device: GpuBackend) -> None:
    for spec, words in (
        (replace(EIGHT, pixel_format="yuv444p"), "4:4:4"),
        (replace(EIGHT, codec=VideoCodec.AV1), "AV1"),
    ):
        source = source_of(coded_video(spec))
        with pytest.raises(DecodeFailed, match=words):
            device.open_decoder(source.config, source.pictures)
