"""SSIM and PSNR against FFmpeg's filters, and what must hold of any two pictures."""

import math
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from worker.devices.letterbox import Rectangle
from worker.quality.ssim import MAX_PSNR_DB, Likeness, compare, part_of

Luma = NDArray[np.uint8]
FLAT_GREY = 128


def picture(width: int, height: int, seed: int) -> Luma:
    """A slope with an edge, and noise of its own."""
    random = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(height) * 2, np.arange(width)) % 256
    slope[height // 3 :, width // 2 :] = 235
    noise = random.integers(-20, 21, (height, width))
    made: Luma = np.clip(slope + noise, 0, 255).astype(np.uint8)
    return made


def worse(of: Luma, by: int, seed: int = 7) -> Luma:
    noise = np.random.default_rng(seed).integers(-by, by + 1, of.shape)
    made: Luma = np.clip(of + noise, 0, 255).astype(np.uint8)
    return made


def by_ffmpeg(reference: Luma, coded: Luma) -> Likeness:
    """As FFmpeg's filters `ssim` and `psnr` have it."""
    found: dict[str, float] = {}
    for name, key in (("ssim", "lavfi.ssim.All"), ("psnr", "lavfi.psnr.psnr_avg")):
        graph = av.filter.Graph()
        size = f"{reference.shape[1]}x{reference.shape[0]}"
        arguments = f"video_size={size}:pix_fmt=gray:time_base=1/25:pixel_aspect=1/1"
        inputs = [graph.add("buffer", arguments) for _ in range(2)]
        compared, sink = graph.add(name), graph.add("buffersink")
        for index, source in enumerate(inputs):
            source.link_to(compared, 0, index)
        compared.link_to(sink)
        graph.configure()
        for source, plane in zip(inputs, (coded, reference), strict=True):
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(plane), format="gray")
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            source.push(frame)
            source.push(None)
        made: Any = sink.pull()
        found[name] = float(made.metadata[key])
    psnr_db = found["psnr"]
    return Likeness(found["ssim"], MAX_PSNR_DB if math.isinf(psnr_db) else psnr_db)


def near(found: Likeness, wanted: Likeness) -> bool:
    return abs(found.ssim - wanted.ssim) < 1e-4 and abs(found.psnr_db - wanted.psnr_db) < 0.01


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (8, 8), (9, 11), (854, 480), (130, 70), (1920, 1080)]
)
@pytest.mark.parametrize("by", [0, 1, 12, 100])
def test_it_is_what_ffmpegs_filters_say(width: int, height: int, by: int) -> None:
    reference = picture(width, height, 1)
    coded = worse(reference, by)
    assert near(compare(reference, coded), by_ffmpeg(reference, coded))


SIDES = st.integers(8, 90)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**32 - 1), st.booleans())
def test_of_any_pictures_too(width: int, height: int, seed: int, is_extreme: bool) -> None:
    random = np.random.default_rng(seed)
    reference, coded = random.integers(0, 256, (2, height, width), np.uint8)
    if is_extreme:  # the largest sums that there are
        reference, coded = (255 * (plane > 100).astype(np.uint8) for plane in (reference, coded))
    assert near(compare(reference, coded), by_ffmpeg(reference, coded))


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_it_is_symmetric_and_bounded(width: int, height: int, seed: int, by: int) -> None:
    reference = picture(width, height, seed)
    coded = worse(reference, by, seed)
    found, turned = compare(reference, coded), compare(coded, reference)
    assert found == turned
    assert -1 <= found.ssim <= 1 + 1e-6
    assert 0 <= found.psnr_db <= MAX_PSNR_DB


def test_the_same_picture_has_the_most_of_both() -> None:
    same = picture(320, 180, 3)
    assert compare(same, same.copy()) == Likeness(1.0, MAX_PSNR_DB)


def test_more_noise_is_worse() -> None:
    reference = picture(320, 180, 3)
    found = [compare(reference, worse(reference, by)) for by in (2, 8, 32)]
    assert found[0].ssim > found[1].ssim > found[2].ssim
    assert found[0].psnr_db > found[1].psnr_db > found[2].psnr_db


def test_rows_may_have_padding() -> None:
    reference, coded = picture(130, 74, 1), worse(picture(130, 74, 1), 9)
    padded = np.full((74, 192), 17, np.uint8)
    padded[:, :130] = coded
    assert compare(reference, padded[:, :130]) == compare(reference, coded)


@pytest.mark.parametrize(("other", "size"), [((16, 17), (16, 16)), ((7, 16), (7, 16))])
def test_what_cannot_be_compared_is_refused(other: tuple[int, int], size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not compared"):
        compare(np.zeros(size, np.uint8), np.zeros(other, np.uint8))


def test_a_part_is_the_rectangle_of_the_picture() -> None:
    frame = np.zeros((64, 96), np.uint8)
    frame[10:50, 20:80] = FLAT_GREY
    assert (part_of(frame, Rectangle(20, 10, 60, 40)) == FLAT_GREY).all()
    assert part_of(frame, Rectangle(20, 10, 60, 40)).shape == (40, 60)
