"""The NVENC path through the driver simulator, whole farm: what a player gets, and faults.

The simulator logs each call and codes with libx264: this says that the farm drives NVENC's API
rightly, nothing about NVIDIA's encoders.
"""

import json
import math
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

from tests.bench.gpu_clip import compare
from tests.bench.gpu_expected import match_pictures, scaled_crcs
from tests.bench.gpu_fleet import PYTHON_PATH, ROOT, Collected, Fleet, RunningFarm, read_log
from tests.bench.gpu_scene import Scene, Table, first_new_s, gone, missing

PLAY_S = 10.0
VBR = "480p"  # this one rendition
Row = Mapping[str, Any]

# Python runs this at its start: the first processes of a device get one fault each. A variable of
# the farm's own environment would strike every worker anew.
SITE = """
import json, os, sys
def _arm():
    arguments = sys.orig_argv
    if "--device" not in arguments:
        return
    device = arguments[arguments.index("--device") + 1]
    folder = os.environ["GPU_FARM_FAULTS"]
    for number, (name, value) in enumerate(json.load(open(f"{folder}/plan.json")).get(device, [])):
        try:
            os.close(os.open(f"{folder}/{device}-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        if name:
            os.environ[name] = value
        return
_arm()
"""


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
        played, sent = players.collect(), publishers.collect()
    table.check("the farm ends cleanly", str(farm.end_code), farm.end_code == 0)
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
    for key in ("one", "two"):
        _check_played(scene, table, key, renditions, played, sent)
    rows = read_log(log_path)
    _check_log(scene, table, rows)
    _check_pixels(scene, table, rows, sent)


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


def _check_log(scene: Scene, table: Table, rows: Sequence[Row]) -> None:
    """What reached the encoder's driver."""
    by_size = {(width, height): (name, rate) for name, width, height, rate in scene.size.renditions}
    opened = [row for row in rows if row["call"] == "InitializeEncoder"]
    source = scene.clip.sps
    colours = {
        "full_range": int(source.full_range),
        "colour": 1,
        "primaries": source.colour_primaries,
        "transfer": source.colour_transfer,
        "matrix": source.colour_matrix,
    }
    wrong: list[str] = []
    seen = 0
    for row in opened:
        if row["session"] == 1:
            continue  # the test encode at the boot
        name, rate = by_size.get((row["width"], row["height"]), ("none of the template", 0))
        peak = rate * 3 // 2 if name == VBR else rate
        seen += 1
        wanted = {
            "bitrate": rate,
            "max_bitrate": peak,
            "vbv": peak,
            "rc": "vbr" if name == VBR else "cbr",
            "fps": "30/1",
            "gop": 120,
            "preset": "P3",
            "tuning": 3,  # ultra low latency
            "profile": "main",
            "frameIntervalP": 1,
            "lookahead": 0,
            "status": "SUCCESS",
        }
        wrong += [
            f"{row['width']}x{row['height']} {name}={row.get(name)} instead of {value}"
            for name, value in wanted.items()
            if row.get(name) != value
        ]
        vui = row.get("vui", {})
        wrong += [
            f"{row['width']}x{row['height']} vui.{name}={vui.get(name)} instead of {value}"
            for name, value in colours.items()
            if vui.get(name) != value
        ]
    table.check(
        f"parameters at {seen} encoders as the template says, colours as the source",
        "; ".join(dict.fromkeys(wrong))[:400] or "all",
        seen >= 6 and not wrong,
    )
    pending: dict[tuple[int, int], int] = {}
    held = encoded = 0
    idrs: dict[tuple[int, int], set[int]] = defaultdict(set)
    for row in rows:
        session = (row.get("pid", 0), row.get("session", 0))
        if row["call"] == "EncodePicture" and row["status"] == "SUCCESS":
            encoded += 1
            held += session in pending
            pending[session] = row.get("frame", -1)
        elif row["call"] == "LockBitstream" and row["status"] == "SUCCESS":
            held += pending.pop(session, None) != row["frame"]
        elif row["call"] == "Picture" and row["type"] == "IDR" and row["frame"] > 0:
            idrs[session].add(row["ts"])
    table.check(
        "each packet out of the call that took its picture in",
        f"{encoded} pictures, {held} held back, {len(pending)} never collected",
        encoded > 0 and not held,
    )
    largest = sorted(idrs.values(), key=len, reverse=True)[:6]
    shared = set.intersection(*largest) if largest else set()
    table.add("IDRs at the encoders", f"{[len(at) for at in largest]}, {len(shared)} times shared")
    errors = [
        f"{row['call']}: {row.get('error', row['status'])}"
        for row in rows
        if row.get("status", "SUCCESS") not in ("SUCCESS", "NEED_MORE_INPUT")
    ]
    table.add("refused by the driver", "; ".join(dict.fromkeys(errors))[:300] or "nothing")
    left = [row["left"] for row in rows if "left" in row and any(row["left"].values())]
    table.add("left behind by destroyed sessions", str(left[:3]) if left else "nothing")


def faults(scene: Scene, table: Table) -> None:
    """Four streams on two GPUs: a crash and later a failing encoder on one, a hang on the other."""
    first, second = scene.gpus[:2]
    log_path = scene.out / "nvenc-sim-faults.jsonl"
    folder = scene.out / "faults"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITE)
    # the first session of a process is the test encode of its boot
    plan = {
        first: [
            ("NVENC_SIM_CRASH_AT", "session:3,frame:150"),
            ("NVENC_SIM_FAIL_AT", "session:3,frame:60"),
        ],
        second: [("NVENC_SIM_HANG_AT", "session:3,frame:780")],
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    environ = scene.simulator(
        {
            "NVENC_SIM_LOG": str(log_path),
            "NVENC_SIM_LOG_CRC": "0",
            "GPU_FARM_FAULTS": str(folder),
            "PYTHONPATH": os.pathsep.join([str(folder), *PYTHON_PATH, str(ROOT)]),
        }
    )
    config = scene.config(apps={"live": ("gpu-only", "refuse")})
    renditions = [name for name, *_ in scene.size.renditions]
    keys = ["s0", "s1", "s2", "s3"]
    history: list[tuple[float, str, dict[str, str]]] = []

    def note(what: str) -> None:
        where = {
            key: str(stream["worker"]).partition(":")[2][:12]
            for key, stream in farm.streams().items()
        }
        history.append((time.monotonic(), what, where))

    with ExitStack() as stack:
        log = scene.out / "farm-faults.log"
        farm = stack.enter_context(RunningFarm(config, log, environ=environ))
        paths = {device["path"] for device in farm.status()["devices"]}
        table.check("devices", ", ".join(paths), paths == {"gpu-only"})
        publishers = stack.enter_context(Fleet(scene.clip.tags, scene.clip.length_ms))
        players = stack.enter_context(Fleet())
        begun_s = time.monotonic()
        for key in keys:
            publishers.publish(farm.url(key), key)
            time.sleep(0.1)
        farm.wait_made(keys)
        for key in keys:
            for fitted in renditions:
                players.play(farm.url(key, fitted), key, fitted)
        note("begun")
        pids = {name: child["pid"] for name, child in farm.workers().items()}

        def is_anew(device: str) -> bool:
            child = farm.workers()[device]
            return bool(child["state"] == "ready" and child["pid"] != pids[device])

        farm.wait(lambda: farm.workers()[first]["pid"] != pids[first], 15, "the crash")
        time.sleep(1.5)
        note("crashed")
        farm.wait(lambda: is_anew(first), 25, "the crashed worker is back")
        publishers.publish(farm.url("new"), "new")
        farm.wait_made(["new"])
        for fitted in renditions:
            players.play(farm.url("new", fitted), "new", fitted)
        note("back")
        farm.wait(lambda: farm.workers()[second]["pid"] != pids[second], 30, "the hang is seen")
        time.sleep(3.0)
        note("hung")
        farm.wait(lambda: is_anew(second), 20, "the hung worker is back")
        time.sleep(1.0)
        texts = list(dict.fromkeys(n["text"] for n in farm.status()["decisions"]))
        played, sent = players.collect(), publishers.collect()
    table.check("the farm ends cleanly", str(farm.end_code), farm.end_code == 0)
    for at_s, what, where in history:
        table.add(f"{what} at {at_s - begun_s:.1f} s", str(where))
    struck = {row["kind"]: row["t"] for row in read_log(log_path) if row["call"] == "FAULT"}
    table.check("faults struck", ", ".join(struck), set(struck) == {"crash", "hang", "fail"})
    _tell_fault(table, "crash", struck, history[0][2], first, played, sent)
    _tell_fault(table, "hang", struck, history[2][2], second, played, sent)
    if "fail" in struck:
        _tell_failed(table, struck["fail"], played, sent)
    losses = sum(player.losses for player in played.played)
    table.check("players disconnected", str(losses), losses == 0)
    reasons = [text for text in texts if not text.startswith("placed")]
    table.add("decisions", " | ".join(reasons)[:400])


def _tell_fault(
    table: Table,
    kind: str,
    struck: Mapping[str, float],
    where: Mapping[str, str],
    device: str,
    played: Collected,
    sent: Collected,
) -> None:
    """Streams on the device come back; the others lose nothing.

    Of a rendition that ended before (its encoder failed) nothing after its last picture counts.
    """
    at_s = struck.get(kind)
    if at_s is None:
        return
    gaps, most, others, other_gap = [0.0], 0, 0, 0.0
    for player in played.played:
        _, gap_s = first_new_s(player, at_s)
        lost = missing(player, sent.sent[player.key], at_s - 1, at_s + 5)
        if where.get(player.key) == device[:12]:
            gaps.append(gap_s)
            most = max(most, lost)
        elif player.key in where and player.pictures and player.pictures[0].came_s < at_s - 1:
            others = max(others, lost)
            other_gap = max(other_gap, gap_s if math.isfinite(gap_s) else 0.0)
    table.check(
        f"{kind}: longest gap of the {len(gaps) - 1} renditions on that worker",
        f"{max(gaps):.2f} s, {most} pictures lost",
        0 < max(gaps) <= (4.0 if kind == "hang" else 2.0),
    )
    table.check(
        f"{kind}: the other streams",
        f"{others} pictures lost, longest gap {other_gap:.2f} s",
        others == 0,
    )


def _tell_failed(table: Table, at_s: float, played: Collected, sent: Collected) -> None:
    """One encoder fails: its rendition ends, the others of the stream go on whole."""
    ended, whole = [], []
    for player in played.played:
        if player.key != "new":
            continue
        last_s = max((p.came_s for p in player.pictures), default=0.0)
        if last_s < at_s + 1:
            ended.append(player.rendition)
        elif not missing(player, sent.sent["new"], at_s - 1, at_s + 3):
            whole.append(player.rendition)
    table.check(
        "a failing encoder ends its own rendition alone",
        f"ended {ended}, whole {whole}",
        len(ended) == 1 and len(whole) == 2,
    )
