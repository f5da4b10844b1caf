"""Hybrid end to end: one GPU decodes and scales, the host's cores encode with libx264.

How many streams keep real time, against the streams that libx264 alone keeps in real time on those
cores in the same run, before and after, a process a stream; beside it how many ladders as fast as
it can, a process a core. The farm has half of the host's cores, publishers and players have others;
with `--together` all have all, and what publishers and players take is subtracted from what libx264
alone can do. Delay is from a picture's last byte written by its publisher to its last byte read by
its player.

The host's speed swings, so a load near the ceiling is looked at up to three times. It holds when
the second or the third look does: a load beyond what there is gathers a backlog and holds in none.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from common.config.ladder import Ladder, SourceFormat, fit_ladder
from tests.bench.gpu_alone import APART_S, Alone
from tests.bench.gpu_ceiling import ceiling
from tests.bench.gpu_clip import Clip
from tests.bench.gpu_fleet import Collected, Fleet, RunningFarm
from tests.bench.gpu_scene import Scene, Table
from tests.bench.report import percentile

STEP_S = 6.0  # that a load takes beside settling and looks, at most
COMING_S = 0.5  # after a look, until its last pictures have come or are lost
NEAR = 0.65  # of the ceiling: from here on a load is looked at more than once
LOOKS = 3  # there, at most; the first is of what the beginning of the streams left behind
FAILURES = 2  # loads in a row that do not hold: then it ends
OPEN_S = 25.0  # a farm that was behind takes no streams for a while: so long is it waited for
LOST = 0.005  # of the pictures of a rendition, at most
LATE_MS = 250.0  # p99 of the delay; more, and it is falling behind
PARTS = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Came:
    """A rendition's pictures of a look, of all streams."""

    delays_ms: Sequence[float]
    lost: int

    def parts(self) -> list[float]:
        """Median, p95, p99 of the delay."""
        return [percentile(list(self.delays_ms), part) for part in PARTS]

    def holds(self) -> bool:
        total = len(self.delays_ms) + self.lost
        return bool(self.delays_ms) and self.lost <= LOST * total and self.parts()[2] < LATE_MS


@dataclass(frozen=True)
class Look:
    """A load, for some seconds."""

    wanted: int
    streams: int  # that there are
    small: Came  # 360p
    top: Came  # 720p
    omitted: int  # pictures, as the status tells
    queue_ms: float  # at its end: what the longest queue holds
    is_behind: bool  # the farm takes no new streams at its end
    degraded: int  # streams that the farm has taken something from
    cores: Mapping[str, float]  # by kind of process
    clients: float  # cores of publishers and players
    stages_ms: Mapping[str, Any]  # of one stream
    starved: float  # cores that the workers' threads would have had, and waited for

    @property
    def holds(self) -> bool:
        is_whole = self.streams == self.wanted and not self.degraded and self.queue_ms < LATE_MS
        return is_whole and self.small.holds() and self.top.holds()


@dataclass(frozen=True)
class Load:
    """All looks at a load; of those near the ceiling a later one decides."""

    wanted: int
    looks: Sequence[Look]
    is_near: bool

    @property
    def deciding(self) -> Look:
        later = self.looks[1:] if self.is_near else self.looks
        return next((look for look in later if look.holds), self.looks[-1])

    @property
    def holds(self) -> bool:
        return self.deciding.holds and (not self.is_near or len(self.looks) > 1)


def hybrid(scene: Scene, table: Table) -> None:
    half = len(scene.cores) // 2
    if scene.together:
        cores = sending = playing = scene.cores
    else:
        cores, others = scene.cores[:half], scene.cores[half:]
        sides = len(others) * 3 // 8  # the last cores are for the bench of memory
        sending, playing = others[:sides], others[sides : sides * 2]
    width, height, *_ = scene.size.source
    ladder = fit_ladder(scene.template(), SourceFormat(width, height))
    seconds = max(3.0, scene.size.window_s / 2)
    begun_s = time.monotonic()
    before = _reference(scene.clip, ladder, cores, seconds)
    table.add(f"libx264 alone on {len(cores)} cores", before.line())
    again_s = 1.3 * (time.monotonic() - begun_s)  # what the same takes at the end
    if scene.size.threads_too and not scene.streams:
        together = ceiling(scene.clip, ladder, cores, seconds, in_one_process=True)
        table.add(f"libx264 alone, {len(cores)} threads in one", f"{together:.2f} streams")
    with ExitStack() as stack:
        if scene.gpus:
            config = scene.config(
                exclude=scene.gpus[1:], software="workers = 0\ncapacity = 1000000"
            )
        else:  # tries the bench
            config = scene.config(
                software="workers = 1\ncapacity = 1000000", apps={"live": ("software", "refuse")}
            )
        log = scene.out / "farm-hybrid.log"
        farm = stack.enter_context(RunningFarm(config, log, cores=cores))
        device = farm.status()["devices"][0]
        table.add("device", f"{device['path']}: {'; '.join(device['notes'])}"[:160])
        table.add("workers", ", ".join(farm.workers()))
        publishers = stack.enter_context(Fleet(scene.clip.tags, scene.clip.length_ms, sending))
        players = stack.enter_context(Fleet(cores=playing))
        renditions = [rendition.name for rendition in ladder.renditions]
        run = _Run(scene, table, farm, publishers, players, renditions, scene.until_s - again_s)
        loads = run.loads(scene.streams or _loads(scene, before.fastest), NEAR * before.fastest)
        sent, played = publishers.collect(), players.collect()
        _decisions(farm, table)
    table.check("the farm ends cleanly", str(farm.end_code), farm.end_code == 0)
    after = _reference(scene.clip, ladder, cores, seconds)
    table.add("the same again, after the farm", after.line())
    _tell(table, loads, before, after, len(cores) if scene.together else None)
    table.add("publishers late by at most", f"{sent.late_s * 1000:.0f} ms")
    table.add("players disconnected", str(sum(player.losses for player in played.played)))


@dataclass(frozen=True)
class _Alone:
    """libx264 without a farm."""

    fastest: float  # ladders of 30 pictures a second, as fast as it can
    in_time: int  # streams that keep real time
    cpu_ms: float  # of a picture's renditions, with that many streams

    def line(self) -> str:
        return (
            f"{self.in_time} streams in real time ({self.cpu_ms:.1f} ms of CPU a picture), "
            f"{self.fastest:.2f} as fast as it can"
        )


def _reference(clip: Clip, ladder: Ladder, cores: Sequence[int], seconds: float) -> _Alone:
    fastest = ceiling(clip, ladder, cores, seconds, in_one_process=False)
    with Alone(clip, ladder, cores, round(1.2 * fastest) + 1) as alone:
        in_time = alone.most(0.9 * fastest, seconds, LATE_MS)
        return _Alone(fastest, in_time, alone.cpu_ms)


def _loads(scene: Scene, alone: float) -> list[int]:
    """Numbers of streams: one, then up to a little beyond what libx264 alone encodes."""
    return sorted({1, *(max(1, round(load * alone)) for load in scene.size.loads)})


@dataclass
class _Run:
    """A farm under growing load."""

    scene: Scene
    table: Table
    farm: RunningFarm
    publishers: Fleet
    players: Fleet
    renditions: Sequence[str]
    until_s: float
    running: int = 0

    def loads(self, wanted_all: Sequence[int], near: float) -> list[Load]:
        """One after the other, until time is over or two in a row do not hold."""
        size = self.scene.size
        done: list[Load] = []
        for wanted in wanted_all:
            is_near = wanted >= near
            looks = LOOKS if is_near else 1
            step_s = size.settle_s + looks * (size.window_s + COMING_S) + STEP_S
            if time.monotonic() + step_s > self.until_s:
                self.table.add(f"{wanted} streams", "not tried: no time left")
                break
            try:
                self._wait_open(self.until_s - time.monotonic() - step_s)
                self._add(wanted)
            except TimeoutError as error:
                self.table.add(f"{wanted} streams", f"not tried: {str(error).splitlines()[0]}")
                break
            time.sleep(size.settle_s * (0.75 if done else 1))
            load = self._look_at(wanted, is_near, looks)
            done.append(load)
            if len(done) >= FAILURES and not any(load.holds for load in done[-FAILURES:]):
                break
        return done

    def _wait_open(self, seconds: float) -> None:
        """Until the farm takes new streams, and gives all that it has what they ask for."""

        def is_open() -> bool:
            status = self.farm.status()
            return not _is_behind(status) and not _degraded(status)

        waited_s = self.farm.wait(is_open, min(OPEN_S, seconds), "the farm takes new streams again")
        if waited_s > 1.0:
            self.table.add("the farm was behind", f"took streams again after {waited_s:.0f} s")

    def _add(self, wanted: int) -> None:
        keys = [f"s{number}" for number in range(self.running, wanted)]
        for key in keys:
            self.publishers.publish(self.farm.url(key), key)
            time.sleep(APART_S)
        self.farm.wait_made(keys, 12.0)
        for key in keys:
            for rendition in self.renditions:
                self.players.play(self.farm.url(key, rendition), key, rendition)
        self.running = wanted

    def _look_at(self, wanted: int, is_near: bool, count: int) -> Load:
        looks: list[Look] = []
        for number in range(1, count + 1):
            looks.append(self._look(wanted))
            name = f"{wanted} streams, look {number}" if is_near else f"{wanted} streams"
            self.table.add(f"{name} {'holds' if looks[-1].holds else 'BEHIND'}", _line(looks[-1]))
            if number > 1 and looks[-1].holds:
                break
        return Load(wanted, looks, is_near)

    def _look(self, wanted: int) -> Look:
        farm = self.farm
        before, cpu_before, from_s = farm.status(), farm.cpu_seconds(), time.monotonic()
        starved_s, clients_s = farm.starved_seconds(), self._clients_seconds()
        time.sleep(self.scene.size.window_s)
        starved_s = farm.starved_seconds() - starved_s
        clients_s = self._clients_seconds() - clients_s
        after, cpu_after, to_s = farm.status(), farm.cpu_seconds(), time.monotonic()
        time.sleep(COMING_S)
        sent, played = self.publishers.collect(from_s - 1.0), self.players.collect(from_s - 1.0)
        streams = after["streams"]
        return Look(
            wanted,
            len(streams),
            _came(from_s, to_s, sent, played, "360p"),
            _came(from_s, to_s, sent, played, "720p"),
            omitted=_left_out(after) - _left_out(before),
            queue_ms=max((stream["queue_ms"] for stream in streams), default=0.0),
            is_behind=_is_behind(after),
            degraded=_degraded(after),
            cores={
                kind: (spent - cpu_before.get(kind, 0.0)) / (to_s - from_s)
                for kind, spent in cpu_after.items()
            },
            clients=clients_s / (to_s - from_s),
            stages_ms=streams[0]["stages_ms"] if streams else {},
            starved=starved_s / (to_s - from_s),
        )

    def _clients_seconds(self) -> float:
        return self.publishers.cpu_seconds() + self.players.cpu_seconds()


def _is_behind(status: Mapping[str, Any]) -> bool:
    return any(device["state"] == "overloaded" for device in status["devices"])


def _degraded(status: Mapping[str, Any]) -> int:
    return sum(bool(stream["degraded"]) for stream in status["streams"])


def _left_out(status: Mapping[str, Any]) -> int:
    return sum(
        rendition["dropped"] for stream in status["streams"] for rendition in stream["renditions"]
    )


def _came(from_s: float, to_s: float, sent: Collected, played: Collected, rendition: str) -> Came:
    """What became, on a rendition, of the pictures that were sent in that time."""
    delays_ms, lost = [], 0
    for player in played.played:
        if player.rendition != rendition:
            continue
        came = {picture.dts_ms: picture.came_s for picture in player.pictures}
        first = min(came, default=0)
        for dts_ms, left_s in sent.sent[player.key].left_s.items():
            if from_s <= left_s < to_s and dts_ms >= first:
                if dts_ms in came:
                    delays_ms.append((came[dts_ms] - left_s) * 1000)
                else:
                    lost += 1
    return Came(delays_ms, lost)


def _line(look: Look) -> str:
    if not look.small.delays_ms or not look.top.delays_ms:
        return "no picture came"
    small, top = look.small.parts(), look.top.parts()
    cores = ", ".join(f"{kind} {spent:.2f}" for kind, spent in look.cores.items())
    odd = f"; {look.streams} of them there" if look.streams != look.wanted else ""
    odd += f"; {look.degraded} degraded" if look.degraded else ""
    odd += "; the farm takes no more" if look.is_behind else ""
    return (
        f"of {len(look.small.delays_ms) + look.small.lost} pictures lost 360p {look.small.lost} "
        f"720p {look.top.lost}, left out {look.omitted}; "
        f"delay 360p p50 {small[0]:.1f} p95 {small[1]:.1f} p99 {small[2]:.1f} max "
        f"{max(look.small.delays_ms):.0f}, 720p {top[0]:.1f} {top[1]:.1f} {top[2]:.1f} ms; "
        f"queue {look.queue_ms:.0f} ms; cores: {cores}, waited for {look.starved:.2f}, "
        f"clients {look.clients:.2f}{odd}"
    )


def _tell(
    table: Table, loads: Sequence[Load], before: _Alone, after: _Alone, shared: int | None
) -> None:
    """`shared`: the cores, where publishers and players are on them too."""
    best, unbroken, left = 0, 0, 1.0
    is_unbroken = True
    p95: dict[int, float] = {}
    for load in loads:
        is_unbroken = is_unbroken and load.holds
        if load.holds:
            best = load.wanted
            left = 1 - load.deciding.clients / shared if shared else 1.0
            unbroken = best if is_unbroken else unbroken
            p95[best] = load.deciding.small.parts()[1]
        if load.wanted == 1 and load.holds:
            median = load.deciding.small.parts()[0]
            table.check("delay at one stream, median", f"{median:.1f} ms", median < 40)
    held = ", ".join(f"{load.wanted} {'held' if load.holds else 'did not'}" for load in loads)
    table.add("loads", held)
    near = min(p95, key=lambda streams: abs(streams - 0.8 * best), default=None)
    for load in loads:
        if load.wanted in (1, near, loads[-1].wanted):
            stages = _stages(load.deciding.stages_ms)
            table.add(f"stages at {load.wanted} (ms)", stages)
    for what, one, other, is_wanted in (
        ("libx264's alone in real time", before.in_time, after.in_time, True),
        ("libx264's alone as fast as it can", before.fastest, after.fastest, False),
    ):
        one, other = one * left, other * left
        mean = (one + other) / 2
        parts = [f"{best / alone:.0%} of {alone:.1f}" for alone in (mean, one, other) if alone]
        name = f"streams that keep real time, of {what} (mean, before, after"
        name += f"; {left:.1%} of it, without clients)" if shared else ")"
        value = f"{best} (all loads up to {unbroken}): {', '.join(parts)}"
        if is_wanted:
            table.check(name, value, best >= 0.9 * mean)
        else:
            table.add(name, value)
    if near is not None:
        table.check(
            f"delay p95 at {near} streams ({near / best:.0%} of that)",
            f"{p95[near]:.1f} ms",
            p95[near] < 100,
        )


def _stages(stages_ms: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{stage} {' / '.join(f'{value:.1f}' for value in values)}"
        for stage, values in stages_ms.items()
    )


def _decisions(farm: RunningFarm, table: Table) -> None:
    texts = [note["text"] for note in farm.status()["decisions"]]
    odd = [text for text in texts if not text.startswith("placed on")]
    table.add("decisions other than placements", "; ".join(dict.fromkeys(odd))[:300] or "none")
