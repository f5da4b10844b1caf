"""Delay that the farm adds: a picture's last byte in to its last byte out.

By the numbers in the pictures, publisher and player in processes of their own. Beside it
nginx-rtmp: its relay for the source rendition, and its `exec ffmpeg` ladder for the transcoded
ones, as people write it and with FFmpeg's buffers tuned away.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench import footage, peers
from tests.bench.ladder import HD_LADDER, Ladder, config
from tests.bench.report import Bench, Figure, percentile
from tests.kit.clients import FlvTag
from tests.kit.farm import Farm

WARM_UP = 150  # pictures
ENDING_S = 0.3  # until the last picture is through
RENDITIONS = ("720p", "480p", "360p")
CHAIN = "nginx-rtmp + ffmpeg, tuned"
AS_WRITTEN = ""
# Where it may read no more than the first keyframe at the start, FFmpeg does not see the audio.
TUNED = (
    "-fflags nobuffer -flags low_delay -probesize 500000 -analyzeduration 0 "
    "-rtmp_buffer 0 -rtmp_live live -tcp_nodelay 1"
)
TUNED_OUTPUT = "-flush_packets 1 -flvflags no_duration_filesize -tcp_nodelay 1 "


@dataclass(frozen=True)
class Run:
    """One run of one side."""

    delays_ms: Mapping[str, Sequence[float]]  # by rendition, warm-up left out
    sound_ms: Mapping[str, Sequence[float]]  # by rendition: the delays of audio frames
    first_s: Mapping[str, float]  # from the publisher's first picture to a rendition's first
    pictures: Mapping[str, int]
    lost: int  # pictures, from each rendition's first one on
    repeated: int
    cpu_s: float  # of the server's processes
    stages_ms: Mapping[str, Sequence[float]]  # median and p99 of each, as the farm tells

    @property
    def cpu_ms_a_picture(self) -> float:
        return self.cpu_s * 1000 / max(1, *self.pictures.values())


def measure(
    urls: Mapping[str, str],
    publish_url: str,
    tags: Sequence[FlvTag],
    cpu_s: Callable[[], float],
    stages_ms: Callable[[], Mapping[str, Sequence[float]]] = dict,
) -> Run:
    """`stages_ms` is asked once, near the end."""
    seconds = footage.seconds_of(tags)
    with peers.pool(len(urls) + 1) as pool:
        start_s = time.monotonic() + 2.0
        until_s = start_s + seconds + 3.0
        before = cpu_s()
        coming = {
            name: pool.submit(peers.numbered_arrivals, url, until_s) for name, url in urls.items()
        }
        sent = pool.submit(peers.publish, publish_url, tags, start_s)
        time.sleep(max(0.0, start_s + seconds - 1.0 - time.monotonic()))
        stages = stages_ms()
        left = sent.result(seconds + 30)
        time.sleep(ENDING_S)
        spent = cpu_s() - before  # players go on for longer, with nothing to come
        arrived = {name: future.result(60) for name, future in coming.items()}
    came = {name: numbered.came_s for name, numbered in arrived.items()}
    shown = left.pictures
    return Run(
        {name: peers.delays_ms(shown, times, WARM_UP) for name, times in came.items()},
        {
            name: peers.sound_delays_ms(left.sounds, numbered.sounds_s, WARM_UP)
            for name, numbered in arrived.items()
        },
        {
            name: min(times.values(), default=float("nan")) - shown[0]
            for name, times in came.items()
        },
        {name: len(times) for name, times in came.items() if name != "source"}
        or {name: len(times) for name, times in came.items()},
        sum(len(shown) - min(times, default=0) - len(times) for times in came.values()),
        sum(numbered.repeated for numbered in arrived.values()),
        spent,
        stages,
    )


def encoder(width: int, height: int, kbps: int) -> str:
    """The options of one output of the chain's FFmpeg: x264 as tfarm's templates have it."""
    return (
        f"-c:v libx264 -preset veryfast -tune zerolatency -s {width}x{height} -b:v {kbps}k "
        f"-maxrate {kbps}k -bufsize {kbps}k -g 60 -keyint_min 60 -sc_threshold 0"
    )


def chain(ladder_options: str, *, tuned: bool) -> str:
    """nginx-rtmp's application block with its ladder, every rendition with the source's audio.

    Without audio a rendition would not wait in FFmpeg's muxer for the packet that is next in time,
    and 720p would be out before the other two are encoded.
    """
    outputs = " ".join(
        f"-map 0:v -map 0:a -c:a copy {encoder(width, height, kbps)} "
        + (TUNED_OUTPUT if tuned else "")
        + f"-f flv rtmp://127.0.0.1:PORT/out/$name_{name}"
        for name, width, height, kbps in HD_LADDER
    )
    return (
        f"application live {{ live on; exec ffmpeg 2>>FOLDER/ffmpeg.log -v error {ladder_options} "
        f"-i rtmp://127.0.0.1:PORT/live/$name {outputs}; }} application out {{ live on; }}"
    )


def farm_run(tags: Sequence[FlvTag], ladder: Ladder) -> Run:
    with Farm(config(ladder), standbys=True) as farm:
        processes = list(farm.processes())
        names = [name for name, _, _, _ in ladder] or ["source"]
        urls = {name: farm.url("cam", name) for name in names}
        return measure(
            urls,
            farm.url("cam"),
            tags,
            lambda: peers.cpu_seconds(processes),
            lambda: farm.streams()["cam"]["stages_ms"],
        )


def nginx_run(folder: Path, tags: Sequence[FlvTag], options: str, *, tuned: bool) -> Run:
    folder.mkdir()
    with peers.nginx_rtmp(folder, chain(options, tuned=tuned)) as (port, process):
        urls = {name: f"rtmp://127.0.0.1:{port}/out/cam_{name}" for name in RENDITIONS}
        publish_url = f"rtmp://127.0.0.1:{port}/live/cam"
        return measure(urls, publish_url, tags, lambda: _cpu_of_tree(process))


def relay_run(folder: Path, tags: Sequence[FlvTag]) -> Run:
    folder.mkdir()
    with peers.nginx_rtmp(folder, "application live { live on; }") as (port, process):
        url = f"rtmp://127.0.0.1:{port}/live/cam"
        return measure({"source": url}, url, tags, lambda: _cpu_of_tree(process))


def _cpu_of_tree(process: psutil.Process) -> float:
    return peers.cpu_seconds([process, *process.children(recursive=True)])


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        tags = footage.tags_of(footage.numbered(folder, footage.HD))
        has_nginx = peers.has_nginx() and peers.has_ffmpeg()
        if not has_nginx:
            bench.say("delay: nginx with libnginx-mod-rtmp, or ffmpeg, is not installed")
        ours, theirs, passed, relayed = [], [], [], []
        for number in range(bench.runs):
            bench.say(f"delay: run {number + 1} of {bench.runs}")
            ours.append(farm_run(tags, HD_LADDER))
            passed.append(farm_run(tags, ()))
            if has_nginx:
                theirs.append(nginx_run(folder / f"tuned{number}", tags, TUNED, tuned=True))
                relayed.append(relay_run(folder / f"relay{number}", tags))
        _add(bench, "source", 0.5, "median", passed, relayed, "nginx-rtmp", 0.6)
        _add(bench, "source", 0.99, "p99", passed, relayed, "nginx-rtmp", 3.0)
        limits = {"720p": 0.85, "480p": 0.7, "360p": 0.7}
        for name in RENDITIONS:
            for what, part in (("median", 0.5), ("p95", 0.95)):
                _add(bench, name, part, what, ours, theirs, CHAIN, None, limits[name])
            first = statistics.median(run.first_s[name] for run in ours)
            bench.add(Figure(f"first {name} picture after", first * 1000, "ms", 300.0))
        for what, count in (
            ("lost", sum(run.lost for run in (*ours, *passed))),
            ("repeated", sum(run.repeated for run in (*ours, *passed))),
        ):
            note = f"of {sum(sum(run.pictures.values()) for run in (*ours, *passed))}"
            bench.add(Figure(f"pictures {what}, all runs", count, "", 0.0, note=note))
        median = statistics.median(percentile(run.delays_ms["360p"], 0.5) for run in ours)
        bench.add(Figure("delay 360p, median", median, "ms", 60.0))
        _tell_sound(bench, "360p", ours)
        _tell_sound(bench, "source", passed)
        _tell_stages(bench, ours)
        if has_nginx:
            _compare_with_chain(bench, ours, theirs)
            plain = nginx_run(folder / "plain", tags, AS_WRITTEN, tuned=False)
            for name in RENDITIONS:
                if plain.delays_ms[name]:
                    median = statistics.median(plain.delays_ms[name])
                    bench.add(Figure(f"nginx-rtmp as written, {name}, median", median, "ms"))
                    bench.add(Figure(f"its first {name} picture after", plain.first_s[name], "s"))


def _compare_with_chain(bench: Bench, ours: Sequence[Run], theirs: Sequence[Run]) -> None:
    """Its ladder starts seconds late and so makes fewer pictures: CPU is told a picture."""
    mine = statistics.median(run.cpu_ms_a_picture for run in ours)
    chain_ms = statistics.median(run.cpu_ms_a_picture for run in theirs)
    bench.add(Figure("CPU a picture of the ladder", mine, "ms", 1.0, CHAIN, chain_ms))


def _tell_sound(bench: Bench, name: str, runs: Sequence[Run]) -> None:
    """Audio waits for the next picture to ride with, in ingest and again in egress."""
    for what, part in (("median", 0.5), ("p99", 0.99)):
        value = statistics.median(percentile(run.sound_ms[name], part) for run in runs)
        bench.add(Figure(f"delay of the sound, {name}, {what}", value, "ms"))


def _tell_stages(bench: Bench, runs: Sequence[Run]) -> None:
    """Where a picture's milliseconds go; the farm's own histograms, medians of the runs."""
    for stage in runs[0].stages_ms:
        told = [run.stages_ms[stage] for run in runs if stage in run.stages_ms]
        late = statistics.median(values[1] for values in told)
        note = f"p99 {late:.2f}"
        median = statistics.median(values[0] for values in told)
        bench.add(Figure(f"stage {stage}, median", median, "ms", note=note))


def _add(
    bench: Bench,
    name: str,
    part: float,
    what: str,
    ours: Sequence[Run],
    theirs: Sequence[Run],
    peer: str,
    limit_ms: float | None,
    limit_ratio: float | None = None,
) -> None:
    def middle(runs: Sequence[Run]) -> float:
        return statistics.median(
            percentile(run.delays_ms[name], part) for run in runs if run.delays_ms[name]
        )

    value = middle(ours)
    counted = min(len(run.delays_ms[name]) for run in ours)
    note = f"{counted} of {footage.HD.frames - WARM_UP} pictures"
    title = f"delay {name}, {what}"
    if limit_ms is not None or not theirs:
        bench.add(Figure(title, value, "ms", limit_ms, note=note))
    if theirs:
        title = title if limit_ms is None else f"{title}, beside it"
        bench.add(Figure(title, value, "ms", limit_ratio, peer, middle(theirs), note))
