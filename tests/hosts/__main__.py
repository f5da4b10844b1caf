"""Three hosts of a cluster with three real members of etcd, which are killed, stopped and wiped.

`make cluster`; with `--smoke` in half of the time; with `--soak MINUTES` they are left alone for so
long, and nothing may move. The hosts are farms on one machine, each with a run directory of its
own; `make faults ARGS=--cluster` has a network between them. The first one has publishers and
players, whose pictures are counted. Exit code 1: something does not hold. 3: there is no etcd.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.faults.scene import Scene
from tests.hosts import causes
from tests.hosts.causes import (
    cluster_of,
    kill_child,
    kill_member,
    publish_for_a_moment,
    stop_all,
    stop_child,
    wait_registered,
    wipe,
)
from tests.kit.cluster_farms import PASSED_ON, cluster_table
from tests.kit.etcd import PROGRAM, Etcd
from tests.kit.farm import Farm

KEYS = ("cam0", "cam1")
AGAIN_S = 6.0

# What a busy machine does to a worker is not what is looked for.
UNHURRIED = '[worker]\nqueue = "60s"\nadapt = false\n'


@dataclass(frozen=True)
class Held:
    """What came of a fault."""

    fault: str
    ok: bool
    note: str


class Cluster:
    """What runs."""

    def __init__(self, stack: ExitStack) -> None:
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfarm-hosts-")))
        self.etcd = stack.enter_context(Etcd(self._folder, 3))
        self.scene = stack.enter_context(
            Scene(more=UNHURRIED + self._table("h1"), keys=KEYS, players_a_stream=4)
        )
        others = [PASSED_ON + self._table(host) for host in ("h2", "h3")]
        self.others = [stack.enter_context(Farm(config)) for config in others]
        self.wait_registered()

    def _table(self, host: str) -> str:
        return cluster_table(host, self.etcd, self._folder)

    @property
    def farms(self) -> list[Farm]:
        return [self.scene.farm, *self.others]

    def wait_registered(self) -> float:
        """Until all hosts are in touch and all streams registered; how long that took."""
        return wait_registered(self.farms, 3)

    def judge(self, fault: str, cause: Callable[[], None]) -> Held:
        """Bring a fault about, and look what it cost."""
        at = time.monotonic()
        cause()
        took_s = self.wait_registered()
        time.sleep(1.5)  # sleep: what a fault costs comes a moment after it
        row = self.scene.judge(fault, KEYS, at)
        lost, gone = row.lost or 0, row.disconnected
        streams = self.scene.farm.status()["streams"]
        ok = not lost and not gone and not row.repeated and took_s <= AGAIN_S
        note = (
            f"{lost} pictures lost, {row.repeated} repeated, {gone} players disconnected, "
            f"registered again after {took_s:.1f} s, {len(streams)} streams"
        )
        return Held(fault, ok and len(streams) == len(KEYS), note)


def soak(cluster: Cluster, minutes: float) -> Held:
    """Leave all alone for so long: no stream moves, no host is thought to be gone."""
    began = time.monotonic()
    first = placements(cluster)
    looks = alarms = moves = 0
    while time.monotonic() < began + 60 * minutes:
        looks += 1
        views = [cluster_of(farm) for farm in cluster.farms]
        alarms += sum(not view["is_in_touch"] or len(view["hosts"]) != 3 for view in views)
        moves += placements(cluster) != first
        time.sleep(5.0)  # sleep: from look to look
    row = cluster.scene.judge("soak", KEYS, began)
    note = (
        f"{looks} looks: a stream had moved in {moves}, a host was out of touch in {alarms}; "
        f"{row.lost} pictures lost, {row.repeated} repeated, {row.disconnected} disconnected"
    )
    ok = not (moves or alarms or row.lost or row.repeated or row.disconnected)
    return Held(f"left alone for {minutes:g} min", ok, note)


def placements(cluster: Cluster) -> dict[str, tuple[int, str]]:
    """Where each stream is, and by which of its placements."""
    streams = cluster.scene.farm.streams()
    return {key: (stream["generation"], stream["state"]) for key, stream in streams.items()}


def publish_twice(cluster: Cluster, times: int) -> Held:
    """The same key at two hosts at the same moment."""
    wrong = causes.publish_twice([farm.url for farm in cluster.others], times)
    return Held(
        f"one key at two hosts at once, {times} times", not wrong, f"{wrong} without one owner"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hosts")
    parser.add_argument("--smoke", action="store_true", help="in half of the time")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="nothing happens so long")
    arguments = parser.parse_args()
    is_smoke = arguments.smoke
    if not PROGRAM.is_file():
        print("etcd is not here: scripts/get-etcd.sh", file=sys.stderr)
        return 3
    away_s, times = (8.0, 10) if is_smoke else (30.0, 100)
    rows: list[Held] = []
    with ExitStack() as stack:
        cluster = Cluster(stack)
        if arguments.soak:
            held = soak(cluster, arguments.soak)
            print(f"{'ok ' if held.ok else 'NOT'} {held.fault}: {held.note}", flush=True)
            return 0 if held.ok else 1
        etcd = cluster.etcd
        faults: dict[str, Callable[[], None]] = {
            "a member of etcd killed": lambda: kill_member(etcd, leader=False),
            "the leader of etcd killed": lambda: kill_member(etcd, leader=True),
            f"all of etcd stopped for {away_s:g} s": lambda: stop_all(
                etcd, away_s, lambda: publish_for_a_moment(cluster.others[0])
            ),
            "all data of etcd wiped": lambda: wipe(etcd),
            "the process cluster stopped for 3 s": lambda: stop_child(cluster.scene.farm),
            "the process cluster killed": lambda: kill_child(cluster.scene.farm),
        }
        for fault, cause in faults.items():
            rows.append(cluster.judge(fault, cause))
            print(f"{'ok ' if rows[-1].ok else 'NOT'} {fault}: {rows[-1].note}", flush=True)
        rows.append(publish_twice(cluster, times))
        print(f"{'ok ' if rows[-1].ok else 'NOT'} {rows[-1].fault}: {rows[-1].note}", flush=True)
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
