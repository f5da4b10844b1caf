"""Publishers and players in processes of their own, exact clocks, and the peers beside tfarm.

CLOCK_MONOTONIC is one clock for all processes of the host, so a frame's way is its arrival at the
player less its last byte's departure at the publisher.
"""

import multiprocessing
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import psutil

from common.errors import TfarmError
from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher
from common.rtmp.events import AudioReceived, VideoReceived
from tests.kit.clients import FlvTag, send_tag
from tests.kit.clips import luma_of, read_number

START_S = 1.0  # that each of a pool's processes is kept busy, so that all are started
RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


def has_nginx() -> bool:
    return shutil.which("nginx") is not None and RTMP_MODULE.exists()


def has_ffmpeg() -> bool:
    return shutil.which("ffmpeg") is not None


def processes_of(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """User and system time so far of these processes, and of their children that have ended."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        total += times.children_user + times.children_system
    return total


# ---- in processes of their own ----------------------------------------------------------------


def pool(workers: int) -> ProcessPoolExecutor:
    """Fresh interpreters: nothing of the bench's own process is copied or shared."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def start_all(pool: ProcessPoolExecutor, workers: int) -> None:
    """Wait until so many have started: they take the cores of whatever runs meanwhile."""
    began = [pool.submit(time.sleep, START_S) for _ in range(workers)]
    wait(began)


@dataclass
class Sent:
    """When the last bytes left a publisher, in its clock."""

    pictures: dict[int, float] = field(default_factory=dict)  # by number
    sounds: list[float] = field(default_factory=list)  # audio frames


def publish(url: str, tags: Sequence[FlvTag], start_s: float, stays_s: float = 0.0) -> Sent:
    """Send tags at their own pace from `start_s` on; the publisher stays for a while, silent."""
    left = Sent()
    with RtmpPublisher(url, 20) as publisher:
        first_ms = tags[0].dts_ms
        for tag in tags:
            wait = start_s + (tag.dts_ms - first_ms) / 1000 - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            send_tag(publisher, tag)
            if tag.body[1] == 1:  # neither header nor end of sequence
                now = time.monotonic()
                if tag.type == 9:
                    left.pictures[len(left.pictures)] = now
                else:
                    left.sounds.append(now)
        time.sleep(stays_s)
    return left


@dataclass
class Arrived:
    """What a player got, and when."""

    header: bytes = b""  # video tag body
    pictures: list[tuple[float, int, bytes]] = field(default_factory=list)  # with their timestamps
    sounds: list[float] = field(default_factory=list)  # audio frames


def arrivals(url: str, until_s: float) -> Arrived:
    """Play until then, or to the stream's end."""
    got = Arrived()
    while time.monotonic() < until_s:
        try:
            with RtmpPlayer(url, 10) as player:
                while time.monotonic() < until_s:
                    event = player.next_event(max(0.1, until_s - time.monotonic()))
                    now = time.monotonic()
                    if event is None:
                        return got
                    if isinstance(event, AudioReceived) and event.payload[1:2] == b"\x01":
                        got.sounds.append(now)
                    if isinstance(event, VideoReceived) and len(event.payload) > 5:
                        if event.payload[1] == 0:
                            got.header = event.payload
                        else:
                            got.pictures.append((now, event.timestamp, event.payload))
        except (TfarmError, OSError):
            if got.pictures:
                break
            time.sleep(0.1)  # a chain whose rendition is not there yet
    return got


@dataclass
class Numbered:
    """What a player got, by the numbers in the pictures."""

    came_s: dict[int, float] = field(default_factory=dict)
    sounds_s: list[float] = field(default_factory=list)  # when audio frames came
    repeated: int = 0  # pictures whose number had come before


def numbered_arrivals(url: str, until_s: float) -> Numbered:
    """When each picture came, by the number in it (decoded afterwards)."""
    got = arrivals(url, until_s)
    found = Numbered(sounds_s=got.sounds)
    if not got.header:
        return found
    context = av.CodecContext.create("h264", "r")
    context.extradata = got.header[5:]
    context.thread_type = "NONE"
    times: dict[int, float] = {}
    for arrived_s, timestamp, body in got.pictures:
        if body[1] != 1:
            continue
        packet = av.Packet(body[5:])
        packet.pts = packet.dts = timestamp + int.from_bytes(body[2:5], "big", signed=True)
        times[packet.pts] = arrived_s
        for frame in context.decode(packet):
            _number(frame, times, found)
    for frame in context.decode(None):
        _number(frame, times, found)
    return found


def _number(frame: av.VideoFrame, times: Mapping[int, float], found: Numbered) -> None:
    number = read_number(luma_of(frame))
    if number is None or frame.pts is None or frame.pts not in times:
        return
    if number in found.came_s:
        found.repeated += 1
    else:
        found.came_s[number] = times[frame.pts]


def delays_ms(left: Mapping[int, float], came: Mapping[int, float], skip: int) -> list[float]:
    """From last byte out to last byte in, by picture; the first `skip` are warming up."""
    return [
        (came[number] - left[number]) * 1000
        for number in sorted(left.keys() & came.keys())
        if number >= skip
    ]


def sound_delays_ms(left: Sequence[float], came: Sequence[float], skip: int) -> list[float]:
    """The like of audio frames, which have no numbers: they are counted from the last one back.

    The last one is left out: no picture comes that could take it along.
    """
    pairs = list(zip(reversed(left), reversed(came), strict=False))[1:]
    return [(came_s - left_s) * 1000 for left_s, came_s in pairs[: max(0, len(left) - skip)]]


def watch(url: str, players: int, from_s: float, until_s: float) -> int:
    """So many players of one rendition, who only take what comes; how many bytes that was."""
    time.sleep(max(0.0, from_s - time.monotonic()))
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(players):
            player = stack.enter_context(RtmpPlayer(url, 10))
            selector.register(player._open_socket(), selectors.EVENT_READ)
        taken = 0
        buffer = bytearray(1 << 20)
        while (left_s := until_s - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                assert isinstance(key.fileobj, socket.socket)
                taken += key.fileobj.recv_into(buffer)
        return taken


# ---- nginx-rtmp -------------------------------------------------------------------------------


@contextmanager
def nginx_rtmp(folder: Path, application: str) -> Iterator[tuple[int, psutil.Process]]:
    """nginx with one rtmp server on a free port; `application` is the inside of its block."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "nginx.conf"
    inside = application.replace("PORT", str(port)).replace("FOLDER", str(folder))
    config.write_text(
        f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;
user root;
load_module {RTMP_MODULE};
events {{ worker_connections 4096; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096; {inside} }} }}
"""
    )
    process = subprocess.Popen(["nginx", "-c", config, "-p", folder], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "nginx.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            if child.is_running():
                child.kill()
