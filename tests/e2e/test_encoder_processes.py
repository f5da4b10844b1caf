"""Workers that decode and scale, and encoder processes that encode: whole farms, real players.

Without a GPU, software workers share their pictures as a GPU's worker does.
"""

import os
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.test_recovery import pid_of, started
from tests.kit.clients import Player, Publisher, play_on
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.process_facts import descriptors, pools
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SHARED = DEFAULT_CONFIG.replace("workers = 1", "workers = 1\nencoder_processes = true")
LONG = ClipSpec(seconds=16.0)
COUNTED = 75  # pictures of 120: the farm's count is of once a second, and not of the last one


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


def assert_in_order(*players: Player) -> None:
    """Pictures in order, each once, decodable."""
    for player in players:
        times = [unit.pts_ms for unit in player.recording.video]
        assert times == sorted(set(times))
        assert player.recording.decode_error == ""
        assert player.error is None


def gaps(player: Player, step_ms: float) -> int:
    """The places where one or more pictures are missing, up to `COUNTED`."""
    times = [unit.pts_ms for unit in player.recording.video if unit.pts_ms < COUNTED * 1000 / 30]
    return sum(after - before > step_ms * 1.25 for before, after in pairwise(times))


def placed(farm: Farm, key: str) -> tuple[str, int]:
    """Where a stream is transcoded, and as which of all placements."""
    stream = farm.streams()[key]
    return stream["worker"], stream["generation"]


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
    assert_in_order(big, small)
    assert big.recording.sizes() == {(426, 240)}
    assert small.recording.sizes() == {(256, 144)}
    # a busy host may drop pictures; where one is missing, it was counted
    dropped = farm.dropped("a")
    assert gaps(big, 1000 / 30) + gaps(small, 1000 / 15) <= dropped
    # the rest of a GOP may be missing where a player came late
    numbers = sorted(number for number in big.recording.pts_of() if number < COUNTED)
    assert len(numbers) >= COUNTED - numbers[0] - dropped
    assert len(numbers) > 15
    for key_ms in big.recording.keyframes_ms[1:]:
        assert key_ms // 1000 != (key_ms - 34) // 1000, "keyframes are on the grid of 1 s"


def test_a_killed_encoder_process_costs_a_moment_and_a_keyframe(farm: Farm, clip: MakeClip) -> None:
    path = clip(LONG)
    wait_for_encoders(farm)
    with Publisher(farm.url("killed"), path, loop=True):
        player = Player(farm.url("killed", "240p"))
        with player:
            started([player])
            before = placed(farm, "killed")
            for _ in range(3):
                busy = next(pid for pid in encoders(farm).values() if pools(pid))
                os.kill(busy, signal.SIGKILL)
                wait_for_encoders(farm, beside=busy)
                play_on(player)
            assert placed(farm, "killed") == before, "the worker goes on"
    assert_in_order(player)


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
        return list(map(descriptors, pids))

    def are_as_before() -> bool:
        """Less than one more a round; a process opens three with the first stream that it has."""
        return sum(counts()) < sum(before) + 10

    rounds(3)
    before = counts()
    rounds(10)
    until(are_as_before, 10, "no descriptor is left")
    for _ in range(3):
        victim = next(iter(encoders(farm).values()))
        os.kill(victim, signal.SIGKILL)
        wait_for_encoders(farm, beside=victim)
    rounds(2)
    until(lambda: counts()[0] <= before[0] + 2, 10, "none is left with the worker")
    shm = [name for name in os.listdir("/dev/shm") if "tfarm" in name]
    assert shm == []


def test_a_stopped_encoder_process_is_replaced(farm: Farm, clip: MakeClip) -> None:
    path = clip(LONG)
    wait_for_encoders(farm)
    with Publisher(farm.url("stopped"), path, loop=True):
        player = Player(farm.url("stopped", "240p"))
        with player:
            started([player])
            before = placed(farm, "stopped")
            busy = next(pid for pid in encoders(farm).values() if pools(pid))
            os.kill(busy, signal.SIGSTOP)
            wait_for_encoders(farm, beside=busy)
            play_on(player)
            assert placed(farm, "stopped") == before, "the worker goes on"
    assert_in_order(player)


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
                play_on(player)
                until(lambda: sum(map(pools, found.values())) == before, 5, "one stream's pools")
                assert encoders(farm) == found
    assert_in_order(player)
