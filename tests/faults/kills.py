"""Faults of the farm's own processes, many of them: killed at random, again and again."""

import contextlib
import os
import random
import signal
import statistics
import time
from functools import partial
from typing import Any

from common.errors import TfarmError
from tests.faults.scene import KEYS, Result, Scene
from tests.kit.waiting import until

BACK_S = 2.0
LOOK_S = 0.1
SETTLE_S = 40.0  # after the last kill, for all streams to run again
SEED = 16


def kill_at_random(kills: int = 60, seconds: float = 300.0) -> Result:
    """Kill ingest, egress and the workers at random moments; every one comes back in time."""
    chance = random.Random(SEED)
    with Scene() as scene:
        at = time.monotonic()
        due = sorted(at + chance.uniform(0, seconds) for _ in range(kills))
        back = _Back(scene)
        for moment in due:
            back.watch_until(moment)
            back.kill(chance)
        until(partial(back.watch_until, 0.0), BACK_S * 10, "the last one is back")
        log = scene.farm.log()
        until(lambda: _all_run(scene), SETTLE_S, "every player gets pictures again")
        refused = [r for p in scene.load.publishers.values() for r in p.refusals]
        alone = log.count("quarantined") + log.count("took down")
    row = Result(f"kill -9 at random, {kills} times in {seconds / 60:.0f} min", len(KEYS))
    row.limit = f"each back ≤ {BACK_S:g} s, no stream quarantined or refused, all run at the end"
    kinds = ", ".join(
        f"{kind} {len(times)} times, median {statistics.median(times):.2f} s, "
        f"{max(times):.2f} s at most"
        for kind, times in sorted(back.times.items())
    )
    row.note = f"{kinds}; {alone} quarantined, {len(refused)} refusals"
    row.ok = max(map(max, back.times.values())) <= BACK_S and not alone and not refused
    return row


class _Back:
    """Who was killed, and how long each took to be ready again."""

    def __init__(self, scene: Scene) -> None:
        self.times: dict[str, list[float]] = {}
        self._scene = scene
        self._killed: dict[str, tuple[int, float]] = {}  # the dead pid, and since when

    def watch_until(self, moment: float) -> bool:
        """Look who is back until then, at least once; whether all are."""
        while True:
            for child in self._children():
                pid, since_s = self._killed.get(child["name"], (0, 0.0))
                if pid and child["state"] == "ready" and child["pid"] != pid:
                    del self._killed[child["name"]]
                    self.times.setdefault(child["kind"], []).append(time.monotonic() - since_s)
            if time.monotonic() >= moment:
                return not self._killed
            time.sleep(LOOK_S)

    def kill(self, chance: random.Random) -> None:
        """Kill one that is not being waited for, whether it is ready yet or not."""
        running = [c for c in self._children() if c["pid"] and c["name"] not in self._killed]
        if running:
            child = chance.choice(running)
            self._killed[child["name"]] = (child["pid"], time.monotonic())
            with contextlib.suppress(ProcessLookupError):
                os.kill(child["pid"], signal.SIGKILL)

    def _children(self) -> list[dict[str, Any]]:
        try:
            children: list[dict[str, Any]] = self._scene.farm.status()["children"]
        except TfarmError:
            return []
        return children


def _all_run(scene: Scene) -> bool:
    now = time.monotonic()
    return all(p.pictures and p.pictures[-1].came_s > now - 0.5 for p in scene.load.players)
