"""Publishers of H.265 and AV1: what they send is played as H.264, picture by picture."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kit.clients import Player, Publisher, Recording
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=3.0, width=480, height=270)
ENCODERS = {"h265": ("libx265", 2), "av1": ("libsvtav1", 0)}


def consecutive(recording: Recording) -> bool:
    numbers = [shown.number for shown in recording.shown]
    first = numbers[0]
    return first is not None and numbers == list(range(first, first + len(numbers)))


def test_renditions_have_every_picture_in_h264(farm: Farm, clip: MakeClip) -> None:
    clips = {
        key: clip(SPEC.but(encoder=encoder, b_frames=b_frames))
        for key, (encoder, b_frames) in ENCODERS.items()
    }
    with ExitStack() as stack:
        publishers = [
            stack.enter_context(Publisher(farm.url(key), path)) for key, path in clips.items()
        ]
        players = {
            (key, rendition): stack.enter_context(Player(farm.url(key, rendition)))
            for key in clips
            for rendition in ("240p", "144p")
        }
        farm.wait_stream(*clips)
        codecs = {key: stream["codec"] for key, stream in farm.streams().items()}
        for publisher in publishers:
            publisher.join(20)
        for player in players.values():
            player.join(20)
            assert player.error is None
    assert codecs["h265"].startswith("hvc1.")
    assert codecs["av1"].startswith("av01.")
    for (key, rendition), player in players.items():
        recording = player.recording
        assert recording.decode_error == "", key
        assert len(recording.shown) > 15, (key, rendition)
        other = players[key, "144p"].recording
        both = set(recording.pts_of().values()) & set(other.pts_of().values())
        assert {at for at in recording.keyframes_ms if at in both} == {
            at for at in other.keyframes_ms if at in both
        }
        if rendition == "240p":
            assert consecutive(recording), key
