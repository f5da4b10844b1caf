"""Where the picture of a changed source lies in a rendition's frame."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.ladder import Rendition, RenditionFit, SourceFormat, Template, fit_ladder
from worker.devices.letterbox import Rectangle, fit_picture, rendition_picture


@pytest.mark.parametrize(
    ("source", "size", "rectangle"),
    [
        (SourceFormat(1280, 720), (640, 360), Rectangle(0, 0, 640, 360)),
        (SourceFormat(640, 480), (640, 360), Rectangle(80, 0, 480, 360)),
        (SourceFormat(320, 180), (640, 360), Rectangle(0, 0, 640, 360)),
        (SourceFormat(1920, 800), (640, 360), Rectangle(0, 46, 640, 266)),
        (SourceFormat(720, 576, Fraction(16, 15)), (640, 360), Rectangle(80, 0, 480, 360)),
        (SourceFormat(1280, 720), (854, 480), Rectangle(0, 0, 854, 480)),
        (SourceFormat(90, 1600), (640, 360), Rectangle(310, 0, 20, 360)),
    ],
)
def test_the_picture_is_centred_and_keeps_its_aspect(
    source: SourceFormat, size: tuple[int, int], rectangle: Rectangle
) -> None:
    assert fit_picture(source, *size) == rectangle


@settings(max_examples=60)
@given(
    st.integers(16, 4096),
    st.integers(16, 4096),
    st.sampled_from([Fraction(1), Fraction(4, 3), Fraction(10, 11)]),
)
def test_a_source_that_is_not_enlarged_lies_where_the_ladder_put_it(
    width: int, height: int, sar: Fraction
) -> None:
    source = SourceFormat(width, height, sar)
    rendition = Rendition("a", 640, 360, 500_000)
    template = Template("live", (rendition,), fit=RenditionFit.BOX)
    for fitted in fit_ladder(template, source).renditions:
        if (fitted.width, fitted.height) == (640, 360):
            assert fit_picture(source, 640, 360) == rendition_picture(fitted)


@settings(max_examples=60)
@given(st.integers(1, 9000), st.integers(1, 9000))
def test_the_rectangle_is_even_and_inside_the_frame(width: int, height: int) -> None:
    found = fit_picture(SourceFormat(width, height), 426, 240)
    assert all(value % 2 == 0 for value in (found.x, found.y, found.width, found.height))
    assert min(found.x, found.y) >= 0
    assert found.width >= 2
    assert found.height >= 2
    assert found.x + found.width <= 426
    assert found.y + found.height <= 240
