"""The round that a doctor asks of a device."""

from fractions import Fraction

import pytest

from common.codecs.h264 import AvcConfig
from common.errors import BootFailed
from worker.bench.trial import moving_clip, run_round
from worker.devices.software.decode import SoftDecoder
from worker.devices.software.device import SoftBackend


def test_the_clip_is_one_closed_gop_of_the_size_asked_for() -> None:
    clip = moving_clip(320, 180, Fraction(25), frames=5)
    assert len(clip.units) == 5
    assert (clip.sps.width, clip.sps.height, clip.sps.fps) == (320, 180, Fraction(25))
    assert clip.config.sps


def test_a_round_takes_as_long_as_it_was_told_and_counts_frames() -> None:
    clip = moving_clip(320, 180, frames=5)
    assert run_round(SoftBackend("cpu"), clip, 0.1) > 5


def test_a_decoder_that_gives_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = moving_clip(320, 180, frames=2)
    monkeypatch.setattr(SoftDecoder, "decode", lambda *_: [])
    with pytest.raises(BootFailed, match="no picture"):
        run_round(SoftBackend("cpu"), clip, 0.05)
    assert isinstance(clip.config, AvcConfig)
