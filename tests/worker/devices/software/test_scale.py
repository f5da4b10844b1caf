"""Scaling and letterboxing, by what the pixels say."""

import threading
import time
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from common.codecs.h264 import AvcConfig, SpsInfo, parse_sps
from common.config.ladder import Ladder, Rendition, RenditionFit, SourceFormat, Template, fit_ladder
from common.errors import EncodeFailed
from tests.kit.session_driver import SourceSpec, make_source, pattern, plane_of
from worker.devices.software.decode import SoftDecoder, SoftPicture
from worker.devices.software.scale import SoftScaler, _RenditionScaler, larger_renditions

WIDE = Rendition("wide", 160, 90, 200_000)
SQUARE = Rendition("square", 128, 128, 200_000)
FULL = Rendition("full", 320, 180, 200_000)


def decoded(spec: SourceSpec) -> tuple[SoftPicture, SpsInfo]:
    source = make_source(spec)
    config = AvcConfig.parse(source.record)
    sps = parse_sps(config.sps[0])
    (picture,) = SoftDecoder(config, sps).decode(source.units[0].data, 40, 40)
    return picture, sps


def ladder(sps: SpsInfo, *renditions: Rendition) -> Ladder:
    source = SourceFormat(sps.width, sps.height, sps.sar)
    return fit_ladder(Template("live", renditions, fit=RenditionFit.BOX), source)


def planes(surface: Any) -> tuple[NDArray[np.uint8], ...]:
    frame = surface.video_frame()
    return tuple(plane_of(frame, index) for index in range(3))


def test_without_bars_the_frame_is_the_picture() -> None:
    picture, sps = decoded(SourceSpec(frames=1, width=180, height=320))
    upright = fit_ladder(Template("live", (WIDE,)), SourceFormat(sps.width, sps.height))
    (surface,) = SoftScaler(upright, sps).scale(picture, [0])
    luma, _, _ = planes(surface)
    assert luma.shape == (160, 90)
    assert luma[:4].max() > 40
    assert luma[-4:].max() > 40


def test_a_picture_that_is_what_the_rendition_wants_is_handed_on_as_it_is() -> None:
    picture, sps = decoded(SourceSpec(frames=1))
    (surface,) = SoftScaler(ladder(sps, FULL), sps).scale(picture, [0])
    surface.prepare()
    assert surface.video_frame() is picture.frame
    assert surface.pts_ms == 40


@pytest.mark.parametrize("matrix", [8, 10, 14])
def test_a_matrix_that_libswscale_does_not_know_is_no_obstacle(matrix: int) -> None:
    picture, sps = decoded(SourceSpec(frames=1, colour=(2, 2, matrix, 1)))
    assert sps.colour_matrix == matrix
    for surface in SoftScaler(ladder(sps, SQUARE, WIDE), sps).scale(picture, [0, 1]):
        surface.prepare()
        assert surface.video_frame().format.name == "yuv420p"


def test_a_graph_that_cannot_be_made_is_the_renditions_failure_with_its_reason() -> None:
    picture, sps = decoded(SourceSpec(frames=1))
    picture.frame.colorspace = 14
    (surface,) = SoftScaler(ladder(sps, WIDE), sps).scale(picture, [0])
    with pytest.raises(EncodeFailed, match=r"wide: 320x180 yuv420p, matrix 14 is not scaled: "):
        surface.prepare()


def test_only_wanted_renditions_are_made_in_their_order() -> None:
    picture, sps = decoded(SourceSpec(frames=1))
    scaler = SoftScaler(ladder(sps, FULL, SQUARE, WIDE), sps)
    surfaces = scaler.scale(picture, [2, 0])
    sizes = [(s.video_frame().width, s.video_frame().height) for s in surfaces]
    assert sizes == [(160, 90), (320, 180)]
    assert surfaces[0].video_frame().pts == 40


def test_the_rest_of_the_frame_is_black_of_limited_range() -> None:
    picture, sps = decoded(SourceSpec(frames=1))
    (surface,) = SoftScaler(ladder(sps, SQUARE), sps).scale(picture, [0])
    luma, u, v = planes(surface)
    assert luma.shape == (128, 128)
    # 320x180 into 128x128 is 128x72, 28 rows below the top
    assert (luma[:28] == 16).all()
    assert (luma[100:] == 16).all()
    assert (u[:14] == 128).all()
    assert (v[50:] == 128).all()
    assert luma[28:100].min() > 16
    assert luma[28:100].std() > 10


def test_scaling_keeps_the_picture() -> None:
    spec = SourceSpec(frames=1, x264="qp=10")
    picture, sps = decoded(spec)
    (surface,) = SoftScaler(ladder(sps, WIDE), sps).scale(picture, [0])
    luma, _, _ = planes(surface)
    reference = pattern(spec, 0).reformat(160, 90, interpolation="BICUBIC")
    wanted = plane_of(reference, 0)
    assert np.abs(luma.astype(int) - wanted.astype(int)).mean() < 3


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le"])
def test_other_formats_become_420_of_8_bits(pixel_format: str) -> None:
    picture, sps = decoded(SourceSpec(frames=1, pixel_format=pixel_format))
    assert picture.frame.format.name == pixel_format
    scaler = SoftScaler(ladder(sps, FULL, WIDE), sps)
    for surface in scaler.scale(picture, [0, 1]):
        frame = surface.video_frame()
        assert frame.format.name == "yuv420p"
        assert planes(surface)[0].std() > 10


def test_a_sources_sample_aspect_ratio_is_honoured() -> None:
    picture, sps = decoded(SourceSpec(frames=1, width=160, height=180, sar=Fraction(2)))
    made = ladder(sps, FULL)
    rendition = made.renditions[0]
    assert (rendition.picture_width, rendition.picture_height) == (320, 180)
    (surface,) = SoftScaler(made, sps).scale(picture, [0])
    luma, _, _ = planes(surface)
    assert luma.shape == (180, 320)
    assert luma.min() > 16


def test_full_range_stays_full_range() -> None:
    spec = SourceSpec(frames=1, pixel_format="yuvj420p", colour=(2, 2, 2, 2))
    picture, sps = decoded(spec)
    assert sps.full_range
    scaler = SoftScaler(ladder(sps, FULL, WIDE), sps)
    full, small = (planes(surface)[0].astype(int) for surface in scaler.scale(picture, [0, 1]))
    assert abs(full.mean() - small.mean()) < 2
    assert abs(full.min() - small.min()) < 12


def test_a_source_of_another_size_or_range_is_fitted_into_the_same_frames() -> None:
    first, sps = decoded(SourceSpec(frames=1))
    scaler = SoftScaler(ladder(sps, FULL, WIDE), sps)
    scaler.scale(first, [0])[0].prepare()
    tall, _ = decoded(SourceSpec(frames=1, width=180, height=320))
    full_range, _ = decoded(SourceSpec(frames=1, pixel_format="yuvj420p", colour=(2, 2, 2, 2)))
    for surface, size in zip(scaler.scale(tall, [0, 1]), [(180, 320), (90, 160)], strict=True):
        luma, _, _ = planes(surface)
        assert luma.shape == size
        assert (luma[:, :4] == 16).all()
        assert luma[:, size[1] // 2].std() > 10
    for surface in scaler.scale(full_range, [0, 1]):
        assert surface.video_frame().format.name == "yuv420p"
    again = scaler.scale(first, [0])[0]
    assert again.video_frame() is first.frame


BIG, MIDDLE, SMALL, TINY = (
    Rendition("big", 256, 144, 200_000),
    Rendition("middle", 192, 108, 200_000),
    Rendition("small", 128, 72, 200_000),
    Rendition("tiny", 64, 36, 100_000),
)


def test_small_renditions_are_scaled_from_one_that_was_scaled_from_the_source() -> None:
    _, sps = decoded(SourceSpec(frames=1))
    made = ladder(sps, FULL, BIG, MIDDLE, SMALL, TINY)
    assert larger_renditions(made, sps) == {2: 1, 3: 1, 4: 1}, "one step in between, not three"
    close = Rendition("close", 240, 134, 200_000)
    assert larger_renditions(ladder(sps, BIG, close), sps) == {}, "too close"
    assert larger_renditions(ladder(sps, BIG, SQUARE), sps) == {}, "letterboxed"
    slower = Rendition("slower", 256, 144, 200_000, fps=Fraction(15))
    source = SourceFormat(sps.width, sps.height, sps.sar, Fraction(30))
    mixed = fit_ladder(Template("live", (slower, SMALL)), source)
    assert larger_renditions(mixed, sps) == {}, "it does not have all of its pictures"


def test_a_rendition_in_between_changes_little() -> None:
    picture, sps = decoded(SourceSpec(frames=1, x264="qp=10"))
    scaler = SoftScaler(ladder(sps, BIG, SMALL), sps)
    (direct,) = scaler.scale(picture, [1])
    big, small = scaler.scale(picture, [0, 1])
    wanted, found = (planes(surface)[0].astype(int) for surface in (direct, small))
    assert found.shape == (72, 128)
    assert np.abs(found - wanted).mean() < 2
    assert (found != wanted).any(), "it was made from the larger rendition"
    assert big.video_frame().width == 256
    assert small.video_frame().pts == 40


def test_after_a_change_of_size_every_rendition_is_made_from_the_source() -> None:
    _, sps = decoded(SourceSpec(frames=1))
    scaler = SoftScaler(ladder(sps, BIG, SMALL), sps)
    tall, _ = decoded(SourceSpec(frames=1, width=180, height=320))
    _, small = scaler.scale(tall, [0, 1])
    luma, _, _ = planes(small)
    assert (luma[:, :4] == 16).all()
    assert luma[:, 64].std() > 10


class CountingGraph:
    """A graph of two surfaces that are made at the same time, if that is allowed."""

    def __init__(self) -> None:
        self.inside = 0
        self.most_inside = 0
        self._frames: list[Any] = []

    def push(self, frame: Any) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        time.sleep(0.02)
        self._frames.append(frame)

    def vpull(self) -> Any:
        time.sleep(0.02)
        self.inside -= 1
        return self._frames.pop()


def test_a_rendition_scales_one_picture_at_a_time_though_smaller_renditions_want_later_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture, sps = decoded(SourceSpec(frames=1))
    graph = CountingGraph()
    monkeypatch.setattr(
        _RenditionScaler, "_make_graph", lambda *_: SimpleNamespace(graph=graph, source=graph)
    )
    scaler = SoftScaler(ladder(sps, WIDE), sps)
    surfaces = [scaler.scale(picture, [0])[0] for _ in range(2)]
    threads = [threading.Thread(target=surface.prepare) for surface in surfaces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert graph.most_inside == 1
