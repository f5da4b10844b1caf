"""The NVENC path through the driver simulator, whole farm: what a player gets, and the session cap.

The simulator logs each call and codes with libx264: this says that the farm drives NVENC's API
rightly, nothing about NVIDIA's encoders.
"""

import math
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise

from tests.bench.gpu_clip import compare
from tests.bench.gpu_expected import match_pictures, scaled_crcs
from tests.bench.gpu_fleet import Collected, Fleet, RunningFarm, read_log
from tests.bench.gpu_nvenc_log import VBR, Row, check_log
from tests.bench.gpu_scene import Scene, Table, gone, missing

PLAY_S = 10.0


def nvenc(scene: Scene, table: Table) -> None:
    """Two streams played whole, then one beyond the driver's session cap, twice."""
    renditions = [name for name, *_ in scene.size.renditions]
    log_path = scene.out / "nvenc-sim.jsonl"
    cap = 2 * len(renditions) + 1
    environ = scene.simulator(
        {
            "NVENC_SIM_LOG": str(log_path),
            "NVENC_SIM_MAX_SESSIONS": str(cap),
            "NVENC_SIM_SLOT_DIR": str(scene.out / "slots"),
        }
    )
    (scene.out / "slots").mkdir(exist_ok=True)
    config = scene.config(
        exclude=scene.gpus[1:],
        software="workers = 1",
        apps={
            "live": ("gpu-only", "software", "refuse"),
            "strict": ("gpu-only", "refuse"),
        },
        vbr=VBR,
        is_simulated=True,
    )
    with ExitStack() as stack:
        log = scene.out / "farm-nvenc.log"
        farm = stack.enter_context(RunningFarm(config, log, environ=environ))
        device = next(d for d in farm.status()["devices"] if d["path"] != "software")
        notes = "; ".join(device["notes"])
        table.check("device", f"{device['path']}: {notes}"[:150], device["path"] == "gpu-only")
        publishers = stack.enter_context(Fleet(scene.clip.tags, scene.clip.length_ms))
        players = stack.enter_context(Fleet())
        for key in ("one", "two"):
            for fitted in renditions:  # they wait for the publisher
                players.play(farm.url(key, fitted), key, fitted, keep=True)
            publishers.publish(farm.url(key), key)
        farm.wait_made(["one", "two"])
        time.sleep(PLAY_S)
        publishers.publish(farm.url("three"), "three")
        publishers.publish(farm.url("four", app="strict"), "four")
        time.sleep(4.0)
        document = farm.status()
        played, sent = players.collect(), publishers.collect()
    table.check("the farm ends cleanly", str(farm.end_code), farm.end_code == 0)
    _check_session_cap(table, cap, document, sent)
    for key in ("one", "two"):
        _check_played(scene, table, key, renditions, played, sent)
    rows = read_log(log_path)
    check_log(scene, table, rows)
    _check_pixels(scene, table, rows, sent)


def _check_session_cap(table: Table, cap: int, document: Row, sent: Collected) -> None:
    """The third stream went to software, the fourth was refused, and the status says why."""
    streams = {stream["key"]: stream for stream in document["streams"]}
    omitted = {
        f"{key}/{rendition['name']}": rendition["dropped"]
        for key, stream in streams.items()
        for rendition in stream["renditions"]
        if rendition["dropped"]
    }
    three = streams.get("three", {})
    budget, learned = document["host"]["encoder_sessions"], document["encoder_session_limit"]
    told = [n["text"] for n in document["decisions"] if n["key"] in ("three", "four")]
    table.check(
        f"a third stream, {cap} sessions allowed",
        f"{three.get('worker')}, {three.get('reason')}",
        str(three.get("worker")).startswith("worker:cpu"),
    )
    table.check(
        "the host's budget of encoder sessions after that",
        f"{budget}, {learned}",
        budget["capacity"] == cap and learned is not None and learned["sessions"] == cap,
    )
    is_told = any("session cap" in text for text in told)
    table.check("the cap is told as such", " | ".join(told)[:600], is_told)
    four = sent.sent["four"]
    is_refused = "four" not in streams and bool(four.losses or four.refusals)
    table.check("a fourth, gpu-only or refuse", f"ended {four.losses}, {four.refusals}", is_refused)
    table.add("pictures left out by the worker", str(omitted) if omitted else "none")


def _check_pixels(scene: Scene, table: Table, rows: Sequence[Row], sent: Collected) -> None:
    """What came to the encoders is what the scaler makes of the clip."""
    expected = scaled_crcs(scene.clip, scene.template(), scene.gpus[0])
    stamps = {key: sorted(sent.sent[key].left_s) for key in ("one", "two")}
    found = match_pictures(rows, expected, stamps)
    table.check(
        "pixels at the encoders equal to the scaler's by CRC",
        f"{found.pictures} pictures at {found.sessions} encoders, "
        f"wrong: {'; '.join(found.wrong)[:300] or 'none'}",
        found.sessions == 2 * len(scene.size.renditions) and found.pictures > 0 and not found.wrong,
    )


def _check_played(
    scene: Scene,
    table: Table,
    key: str,
    renditions: Sequence[str],
    played: Collected,
    sent: Collected,
) -> None:
    sources = scene.clip.pictures(30)
    keyframes = []
    for fitted in renditions:
        player = played.of(key, fitted)
        stamps = player.stamps()
        lost = missing(player, sent.sent[key], 0.0, math.inf)
        where = gone(player, sent.sent[key], 0.0, math.inf)
        is_whole = not lost and player.losses == 0 and bool(stamps)
        first_sent = min(sent.sent[key].left_s)
        table.check(
            f"{key}/{fitted}: every picture once",
            f"{len(stamps)} came, {lost} lost or twice, gone {where[:12]}, "
            f"from {stamps[:1]} (sent from {first_sent})",
            is_whole and stamps[0] == first_sent,
        )
        keyframes.append({p.dts_ms for p in player.pictures if p.is_key})
        bodies = [picture.body for picture in player.pictures]
        if key == "one" and player.headers:
            result = compare(scene.clip, sources, player.headers[0].body, bodies, 5)
            lowest = min(result.psnr_db, default=0.0)
            mean = statistics.mean(result.psnr_db or [0.0])
            table.check(
                f"{key}/{fitted}: numbers in order, PSNR",
                f"{result.pictures} pictures, in order: {result.numbers_in_order}, "
                f"mean {mean:.1f} dB, lowest {lowest:.1f} dB of {len(result.psnr_db)}",
                result.numbers_in_order and lowest >= 30,
            )
    until = min((max(stamps, default=0) for stamps in keyframes), default=0)
    same = {tuple(sorted(at for at in stamps if at <= until)) for stamps in keyframes}
    steps = sorted({b - a for at in same for a, b in pairwise(at)})
    table.check(
        f"{key}: keyframes of all renditions at the same times",
        f"{len(next(iter(same)))} each, {steps} ms apart",
        len(same) == 1,
    )
