from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.ladder import SourceFormat, Template, fit_ladder
from common.config.settings import DEFAULT_RENDITIONS
from worker.devices.gpu.plan import (
    BLOCK_ROWS,
    LAUNCH,
    MAX_RENDITIONS,
    PLANE,
    THREADS,
    Fit,
    black_luma,
    plan_picture,
    target_pitch,
)
from worker.devices.letterbox import rendition_picture

KERNEL_PARAMETER_LIMIT = 4096


def default_fits(width: int = 1920, height: int = 1080) -> list[Fit]:
    ladder = fit_ladder(Template("t", DEFAULT_RENDITIONS), SourceFormat(width, height))
    return [
        Fit.of(rendition.width, rendition.height, rendition_picture(rendition))
        for rendition in ladder.renditions
    ]


def test_the_default_ladder_is_one_launch_of_both_planes_of_each_rendition() -> None:
    plan = plan_picture(1920, 1080, default_fits())
    planes = plan.launch["planes"][0]
    assert plan.launch["plane_count"][0] == 6
    assert sorted((int(p["slot"]), int(p["is_chroma"])) for p in planes[:6]) == [
        (slot, chroma) for slot in range(3) for chroma in range(2)
    ]
    assert LAUNCH.itemsize <= KERNEL_PARAMETER_LIMIT
    assert LAUNCH.fields is not None
    # the scaler writes the pointers as one array of 64-bit words
    assert [LAUNCH.fields[name][1] for name in ("luma", "chroma", "table", "targets")] == [
        0,
        8,
        16,
        24,
    ]


def test_planes_that_shrink_most_go_first() -> None:
    planes = plan_picture(1920, 1080, default_fits()).launch["planes"][0][:6]
    assert [int(plane["slot"]) for plane in planes] == [2, 2, 1, 1, 0, 0]


def test_blocks_cover_each_plane_once() -> None:
    plan = plan_picture(1366, 768, default_fits(1366, 768))
    count = int(plan.launch["plane_count"][0])
    first = [int(block) for block in plan.launch["first_block"][0][:count]]
    bounds = [*first, plan.blocks]
    for (begin, end), plane in zip(pairwise(bounds), plan.launch["planes"][0], strict=False):
        rows = -(-int(plane["height"]) // BLOCK_ROWS)
        assert end - begin == int(plane["tiles_x"]) * rows
        assert plane["tiles_x"] * plane["tile_width"] >= plane["width"]
        assert (plane["tiles_x"] - 1) * plane["tile_width"] < plane["width"]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(8, 2048).map(lambda n: 2 * n),
    st.integers(8, 1024).map(lambda n: 2 * n),
    st.integers(8, 640).map(lambda n: 2 * n),
    st.integers(8, 360).map(lambda n: 2 * n),
    st.integers(0, 8).map(lambda n: 2 * n),
)
def test_every_tile_fits_its_warp_and_its_tables(
    width: int, height: int, target_width: int, target_height: int, bar: int
) -> None:
    fit = Fit(target_width + 2 * bar, target_height, bar, 0, target_width, target_height)
    plan = plan_picture(width, height, [fit])
    warp_columns = int(plan.launch["warp_columns"][0])
    assert plan.shared_bytes == warp_columns * 16 * THREADS // 32 <= 48 * 1024
    for plane in plan.launch["planes"][0][:2]:
        step = 1 + int(plane["is_chroma"])
        words = (int(plane["taps"]) + 9) // 8 * 4
        at = int(plane["samples"])
        first = plan.table[at : at + int(plane["picture_width"]) // step * words : words]
        assert at % 4 == 0
        assert (first >= 0).all()
        assert ((first + int(plane["taps"])) * step <= plane["source_width"]).all()
        row_words = (int(plane["row_pairs"]) + 4) // 4 * 4
        at = int(plane["rows"])
        rows = plan.table[at : at + int(plane["picture_height"]) * row_words : row_words]
        assert at % 4 == 0
        assert (rows >= 0).all()
        assert (rows + 2 * int(plane["row_pairs"]) <= plane["source_height"]).all()
        tile = int(plane["tile_width"])
        for x in range(0, int(plane["width"]), tile):
            begin = max(x, int(plane["picture_x"])) - int(plane["picture_x"])
            end = min(x + tile - int(plane["picture_x"]), int(plane["picture_width"]))
            if begin >= end:
                continue
            low = int(first[begin // step]) * step // 8 * 8
            high = (int(first[(end - 1) // step]) + int(plane["taps"])) * step
            assert -(-(high - low) // 8) * 9 <= warp_columns


def test_pitches_are_wide_enough_and_aligned() -> None:
    for width in (2, 640, 854, 1280, 4096):
        assert target_pitch(width) >= width
        assert target_pitch(width) % 256 == 0


def test_what_cannot_be_planned_is_refused() -> None:
    fit = Fit(64, 64, 0, 0, 64, 64)
    with pytest.raises(ValueError, match="even sizes"):
        plan_picture(641, 360, [fit])
    with pytest.raises(ValueError, match="renditions in one launch"):
        plan_picture(640, 360, [fit] * (MAX_RENDITIONS + 1))
    with pytest.raises(ValueError, match="more than 256"):
        plan_picture(4096, 64, [Fit(16, 16, 0, 0, 2, 16)])


def test_black_follows_the_range() -> None:
    assert (black_luma(False), black_luma(True)) == (16, 0)
    plan = plan_picture(640, 360, [Fit(64, 64, 0, 0, 64, 64)], full_range=True)
    blacks = {int(p["is_chroma"]): int(p["black"]) for p in plan.launch["planes"][0][:2]}
    assert blacks == {0: 0, 1: 128}


def test_the_kernel_declares_the_same_fields_in_the_same_order() -> None:
    from pathlib import Path

    from worker.devices.gpu import plan as module

    source = Path(module.__file__).with_name("scale.cu").read_text()
    struct = source.split("struct Plane {")[1].split("};")[0]
    names = [name.strip() for name in struct.replace("int ", "").replace(";", ",").split(",")]
    assert tuple(name for name in names if name) == PLANE.names
    assert all(PLANE[name] == np.int32 for name in PLANE.names or ())
