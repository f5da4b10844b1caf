"""Delay that the farm adds: a picture's last byte in to its last byte out.

By the numbers in the pictures, publisher and player in processes of their own. Beside it
nginx-rtmp: its relay for the source rendition, and its `exec ffmpeg` ladder for the transcoded
ones, as people write it and with FFmpeg's buffers tuned away.
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.bench import footage, peers
from tests.bench.ladder import HD_LADDER, config
from tests.bench.report import Bench, Figure, percentile
from tests.helpers_farm import Farm
from tests.helpers_media import FlvTag

WARM_UP = 150  # pictures
RENDITIONS = ("720p", "480p", "360p")
AS_WRITTEN = ""
TUNED = (
    "-fflags nobuffer -flags low_delay -probesize 32768 -analyzeduration 0 "
    "-rtmp_buffer 0 -rtmp_live live"
)


def measure(
    urls: Mapping[str, str], publish_url: str, tags: Sequence[FlvTag]
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Delays by rendition, and how long after the publisher's first its first picture came."""
    seconds = (tags[-1].dts_ms - tags[0].dts_ms) / 1000
    with peers.pool(len(urls) + 1) as pool:
        start_s = time.monotonic() + 2.0
        until_s = start_s + seconds + 3.0
        came = {
            name: pool.submit(peers.numbered_arrivals, url, until_s) for name, url in urls.items()
        }
        sent = pool.submit(peers.publish, publish_url, tags, start_s)
        left = sent.result(seconds + 30)
        arrived = {name: future.result(60) for name, future in came.items()}
    delays = {name: peers.delays_ms(left, times, WARM_UP) for name, times in arrived.items()}
    first = {
        name: min(times.values(), default=float("nan")) - left[0] for name, times in arrived.items()
    }
    return delays, first


def chain(ladder_options: str, *, tuned: bool) -> str:
    """nginx-rtmp's application block with its ladder."""
    outputs = " ".join(
        f"-map 0:v -map 0:a? -c:a copy -c:v libx264 -preset veryfast -tune zerolatency "
        f"-s {width}x{height} -b:v {kbps}k -maxrate {kbps}k -bufsize {kbps}k -g 60 "
        f"-keyint_min 60 -sc_threshold 0 "
        + ("-flush_packets 1 -flvflags no_duration_filesize " if tuned else "")
        + f"-f flv rtmp://127.0.0.1:PORT/out/$name_{name}"
        for name, width, height, kbps in HD_LADDER
    )
    return (
        f"application live {{ live on; exec ffmpeg 2>>FOLDER/ffmpeg.log -v error {ladder_options} "
        f"-i rtmp://127.0.0.1:PORT/live/$name {outputs}; }} application out {{ live on; }}"
    )


def farm_run(tags: Sequence[FlvTag]) -> tuple[dict[str, list[float]], dict[str, float], float]:
    with Farm(config(HD_LADDER)) as farm:
        processes = list(farm.processes())
        before = peers.cpu_seconds(processes)
        urls = {name: farm.url("cam", name) for name in (*RENDITIONS, "source")}
        delays, first = measure(urls, farm.url("cam"), tags)
        return delays, first, peers.cpu_seconds(processes) - before


def nginx_run(
    folder: Path, tags: Sequence[FlvTag], options: str, *, tuned: bool
) -> tuple[dict[str, list[float]], dict[str, float], float]:
    with peers.nginx_rtmp(folder, chain(options, tuned=tuned)) as (port, process):
        urls = {name: f"rtmp://127.0.0.1:{port}/out/cam_{name}" for name in RENDITIONS}
        urls["source"] = f"rtmp://127.0.0.1:{port}/live/cam"
        delays, first = measure(urls, f"rtmp://127.0.0.1:{port}/live/cam", tags)
        return delays, first, _cpu_of_tree(process)


def _cpu_of_tree(process: psutil.Process) -> float:
    return peers.cpu_seconds([process, *process.children(recursive=True)])


def run(bench: Bench) -> None:
    with footage.workspace() as folder:
        tags = footage.tags_of(footage.numbered(folder, footage.HD))
        ours = [farm_run(tags) for _ in range(bench.runs)]
        for name in (*RENDITIONS, "source"):
            _add_own(bench, name, ours)
        if not (peers.has_nginx() and peers.has_ffmpeg()):
            bench.say("delay: nginx with libnginx-mod-rtmp, or ffmpeg, is not installed")
            return
        theirs = []
        for number in range(bench.runs):
            inner = folder / f"tuned{number}"
            inner.mkdir()
            theirs.append(nginx_run(inner, tags, TUNED, tuned=True))
        limits = {"720p": 0.85, "480p": 0.7, "360p": 0.7}
        for name in RENDITIONS:
            for what, part in (("median", 0.5), ("p95", 0.95)):
                bench.add(
                    Figure(
                        f"delay {name}, {what}",
                        _middle([percentile(delays[name], part) for delays, _, _ in ours]),
                        "ms",
                        limits[name],
                        "nginx-rtmp + ffmpeg, tuned",
                        _middle([percentile(d[name], part) for d, _, _ in theirs if d[name]]),
                    )
                )
        bench.add(
            Figure(
                "CPU of the ladder, players included",
                _middle([cpu for _, _, cpu in ours]),
                "CPU s",
                1.0,
                "nginx-rtmp + ffmpeg, tuned",
                _middle([cpu for _, _, cpu in theirs]),
            )
        )
        (folder / "plain").mkdir()
        plain, first, _ = nginx_run(folder / "plain", tags, AS_WRITTEN, tuned=False)
        for name in RENDITIONS:
            if plain[name]:
                bench.add(
                    Figure(f"nginx-rtmp as written, {name}, median", _middle(plain[name]), "ms")
                )
                bench.add(Figure(f"its first {name} picture after", first[name], "s"))


def _add_own(
    bench: Bench,
    name: str,
    runs: Sequence[tuple[dict[str, list[float]], dict[str, float], float]],
) -> None:
    medians = [statistics.median(delays[name]) for delays, _, _ in runs]
    p99 = [percentile(delays[name], 0.99) for delays, _, _ in runs]
    first = [first[name] for _, first, _ in runs]
    frames = min(len(delays[name]) for delays, _, _ in runs)
    wanted = footage.HD.frames - WARM_UP
    note = f"{frames} of {wanted} pictures"
    limits = {"source": (0.6, 3.0), "360p": (60.0, None)}
    median_limit, p99_limit = limits.get(name, (None, None))
    bench.add(Figure(f"delay {name}, median", _middle(medians), "ms", median_limit, note=note))
    bench.add(Figure(f"delay {name}, p99", _middle(p99), "ms", p99_limit))
    if name != "source":
        bench.add(Figure(f"first {name} picture", _middle(first) * 1000, "ms", 300.0))


def _middle(values: Sequence[float]) -> float:
    return statistics.median(values)
