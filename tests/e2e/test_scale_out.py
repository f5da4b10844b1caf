"""A farm with two ingest and two egress processes: streams, players and takeovers across them."""

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from common.ipc.egress_homes import home
from common.rtmp.blocking_client import RtmpPublisher
from tests.kit.children import EGRESS0, EGRESS1
from tests.kit.clients import (
    Player,
    Publisher,
    TagPlayer,
    TagPublisher,
    flv_tags,
    frames,
    play_on,
    refusal_of,
    send_tag,
)
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm, held, wait_dead
from tests.kit.waiting import patient, until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
KEYS = ("one", "two", "three")
LOST = ("source", "240p", "144p", "144p")
CONFIG = held(DEFAULT_CONFIG, "5s") + (
    '\n[ingest]\nprocesses = 2\nfirst_video_timeout = "40s"\n'
    '\n[egress]\nprocesses = 2\nmax_players = 4\nqueue = "10s"\n'
)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        yield running


def refused(farm: Farm) -> list[int]:
    """Publishers that were refused, by ingest."""
    return [
        child["counters"].get("refused publishers", 0)  # none before its first heartbeat
        for child in farm.status()["children"]
        if child["kind"] == "ingest"
    ]


def players(farm: Farm) -> list[int]:
    """Players by egress."""
    return [
        child["counters"].get("players", 0)  # none before its first heartbeat
        for child in farm.status()["children"]
        if child["kind"] == "egress"
    ]


def test_streams_play_whichever_process_takes_whom(farm: Farm, clip: MakeClip) -> None:
    assert len(farm.status()["listen"]["rtmp"]) == 1
    path = clip(ClipSpec(seconds=8.0))
    with ExitStack() as stack:
        for key in KEYS:
            stack.enter_context(Publisher(farm.url(key), path, loop=True))
        for key in KEYS:
            farm.wait_stream(key)
        # No process takes six players: one stream's spill over. They have up to a second of
        # pictures at once, and stay until the heartbeats, one a second, have told of them.
        played = [
            stack.enter_context(Player(farm.url("one", name), enough=frames(100)))
            for name in ("source", "240p", "240p", "144p", "144p", "144p")
        ]
        until(lambda: sum(players(farm)) == len(played), 10, "all six are taken", every=0.2)
        assert sorted(players(farm)) == [2, 4]
        for player in played:
            player.join(20)
        for key, name in itertools.product(KEYS[1:], ("source", "240p")):
            player = stack.enter_context(Player(farm.url(key, name), enough=frames(30)))
            player.join(20)
            played.append(player)
    for player in played:
        assert player.error is None
        assert player.recording.decode_error == ""
        numbers = [shown.number for shown in player.recording.shown]
        assert None not in numbers


def test_a_key_in_use_is_refused_at_every_ingest(farm: Farm, clip: MakeClip) -> None:
    with Publisher(farm.url("cam"), clip(ClipSpec(seconds=8.0)), loop=True) as publisher:
        farm.wait_stream("cam")

        def both_have_refused() -> bool:
            code, _ = refusal_of(RtmpPublisher(farm.url("cam")))
            assert code == "NetStream.Publish.BadName"
            return all(refused(farm))

        assert len(refused(farm)) == 2
        until(both_have_refused, 15, "both ingests have refused", every=0.1)
        assert publisher.is_running


def test_a_publisher_that_returns_to_another_ingest_keeps_its_players(
    farm: Farm, clip: MakeClip
) -> None:
    tags = flv_tags(clip(ClipSpec(seconds=20.0)))
    owners = []
    with ExitStack() as stack:
        publisher = stack.enter_context(TagPublisher(farm.url("roam"), tags, vanish=True))
        farm.wait_stream("roam")
        seen = [stack.enter_context(Player(farm.url("roam", name))) for name in ("source", "240p")]
        for player in seen:
            assert player.opened.wait(10)
        owners.append(farm.streams()["roam"]["ingest"])
        for _ in range(12):
            publisher.stop()
            until(lambda: not farm.streams()["roam"]["is_live"], 5, "it is held", every=0.1)
            publisher = stack.enter_context(TagPublisher(farm.url("roam"), tags, vanish=True))
            assert publisher.started.wait(10)
            until(lambda: farm.streams()["roam"]["is_live"], 5, "it is back", every=0.1)
            owners.append(farm.streams()["roam"]["ingest"])
            if len(set(owners)) == 2:
                break
        assert set(owners) == {"ingest:0", "ingest:1"}
        play_on(*seen, ms=2000)
        for player in seen:
            assert player.is_running
            player.stop()
    for player in seen:
        assert player.error is None
        times = [shown.pts_ms for shown in player.recording.shown]
        assert times == sorted(times)


def test_the_last_picture_stands_while_a_publisher_at_another_ingest_sends_nothing_yet(
    farm: Farm, clip: MakeClip
) -> None:
    first = flv_tags(clip(ClipSpec(seconds=3.0)))
    with (
        Player(farm.url("still", "240p"), seconds=40) as player,
        ExitStack() as stack,
    ):
        with TagPublisher(farm.url("still"), first, vanish=True) as publisher:
            until(lambda: publisher.sent == len(first), 15, "the clip is sent")
        until(lambda: not farm.streams()["still"]["is_live"], 5, "it is held", every=0.1)
        home = farm.streams()["still"]["ingest"]
        for _ in range(20):
            back = RtmpPublisher(farm.url("still"))
            stack.callback(back.abort)
            back.connect()
            until(lambda: farm.streams()["still"]["is_live"], 5, "it is back", every=0.1)
            if farm.streams()["still"]["ingest"] != home:
                break
            back.abort()
            until(lambda: not farm.streams()["still"]["is_live"], 5, "it is held", every=0.1)
        assert farm.streams()["still"]["ingest"] != home
        seen = len(player.recording.video)
        until(lambda: len(player.recording.video) > seen + 20, 10, "pictures meanwhile")
        with Player(farm.url("still", "240p"), enough=frames(5)) as joiner:
            joiner.join(10)
        worker = farm.child("worker")["pid"]
        os.kill(worker, signal.SIGKILL)
        wait_dead(worker)
        seen = len(player.recording.video)
        until(lambda: len(player.recording.video) > seen + 20, 15, "pictures of that worker")
        decoded = farm.streams()["still"]["frames_decoded"]
        for tag in flv_tags(clip(ClipSpec(seconds=1.0, first_number=1000))):
            send_tag(back, tag)
        until(
            lambda: farm.streams()["still"]["frames_decoded"] >= decoded + 25,
            10,
            "the new publisher's pictures are decoded",
        )
        seen = len(player.recording.video)
        until(lambda: len(player.recording.video) > seen + 20, 10, "pictures behind them")
        player.stop()
    assert joiner.error is None
    assert player.error is None
    times = [unit.pts_ms for unit in player.recording.video]
    assert all(a < b for a, b in itertools.pairwise(times))
    numbers = [shown.number or 0 for shown in player.recording.shown]
    assert any(1000 <= number <= 1010 for number in numbers), "a busy host may drop the first"


def first_picture(url: str, within_s: float) -> TagPlayer:
    """A player that comes again until it has one; not stopped yet."""
    deadline = time.monotonic() + patient(within_s)
    while True:
        player = TagPlayer(url)
        player.__enter__()
        while player.is_running and not player.came:
            assert time.monotonic() < deadline, f"no picture within {within_s} s"
            time.sleep(0.01)  # sleep: between two looks
        if player.came:
            return player
        player.stop()


def test_an_egress_that_is_killed_costs_the_players_of_the_other_one_nothing(
    farm: Farm, clip: MakeClip
) -> None:
    egresses = [EGRESS0, EGRESS1]
    names = [f"cam{i}" for i in range(20)]
    here = next(name for name in names if home(f"live/{name}", egresses) == egresses[0])
    there = next(name for name in names if home(f"live/{name}", egresses) == egresses[1])
    path = clip(ClipSpec(seconds=8.0))
    with ExitStack() as stack:
        for key in (here, there):
            stack.enter_context(Publisher(farm.url(key), path, loop=True))
        farm.wait_stream(here, there)
        lost = [stack.enter_context(TagPlayer(farm.url(here, name))) for name in LOST]
        until(lambda: players(farm) == [4, 0], 10, "an egress is full", every=0.2)
        others = [
            stack.enter_context(TagPlayer(farm.url(key, name)))
            for key, name in ((here, "source"), (here, "240p"), (there, "240p"))
        ]
        until(lambda: players(farm) == [4, 3], 10, "some went to the other one", every=0.2)
        until(lambda: all(len(player.came) > 60 for player in others), 10, "they play")
        os.kill(farm.child(str(egresses[0]))["pid"], signal.SIGKILL)
        for player in lost:
            player.join(2)
        again = [first_picture(farm.url(here, LOST[0]), 3)]
        for name in LOST[1:]:
            again.append(first_picture(farm.url(here, name), 8))
        until(lambda: players(farm) == [3, 4], 10, "those without room wait for the new one")
        had = {player: len(player.came) for player in (*again, *others)}
        until(lambda: all(len(p.came) > n + 90 for p, n in had.items()), 15, "all play on")
        for player in (*again, *others):
            assert player.is_running
            player.stop()
    for player in (*others, *again):
        assert player.error is None
        assert min(player.steps_ms()) > 0
        # a rendition leaves some out where the machine is behind; what is begun anew costs up to a
        # GOP
        assert max(player.steps_ms()) < 500
    assert max(others[0].steps_ms()) < 50, "of the source no picture is left out"
