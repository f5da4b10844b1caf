"""Workers that decode and scale, and encoder processes that encode: whole farms, real players.

Without a GPU, software workers share their pictures as a GPU's worker does.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.test_recovery import longest_silence, pid_of, started
from tests.kit.clients import Player, Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.process_facts import descriptors, pools
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SHARED = DEFAULT_CONFIG.replace("workers = 1", "workers = 1\nencoder_processes = true")
LONG = ClipSpec(seconds=16.0)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(SHARED) as running:
        yield running


def encoders(farm: Farm) -> dict[str, int]:
    """The encoder processes that are up, and their pids."""
    children = farm.status()["children"]
    return {c["name"]: c["pid"] for c in children if c["kind"] == "encoder" and c["pid"]}


def wait_for_encoders(farm: Farm, *, beside: int = 0) -> dict[str, int]:
    def are_up() -> bool:
        children = [c for c in farm.status()["children"] if c["kind"] == "encoder"]
        return len(children) == 2 and all(
            c["state"] == "ready" and c["pid"] != beside for c in children
        )

    until(are_up, 15, "two encoder processes")
    return encoders(farm)


def assert_in_order(player: Player, *, most_lost_ms: float) -> None:
    """Pictures in order, each once, decodable; `most_lost_ms` at one place."""
    times = [unit.pts_ms for unit in player.recording.video]
    assert times == sorted(set(times))
    assert max((after - before for before, after in pairwise(times)), default=0) <= most_lost_ms
    assert player.recording.decode_error == ""
    assert player.error is None


def test_pictures_go_through_an_encoder_process_whole_and_in_order(
    farm: Farm, clip: MakeClip
) -> None:
    path = clip(ClipSpec(seconds=4.0))
    found = wait_for_encoders(farm)
    assert sorted(found) == ["encoder:0", "encoder:1"]
    with Publisher(farm.url("a"), path):
        big, small = Player(farm.url("a", "240p")), Player(farm.url("a", "144p"))
        with big, small:
            started([big, small])
            status = farm.streams()["a"]
            until(lambda: not big.is_running and not small.is_running, 20, "the end")
    assert status["worker"] == "worker:cpu:0"
    until(lambda: not any(map(pools, found.values())), 5, "no pool mapped")
    assert pools(pid_of(farm, "worker:cpu:0")) == 0
    assert_in_order(big, most_lost_ms=40)
    assert_in_order(small, most_lost_ms=80)
    assert big.recording.sizes() == {(426, 240)}
    assert small.recording.sizes() == {(256, 144)}
    # the rest of a GOP may be missing where a player came late, nothing at the end
    numbers = sorted(big.recording.pts_of())
    assert numbers == list(range(numbers[0], 120))
    assert len(numbers) > 30
    for key_ms in big.recording.keyframes_ms[1:]:
        assert key_ms // 1000 != (key_ms - 34) // 1000, "keyframes are on the grid of 1 s"


def test_a_killed_encoder_process_costs_a_moment_and_a_keyframe(farm: Farm, clip: MakeClip) -> None:
    path = clip(LONG)
    wait_for_encoders(farm)
    with Publisher(farm.url("killed"), path, loop=True):
        player = Player(farm.url("killed", "240p"))
        with player:
            started([player])
            for _ in range(3):
                busy = next(pid for pid in encoders(farm).values() if pools(pid))
                os.kill(busy, signal.SIGKILL)
                assert longest_silence(player, 1.5) < 1.0
                wait_for_encoders(farm, beside=busy)
            assert farm.streams()["killed"]["worker"] == "worker:cpu:0"
    assert_in_order(player, most_lost_ms=500)


def test_openings_and_kills_leave_no_descriptor_and_no_memory(farm: Farm, clip: MakeClip) -> None:
    path = clip(ClipSpec(seconds=1.0))
    wait_for_encoders(farm)
    worker = pid_of(farm, "worker:cpu:0")

    def rounds(count: int) -> None:
        for number in range(count):
            with Publisher(farm.url(f"r{number}"), path, pace=4.0) as publisher:
                until(lambda: not publisher.is_running, 20, "the clip sent", every=0.02)

    def counts() -> list[int]:
        pids = [worker, *encoders(farm).values()]
        until(lambda: not any(map(pools, pids)), 10, "no pool mapped")
        time.sleep(0.3)
        return list(map(descriptors, pids))

    rounds(3)
    before = counts()
    rounds(10)
    assert counts() == pytest.approx(before, abs=2)
    for _ in range(3):
        victim = next(iter(encoders(farm).values()))
        os.kill(victim, signal.SIGKILL)
        wait_for_encoders(farm, beside=victim)
    rounds(2)
    assert counts()[0] == pytest.approx(before[0], abs=2)
    shm = [name for name in os.listdir("/dev/shm") if "tfarm" in name]
    assert shm == []


def test_a_stopped_encoder_process_is_replaced(farm: Farm, clip: MakeClip) -> None:
    path = clip(LONG)
    wait_for_encoders(farm)
    with Publisher(farm.url("stopped"), path, loop=True):
        player = Player(farm.url("stopped", "240p"))
        with player:
            started([player])
            busy = next(pid for pid in encoders(farm).values() if pools(pid))
            os.kill(busy, signal.SIGSTOP)
            assert longest_silence(player, 5) < 4
            wait_for_encoders(farm, beside=busy)
    assert_in_order(player, most_lost_ms=4000)


def test_a_killed_worker_leaves_nothing_with_the_encoder_processes(clip: MakeClip) -> None:
    path = clip(LONG)
    config = SHARED.replace("workers = 1", "workers = 2")
    with Farm(config) as farm:
        found = wait_for_encoders(farm)
        with Publisher(farm.url("a"), path, loop=True):
            player = Player(farm.url("a", "240p"))
            with player:
                started([player])
                before = sum(map(pools, found.values()))
                os.kill(pid_of(farm, farm.streams()["a"]["worker"]), signal.SIGKILL)
                assert longest_silence(player, 3) < 1.5
                until(lambda: sum(map(pools, found.values())) == before, 5, "one stream's pools")
                assert encoders(farm) == found
    assert_in_order(player, most_lost_ms=1500)
