"""What dies or moves while streams run: players stay, and what others see is whole.

Clips number their pictures; a player's recording is decoded with FFmpeg's strictest checks. The
clips are sent once, so that every PTS at a player can be held against them.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from tests.kit.clients import Player, Publisher, play_on
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm, held, wait_dead
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
LONG = ClipSpec(seconds=16.0)

TWO_WORKERS = DEFAULT_CONFIG.replace("workers = 1", "workers = 2")
HELD = held(TWO_WORKERS, "10s")


def worker_of(farm: Farm, key: str) -> str:
    return str(farm.streams()[key]["worker"])


def pid_of(farm: Farm, name: str) -> int:
    return int(next(c["pid"] for c in farm.status()["children"] if c["name"] == name))


def assert_whole(player: Player, interval_ms: float) -> None:
    """Every picture from the first to the last one, each once, in order."""
    # the source comes with B-frames: not in order of PTS, and its last ones may be missing
    times = sorted(unit.pts_ms for unit in player.recording.video)[:-4]
    steps = [after - before for before, after in pairwise(times)]
    assert len(times) > 30
    assert all(abs(step - interval_ms) <= 2 for step in steps), [
        (times[index], step) for index, step in enumerate(steps) if abs(step - interval_ms) > 2
    ]
    assert player.recording.decode_error == ""
    assert player.error is None


def started(players: Sequence[Player]) -> None:
    for player in players:
        assert player.opened.wait(15)
    until(lambda: all(p.recording.video for p in players), 10, "pictures at every player")


def test_a_killed_or_stopped_worker_costs_its_own_streams_a_moment_and_others_nothing(
    clip: MakeClip,
) -> None:
    path = clip(LONG)
    with (
        Farm(TWO_WORKERS) as farm,
        Publisher(farm.url("a"), path, loop=True),
        Publisher(farm.url("b"), path, loop=True),
    ):
        farm.wait_stream("a", "b")
        assert worker_of(farm, "a") != worker_of(farm, "b")
        hit, other = Player(farm.url("a", "240p")), Player(farm.url("b", "240p"))
        with hit, other:
            started([hit, other])
            killed = pid_of(farm, worker_of(farm, "a"))
            os.kill(killed, signal.SIGSEGV)
            play_on(hit)
            wait_dead(killed)
            other.stop()
            # Both streams are on one worker now. After its second loss "a" goes on alone, on a
            # worker that has to be started first.
            stopped = pid_of(farm, worker_of(farm, "a"))
            assert stopped != killed
            os.kill(stopped, signal.SIGSTOP)
            until(lambda: worker_of(farm, "a") == "worker:cpu:q1", 30, "it is alone", every=0.1)
            play_on(hit)
            assert worker_of(farm, "b") in ("worker:cpu:0", "worker:cpu:1")
            assert hit.is_running
            hit.stop()
        assert_whole(other, 1000 / 30)
        times = [unit.pts_ms for unit in hit.recording.video]
        assert times == sorted(set(times))
        assert hit.recording.decode_error == ""


def test_a_drain_moves_streams_without_losing_or_repeating_a_picture(clip: MakeClip) -> None:
    path = clip(LONG)
    with (
        Farm(TWO_WORKERS) as farm,
        Publisher(farm.url("a"), path, loop=True),
        Publisher(farm.url("b"), path, loop=True),
    ):
        farm.wait_stream("a", "b")
        players = {
            (key, name): Player(farm.url(key, name))
            for key in ("a", "b")
            for name in ("240p", "144p", "source")
        }
        for player in players.values():
            player.__enter__()
        started(list(players.values()))
        first = farm.cli("drain", "cpu:0", "--timeout", "80")
        assert first.returncode == 0, first.stderr
        assert {worker_of(farm, "a"), worker_of(farm, "b")} == {"worker:cpu:1"}
        full = farm.cli("drain", "cpu:1")
        assert full.returncode == 1
        assert "no room for live/" in full.stdout
        assert farm.cli("undrain", "cpu:0").returncode == 0  # now there is room
        second = farm.cli("drain", "cpu:1", "--timeout", "80")
        assert second.returncode == 0, second.stderr
        assert {worker_of(farm, "a"), worker_of(farm, "b")} == {"worker:cpu:0"}
        assert {d["name"]: d["state"] for d in farm.status()["devices"]} == {
            "cpu:0": "ready",
            "cpu:1": "drained",
        }
        play_on(*players.values())
        for player in players.values():
            player.stop()
        for (_, name), player in players.items():
            assert_whole(player, 1000 / 15 if name == "144p" else 1000 / 30)
        unknown = farm.cli("drain", "gpu-9")
        assert unknown.returncode == 1
        assert "cpu:0, cpu:1" in unknown.stderr
        everything = farm.cli("drain", "--all", "--timeout", "0.5")
        assert everything.returncode == 0
        assert "no stream is left" in everything.stdout


def test_another_supervisor_takes_over_and_no_picture_is_lost(clip: MakeClip) -> None:
    def children() -> dict[str, int]:
        return {c["name"]: c["pid"] for c in farm.status()["children"]}

    with Farm() as farm, Publisher(farm.url("a"), clip(LONG), loop=True):
        farm.wait_stream("a")
        with Player(farm.url("a", "240p")) as player:
            started([player])
            before = children()
            assert farm.process is not None
            farm.process.kill()
            farm.process.wait()
            play_on(player)
            farm.start()
            until(lambda: len(children()) == len(before), 10, "it knows all of them")
            assert children() == before
            play_on(player, ms=2000)
            assert farm.streams()["a"]["generation"] == 1
            player.stop()
        assert_whole(player, 1000 / 30)


def test_players_outlive_ingest_and_their_stream_goes_on(clip: MakeClip) -> None:
    path = clip(LONG)
    with Farm(HELD) as farm:
        with Publisher(farm.url("a"), path) as lost:
            farm.wait_stream("a")
            player = Player(farm.url("a", "240p"))
            player.__enter__()
            started([player])
            pid = farm.child("ingest")["pid"]
            os.kill(pid, signal.SIGKILL)
            wait_dead(pid)
            lost.join(20)

        def is_back() -> bool:
            child = farm.child("ingest")
            return bool(child["state"] == "ready" and child["pid"] != pid)

        until(is_back, 10, "ingest is back", every=0.1)
        farm.port = int(farm.status()["listen"]["rtmp"][0].rpartition(":")[2])
        had = len(player.recording.video)
        with Publisher(farm.url("a"), path) as back:
            assert back.started.wait(10)
            until(lambda: len(player.recording.video) > had + 30, 20, "pictures again")
            player.stop()
        times = [unit.pts_ms for unit in player.recording.video]
        assert times == sorted(set(times))
        steps = [after - before for before, after in pairwise(times)]
        assert max(steps) > 300  # time went on while nobody published
        assert player.recording.decode_error == ""


@pytest.fixture(scope="module")
def farm_with_standbys() -> Iterator[Farm]:
    with Farm(standbys=True) as running:
        yield running


@pytest.mark.parametrize("name", ["ingest:0", "egress:0", "worker:cpu:0"])
def test_a_killed_child_comes_back_as_the_process_that_waited_for_that(
    farm_with_standbys: Farm, name: str, clip: MakeClip
) -> None:
    farm = farm_with_standbys
    module = name.partition(":")[0]
    until(lambda: farm.standbys(module), 20, "one waits", every=0.1)
    (waiting,) = (one.pid for one in farm.standbys(module))
    os.kill(pid_of(farm, name), signal.SIGKILL)
    until(lambda: farm.child(name)["pid"] == waiting, 10, "it has begun", every=0.05)
    until(lambda: farm.child(name)["state"] == "ready", 10, "it is ready", every=0.05)
    farm.port = int(farm.status()["listen"]["rtmp"][0].rpartition(":")[2])
    with (
        Publisher(farm.url("a"), clip(ClipSpec(seconds=8.0)), loop=True),
        Player(farm.url("a", "240p")) as player,
    ):
        started([player])
    assert "no sandbox" not in farm.log()
    until(
        lambda: {one.pid for one in farm.standbys(module)} - {waiting},
        20,
        "the next one waits",
        every=0.1,
    )
