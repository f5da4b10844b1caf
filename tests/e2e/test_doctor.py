"""What is wrong with a source: real publishers, and what status and the log say of them."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
LEVELS = DEFAULT_CONFIG.replace("[templates.live]\n", "[templates.live]\naudio_levels = true\n", 1)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(LEVELS) as running:
        yield running


def codes(farm: Farm, key: str) -> list[str]:
    return [notice["code"] for notice in stream(farm, key)["notices"]]


def stream(farm: Farm, key: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = farm.streams()[key]
    return found


def test_a_good_source_has_no_notice_and_its_sound_has_a_level(farm: Farm, clip: MakeClip) -> None:
    with Publisher(farm.url("good"), clip(ClipSpec(seconds=8.0)), loop=True):
        farm.wait_stream("good")
        until(lambda: stream(farm, "good")["levels"], 15, "its sound is measured", every=0.3)
        levels = stream(farm, "good")["levels"]
        assert levels["peak_dbfs"] == pytest.approx(-10.5, abs=1.5)
        assert codes(farm, "good") == []

        audio = farm.child("audio")
        os.kill(audio["pid"], signal.SIGKILL)
        until(lambda: farm.child("audio")["restarts"] == 1, 10, "it is started again", every=0.2)
        until(lambda: stream(farm, "good")["levels"], 15, "… and measures again", every=0.3)


@pytest.fixture(scope="module")
def faulty(farm: Farm, clip: MakeClip) -> Iterator[Farm]:
    """Two sources with something wrong, which takes its time to be seen, at once."""
    black = ClipSpec(seconds=8.0, is_black=True, bitrate_bps=100_000)
    bad = ClipSpec(seconds=8.0, gop_frames=240, volume=0.0, bitrate_bps=200_000)
    with (
        Publisher(farm.url("black"), clip(black), loop=True),
        Publisher(farm.url("silent"), clip(bad), loop=True),
    ):
        farm.wait_stream("black", "silent")
        yield farm


def test_a_black_picture(faulty: Farm) -> None:
    until(lambda: codes(faulty, "black") == ["black-picture"], 25, "it is seen", every=0.5)
    page = faulty.cli("status", "live/black").stdout
    assert "the picture has been black for" in page
    unknown = faulty.cli("status", "live/blakc")
    assert unknown.returncode == 1
    assert "no such stream: live/blakc; did you mean live/black?" in unknown.stderr


def test_keyframes_too_far_apart_and_silence(faulty: Farm) -> None:
    until(lambda: {"long-gop", "silence"} <= set(codes(faulty, "silent")), 30, "both", every=0.5)
    words = {notice["code"]: notice["words"] for notice in stream(faulty, "silent")["notices"]}
    assert "set the keyframe interval to 1 s" in words["long-gop"], "as the template has it"
    assert "the sound has been silent for" in words["silence"]
    faulty.wait_log("source notice stream=")
    assert "code=long-gop words=keyframes are" in faulty.log()
    assert "code=silence words=the sound has been silent" in faulty.log()
    assert "live/silent" not in faulty.log(), "a key is a credential"
