"""What is played is what was published: every rendition, picture by picture, to the millisecond."""

import itertools
import subprocess
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import pytest

from common.flv import amf0
from common.rtmp.blocking_client import RtmpPlayer
from common.rtmp.events import MetadataReceived
from tests.kit.clients import Player, Publisher, Recording, record
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.needs import needs_program

pytestmark = pytest.mark.e2e

SPEC = ClipSpec(seconds=7)
RENDITIONS = ("source", "240p", "144p")
TRANSCODED = ("240p", "144p")


@pytest.fixture(scope="module")
def truth(clip: Callable[[ClipSpec], Path]) -> Recording:
    return record(str(clip(SPEC)))


@pytest.fixture(scope="module")
def played(farm: Farm, clip: Callable[[ClipSpec], Path]) -> Mapping[str, Recording]:
    """One publisher with B-frames and AAC, one player a rendition."""
    with Publisher(farm.url("cam1"), clip(SPEC)) as publisher:
        assert publisher.started.wait(10)
        players = {name: Player(farm.url("cam1", name)) for name in RENDITIONS}
        for player in players.values():
            player.__enter__()
        publisher.join(20)
        assert publisher.error is None
    for player in players.values():
        player.join(20)
        assert player.error is None
    return {name: player.recording for name, player in players.items()}


@pytest.mark.parametrize("name", RENDITIONS)
def test_every_picture_decodes_in_strict_mode(played: Mapping[str, Recording], name: str) -> None:
    recording = played[name]
    assert recording.decode_error == ""
    assert len(recording.shown) == len(recording.video)
    numbers = [shown.number for shown in recording.shown]
    assert None not in numbers
    step = 2 if name == "144p" else 1
    first = numbers[0]
    assert first is not None
    assert first <= 60, "a player starts with the last GOP"
    assert numbers == list(range(first, SPEC.frames, step))


def test_renditions_have_the_asked_size_and_profile(played: Mapping[str, Recording]) -> None:
    assert played["source"].sizes() == {(640, 360)}
    assert played["240p"].sizes() == {(426, 240)}
    assert played["144p"].sizes() == {(256, 144)}
    assert played["240p"].profile == "Main"
    assert "Baseline" in played["144p"].profile


def test_renditions_have_the_asked_rate(played: Mapping[str, Recording]) -> None:
    assert played["240p"].fps() == pytest.approx(30, abs=0.2)
    assert played["144p"].fps() == pytest.approx(15, abs=0.1)


def test_renditions_have_their_keyframes_at_the_same_times(played: Mapping[str, Recording]) -> None:
    upper, lower = (played[name].keyframes_ms for name in TRANSCODED)
    start = max(upper[0], lower[0])
    shared = [time_ms for time_ms in upper if time_ms >= start]
    assert shared == [time_ms for time_ms in lower if time_ms >= start]
    assert len(shared) >= 4
    # The first picture of all, then the first one at or after each multiple of the GOP.
    assert all(time_ms % 1000 < 34 for time_ms in shared[1:]), shared
    assert {after // 1000 - before // 1000 for before, after in itertools.pairwise(shared[1:])} == {
        1
    }


def test_a_transcoded_rendition_has_no_b_frames(played: Mapping[str, Recording]) -> None:
    for name in TRANSCODED:
        assert all(unit.pts_ms == unit.dts_ms for unit in played[name].video)
    assert any(unit.pts_ms != unit.dts_ms for unit in played["source"].video)


@pytest.mark.parametrize("name", TRANSCODED)
def test_a_picture_has_the_same_pts_in_every_rendition(
    played: Mapping[str, Recording], name: str
) -> None:
    source = played["source"].pts_of()
    rendition = played[name].pts_of()
    shared = source.keys() & rendition.keys()
    assert len(shared) > 60
    assert {number: source[number] for number in shared} == {
        number: rendition[number] for number in shared
    }


@pytest.mark.parametrize("name", RENDITIONS)
def test_audio_is_what_was_published_and_in_step(
    played: Mapping[str, Recording], truth: Recording, name: str
) -> None:
    recording = played[name]
    published = {unit.data: unit.pts_ms for unit in truth.audio}
    assert len(published) == len(truth.audio), "each audio frame of the clip is unlike the others"
    assert len(recording.audio) > 200
    assert all(unit.data in published for unit in recording.audio)
    audio_shift = {unit.pts_ms - published[unit.data] for unit in recording.audio}
    pictures = truth.pts_of()
    video_shift = {pts_ms - pictures[n] for n, pts_ms in recording.pts_of().items()}
    # One constant for both: the offset between sound and picture is what it was.
    assert audio_shift == video_shift
    assert len(audio_shift) == 1
    # And none is missing between the first and the last one.
    order = [unit.data for unit in truth.audio]
    first = order.index(recording.audio[0].data)
    assert [u.data for u in recording.audio] == order[first : first + len(recording.audio)]


def test_each_rendition_has_metadata_of_its_own(
    farm: Farm, clip: Callable[[ClipSpec], Path]
) -> None:
    with Publisher(farm.url("meta"), clip(SPEC)) as publisher:
        assert publisher.started.wait(10)
        for name, size in (("240p", (426, 240)), ("144p", (256, 144)), ("source", (640, 360))):
            with RtmpPlayer(farm.url("meta", name)) as player:
                event = next(event for event in player if isinstance(event, MetadataReceived))
            values = amf0.decode_all(event.payload)
            assert values[0] == "onMetaData"
            assert isinstance(values[1], dict)
            assert (values[1]["width"], values[1]["height"]) == size


@needs_program("ffmpeg")
def test_the_ffmpeg_command_publishes_and_plays(
    farm: Farm, clip: Callable[[ClipSpec], Path], tmp_path: Path
) -> None:
    path = clip(SPEC.but(fps=Fraction(25), seconds=5.0))
    publish = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-re", "-i", path, "-c", "copy", "-f", "flv", farm.url("cli")],
        stdin=subprocess.DEVNULL,
    )
    try:
        farm.wait_stream("cli")
        play = subprocess.run(
            [
                *("ffmpeg", "-v", "error", "-xerror", "-err_detect", "explode"),
                *("-i", farm.url("cli", "240p"), "-frames:v", "50", "-an"),
                *("-f", "rawvideo", tmp_path / "frames.yuv"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert play.returncode == 0, play.stderr
        assert play.stderr == ""
        assert (tmp_path / "frames.yuv").stat().st_size == 50 * 426 * 240 * 3 // 2
        assert publish.wait(20) == 0
    finally:
        publish.kill()
        publish.wait()


def test_a_player_of_a_file_that_ends_gets_all_of_it(
    farm: Farm, clip: Callable[[ClipSpec], Path]
) -> None:
    """The last pictures are in the encoder or the queues when the publisher says goodbye."""
    spec = SPEC.but(seconds=2.0)
    with Player(farm.url("short", "240p")) as player:
        with Publisher(farm.url("short"), clip(spec)) as publisher:
            publisher.join(15)
        player.join(20)
    numbers = [shown.number for shown in player.recording.shown]
    assert numbers == list(range(spec.frames))
