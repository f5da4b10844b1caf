"""Attacks by publishers whose sources are larger than anybody's."""

import threading
import time
from dataclasses import dataclass, field
from fractions import Fraction

import av
import psutil
from av.codec.context import Flags
from av.video.frame import VideoFrame

from common.flv.video import avc_nalus, avc_sequence_header
from common.rtmp.blocking_client import RtmpPublisher, RtmpRefused
from tests.attacks.stage import EXEMPT_NOBODY, Result, Stage

SECONDS = 14.0
HUGE, HUGES = 12_288, 6
EIGHT_K = (7680, 4320, 30.0)
MAX_MEMORY_MIB = 3 * 1024
ALLOWED = """
[templates.live.limits]
max_size = "16384x16384"
[worker]
max_memory = "3GiB"
"""


@dataclass(frozen=True)
class Still:
    """A picture that is sent again and again, each time as a keyframe."""

    header: bytes
    body: bytes
    fps: float


def still(width: int, height: int, fps: float) -> Still:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, 1000)
    context.thread_count = 1
    context.flags |= Flags.global_header
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "annexb=0"}
    frame = VideoFrame(width, height, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.pts = 0
    packets = [*context.encode(frame), *context.encode(None)]
    record = bytes(context.extradata or b"")
    return Still(avc_sequence_header(record), avc_nalus(bytes(packets[0]), 0, is_key=True), fps)


@dataclass
class Attacker:
    """One publisher; it comes back under a new key whenever it is refused or closed."""

    port: int
    host: str
    source: Still
    name: str
    refusals: list[str] = field(default_factory=list)
    sent: int = 0

    def run(self, until_s: float) -> None:
        number = 0
        while time.monotonic() < until_s:
            number += 1
            key = f"{self.name}-{number}"
            url = f"rtmp://127.0.0.1:{self.port}/live/{key}"
            publisher = RtmpPublisher(url, 15, source=self.host)
            try:
                with publisher:
                    self._send(publisher, until_s)
            except RtmpRefused as error:
                self.refusals.append(str(error))
            except (OSError, ValueError) as error:
                self.refusals.append(f"{type(error).__name__}: {error}")
            time.sleep(0.2)

    def _send(self, publisher: RtmpPublisher, until_s: float) -> None:
        began = time.monotonic()
        publisher.send_video(0, self.source.header)
        while (now := time.monotonic()) < until_s:
            publisher.send_video(round((now - began) * 1000), self.source.body)
            self.sent += 1
            time.sleep(1 / self.source.fps)


def _run(name: str, more: str, sources: list[Still]) -> Result:
    with Stage(name, more=EXEMPT_NOBODY + more) as stage:
        attackers = [
            Attacker(stage.port, f"127.0.2.{n + 1}", source, f"huge{n}")
            for n, source in enumerate(sources)
        ]
        peak = 0
        with stage.watched(SECONDS) as watched:
            threads = [
                threading.Thread(target=one.run, args=(watched.until_s,)) for one in attackers
            ]
            for thread in threads:
                thread.start()
            while time.monotonic() < watched.until_s:
                workers = [
                    c for c in stage.scene.farm.status()["children"] if c["kind"] == "worker"
                ]
                peak = max([peak, *(_rss(child["pid"]) for child in workers)])
                time.sleep(0.25)
            for thread in threads:
                thread.join()
        result = watched.result
        log = stage.scene.farm.log()
    shared = "killing child=worker:cpu:0", "killing child=worker:cpu:1"  # not those of the large
    kills = sum(log.count(words) for words in shared)
    refused = sum(len(one.refusals) for one in attackers)
    sent = sum(one.sent for one in attackers)
    result.attacker = f"{len(sources)} publishers, {sent} pictures taken, {refused} refusals"
    result.limit += f", no shared worker killed, none above {MAX_MEMORY_MIB} MiB"
    result.limit += ", no picture lost where none was before"
    found = [result.note] if result.note else []
    result.note = ", ".join([*found, f"{kills} kills", f"workers up to {peak >> 20} MiB"])
    is_whole = not result.lost or bool(result.lost_before)
    result.ok = result.ok and not kills and peak >> 20 <= MAX_MEMORY_MIB and is_whole
    return result


def _rss(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def huge_refused() -> Result:
    """Beyond the default limits: refused at the sequence header."""
    sources = [still(*EIGHT_K), *[still(HUGE, HUGE, 1.0)] * HUGES]
    return _run("an 8K30 source and six of 12288x12288, default limits", "", sources)


def huge_allowed() -> Result:
    """Within the limits that the operator has set: placed until the workers' memory is full."""
    sources = [still(HUGE, HUGE, 1.0)] * HUGES
    return _run("six sources of 12288x12288 at 1 fps, allowed", ALLOWED, sources)
