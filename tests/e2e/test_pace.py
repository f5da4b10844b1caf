"""A publisher that sends a file as fast as it goes (ffmpeg without -re)."""

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from tests.kit.clients import Player, TagPublisher, flv_tags
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.waiting import patient, until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=12.0, fps=Fraction(25), gop_frames=25)


def test_a_file_sent_at_once_is_read_in_real_time_and_whole(clip: MakeClip) -> None:
    tags = flv_tags(clip(SPEC))
    with (
        Farm() as farm,
        Player(farm.url("file", "source")) as source,
        Player(farm.url("file", "240p")) as rendition,
    ):
        begin = time.monotonic()
        with TagPublisher(farm.url("file"), tags, due_ms=[0.0] * len(tags)) as publisher:
            until(lambda: publisher.sent == len(tags), 10, "all is sent, and waits in the kernel")
            publisher.join(5)
        source.join(20)
        rendition.join(20)
        took_s = time.monotonic() - begin
        log = farm.log()
    assert "sends faster than real time" in log
    assert SPEC.seconds - 2.0 < took_s < patient(SPEC.seconds)
    # What came at once, until it was known, is over for the one and more than a worker takes for
    # the other.
    for player, least in ((source, SPEC.frames - 175), (rendition, 50)):
        assert player.recording.decode_error == ""
        shown = [picture.number for picture in player.recording.shown]
        assert None not in shown
        assert len([number for number in shown if number and number >= 175]) >= least
        assert shown[-1] == SPEC.frames - 1
