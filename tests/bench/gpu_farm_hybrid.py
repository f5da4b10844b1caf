"""Hybrid end to end: one GPU decodes and scales, half the host's cores encode with libx264.

How many streams keep real time, against the ladders that libx264 alone encodes on those cores in
the same run, before and after; publishers and players run on the other cores. Delay is from a
picture's last byte written by its publisher to its last byte read by its player.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from common.ladder import SourceFormat, fit_ladder
from tests.bench.gpu_ceiling import ceiling
from tests.bench.gpu_fleet import Collected, Fleet, RunningFarm
from tests.bench.gpu_scene import Scene, Table
from tests.bench.report import percentile

STEP_S = 8.0  # that a load takes beside settling and measuring, at most
NEAR = 0.65  # of the ceiling: from here on a load is looked at twice
LOST = 0.005  # of the pictures of a rung, at most
LATE_MS = 250.0  # p99 of the delay; more, and it is falling behind


@dataclass(frozen=True)
class Window:
    """A load that was on for a while."""

    streams: int
    from_s: float
    to_s: float
    left_out: int  # pictures, as the status tells
    queue_ms: float
    cores: Mapping[str, float]
    stages_ms: Mapping[str, Any]  # of one stream
    starved: float  # cores that the workers' threads would have had, and waited for


def hybrid(scene: Scene, table: Table) -> None:
    half = len(scene.cores) // 2
    cores, others = scene.cores[:half], scene.cores[half:]
    width, height, *_ = scene.size.source
    ladder = fit_ladder(scene.template(), SourceFormat(width, height))
    seconds = max(3.0, scene.size.window_s / 2)
    begun_s = time.monotonic()
    apart = ceiling(scene.clip, ladder, cores, seconds, in_one_process=False)
    table.add(f"libx264 alone on {half} cores, {half} processes", f"{apart:.2f} streams")
    again_s = 1.3 * (time.monotonic() - begun_s)  # what the same takes at the end
    if scene.size.threads_too and not scene.streams:
        together = ceiling(scene.clip, ladder, cores, seconds, in_one_process=True)
        table.add(f"libx264 alone, {half} threads of one process", f"{together:.2f} streams")
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
        sides = len(others) * 3 // 8  # the last cores are for the bench of memory
        publishers = stack.enter_context(
            Fleet(scene.clip.tags, scene.clip.length_ms, others[:sides])
        )
        players = stack.enter_context(Fleet(cores=others[sides : sides * 2]))
        windows: list[Window] = []
        running = 0
        for wanted in scene.streams or _loads(scene, apart):
            looks = 2 if wanted >= NEAR * apart else 1
            step_s = scene.size.settle_s + looks * scene.size.window_s + STEP_S
            if time.monotonic() + step_s + again_s > scene.until_s:
                break
            keys = [f"s{number}" for number in range(running, wanted)]
            for key in keys:
                publishers.publish(farm.url(key), key)
                time.sleep(0.0737)  # spreads pictures over their interval, keyframes over the GOP
            try:
                farm.wait_made(keys, 12.0)
            except TimeoutError as error:
                table.add(f"{wanted} streams", f"not all began: {str(error).splitlines()[0]}")
                break
            for key in keys:
                for rung in ladder.rungs:
                    players.play(farm.url(key, rung.name), key, rung.name)
            running = wanted
            time.sleep(scene.size.settle_s * (0.75 if windows else 1))
            window = _look(farm, running, scene.size.window_s)
            if looks > 1:
                # what the beginning of the last streams left behind is caught up with by now, or
                # never: the second look decides
                window = _look(farm, running, scene.size.window_s)
            windows.append(window)
            if window.queue_ms > LATE_MS:
                break
        time.sleep(0.5)
        sent, played = publishers.collect(), players.collect()
        _decisions(farm, table)
    table.check("the farm ends cleanly", str(farm.end_code), farm.end_code == 0)
    after = ceiling(scene.clip, ladder, cores, seconds, in_one_process=False)
    table.add("the same again, after the farm", f"{after:.2f} streams")
    _tell(table, windows, sent, played, (apart + after) / 2)


def _loads(scene: Scene, apart: float) -> list[int]:
    """Numbers of streams: one, then up to a little beyond what libx264 alone encodes."""
    return sorted({1, *(max(1, round(load * apart)) for load in scene.size.loads)})


def _look(farm: RunningFarm, streams: int, seconds: float) -> Window:
    before, cpu_before, from_s = farm.status(), farm.cpu_seconds(), time.monotonic()
    starved_s = farm.starved_seconds()
    time.sleep(seconds)
    starved_s = farm.starved_seconds() - starved_s
    after, cpu_after, to_s = farm.status(), farm.cpu_seconds(), time.monotonic()
    cores = {
        kind: (spent - cpu_before.get(kind, 0.0)) / (to_s - from_s)
        for kind, spent in cpu_after.items()
    }
    stages = after["streams"][0]["stages_ms"] if after["streams"] else {}
    queue_ms = max((stream["queue_ms"] for stream in after["streams"]), default=0.0)
    left_out = _left_out(after) - _left_out(before)
    starved = starved_s / (to_s - from_s)
    return Window(streams, from_s, to_s, left_out, queue_ms, cores, stages, starved)


def _left_out(status: Mapping[str, Any]) -> int:
    return sum(
        rendition["dropped"] for stream in status["streams"] for rendition in stream["renditions"]
    )


def _delays(
    window: Window, sent: Collected, played: Collected, rung: str
) -> tuple[list[float], int]:
    """Delays of the window's pictures on a rung in ms, and how many never came."""
    found, lost = [], 0
    for player in played.played:
        if player.rendition != rung:
            continue
        came = {picture.dts_ms: picture.came_s for picture in player.pictures}
        first = min(came, default=0)
        for dts_ms, left_s in sent.sent[player.key].left_s.items():
            if window.from_s <= left_s < window.to_s and dts_ms >= first:
                if dts_ms in came:
                    found.append((came[dts_ms] - left_s) * 1000)
                else:
                    lost += 1
    return found, lost


def _tell(
    table: Table, windows: list[Window], sent: Collected, played: Collected, apart: float
) -> None:
    best = 0
    is_unbroken = True
    p95: dict[int, float] = {}
    for window in windows:
        delays, lost = _delays(window, sent, played, "360p")
        top, top_lost = _delays(window, sent, played, "720p")
        if not delays or not top:
            table.add(f"{window.streams} streams", "no picture came")
            continue
        parts = [percentile(delays, part) for part in (0.5, 0.95, 0.99)]
        top_parts = [percentile(top, part) for part in (0.5, 0.95, 0.99)]
        p95[window.streams] = parts[1]
        total = len(delays) + lost
        worst = max(parts[2], top_parts[2])
        keeps_up = max(lost, top_lost) <= LOST * total and worst < LATE_MS
        is_unbroken = is_unbroken and keeps_up
        if is_unbroken:
            best = window.streams
        cores = ", ".join(f"{kind} {spent:.2f}" for kind, spent in window.cores.items())
        table.add(
            f"{window.streams} streams {'kept up' if keeps_up else 'FELL BEHIND'}",
            f"of {total} pictures lost 360p {lost} 720p {top_lost}, left out {window.left_out}; "
            f"delay 360p p50 {parts[0]:.1f} p95 {parts[1]:.1f} p99 {parts[2]:.1f} max "
            f"{max(delays):.0f}, 720p {top_parts[0]:.1f} {top_parts[1]:.1f} {top_parts[2]:.1f} ms; "
            f"cores: {cores}, waited for {window.starved:.2f}",
        )
        if window.streams == 1:
            table.check("delay at one stream, median", f"{parts[0]:.1f} ms", parts[0] < 40)
    near = min(p95, key=lambda streams: abs(streams - 0.8 * best), default=None)
    for window in windows:
        if window.streams in (1, near, windows[-1].streams):
            table.add(f"stages at {window.streams} (ms)", _stages(window.stages_ms))
    table.check(
        "streams that keep real time, of libx264's alone",
        f"{best} of {apart:.2f}: {best / apart:.0%} (in the steps tried)" if apart else f"{best}",
        best >= 0.9 * int(apart) or not apart,
    )
    if near is not None:
        table.check(
            f"delay p95 at {near} streams ({near / max(1, best):.0%} of that)",
            f"{p95[near]:.1f} ms",
            p95[near] < 100,
        )
    table.add("publishers late by at most", f"{sent.late_s * 1000:.0f} ms")
    table.add("players disconnected", str(sum(player.losses for player in played.played)))


def _stages(stages_ms: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{stage} {' / '.join(f'{value:.1f}' for value in values)}"
        for stage, values in stages_ms.items()
    )


def _decisions(farm: RunningFarm, table: Table) -> None:
    texts = [note["text"] for note in farm.status()["decisions"]]
    odd = [text for text in texts if not text.startswith("placed on")]
    table.add("decisions other than placements", "; ".join(dict.fromkeys(odd))[:300] or "none")
