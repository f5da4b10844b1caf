"""The kernel on the GPU, through the scaler."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from common.config.ladder import Ladder, RenditionFit, SourceFormat, Template, fit_ladder
from common.config.settings import DEFAULT_RENDITIONS
from common.errors import DecodeFailed, UsageError
from tests.kit.gpu_units import Nv12, moving_picture
from tests.kit.scale_reference import psnr, scale_nv12
from worker.devices.gpu.context import Stream
from worker.devices.gpu.decode import GpuPicture
from worker.devices.gpu.device import PLAIN_SPS, GpuBackend
from worker.devices.gpu.memory import MAX_FRAMES, DeviceFrame, GpuSurface
from worker.devices.gpu.plan import Fit
from worker.devices.letterbox import fit_picture, rendition_picture
from worker.pool.layout import lay_out
from worker.pool.memory import MappedPool, PicturePool

pytestmark = pytest.mark.gpu


def ladder_for(width: int, height: int, fit: RenditionFit = RenditionFit.SHORT_SIDE) -> Ladder:
    template = Template("live", DEFAULT_RENDITIONS, fit=fit)
    return fit_ladder(template, SourceFormat(width, height))


def upload(
    frame: Nv12, stream: Stream, pitch: int | None = None, sample_bytes: int = 1
) -> GpuPicture:
    """On the device, with `pitch` samples a row; as P016 where a sample has two bytes."""
    import cupy

    rows, width = frame.shape
    pitch = pitch or width
    held = cupy.zeros((rows, pitch), cupy.uint8 if sample_bytes == 1 else cupy.uint16)
    held[:, :width] = cupy.asarray(frame if sample_bytes == 1 else frame.astype(np.uint16) << 8)
    pitch *= sample_bytes
    cupy.cuda.Device().synchronize()
    height = rows * 2 // 3
    pointer = int(held.data.ptr)
    return GpuPicture(
        pts_ms=40,
        width=width,
        height=height,
        sar=Fraction(1),
        is_damaged=False,
        luma=pointer,
        chroma=pointer + pitch * height,
        pitch=pitch,
        sample_bytes=sample_bytes,
        stream=stream,
        owner=held,
    )


def download(surface: GpuSurface) -> Nv12:
    frame: Any = surface.frame
    surface.written.synchronize()
    array = frame.array.get() if isinstance(frame, DeviceFrame) else frame.array
    return np.array(array[:, : frame.width])


@pytest.mark.parametrize("sample_bytes", [1, 2])
@pytest.mark.parametrize(
    ("width", "height", "pitch", "rule"),
    [
        (1920, 1080, None, RenditionFit.SHORT_SIDE),
        (1920, 1080, 2048, RenditionFit.SHORT_SIDE),
        (1366, 768, None, RenditionFit.BOX),
        (720, 1280, None, RenditionFit.BOX),
        (1080, 1920, None, RenditionFit.SHORT_SIDE),
        (886, 1920, None, RenditionFit.SHORT_SIDE),
        (2560, 1080, None, RenditionFit.SHORT_SIDE),
    ],
)
def test_every_rendition_is_the_reference_picture(
    device: GpuBackend,
    width: int,
    height: int,
    pitch: int | None,
    rule: RenditionFit,
    sample_bytes: int,
) -> None:
    source = moving_picture(3, width, height)
    ladder = ladder_for(width, height, rule)
    sps = replace(PLAIN_SPS, width=width, height=height)
    scaler = device.open_scaler(ladder, sps)
    stream = Stream()
    picture = upload(source, stream, pitch, sample_bytes)
    surfaces = scaler.scale(picture, range(len(ladder.renditions)))
    assert len(surfaces) == len(ladder.renditions) > 0
    for rendition, surface in zip(ladder.renditions, surfaces, strict=True):
        fit = Fit.of(rendition.width, rendition.height, rendition_picture(rendition))
        wanted = scale_nv12(source, height, fit)
        made = download(surface)
        assert psnr(made, wanted) > 55, rendition.name
        assert np.abs(made - wanted).max() < 1.0, rendition.name
        assert surface.pts_ms == 40
    del surfaces, surface
    scaler.close()


def test_the_reference_is_the_antialiased_bicubic_that_others_know(device: GpuBackend) -> None:
    torch = pytest.importorskip("torch", reason="torch, which knows it too, is not installed")
    source = moving_picture(5, 1920, 1080)
    fit = Fit(854, 480, 0, 0, 854, 480)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(source[:1080].astype(np.float64))[None, None],
        size=(480, 854),
        mode="bicubic",
        antialias=True,
    ).numpy()[0, 0]
    made = scale_nv12(source, 1080, fit)[:480]
    assert np.abs(made - np.clip(wanted, 0, 255)).max() < 1e-6


def test_a_picture_of_another_size_keeps_the_frames(device: GpuBackend) -> None:
    ladder = ladder_for(1920, 1080)
    sps = replace(PLAIN_SPS, width=1920, height=1080)
    scaler = device.open_scaler(ladder, sps)
    stream = Stream()
    for width, height in ((1920, 1080), (640, 480), (1920, 1080)):
        source = moving_picture(1, width, height)
        (surface,) = scaler.scale(upload(source, stream), [1])
        rendition = ladder.renditions[1]
        place = (
            rendition_picture(rendition)
            if width == 1920
            else fit_picture(SourceFormat(width, height), rendition.width, rendition.height)
        )
        wanted = scale_nv12(source, height, Fit.of(rendition.width, rendition.height, place))
        assert psnr(download(surface), wanted) > 55
        del surface
    scaler.close()


def test_frames_go_round_and_are_bounded(device: GpuBackend) -> None:
    ladder = ladder_for(1920, 1080)
    scaler = device.open_scaler(ladder, PLAIN_SPS)
    stream = Stream()
    picture = upload(moving_picture(0, 1920, 1080), stream)
    seen = set()
    for _ in range(40):
        (surface,) = scaler.scale(picture, [2])
        seen.add(surface.frame.pointer)
        del surface
    assert len(seen) <= 3
    kept = [scaler.scale(picture, [2]) for _ in range(MAX_FRAMES)]
    with pytest.raises(UsageError):
        scaler.scale(picture, [2])
    kept.clear()
    assert len(scaler.scale(picture, [0, 2])) == 2
    scaler.close()


def test_frames_come_down_into_a_pool_whole_each_to_its_place(device: GpuBackend) -> None:
    ladder = ladder_for(1920, 1080)
    pool = PicturePool("a", lay_out([(one.width, one.height) for one in ladder.renditions]))
    other = MappedPool(pool.fd)
    on_device = device.open_scaler(ladder, PLAIN_SPS)
    shared = device.open_shared_scaler(ladder, PLAIN_SPS, pool)
    stream = Stream()
    kept: list[GpuSurface] = []
    for index in range(3):
        picture = upload(moving_picture(index, 1920, 1080), stream)
        whole = on_device.scale(picture, [0, 1, 2])
        surfaces = shared.scale(picture, [0, 1, 2])
        for rendition, (a, b) in enumerate(zip(whole, surfaces, strict=True)):
            b.prepare()
            places = pool.layout.renditions[rendition]
            rows = other.bytes[places.at(b.slot) :][: places.size].reshape(-1, places.pitch)
            assert (rows[:, : places.width] == download(a)).all()
        assert [surface.slot for surface in surfaces] != [one.slot for one in kept[-3:]]
        kept += surfaces
        del whole, surfaces, a, b
    shared.close()
    on_device.close()


def test_a_pool_without_a_free_place_costs_the_picture_alone(device: GpuBackend) -> None:
    ladder = ladder_for(640, 360)
    pool = PicturePool("a", lay_out([(one.width, one.height) for one in ladder.renditions]))
    shared = device.open_shared_scaler(ladder, PLAIN_SPS, pool)
    picture = upload(moving_picture(0, 640, 360), Stream())
    kept = [shared.scale(picture, [0]) for _ in range(pool.layout.pictures)]
    with pytest.raises(DecodeFailed, match="every place of the pool is taken"):
        shared.scale(picture, [0])
    kept.pop()
    assert len(shared.scale(picture, [0])) == 1
    kept.clear()
    shared.close()
    shared.close()


def test_hybrid_frames_come_down_whole(device: GpuBackend, hybrid: GpuBackend) -> None:
    ladder = ladder_for(1920, 1080)
    on_device = device.open_scaler(ladder, PLAIN_SPS)
    on_host = hybrid.open_scaler(ladder, PLAIN_SPS)
    stream = Stream()
    for index in range(4):
        picture = upload(moving_picture(index, 1920, 1080), stream)
        for a, b in zip(
            on_device.scale(picture, [0, 1, 2]), on_host.scale(picture, [0, 1, 2]), strict=True
        ):
            b.prepare()
            frame = b.video_frame()
            assert frame.pts == 40
            assert (frame.to_ndarray() == download(a)).all()
        del a, b, frame
    on_device.close()
    on_host.close()
