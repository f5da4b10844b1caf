"""An egress process with two outputs: RTMP play, and one that records units."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from common.config.settings import Settings
from common.ipc.control_messages import Heartbeat
from common.ipc.identity import Generation
from common.ipc.media_messages import Demand, StreamClosed
from common.rtmp.blocking_client import RtmpPlayer
from common.rtmp.events import VideoReceived
from tests.kit import recording_egress
from tests.kit.egress import (
    STREAM,
    TEMPLATE,
    audio_header_tag,
    audio_tag,
    inter_tag,
    key_tag,
    rendition_open,
    shared,
    stream_open,
    tags,
)
from tests.kit.egress_process import EgressProcess, FrontDoor
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

FRAMES = 100
GOP = 10


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with what recorders of one rendition have got; they are quick, slow and broken."""
    path = tmp_path / "recorded.json"
    recorders = [f"{STREAM} 360p {name}" for name in ("broken", "slow", "quick")]
    monkeypatch.setenv(recording_egress.RECORD, ";".join(recorders))
    monkeypatch.setenv(recording_egress.RECORDED, str(path))
    return path


def read(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text()) if path.exists() else {}
    assert isinstance(found, dict)
    return found


def push_frames(egress: EgressProcess, begin: int, end: int) -> None:
    """Pictures of 360p, each with its sound."""
    for number in range(begin, end):
        at_ms = number * 40
        tag = key_tag(at_ms) if number % GOP == 0 else inter_tag(at_ms)
        egress.push(*tags(number, tag, rendition="360p"))
        egress.push(*shared(audio_tag(at_ms)))
        time.sleep(0.002)


def test_several_kinds_take_one_rendition_and_none_costs_another_anything(recorded: Path) -> None:
    with EgressProcess(
        Settings(templates=(TEMPLATE,)),
        module="tests.kit.recording_egress",
        expected_fault="a recorder's bug",
    ) as egress:
        egress.push(stream_open(renditions=("360p",)))
        egress.push(*rendition_open("360p"))
        egress.push(*shared(audio_header_tag(0)))
        # Nobody has asked by RTMP: it is the other output that takes this rendition.
        assert egress.answer(Demand).renditions == ("360p",)
        push_frames(egress, 0, GOP + 3)
        until(lambda: "quick" in read(recorded), 10, "the recorders have begun")
        with (
            FrontDoor(egress.endpoint.handover) as door,
            RtmpPlayer(door.url(f"{STREAM}/360p")) as player,
        ):
            events = iter(player)
            first = next(event for event in events if isinstance(event, VideoReceived))
            assert first.timestamp == GOP * 40, "its sequence header, at the buffered keyframe"
            push_frames(egress, GOP + 3, FRAMES)
            served = egress.served(lambda beat: frames_of(beat) == FRAMES)
            [rendition] = [r for r in served.served[0].renditions if r.name == "360p"]
            assert rendition.players == 3, "one by RTMP, and two recorders that are left"
            assert served.counters["recorders"] == 3
            egress.push(StreamClosed(STREAM, Generation(1), "it left", 0))
            played = [event for event in events if isinstance(event, VideoReceived)]
            [last] = egress.served(lambda beat: bool(beat.served_last)).served_last
            assert sum(rendition.dropped for rendition in last.renditions) > FRAMES / 2
        until(lambda: read(recorded)["quick"]["ended"] == "it left", 10, "the end is heard")
        found = read(recorded)
    assert found["broken"]["ended"] == "it failed"
    pictures = [f"v{i * 40}" for i in range(FRAMES)]
    assert found["quick"]["words"][:2] == ["C", "v0K"]
    quick = [word.rstrip("K") for word in found["quick"]["words"] if word[0] == "v"]
    assert quick == pictures
    assert found["quick"]["dropped"] == 0
    assert found["slow"]["ended"] == "it left"
    assert found["slow"]["dropped"] > FRAMES / 2
    assert [event.payload[5:].decode() for event in played if event.payload[1]] == pictures[GOP:]


def test_an_output_that_fails_at_every_look_costs_the_others_nothing(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended the process before: the look is in the tick of all streams."""
    monkeypatch.setenv(recording_egress.RECORD, f"{STREAM} 360p failing")
    with EgressProcess(
        Settings(templates=(TEMPLATE,)),
        module="tests.kit.recording_egress",
        expected_fault="an output's bug",
    ) as egress:
        egress.push(stream_open(renditions=("360p",)))
        egress.push(*rendition_open("360p"))
        push_frames(egress, 0, GOP)
        egress.served(lambda beat: frames_of(beat) == GOP)
        with (
            FrontDoor(egress.endpoint.handover) as door,
            RtmpPlayer(door.url(f"{STREAM}/360p")) as player,
        ):
            time.sleep(1.5)  # a look is due once a second
            push_frames(egress, GOP, 2 * GOP)
            last = (2 * GOP - 1) * 40
            pictures = (event for event in player if isinstance(event, VideoReceived))
            assert any(event.timestamp == last for event in pictures)


def test_a_recording_begins_with_the_streams_first_picture_and_ends_with_its_last(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that come in one message, and the end of the process before the stream's."""
    monkeypatch.setenv(recording_egress.RECORD, f"{STREAM} 360p quick")
    settings = Settings(templates=(TEMPLATE,))
    first = [
        key_tag(at_ms) if at_ms % 400 == 0 else inter_tag(at_ms) for at_ms in range(0, 1200, 40)
    ]
    with EgressProcess(settings, module="tests.kit.recording_egress") as egress:
        # A worker's tags may be here before its stream is.
        egress.push(*rendition_open("360p"))
        egress.push(*tags(0, *first, rendition="360p"))
        egress.push(stream_open(renditions=("360p",)))
        assert egress.answer(Demand).renditions == ("360p",)
        for number in range(30, 35):
            egress.push(*tags(number, inter_tag(number * 40), rendition="360p"))
        egress.served(lambda beat: frames_of(beat) == 35)
    found = read(recorded)["quick"]
    pictures = [word.rstrip("K") for word in found["words"] if word[0] == "v"]
    assert pictures == [f"v{number * 40}" for number in range(35)]
    assert found["ended"] is None, "written by the output's close alone"
    assert found["child"] == "egress:0"


def frames_of(beat: Heartbeat) -> int:
    return sum(r.frames for s in beat.served for r in s.renditions if r.name == "360p")
