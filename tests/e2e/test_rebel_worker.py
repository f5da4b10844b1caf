"""A worker that a stranger's bitstream has taken over, in a whole farm (`tests/kit/rebel`).

Its sandbox is closed, and it does all it can with its sockets: it is heard by nobody who has no
business with it, and the stream of another worker loses nothing.
"""

import json
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.kit.clients import Player, Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
ENTRY = Path(__file__).parents[1] / "kit" / "rebel_farm.py"
CONFIG = DEFAULT_CONFIG.replace("workers = 1", "workers = 2").replace(
    "[templates.live]", '[templates.live]\npublish_keys = ["s3cret"]'
)
ROUNDS = 4


def rounds(farm: Farm) -> list[dict[str, Any]]:
    """What the rebel got in each of its rounds."""
    return [json.loads(found) for found in re.findall(r"rebel (\{.*\})", farm.log())]


def rebel(monkeypatch: pytest.MonkeyPatch, stream: str, name: str, **more: str) -> None:
    """Have the next farm's child of that name rebel, against a stream."""
    for key, value in {"stream": stream, "name": name, **more}.items():
        monkeypatch.setenv(f"REBEL_{key.upper()}", value)
    monkeypatch.setenv("PYTHONPATH", str(ENTRY.parents[2]))


def counter(farm: Farm, child: str, name: str) -> int:
    return int(farm.child(child)["counters"].get(name, 0))


def away_from_the_rebel(farm: Farm) -> AbstractContextManager[None]:
    """Have the next stream come to the other worker: only a drained one gets none for certain."""
    assert farm.cli("drain", "cpu:1").returncode == 0
    return nullcontext()


def lost_pictures(player: Player) -> int:
    """Steps between pictures that are too long, of those that a player got."""
    # the source comes with B-frames: its last ones may be missing
    times = sorted(unit.pts_ms for unit in player.recording.video)[:-4]
    assert len(times) > 60
    assert player.recording.decode_error == ""
    return sum(after - at > 36 for at, after in pairwise(times))


def test_a_worker_out_of_hand_reaches_no_other_child_and_no_stream_but_its_own(
    clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebel(monkeypatch, "live/cam", "worker:cpu:1")
    path = clip(ClipSpec(seconds=16.0))
    with (
        Farm(CONFIG, supervisor=(sys.executable, str(ENTRY))) as farm,
        away_from_the_rebel(farm),
        Publisher(farm.url("cam", query="key=s3cret"), path, loop=True),
    ):
        farm.wait_stream("cam")
        assert farm.cli("undrain", "cpu:1").returncode == 0
        with Publisher(farm.url("own", query="key=s3cret"), path, loop=True):
            farm.wait_stream("own")
            where = {key: stream["worker"] for key, stream in farm.streams().items()}
            assert where == {"cam": "worker:cpu:0", "own": "worker:cpu:1"}
            before = len(rounds(farm))
            with (
                Player(farm.url("cam", "240p")) as player,
                Player(farm.url("cam")) as source,
                Player(farm.url("own", "240p")) as own,
            ):
                for one in (player, source, own):
                    assert one.opened.wait(15)
                until(lambda: len(rounds(farm)) >= before + ROUNDS, 60, "rounds", every=0.2)
                assert {key: s["worker"] for key, s in farm.streams().items()} == where
        for seen in rounds(farm)[before:]:
            assert seen["file"] == "PermissionError"
            assert seen["tcp"] == "PermissionError"
            assert seen["keys"] == seen["told"] == [], "it is told no more than it needs"
            assert {".media", ".tags", ".handover"} <= set(seen["sockets"]), "it found them all"
            assert seen["tags"] == seen["media"] == [], "and nobody there answers"
            assert set(seen["handover"]) <= {"closed", "BrokenPipeError", "ConnectionResetError"}
            assert seen["command"] == ["Answer"]
        assert "what=command 'stop'" in farm.log()
        for what in ("PublishEnd", "StreamWanted"):
            assert f"what={what} of worker:cpu:1" in farm.log()
        for one in (player, source):
            assert lost_pictures(one) == 0, "of the other worker's stream"
        assert len(own.recording.video) > 60
        assert counter(farm, "egress", "denied") > 0
        assert counter(farm, "worker:cpu:0", "denied") > 0


def test_a_worker_that_floods_is_ended_and_other_workers_streams_lose_nothing(
    clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebel(monkeypatch, "live/cam", "worker:cpu:1", floods="8")
    path = clip(ClipSpec(seconds=16.0))
    with (
        Farm(CONFIG, supervisor=(sys.executable, str(ENTRY))) as farm,
        away_from_the_rebel(farm),
        Publisher(farm.url("cam", query="key=s3cret"), path, loop=True),
    ):
        farm.wait_stream("cam")
        assert farm.streams()["cam"]["worker"] == "worker:cpu:0"
        crashes = farm.streams()["cam"]["crashes"]
        with Player(farm.url("cam", "240p")) as player, Player(farm.url("cam")) as source:
            for one in (player, source):
                assert one.opened.wait(15)
            ended = "child down child=worker:cpu:1 reason=it floods"
            before = farm.log().count(ended)
            until(lambda: farm.log().count(ended) >= before + 2, 40, "it is ended", every=0.2)
            count = len(player.recording.video)
            until(lambda: len(player.recording.video) > count + 30, 10, "it goes on", every=0.1)
        for one in (player, source):
            assert lost_pictures(one) == 0
        assert farm.streams()["cam"]["crashes"] == crashes
        assert counter(farm, "egress", "flooded") > 0


def test_of_the_streams_of_a_worker_that_died_the_one_is_suspected_whose_thread_it_was(
    clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebel(monkeypatch, "live/nobody", "nobody", crashes="480")
    path, fatal = clip(ClipSpec(seconds=16.0)), clip(ClipSpec(seconds=8.0, width=480, height=270))
    with (
        Farm(DEFAULT_CONFIG, supervisor=(sys.executable, str(ENTRY))) as farm,
        Publisher(farm.url("fatal"), fatal, loop=True),
        Publisher(farm.url("a"), path, loop=True),
        Publisher(farm.url("b"), path, loop=True),
    ):
        farm.wait_stream("a", "b", "fatal")
        farm.wait_log("crashed child=worker:cpu:0 thread=0x", 20)
        until(lambda: farm.child("worker:cpu:0")["state"] == "ready", 20, "it is back", every=0.1)
        crashes = {key: stream["crashes"] for key, stream in farm.streams().items()}
        assert crashes == {"a": 0, "b": 0, "fatal": 1}, "all of them were newcomers"
        assert re.search(r"crashed child=worker:cpu:0 .* where=\S+", farm.log())
