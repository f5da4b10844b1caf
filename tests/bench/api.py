"""What the API costs: a scrape of 200 streams, and the page with 50 and their pictures.

The supervisor's part is measured on a farm of pure parts with as many streams: its document, and
the JSON of it. The API is a real process, asked by HTTP, whose supervisor is the test.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psutil

from api.pictures import FRESH_S
from common.access.keys import digest_of
from common.config.settings import ApiSettings, Settings, Software
from common.ipc.api_messages import Snapshot, SnapshotWanted
from common.ipc.status_messages import RenditionStatus, ServedStatus
from supervisor.commands.status.document import FarmFacts, snapshot
from supervisor.commands.status.figures import figures
from supervisor.farm.farm import Farm
from tests.bench.report import Bench, Figure
from tests.kit.api_process import ApiProcess
from tests.kit.children import EGRESS0, INGEST0
from tests.kit.clips import video_frame
from tests.kit.farm_rig import SMALL, Rig
from tests.supervisor.commands.status.test_document import facts
from worker.devices.software.snapshot import jpeg_of
from worker.frames.snapshot import snapshot_size

SCRAPED, SHOWN = 200, 50
SCRAPE_S, PAGE_S = 15.0, 2.0  # how often
SNAPSHOT_S = 10.0  # a picture of each stream in view so often
STAGES = ("transit", "queue", "decode")


def farm_of(streams: int) -> Rig:
    """A farm whose streams have all that heartbeats say."""
    rig = Rig(replace(Settings(), software=Software(capacity=1e6)))
    names = [f"live/cam{number}" for number in range(streams)]
    for name in names:
        rig.publish(name, SMALL)
    ladder = [r.name for r in rig.farm.state.settings.templates[0].renditions]
    times = {stage: (1.5, 3.25) for stage in STAGES}
    publishers = tuple(rig.publisher(name, fps=30.0, bitrate_bps=1e6, frames=9) for name in names)
    rig.beat(INGEST0, publishers=publishers)
    by_worker: dict[Any, list[Any]] = {}
    for name in names:
        made = tuple(RenditionStatus(r, 640, 360, 900, fps=30.0, bitrate_bps=5e5) for r in ladder)
        stages = times | {f"{what}:{r}": (2.0, 4.0) for r in ladder for what in ("encode", "mux")}
        worker = rig.farm.state.device_of(rig.stream(name))
        transcode = rig.transcode(name, frames_in=900, renditions=made, stages_ms=stages)
        by_worker.setdefault(worker, []).append(transcode)
    for worker, transcodes in by_worker.items():
        rig.beat(worker, transcodes=tuple(transcodes))
    served = tuple(
        ServedStatus(
            rig.stream(name).stream_id,
            rig.stream(name).generation,
            tuple(RenditionStatus(r, players=3) for r in (*ladder, "source")),
            stages_ms={f"total:{r}": (30.0, 60.0) for r in ladder},
        )
        for name in names
    )
    rig.beat(EGRESS0, served=served)
    return rig


def seconds_of(make: Callable[[FarmFacts, Farm], object], rig: Rig, runs: int) -> float:
    """CPU seconds of the supervisor for one answer."""
    taken = []
    for _ in range(runs):
        began = time.thread_time()
        json.dumps(make(facts(rig), rig.farm))
        taken.append(time.thread_time() - began)
    return statistics.median(taken)


def spent(api: ApiProcess, times: int, ask: Callable[[], None], pause_s: float) -> float:
    """CPU seconds of the API's process for each round of questions."""
    assert api.process is not None
    process = psutil.Process(api.process.pid)
    ask()
    before = _cpu_s(process)
    for _ in range(times):
        time.sleep(pause_s)  # so that each round asks the supervisor anew
        ask()
    return (_cpu_s(process) - before) / times


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def run(bench: Bench) -> None:
    _scrape(bench)
    _page(bench)


def _scrape(bench: Bench) -> None:
    rig = farm_of(SCRAPED)
    supervisor_s, document = seconds_of(figures, rig, bench.runs), snapshot(facts(rig), rig.farm)
    with ApiProcess(Settings(), document) as api:
        taken: list[float] = []
        samples = 0

        def scrape() -> None:
            nonlocal samples
            began = time.monotonic()
            body = api.get("/metrics").body
            taken.append(time.monotonic() - began)
            samples = sum(not line.startswith(b"#") for line in body.splitlines())

        api_s = spent(api, 4 * bench.runs, scrape, 1.1)
    title = f"/metrics with {SCRAPED} streams"
    ms = statistics.median(taken) * 1000 + supervisor_s * 1000
    bench.add(Figure(title, ms, "ms", 100.0, note=f"{samples} samples"))
    percent = 100 * (supervisor_s + api_s) / SCRAPE_S
    note = f"API {api_s * 1000:.0f} ms, supervisor {supervisor_s * 1000:.0f} ms a scrape"
    bench.add(Figure(f"scraped every {SCRAPE_S:g} s", percent, "% of a core", 1.0, note=note))


def _page(bench: Bench) -> None:
    rig = farm_of(SHOWN)
    supervisor_s, document = seconds_of(snapshot, rig, bench.runs), snapshot(facts(rig), rig.farm)
    with ApiProcess(Settings(), document) as api:

        def look() -> None:
            for path in ("/api/v1/overview", "/api/v1/events?after=0"):
                assert api.get(path).status == 200

        api_s = spent(api, 4 * bench.runs, look, PAGE_S)
    percent = 100 * (supervisor_s + api_s) / PAGE_S
    note = f"API {api_s * 1000:.1f} ms, supervisor {supervisor_s * 1000:.1f} ms a look"
    title = f"the page with {SHOWN} streams, without pictures"
    bench.add(Figure(title, percent, "% of a core", 5.0, note=note))
    _pictures(bench, document, percent)


def _pictures(bench: Bench, document: dict[str, Any], percent: float) -> None:
    """What a picture of each stream costs beside that, as often as the page asks for one."""
    jpeg, worker_s = _jpeg(bench.runs)

    def a_worker(message: Any) -> tuple[Any, bytes] | None:
        if not isinstance(message, SnapshotWanted):
            return None
        return Snapshot(message.request_id, message.asker, message.stream_id), jpeg

    paths = [f"/api/v1/streams/{s['app']}/{s['key']}/snapshot.jpg" for s in document["streams"]]
    token = "a-token-of-some-length"
    settings = replace(Settings(), api=ApiSettings(tokens=(digest_of(token),)))
    with ApiProcess(settings, document) as api:
        api.on_message = a_worker

        def look() -> None:
            for path in paths:
                assert api.get(path, token).body == jpeg

        api_s = spent(api, bench.runs, look, FRESH_S + 0.5) / len(paths)
    each_s = SNAPSHOT_S / len(paths)
    percent += 100 * (api_s + worker_s) / each_s
    note = (
        f"of a picture of {len(jpeg) / 1000:.0f} kB, each {SNAPSHOT_S:g} s of each stream: "
        f"API {api_s * 1000:.1f} ms, worker {worker_s * 1000:.1f} ms"
    )
    title = f"the page with {len(paths)} streams, with pictures"
    bench.add(Figure(title, percent, "% of a core", 5.0, note=note))
    title = "their pictures, of a worker that has all of the streams"
    bench.add(Figure(title, 100 * worker_s / each_s, "% of a core", 1.0))


def _jpeg(runs: int) -> tuple[bytes, float]:
    """A picture of 1080p made small, and the CPU seconds of that."""
    frame = video_frame(77, 1920, 1080)
    taken = []
    for _ in range(10 * runs):
        began = time.thread_time()
        jpeg = jpeg_of(frame, *snapshot_size(1920, 1080, 1.0))
        taken.append(time.thread_time() - began)
    return jpeg, statistics.median(taken)
