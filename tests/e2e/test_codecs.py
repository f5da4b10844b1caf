"""Publishers of H.265 and AV1: what they send is played as H.264, picture by picture."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import av
import pytest

from common.rtmp.blocking_client import RtmpPlayer
from tests.kit.clients import IO_TIMEOUT_S, Player, Publisher, Recording, refusal_of
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=4.0, width=480, height=270)
ENCODERS = {"h265": ("libx265", 2), "av1": ("libsvtav1", 0)}


def consecutive(recording: Recording) -> bool:
    numbers = [shown.number for shown in recording.shown]
    first = numbers[0]
    return first is not None and numbers == list(range(first, first + len(numbers)))


def source_codec(url: str) -> str:
    """What a player that says what it takes is sent as the source."""
    options = {"rtmp_enhanced_codecs": "hvc1,av01"}
    with av.open(url, options=options, timeout=(10, 10)) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (SPEC.width, SPEC.height)
        return container.streams.video[0].codec_context.codec.canonical_name


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
        code, words = refusal_of(RtmpPlayer(farm.url("h265", "source"), IO_TIMEOUT_S))
        sources = {key: source_codec(farm.url(key, "source")) for key in clips}
        codecs = {key: stream["codec"] for key, stream in farm.streams().items()}
        for publisher in publishers:
            publisher.join(20)
        for player in players.values():
            player.join(20)
            assert player.error is None
    assert sources == {"h265": "hevc", "av1": "av1"}
    assert code == "NetStream.Play.Failed"
    assert "HEVC" in words, "who names no codec is sent none but H.264"
    assert "240p" in words
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


RENDITIONS = ("240p", "hevc", "web")
MIXED = DEFAULT_CONFIG + "".join(
    f"""
[[templates.live.renditions]]
name = "{name}"
width = 426
height = 240
bitrate = "400k"
preset = "p1"
codec = "{codec}"
"""
    for name, codec in (("hevc", "h265"), ("web", "av1"))
)


def test_renditions_of_every_codec_have_the_same_pictures_and_sound(clip: MakeClip) -> None:
    """The worker is in its sandbox, with the threads of x265 and SVT-AV1."""
    with Farm(MIXED) as farm, ExitStack() as stack:
        publisher = stack.enter_context(Publisher(farm.url("cam"), clip(SPEC)))
        players = {
            name: stack.enter_context(Player(farm.url("cam", name), fourccs="hvc1,av01"))
            for name in RENDITIONS
        }
        farm.wait_stream("cam")
        _, words = refusal_of(RtmpPlayer(farm.url("cam", "web"), IO_TIMEOUT_S))
        (stream,) = farm.streams().values()
        publisher.join(20)
        for player in players.values():
            player.join(20)
            assert player.error is None
    assert words.endswith(": play 240p, 144p")
    codecs = {rendition["name"]: rendition["codec"] for rendition in stream["renditions"]}
    assert codecs == {"source": "", "240p": "h264", "144p": "h264", "hevc": "h265", "web": "av1"}
    plain = players["240p"].recording
    for name, player in players.items():
        recording = player.recording
        assert recording.decode_error == "", name
        assert consecutive(recording), name
        assert len(recording.shown) > 15, name
        both = {*recording.pts_of()} & {*plain.pts_of()}
        assert [recording.pts_of()[number] for number in both] == [
            plain.pts_of()[number] for number in both
        ]
        shared = {unit.pts_ms for unit in recording.video} & {unit.pts_ms for unit in plain.video}
        assert {at for at in recording.keyframes_ms if at in shared} == {
            at for at in plain.keyframes_ms if at in shared
        }
        heard = {unit.data: unit.pts_ms for unit in plain.audio}
        moved = {unit.pts_ms - heard[unit.data] for unit in recording.audio if unit.data in heard}
        assert moved == {0}, "the sound has the same times beside every codec"
