"""Faults of load: a farm that was given far more than its host can do, and a worker that grows."""

import itertools
import math
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self

from supervisor.farm.recovery.overload import WELL_S, DegradationLevel
from tests.faults.load import LoadPlayer
from tests.faults.scene import CLIP, KEYS, RENDITION, Result, Scene, clip, seen_by
from tests.kit.waiting import until

STREAMS = KEYS[:3]
SOURCE = CLIP.but(width=854, height=480, bitrate_bps=800_000)
TOP, LOW = "480p", RENDITION
TOP_RENDITION = f"""
[[templates.live.renditions]]
name = "{TOP}"
width = 854
height = 480
fps = 25
bitrate = "900k"
"""
MOST_HOGS = 40
PATIENCE_S = 5.0  # longer than a step takes
LOOK_S = 0.1
MOST_LAG_MS = 2_000
WORDS = {"": DegradationLevel.FULL} | {
    level.name.lower().replace("_", " "): level for level in DegradationLevel
}


class Hogs:
    """Processes that take what they get of all cores, one more at a time, until `stop`.

    Each has a session of its own: where the kernel shares cores out by session, a farm is one.
    """

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def __len__(self) -> int:
        return len(self._processes)

    def add(self) -> None:
        command = ["sh", "-c", "while :; do :; done"]
        self._processes.append(subprocess.Popen(command, start_new_session=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        processes, self._processes = self._processes, []
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


@dataclass
class Course:
    """What the farm's status told of one device and its streams, change by change."""

    scene: Scene
    steps: list[tuple[float, str, DegradationLevel]] = field(
        default_factory=list
    )  # when, of whom, what now
    closed_s: float = 0.0
    opened_s: float = 0.0
    reasons: set[str] = field(default_factory=set)  # of what was taken
    _levels: dict[str, DegradationLevel] = field(default_factory=dict)

    def look(self) -> None:
        status = self.scene.farm.status()
        now = time.monotonic()
        is_closed = any(device["state"] == "overloaded" for device in status["devices"])
        if is_closed and not self.closed_s:
            self.closed_s = now
        if self.closed_s and not is_closed and not self.opened_s:
            self.opened_s = now
        for stream in status["streams"]:
            key, level = str(stream["key"]), WORDS[stream["degraded"]]
            before = self._levels.get(key, DegradationLevel.FULL)
            if level is not before:
                self.steps.append((now, key, level))
            if level > before:
                self.reasons.add(stream["reason"])
            self._levels[key] = level

    @property
    def step_s(self) -> float:
        """When the last step was seen."""
        return max(self.closed_s, *(at_s for at_s, _, _ in self.steps), 0.0)

    def has_reached(self, level: DegradationLevel) -> bool:
        self.look()
        return any(step[2] >= level for step in self.steps)

    @property
    def is_over(self) -> bool:
        self.look()
        return bool(self.opened_s) and not any(self._levels.values())


def overload() -> Result:
    """One software device with room for ten thousand streams by hand, on cores that others take.

    They grow in number until the first stream is passed through, and go: all that was taken has
    to come back then.
    """
    with (
        Scene(workers=1, keys=(), renditions=TOP_RENDITION, players_a_stream=3) as scene,
        Hogs() as hogs,
    ):
        for key in STREAMS:
            scene.add(key, SOURCE, (TOP, LOW, "source"))
        scene.wait_for_pictures()
        calm_s = time.monotonic()
        time.sleep(3.0)
        course = Course(scene)
        at = time.monotonic()
        refusal = _press(course, hogs)
        down, count = list(course.steps), len(hogs)
        time.sleep(1.0)
        losses = _losses(scene)
        streams = scene.farm.streams().values()
        dropped = sum(s["dropped_by_renditions"] + s["dropped_by_worker"] for s in streams)
        hogs.stop()
        ended_s = time.monotonic()
        lag_ms = _lag_ms(scene.load.players, calm_s, at, ended_s)
        print(f"{lag_ms=:.0f} {dropped=} {losses=}", *course.steps, sep="\n", flush=True)
        until(lambda: course.is_over, 300, "all is given back", LOOK_S)
        scene.wait_for_pictures()
        up = course.steps[len(down) :]
        sources = [seen_by(p, at) for p in scene.load.players if p.rendition == "source"]
    taken, given = [step[1:] for step in down], [step[1:] for step in up]
    times = [ended_s, *(at_s for at_s, _, _ in up), course.opened_s]
    patience_s = min(after - before for before, after in itertools.pairwise(times))
    row = Result("overload: other processes want the cores", len(STREAMS))
    row.others_lost = max(s.lost for s in sources)
    row.disconnected = sum(losses.values())
    row.limit = (
        "newest refused, then by stream, newest first: top rendition halved, without it, passed "
        f"through; all back in reverse, ≥ {WELL_S:.0f} s a step; lag ≤ 1 s or pictures dropped "
        "and counted; source loses 0; only players of what is gone are told so"
    )
    row.note = (
        f"{count} of them: {len(taken)} steps in {down[-1][0] - at:.0f} s, "
        f"back in {times[-1] - ended_s:.0f} s; lag at most {lag_ms / 1000:.1f} s, "
        f"{dropped} pictures dropped"
    )
    row.ok = (
        taken == _steps_down()[: len(taken)]
        and given == _undone(taken)
        and at < course.closed_s <= down[0][0]
        and "the farm is full" in refusal  # what is behind, the log and status say
        and all("is behind" in reason for reason in course.reasons)
        and patience_s >= WELL_S - 1.0
        and lag_ms < MOST_LAG_MS
        and (lag_ms <= 1_000 or dropped > 0)
        and row.others_lost == 0
        and losses == _told(taken, scene.players_a_stream)
    )
    return row


def _press(course: Course, hogs: Hogs) -> str:
    """Add hogs until a stream is passed through; what a publisher is told that comes meanwhile."""
    refusal = ""
    grown_s = -math.inf
    while not course.has_reached(DegradationLevel.PASSTHROUGH):
        now = time.monotonic()
        if now - max(grown_s, course.step_s) > PATIENCE_S:
            assert len(hogs) < MOST_HOGS, "the farm is not overloaded"
            hogs.add()
            hogs.add()
            grown_s = now
        if course.steps and not refusal:
            refusal = _refusal(course.scene)
        time.sleep(LOOK_S)
    return refusal


def _lag_ms(players: Sequence[LoadPlayer], calm_s: float, since_s: float, until_s: float) -> float:
    """How much longer the slowest picture was on its way than the fastest before `since_s`."""
    worst = 0.0
    for player in players:
        ways = [
            (p.came_s, p.came_s * 1000 - p.dts_ms)
            for p in list(player.pictures)
            if not p.is_header and calm_s < p.came_s < until_s
        ]
        calm = min(way for came_s, way in ways if came_s < since_s)
        worst = max(worst, *(way - calm for came_s, way in ways if came_s >= since_s))
    return worst


def _steps_down() -> list[tuple[str, DegradationLevel]]:
    """All that can be taken, in order."""
    levels = (
        DegradationLevel.HALF_RATE,
        DegradationLevel.NO_TOP_RENDITION,
        DegradationLevel.PASSTHROUGH,
    )
    return [(key, level) for level in levels for key in reversed(STREAMS)]


def _undone(taken: Sequence[tuple[str, DegradationLevel]]) -> list[tuple[str, DegradationLevel]]:
    return [(key, DegradationLevel(level - 1)) for key, level in reversed(taken)]


def _told(taken: Sequence[tuple[str, DegradationLevel]], players: int) -> dict[str, int]:
    """How many players of each rendition lose it by these steps."""
    levels = [level for _, level in taken]
    top, low = (
        levels.count(DegradationLevel.NO_TOP_RENDITION),
        levels.count(DegradationLevel.PASSTHROUGH),
    )
    return {TOP: top * players, LOW: low * players, "source": 0}


def _losses(scene: Scene) -> dict[str, int]:
    """How often players of each rendition were told its end."""
    losses = {TOP: 0, LOW: 0, "source": 0}
    for player in scene.load.players:
        losses[player.rendition] += player.losses
    return losses


def _refusal(scene: Scene) -> str:
    """What a publisher is told that comes now."""
    extra = scene.load.publish(scene.farm.url("extra"), "extra", scene.script(CLIP))

    def is_answered() -> bool:
        return extra.is_in or bool(extra.refusals)

    until(is_answered, 10, "the farm answers a publisher")
    scene.load.ask(lambda: scene.load.publishers.pop("extra").drop())
    return extra.refusals[0] if extra.refusals else ""


HUGE = CLIP.but(width=7680, height=4320, fps=Fraction(2), gop_frames=2, bitrate_bps=3_000_000)
MAX_MEMORY = "384MiB"  # more than all other streams need, less than that one does
ALLOWED = '[templates.live.limits]\nmax_size = "7680x4320"\n'


def memory_is_short() -> Result:
    """A stream needs more memory than its workers may have."""
    clip(HUGE)  # it takes all cores for some seconds
    with Scene(more=f'{ALLOWED}[worker]\nmax_memory = "{MAX_MEMORY}"\n') as scene:
        farm = scene.farm
        at = time.monotonic()
        huge = scene.load.publish(farm.url("huge"), "huge", scene.script(HUGE))
        until(lambda: any("no room for" in r for r in huge.refusals), 60, "it is refused", LOOK_S)
        refused_s = time.monotonic() - at
        scene.load.ask(lambda: setattr(huge, "again", False))
        small = scene.load.publish(farm.url("small"), "small", scene.script(CLIP))
        until(lambda: small.is_in or small.refusals, 10, "another publisher is answered")
        time.sleep(3.0)
        row = scene.judge("a stream needs more memory than max_memory leaves", KEYS, at)
        kills = sum("killing child=worker" in line for line in farm.log().splitlines())
    row.limit = "it alone is refused, nothing is killed, 0 lost, 0 disconnected, others are let in"
    row.note = f"{kills} kills, refused after {refused_s:.1f} s"
    row.ok = (
        row.disconnected == 0
        and row.repeated == 0
        and row.lost == 0
        and kills == 0
        and not small.refusals
    )
    return row
