"""NVDEC behind the decoder protocol: compared with libavcodec, bit by bit."""

from dataclasses import replace
from io import BytesIO

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from common.codecs.h264 import join_avcc, nal_spans
from common.errors import DecodeFailed
from tests.kit.gpu_units import Coded, Nv12, code, decode_on_cpu, moving_picture
from worker.devices.gpu.decode import GpuDecoder, GpuPicture
from worker.devices.gpu.device import GpuBackend
from worker.frames.picture_content import COLUMNS, ROWS

pytestmark = pytest.mark.gpu


def fetch(picture: GpuPicture) -> Nv12:
    """The picture's bytes; must be asked before the decoder's next call."""
    import cupy

    picture.stream.synchronize()
    rows = picture.height * 3 // 2
    memory = cupy.cuda.UnownedMemory(picture.luma, rows * picture.pitch, picture.owner)
    array = cupy.ndarray(
        (rows, picture.width),
        cupy.uint8,
        cupy.cuda.MemoryPointer(memory, 0),
        strides=(picture.pitch, 1),
    )
    assert picture.chroma == picture.luma + picture.height * picture.pitch
    return np.asarray(array.get())


def decode_all(decoder: GpuDecoder, coded: Coded) -> tuple[list[tuple[int, Nv12]], list[int]]:
    """Every picture with its PTS, and how many came out of each call."""
    shown, counts = [], []
    for unit in coded.units:
        pictures = decoder.decode(unit.data, unit.dts_ms, unit.pts_ms)
        counts.append(len(pictures))
        shown += [(picture.pts_ms, fetch(picture)) for picture in pictures]
    shown += [(picture.pts_ms, fetch(picture)) for picture in decoder.flush()]
    return shown, counts


def wanted(coded: Coded) -> list[tuple[int, Nv12]]:
    return list(decode_on_cpu(coded.config, ((unit.data, unit.pts_ms) for unit in coded.units)))


def assert_same(made: list[tuple[int, Nv12]], right: list[tuple[int, Nv12]]) -> None:
    assert [pts for pts, _ in made] == [pts for pts, _ in right]
    for (pts, a), (_, b) in zip(made, right, strict=True):
        assert a.shape == b.shape
        assert (a == b).all(), f"picture of {pts} ms differs"


@pytest.mark.parametrize(
    ("width", "height"), [(1920, 1080), (1280, 720), (854, 480), (640, 360), (1366, 768)]
)
def test_each_unit_gives_its_picture(device: GpuBackend, width: int, height: int) -> None:
    coded = code(width, height, 20)
    decoder = device.open_decoder(coded.config, coded.sps)
    made, counts = decode_all(decoder, coded)
    assert counts == [1] * 20
    assert_same(made, wanted(coded))
    decoder.close()


def test_reordered_pictures_come_in_display_order(device: GpuBackend) -> None:
    coded = code(1280, 720, 40, b_frames=2)
    decoder = device.open_decoder(coded.config, coded.sps)
    made, counts = decode_all(decoder, coded)
    assert_same(made, wanted(coded))
    assert sum(counts[:6]) >= 3
    decoder.close()


def test_a_flush_gives_the_rest_and_an_idr_goes_on(device: GpuBackend) -> None:
    coded = code(640, 360, 24, b_frames=2, gop=12)
    decoder = device.open_decoder(coded.config, coded.sps)
    for _ in range(3):
        made, _ = decode_all(decoder, coded)
        assert_same(made, wanted(coded))
    decoder.close()


def test_new_parameter_sets_change_the_size(device: GpuBackend) -> None:
    sizes = [(1280, 720), (1920, 1080), (640, 360), (1280, 720)]
    streams = [code(*size, 12) for size in sizes]
    decoder = device.open_decoder(streams[0].config, streams[0].sps)
    for index, coded in enumerate(streams):
        if index:
            rest = decoder.reconfigure(coded.config, coded.sps)
            assert rest == []
        made, counts = decode_all(decoder, coded)
        assert counts == [1] * 12
        assert_same(made, wanted(coded))
    decoder.close()


def test_parameter_sets_of_the_same_size_keep_the_decoder(device: GpuBackend) -> None:
    streams = [code(640, 360, 8), code(640, 360, 8, parameters="ref=4:cabac=0", b_frames=2)]
    decoder = device.open_decoder(streams[0].config, streams[0].sps)
    for coded in (*streams, streams[0]):
        decoder.reconfigure(coded.config, coded.sps)
        made, _ = decode_all(decoder, coded)
        assert_same(made, wanted(coded))
    decoder.close()


def test_parameter_sets_in_band_are_followed(device: GpuBackend) -> None:
    first = code(640, 360, 8)
    seconds = (
        code(1280, 720, 8),
        code(640, 360, 8, parameters="ref=4", b_frames=2),
        code(320, 180, 8, parameters="ref=6", b_frames=2),
    )
    for second in seconds:
        decoder = device.open_decoder(first.config, first.sps)
        made, _ = decode_all(decoder, first)
        assert_same(made, wanted(first))
        sets = join_avcc((*second.config.sps, *second.config.pps))
        head, *rest = second.units
        units = (replace(head, data=sets + head.data), *rest)
        made, _ = decode_all(decoder, replace(second, units=units))
        assert_same(made, wanted(second))
        decoder.close()


@pytest.mark.parametrize(
    ("pixel_format", "reason"), [("yuv422p", "4:2:2"), ("yuv420p10le", "10-bit")]
)
def test_what_nvdec_cannot_decode_is_refused_by_name(
    device: GpuBackend, pixel_format: str, reason: str
) -> None:
    coded = code(640, 360, 2, pixel_format=pixel_format)
    with pytest.raises(DecodeFailed, match=reason):
        device.open_decoder(coded.config, coded.sps)


def test_pictures_still_inside_survive_new_parameter_sets(device: GpuBackend) -> None:
    first, second = code(640, 360, 9, b_frames=2), code(320, 180, 8)
    for in_band in (False, True):
        decoder = device.open_decoder(first.config, first.sps)
        shown = []
        for unit in first.units:
            pictures = decoder.decode(unit.data, unit.dts_ms, unit.pts_ms)
            shown += [(picture.pts_ms, fetch(picture)) for picture in pictures]
        sets = b""
        if in_band:
            sets = join_avcc((*second.config.sps, *second.config.pps))
        else:
            rest = decoder.reconfigure(second.config, second.sps)
            shown += [(picture.pts_ms, fetch(picture)) for picture in rest]
        for unit in second.units:
            pictures = decoder.decode(sets + unit.data, unit.dts_ms, 10_000 + unit.pts_ms)
            shown += [(picture.pts_ms, fetch(picture)) for picture in pictures]
            sets = b""
        right = [*wanted(first), *((10_000 + pts, frame) for pts, frame in wanted(second))]
        assert_same(shown, right)
        decoder.close()


def test_garbage_never_ends_the_decoder(device: GpuBackend) -> None:
    coded = code(640, 360, 60, gop=20)
    decoder = device.open_decoder(coded.config, coded.sps)
    generator = np.random.default_rng(1)
    failures = 0
    for index, unit in enumerate(coded.units[:40]):
        data = bytearray(unit.data)
        if index % 7 == 3:
            at = generator.integers(8, len(data), 20)
            data[4 + int(at[0]) % 8 :] = generator.bytes(len(data) - 4 - int(at[0]) % 8)
        if index % 7 == 5:
            del data[len(data) // 2 :]
        try:
            decoder.decode(bytes(data), unit.dts_ms, unit.pts_ms)
        except DecodeFailed:
            failures += 1
    assert failures >= 5, "a truncated unit is noticed by its lengths"
    good = Coded(coded.config, coded.sps, coded.units[40:])
    decoder.flush()
    made, _ = decode_all(decoder, good)
    assert_same(made, wanted(good))
    decoder.close()


def test_damage_inside_a_slice_marks_its_picture_and_no_other(device: GpuBackend) -> None:
    coded = code(1280, 720, 60, gop=20)
    generator = np.random.default_rng(2)
    hurt = {7, 13, 28, 35, 47}
    decoder, beside = (device.open_decoder(coded.config, coded.sps) for _ in range(2))
    marked = set()
    for index, unit in enumerate(coded.units):
        data = bytearray(unit.data)
        if index in hurt:
            begin, end = nal_spans(unit.data)[-1]
            data[begin + 64 : end - 64] = generator.bytes(end - begin - 128)
        (picture,) = decoder.decode(bytes(data), unit.dts_ms, unit.pts_ms)
        if picture.is_damaged:
            marked.add(index)
        (whole,) = beside.decode(unit.data, unit.dts_ms, unit.pts_ms)
        assert not whole.is_damaged
    assert marked == hurt
    decoder.close()
    beside.close()


def test_interlaced_pictures_are_deinterlaced(device: GpuBackend) -> None:
    """Fields that differ by motion: rows of one parity must not comb through the other's."""
    width, height = 640, 360

    def woven(index: int) -> Nv12:
        frame = np.full((height * 3 // 2, width), 128, np.uint8)
        for parity in range(2):
            left = 40 + 24 * (2 * index + parity)
            frame[parity:height:2] = 40
            frame[parity:height:2, left : left + 80] = 220
        return frame

    coded = code(
        width,
        height,
        10,
        pictures=(woven(index) for index in range(10)),
        parameters="interlaced=1:tff=1",
        bitrate_bps=8_000_000,
    )
    assert coded.sps.interlaced
    decoder = device.open_decoder(coded.config, coded.sps)
    made, _ = decode_all(decoder, coded)
    decoder.close()
    assert len(made) == 10

    def combing(frame: Nv12) -> float:
        rows = frame[:height].astype(np.int16)
        return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())

    right = wanted(coded)
    for (_, deinterlaced), (_, as_coded) in list(zip(made, right, strict=True))[2:]:
        assert combing(deinterlaced) < 0.25 * combing(as_coded)


def test_moving_picture_is_moving() -> None:
    assert (moving_picture(0, 64, 36) != moving_picture(1, 64, 36)).any()


def test_a_kept_picture_outlives_its_decoder(device: GpuBackend) -> None:
    coded = code(1366, 768, 12)
    decoder = device.open_decoder(coded.config, coded.sps)
    first = decoder.decode(coded.units[0].data, coded.units[0].dts_ms, coded.units[0].pts_ms)[0]
    right = fetch(first)
    kept = first.kept().at(9_000)
    for unit in coded.units[1:]:
        decoder.decode(unit.data, unit.dts_ms, unit.pts_ms)
    decoder.flush()
    decoder.close()
    assert kept.pts_ms == 9_000
    assert (kept.width, kept.height) == (1366, 768)
    assert (fetch(kept) == right).all()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (640, 360)])
def test_a_look_gives_the_luma_of_the_picture_before(
    device: GpuBackend, width: int, height: int
) -> None:
    coded = code(width, height, 4)
    decoder = device.open_decoder(coded.config, coded.sps)
    grids, pictures = [], []
    for unit in coded.units:
        (picture,) = decoder.decode(unit.data, unit.dts_ms, unit.pts_ms)
        grids.append(decoder.look(picture))
        pictures.append(fetch(picture)[:height])
    assert grids[0] is None
    for grid, luma in zip(grids[1:], pictures[:-1], strict=True):
        step, across = height // ROWS, width // COLUMNS
        rows = luma[step // 2 :: step][:ROWS]
        right = np.stack([row[across // 2 :: across][:COLUMNS] for row in rows])
        assert grid == right.tobytes()
    decoder.close()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (640, 360), (1366, 768), (360, 640)])
def test_a_snapshot_is_the_picture_made_small(device: GpuBackend, width: int, height: int) -> None:
    coded = code(width, height, 4)
    decoder = device.open_decoder(coded.config, coded.sps)
    right = wanted(coded)
    for index, unit in enumerate(coded.units):
        for picture in decoder.decode(unit.data, unit.dts_ms, unit.pts_ms):
            jpeg = decoder.snapshot(picture)
            assert jpeg is not None
            with av.open(BytesIO(jpeg), "r", format="mjpeg") as container:
                shown = next(container.decode(video=0))
            assert max(shown.width, shown.height) == 320
            source = VideoFrame.from_ndarray(right[index][1], format="nv12")
            small = source.reformat(shown.width, shown.height, format="rgb24").to_ndarray()
            found = shown.to_ndarray(format="rgb24")
            assert np.abs(found.astype(int) - small.astype(int)).mean() < 12
            assert (fetch(picture) == right[index][1]).all(), "the picture itself is as it was"
    decoder.close()
