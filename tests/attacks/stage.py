"""What every attack needs: a farm under load that exempts nobody, an attacker, and the verdict.

Four publishers and forty players as in `tests/faults/scene.py`. A player's gap is the longest time
without a picture. That of the same run before the attack, with newcomers too, is what this host
gives undisturbed, so an attack is judged by what it adds. The attacker is a process of its own
(`sender.py`).
"""

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher
from tests.attacks.sender import Plan, write_plan
from tests.faults.load import FRAME_MS
from tests.faults.scene import CLIP, KEYS, RENDITION, Scene, clip, seen_by
from tests.kit.clients import flv_tags, send_tag

EXEMPT_NOBODY = "[ingest]\nexempt_networks = []\n"
BEFORE_S = 8.0  # undisturbed
ADDED_S = 0.15  # to the undisturbed gap, at most
NEWCOMER_S = 1.0  # until a new publisher and a new player are served, at most
EVERY_S = 2.0  # another newcomer
FIN_WAIT_1 = "04"


@dataclass
class Result:
    """One row of the table."""

    attack: str
    gap_before_s: float = 0.0
    gap_s: float = 0.0
    newcomer_s: float = 0.0  # the slowest
    lost_before: int = 0  # pictures, of the stream that lost the most
    lost: int = 0
    attacker: str = ""  # what it did, and its CPU
    farm: str = ""  # the CPU of the farm's processes meanwhile
    limit: str = ""
    note: str = ""
    ok: bool = False


@dataclass
class Watched:
    """What happens between now and then, and the verdict on it."""

    until_s: float  # CLOCK_MONOTONIC
    result: Result


@dataclass
class Stage:
    """Use as a context: the farm runs and its players get pictures."""

    name: str
    more: str = EXEMPT_NOBODY  # tables of the configuration
    players_a_stream: int = 10
    newcomers: bool = True
    listen: str = ""  # more of `[listen]`
    added_s: float = ADDED_S
    scene: Scene = field(init=False)

    def __enter__(self) -> Self:
        self.scene = Scene(
            more=self.more, players_a_stream=self.players_a_stream, listen=self.listen
        ).__enter__()
        self._began_s = time.monotonic()
        self._tags = flv_tags(clip(CLIP))
        self._served_s: list[tuple[float, float]] = []  # publishers and players
        self._failures: list[str] = []
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.scene.__exit__(kind, error, traceback)

    @property
    def port(self) -> int:
        return self.scene.farm.port

    def begin_anew(self) -> None:
        """Measure from now on what is undisturbed: players have come."""
        self._began_s = time.monotonic()

    def file(self, name: str, content: bytes) -> str:
        """Bytes made beforehand, for a plan."""
        path = self.scene.farm.dir / name
        path.write_bytes(content)
        return str(path)

    def attack(self, plan: Plan) -> Result:
        """Wait, attack with one process, and judge as `watched` does."""
        path = write_plan(plan, self.scene.farm.dir / "plan.json")
        with self.watched(plan.seconds) as watched:
            lines = len(self.scene.farm.log().splitlines())
            sender = subprocess.Popen(
                [sys.executable, "-m", "tests.attacks.sender", str(path)],
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parents[2],
            )
            try:
                out, _ = sender.communicate(timeout=plan.seconds + 30)
            finally:
                sender.kill()
        facts: dict[str, Any] = json.loads(out)
        result = watched.result
        result.attacker = (
            f"{facts['opened']} connections, "
            f"{facts['sent_bytes'] * 8 / 1e6 / plan.seconds:.1f} Mbit/s, "
            f"{facts['cpu_s'] / plan.seconds:.0%} of a core"
        )
        result.note += f", {len(self.scene.farm.log().splitlines()) - lines} log lines"
        return result

    @contextmanager
    def watched(self, seconds: float) -> Iterator["Watched"]:
        """Judge the players' gaps and the newcomers' times of what the block does.

        The block lasts until `until_s`; its verdict is there afterwards.
        """
        self._newcomers(self._began_s + BEFORE_S)
        time.sleep(max(0.0, self._began_s + BEFORE_S - time.monotonic()))
        before_s = self._slowest()
        self._served_s.clear()
        at = time.monotonic()
        watched = Watched(at + seconds, Result(self.name))
        newcomers = threading.Thread(target=self._newcomers, args=(watched.until_s,))
        newcomers.start()
        used = cpu_s(self.scene)
        yield watched
        newcomers.join()
        result = watched.result
        seconds = time.monotonic() - at
        farm = {name: after - used.get(name, 0) for name, after in cpu_s(self.scene).items()}
        result.farm = ", ".join(
            f"{name} {spent / seconds:.0%}" for name, spent in sorted(farm.items()) if spent > 0.01
        )
        result.gap_before_s = self._gap_s(self._began_s, at)
        result.gap_s = self._gap_s(at, watched.until_s)
        result.lost_before = self._lost(self._began_s, at)
        result.lost = self._lost(at, watched.until_s)
        publish_s, play_s = self._slowest()
        result.newcomer_s = max(publish_s, play_s)
        result.limit = f"gap ≤ undisturbed + {self.added_s:g} s, newcomers < {NEWCOMER_S:g} s"
        losses = sum(player.losses for player in self.scene.load.players)
        served = (
            f"publishers {publish_s:.2f} s and players {play_s:.2f} s; "
            f"before {before_s[0]:.2f} s and {before_s[1]:.2f} s"
        )
        result.note = ", ".join([*self._failures, served, *([f"{losses} cut"] if losses else [])])
        result.ok = (
            result.gap_s <= result.gap_before_s + self.added_s
            and result.newcomer_s < NEWCOMER_S
            and not self._failures
            and not losses
        )

    def _gap_s(self, since_s: float, until_s: float) -> float:
        """The longest time without a picture, of any player."""
        gaps = [0.0]
        for player in self.scene.load.players:
            times = [p.came_s for p in seen_by(player, since_s + 0.5).pictures]
            times = [since_s, *(t for t in times if since_s < t < until_s), until_s]
            gaps += [after - before for before, after in itertools.pairwise(times)]
        return max(gaps)

    def _lost(self, since_s: float, until_s: float) -> int:
        """How many pictures of its rendition a player missed meanwhile; of all, the worst.

        Stream time steps by one picture's time, so each that is missing shows, whenever it came.
        """
        worst = 0
        for player in self.scene.load.players:
            pictures = [p for p in list(player.pictures) if not p.is_header]
            came = [p.dts_ms for p in pictures if since_s < p.came_s < until_s]
            if not came:
                continue
            first, last = min(came), max(came)
            there = {round(p.dts_ms / FRAME_MS) for p in pictures if first <= p.dts_ms <= last}
            worst = max(worst, round((last - first) / FRAME_MS) + 1 - len(there))
        return worst

    def _slowest(self) -> tuple[float, float]:
        """The slowest of the newcomers: publisher and player."""
        if not self._served_s:
            return 0.0, 0.0
        publishers, players = zip(*self._served_s, strict=True)
        return max(publishers), max(players)

    def _newcomers(self, until_s: float) -> None:
        number = 0
        while self.newcomers and time.monotonic() < until_s - EVERY_S:
            time.sleep(EVERY_S)
            number += 1
            try:
                self._served_s.append(self._newcomer(f"new{number}"))
            except Exception as error:
                self._failures.append(f"newcomer: {type(error).__name__}: {error}"[:80])

    def _newcomer(self, key: str) -> tuple[float, float]:
        """Seconds until a publisher is served, and until a player is."""
        farm = self.scene.farm
        began = time.monotonic()
        with RtmpPublisher(farm.url(key), 10) as publisher:
            publish_s = time.monotonic() - began
            for tag in self._tags[:4]:
                send_tag(publisher, tag)
            began = time.monotonic()
            with RtmpPlayer(farm.url(KEYS[1], RENDITION), 10):
                play_s = time.monotonic() - began
        return publish_s, play_s


def cpu_s(scene: Scene) -> dict[str, float]:
    """What each child has used so far, and the supervisor."""
    found: dict[str, float] = {}
    for process, name in scene.farm.named_processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[name] = times.user + times.system
    return found


@dataclass(frozen=True)
class KernelSockets:
    """TCP sockets of a port as the kernel counts them."""

    unsent_bytes: int  # in send buffers: neither taken by the peer nor given up
    by_state: dict[str, int]  # in the hexadecimal form of /proc/net/tcp


def kernel_sockets(port: int, peers: Sequence[str]) -> KernelSockets:
    """Those whose own port it is and whose peer's address begins with one of `peers`."""
    unsent = 0
    by_state: dict[str, int] = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        address = bytes.fromhex(remote.partition(":")[0])[::-1]
        host = ".".join(map(str, address))
        if int(local.partition(":")[2], 16) != port or not host.startswith(tuple(peers)):
            continue
        unsent += int(queues.partition(":")[0], 16)
        by_state[state] = by_state.get(state, 0) + 1
    return KernelSockets(unsent, by_state)
