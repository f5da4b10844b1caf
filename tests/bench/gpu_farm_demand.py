"""How many streams a GPU takes by how much of what it could make is watched: nothing, a tenth, all.

Renditions are made while they are watched. The share says of how many streams somebody watches the
whole ladder; the others have a publisher alone. `expected_use` is that share, so that the farm lets
in as many. Publishers and players are on the farm's cores, so what they take is told beside it.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.bench.gpu_fleet import Fleet, RunningFarm
from tests.bench.gpu_scene import Scene, Table
from tests.bench.report import percentile

APART_S = 0.03  # between two publishers
MADE_S = 20.0
LATE_MS = 250.0
LOST = 0.005
# Of streams watched, how many streams are tried one after the other.
LOADS: dict[float, Sequence[int]] = {
    0.0: (50, 100, 150, 200, 250, 300, 400),
    0.1: (20, 40, 60, 80, 100, 120, 140, 160),
    1.0: (6, 8, 10, 12, 14, 16, 18, 20),
}
TINY_LOADS: dict[float, Sequence[int]] = {0.0: (2, 4), 0.5: (2, 4), 1.0: (1, 2)}


@dataclass
class _Load:
    """A farm under growing load."""

    scene: Scene
    farm: RunningFarm
    publishers: Fleet
    players: Fleet
    share: float
    keys: list[str] = field(default_factory=list)

    def grow(self, count: int) -> None:
        """Publish up to so many streams, and watch the share of them. Raises TimeoutError."""
        new = [f"s{number}" for number in range(len(self.keys), count)]
        for key in new:
            self.publishers.publish(self.farm.url(key), key)
            time.sleep(APART_S)
        known = len(self.keys)
        self.keys += new
        self.farm.wait(self._are_all_there, MADE_S, f"{count} streams are there")
        for number, key in enumerate(new, known):
            if int((number + 1) * self.share) > int(number * self.share):
                for name, *_ in self.scene.size.renditions:
                    self.players.play(self.farm.url(key, name), key, name)

    def _are_all_there(self) -> bool:
        return len(self.farm.status()["streams"]) == len(self.keys)

    def look(self) -> tuple[bool, str]:
        """Whether it keeps real time, and what it takes."""
        window_s = self.scene.size.window_s
        cpu, from_s = self.farm.cpu_seconds(), time.monotonic()
        clients_s = self.publishers.cpu_seconds() + self.players.cpu_seconds()
        time.sleep(window_s)
        clients_s = self.publishers.cpu_seconds() + self.players.cpu_seconds() - clients_s
        spent, to_s, status = self.farm.cpu_seconds(), time.monotonic(), self.farm.status()
        time.sleep(0.5)
        sent, played = self.publishers.collect(from_s - 1.0), self.players.collect(from_s - 1.0)
        delays_ms, lost = [], 0
        for player in played.played:
            came = {picture.dts_ms: picture.came_s for picture in player.pictures}
            for dts_ms, left_s in sent.sent[player.key].left_s.items():
                if from_s <= left_s < to_s:
                    at_s = came.get(dts_ms)
                    lost += at_s is None
                    delays_ms += [(at_s - left_s) * 1000] if at_s is not None else []
        streams, devices = status["streams"], status["devices"]
        queue_ms = max((one["queue_ms"] for one in streams), default=0.0)
        is_behind = any(one["state"] == "overloaded" for one in devices)
        degraded = sum(bool(one["degraded"]) for one in streams)
        p99 = percentile(delays_ms, 0.99) if delays_ms else 0.0
        holds = (
            len(streams) == len(self.keys)
            and not (is_behind or degraded)
            and lost <= LOST * (len(delays_ms) + lost)
            and p99 < LATE_MS
            and queue_ms < LATE_MS
            and bool(delays_ms) == bool(played.played)
        )
        cores = {kind: (now - cpu.get(kind, 0.0)) / (to_s - from_s) for kind, now in spent.items()}
        text = ", ".join(f"{kind} {taken:.2f}" for kind, taken in cores.items() if taken >= 0.005)
        return holds, (
            f"{len(played.played)} players, {lost} of {len(delays_ms) + lost} pictures lost, delay "
            f"p99 {p99:.0f} ms, queue {queue_ms:.0f} ms, {degraded} degraded"
            f"{', behind' if is_behind else ''}; cores: {text}; all {sum(cores.values()):.2f}, "
            f"clients {clients_s / (to_s - from_s):.2f}; publishers late by {sent.late_s:.2f} s"
        )


def demand(scene: Scene, table: Table) -> None:
    """Each share with a farm of its own; the first load that does not hold twice ends it."""
    loads = TINY_LOADS if scene.size.streams < 10 else LOADS
    for share, counts in loads.items():
        with ExitStack() as stack:
            log = scene.out / f"farm-demand-{share:g}.log"
            farm = stack.enter_context(RunningFarm(_config(scene, share), log))
            publishers = stack.enter_context(Fleet(scene.clip.tags, scene.clip.length_ms))
            players = stack.enter_context(Fleet())
            load = _Load(scene, farm, publishers, players, share)
            best = _most(load, counts, table)
        width, height, *_ = scene.size.source
        name = f"streams of {width}x{height}, {share:.0%} watched"
        table.check(name, f"{best} keep real time", best > 0)


def _most(load: _Load, counts: Sequence[int], table: Table) -> int:
    best = 0
    for count in counts:
        if time.monotonic() + load.scene.size.settle_s + load.scene.size.window_s + MADE_S > (
            load.scene.until_s
        ):
            table.add(f"{count} streams", "not tried: no time left")
            break
        try:
            load.grow(count)
        except TimeoutError as error:
            table.add(f"{count} streams", str(error).splitlines()[0])
            break
        time.sleep(load.scene.size.settle_s)
        holds, line = load.look()
        if not holds:
            table.add(f"{count} streams, {load.share:.0%} watched, first look", line)
            holds, line = load.look()
        table.add(
            f"{count} streams, {load.share:.0%} watched {'hold' if holds else 'DO NOT'}", line
        )
        if not holds:
            break
        best = count
    return best


def _config(scene: Scene, share: float) -> str:
    if scene.gpus:
        text = scene.config(exclude=scene.gpus[1:], software="workers = 0\ncapacity = 1000000")
    else:
        text = scene.config(
            software="workers = 1\ncapacity = 1000000", apps={"live": ("software", "refuse")}
        )
    keys = f'renditions_when = "watched"\nlinger = "2s"\nexpected_use = {max(share, 0.01):g}\n'
    return text.replace("[templates.live]\n", f"[templates.live]\n{keys}")
