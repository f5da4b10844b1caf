"""What publishers really send is within the defaults; what nobody does is beyond them, in words."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.limits import (
    StreamLimits,
    beyond_bitrate,
    beyond_fps,
    beyond_header,
    too_many_players,
    too_many_publishers,
)

DEFAULTS = StreamLimits()


@pytest.mark.parametrize(
    ("width", "height", "references", "fps", "mbps"),
    [
        (160, 90, 1, 5, 0.1),
        (1280, 720, 3, 30, 3),
        (1920, 1080, 4, 60, 12),
        (1080, 1920, 4, 30, 6),  # a phone, upright
        (2560, 1080, 4, 60, 15),
        (3840, 2160, 16, 60, 80),  # x264's placebo
        (4096, 2304, 5, 60, 240),  # level 5.2
        (2304, 4096, 5, 60, 240),
        (4096, 4096, 4, 30, 100),  # the most of NVENC
        (5120, 1440, 4, 120, 60),  # a wide screen
        (5120, 2880, 4, 60, 100),  # 5K
        (640, 480, 1, 240, 20),  # a camera for slow motion
    ],
)
def test_the_defaults_let_in_what_publishers_send(
    width: int, height: int, references: int, fps: int, mbps: float
) -> None:
    assert not beyond_header(DEFAULTS, width, height, references)
    assert not beyond_fps(DEFAULTS, Fraction(fps))
    assert not beyond_bitrate(DEFAULTS, mbps * 1e6)


@pytest.mark.parametrize(
    ("width", "height"), [(12288, 12288), (7680, 4320), (4320, 7680), (16384, 16), (5120, 5120)]
)
def test_the_defaults_keep_out_what_is_larger_and_say_which_key_and_what_to_do(
    width: int, height: int
) -> None:
    words = beyond_header(DEFAULTS, width, height, 1)
    assert f"{width}x{height}" in words
    assert "max_size" in words
    assert "publish a smaller one" in words


@given(st.integers(16, 16384), st.integers(16, 16384))
def test_a_picture_may_stand_or_lie(width: int, height: int) -> None:
    limits = StreamLimits(size=(2160, 3840))
    is_beyond = bool(beyond_header(limits, width, height, 1))
    assert is_beyond == bool(beyond_header(limits, height, width, 1))
    assert is_beyond == (max(width, height) > 3840 or min(width, height) > 2160)


def test_every_limit_names_its_key_and_what_to_set() -> None:
    limits = StreamLimits(
        fps=30, bitrate_bps=6_000_000, reference_frames=4, publishers=2, players=9
    )
    references = beyond_header(limits, 1280, 720, 5)
    assert "max_reference_frames" in references
    assert "ref=4" in references
    assert "30 or less" in beyond_fps(limits, Fraction(60))
    assert "60" in beyond_fps(limits, Fraction(60))
    assert "7.5 Mbit/s are more than the 6" in beyond_bitrate(limits, 7.5e6)
    assert "2 publishers" in too_many_publishers(limits)
    assert "9 players" in too_many_players(limits)
