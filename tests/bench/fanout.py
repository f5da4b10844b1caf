"""What a viewer costs egress, against a bare loop of `socket.send` of its bytes and nginx-rtmp.

All contestants run at once, each with viewers of its own in a process that drains them, and take
turns of two seconds, so that a slow minute of the machine hits all of them. Costs are CPU
microseconds per delivered video frame and viewer: kernel included, all threads of the process.

    python -m tests.bench fanout
    python -m tests.bench.fanout [--players 500] [--kbps 2000] [--turns 10] [--alone]
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from common.config.ladder import SOURCE
from common.config.settings import EgressSettings, Settings
from common.ipc.control_messages import Endpoint, Topology
from common.ipc.identity import ChildId, Generation
from common.ipc.media_messages import HEADER, SHARED, StreamClosed, StreamOpen
from common.rtmp.blocking_client import RtmpPublisher
from tests.bench import peers
from tests.bench.fanout_stream import FPS, GOP, TURN_MS, flushes, frames_in_time, turn
from tests.bench.fanout_viewers import Viewers, door, start_watching
from tests.bench.report import Bench, Figure, percentile
from tests.kit.egress import (
    AUDIO_HEADER,
    METADATA,
    STREAM,
    TEMPLATE,
    VIDEO_HEADER,
    head,
    rendition_open,
    tags,
)
from tests.kit.egress_process import INGEST, SUPERVISOR, EgressProcess
from tests.kit.process_facts import pss_bytes

SEND_BUFFER = EgressSettings().send_buffer_bytes
SETTINGS = Settings(
    templates=(replace(TEMPLATE, wait_ms=20_000),), egress=EgressSettings(max_players=20_000)
)


def cpu_us(pid: int) -> float:
    """CPU time of all threads of a process, to the nanosecond of the scheduler."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


# ---- the bare loop: a process of its own --------------------------------------------------------


def bare(players: int, kbps: int) -> None:
    """Listen, accept, and at each word on stdin send a turn to every socket, frame by frame."""
    data = flushes(turn(kbps))
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        print(listener.getsockname()[1], flush=True)
        sockets = []
        for _ in range(players):
            viewer, _ = listener.accept()
            viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            viewer.setblocking(False)
            sockets.append(viewer)
    while sys.stdin.readline():
        short = 0
        for i in frames_in_time(GOP):
            flush = data[i]
            size = len(flush)
            for viewer in sockets:
                try:
                    if viewer.send(flush) != size:
                        short += 1
                except BlockingIOError:
                    short += 1
        print(short, flush=True)


# ---- the contestants ----------------------------------------------------------------------------


class Contestant(Protocol):
    """Who sends a stream to many viewers."""

    pid: int
    viewers: Viewers

    def play(self) -> None:
        """Send one turn."""


class Bare:
    """The plain loop."""

    def __init__(self, stack: ExitStack, players: int, kbps: int) -> None:
        command = [*PROGRAM, "bare", str(players), str(kbps)]
        self._process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._words, self._answers = self._process.stdin, self._process.stdout
        stack.callback(self._words.close)
        self.pid = self._process.pid
        self.viewers = Viewers(int(self._answers.readline()), players, "raw")
        stack.callback(self.viewers.close)
        self.viewers.wait_ready()

    def play(self) -> None:
        self._words.write("go\n")
        self._words.flush()
        self._answers.readline()


class Egress:
    """An egress process, with one stream that goes on and on."""

    def __init__(
        self,
        stack: ExitStack,
        players: int,
        kbps: int,
        flush_ms: int = 0,
        *,
        is_flv: bool = False,
    ) -> None:
        """`is_flv`: they watch by HTTP-FLV, not by RTMP."""
        self._egress = stack.enter_context(EgressProcess(SETTINGS, "--orphan-timeout", "3600"))
        self.pid = self._egress.pid
        here = Endpoint(ChildId("web"), SUPERVISOR)  # this process is every child
        self._egress.send(Topology((Endpoint(INGEST, SUPERVISOR), here)))
        self._turn = turn(kbps)
        self._number = 0
        self._now_ms = 0
        template = replace(TEMPLATE, flush_ms=flush_ms, hold_ms=600_000)  # others have turns
        self._egress.push(StreamOpen(STREAM, Generation(1), template, ()))
        self._egress.push(*rendition_open(SOURCE))
        self._egress.push(*tags(0, (head(8, 0, HEADER), AUDIO_HEADER), rendition=SHARED))
        self.play()
        memory = pss_bytes(self.pid) // 1024
        with door() as (port, let_in):
            self.viewers = Viewers(port, players, "raw" if is_flv else "rtmp")
            stack.callback(self.viewers.close)
            for _ in range(players):
                if is_flv:
                    let_in.view(self._egress.endpoint.flv)
                else:
                    let_in(self._egress.endpoint.handover)
        self.viewers.wait_ready()
        self.play()
        self.kib_a_player = (pss_bytes(self.pid) // 1024 - memory) / max(1, players)

    def play(self) -> None:
        self.play_timed()

    def play_timed(self) -> dict[int, float]:
        """Send one turn; returns when each picture was pushed, by its stream time."""
        pushed = {}
        for i in frames_in_time(GOP):
            for piece in self._turn[i]:
                dts_ms = self._now_ms + piece.dts_ms
                entry = head(piece.tag_type, dts_ms, piece.flags, time.monotonic())
                if piece.tag_type == 8:
                    self._egress.push(*tags(0, (entry, piece.body), rendition=SHARED))
                else:
                    pushed[dts_ms] = time.monotonic()
                    self._egress.push(*tags(self._number, (entry, piece.body)))
                    self._number += 1
        self._now_ms += TURN_MS
        return pushed

    def end(self) -> None:
        self._egress.push(StreamClosed(STREAM, Generation(1), "the bench is over", 0))

    @property
    def handover(self) -> str:
        return self._egress.endpoint.handover


class Nginx:
    """nginx-rtmp with its defaults."""

    def __init__(self, stack: ExitStack, players: int, kbps: int) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        application = "application live { live on; }"
        port, process = stack.enter_context(peers.nginx_rtmp(folder, application))
        self.pid = process.children()[0].pid  # the worker
        self._publisher = stack.enter_context(
            RtmpPublisher(f"rtmp://127.0.0.1:{port}/live/cam1", 60)
        )
        self._turn = turn(kbps)
        self._now_ms = 0
        self._publisher.send_metadata(METADATA)
        self._publisher.send_video(0, VIDEO_HEADER)
        self._publisher.send_audio(0, AUDIO_HEADER)
        self.viewers = Viewers(port, players, "rtmp")
        stack.callback(self.viewers.close)
        self.viewers.wait_ready()
        self.play()

    def play(self) -> None:
        for i in frames_in_time(GOP):
            for piece in self._turn[i]:
                send = (
                    self._publisher.send_audio
                    if piece.tag_type == 8
                    else self._publisher.send_video
                )
                send(self._now_ms + piece.dts_ms, piece.body)
        self._now_ms += TURN_MS


@dataclass
class Score:
    """What one contestant's turns cost."""

    costs_us: list[float]
    longest_gap_ms: float = 0.0
    delivered: float = 0.0  # bytes


def compete(contestants: dict[str, Contestant], players: int, turns: int) -> dict[str, Score]:
    scores = {name: Score([]) for name in contestants}
    for _ in range(turns):
        for name, contestant in contestants.items():
            contestant.viewers.counts()
            before = cpu_us(contestant.pid)
            contestant.play()
            time.sleep(0.15)  # what is merged or held goes out
            spent = cpu_us(contestant.pid) - before
            counts = contestant.viewers.counts()
            score = scores[name]
            score.costs_us.append(spent / (players * GOP))
            score.longest_gap_ms = max(score.longest_gap_ms, counts["gap_ms"])
            score.delivered += counts["bytes"]
    return scores


def delays_ms(kbps: int, turns: int) -> list[float]:
    """From push to arrival at one player of an otherwise idle egress."""
    with ExitStack() as stack:
        egress = Egress(stack, 0, kbps)
        with door() as (port, let_in):
            watcher = stack.enter_context(start_watching(port))
            let_in(egress.handover)
        egress.play()
        pushed: dict[int, float] = {}
        for _ in range(turns):
            pushed |= egress.play_timed()
        egress.end()
        assert watcher.stdout is not None
        arrived = {int(k): v for k, v in json.loads(watcher.stdout.read()).items()}
    return [(arrived[t] - at) * 1000 for t, at in pushed.items() if t in arrived]


def measure(bench: Bench, players: int, kbps: int, turns: int, *, alone: bool) -> None:
    """All contestants, or egress and the bare loop alone."""
    with ExitStack() as stack:
        egress = Egress(stack, players, kbps)
        contestants: dict[str, Contestant] = {
            "bare loop": Bare(stack, players, kbps),
            "egress": egress,
        }
        if not alone:
            contestants["egress, 100 ms"] = Egress(stack, players, kbps, flush_ms=100)
            if peers.has_nginx():
                contestants["nginx-rtmp"] = Nginx(stack, players, kbps)
            else:
                bench.say("fanout: nginx with libnginx-mod-rtmp is not installed")
        scores = compete(contestants, players, turns)
    costs = {name: statistics.median(score.costs_us) for name, score in scores.items()}
    what = f"{players} x {kbps} kbit/s"
    full = scores["bare loop"].delivered
    for name, limits in (
        ("egress", (("bare loop", 1.25), ("nginx-rtmp", 0.8))),
        ("egress, 100 ms", (("nginx-rtmp", 0.5),)),
    ):
        for peer, limit in limits:
            if name in costs and peer in costs:
                note = f"{scores[name].delivered / full:.3f} of the bytes"
                figure = Figure(
                    f"fanout {name}, {what}", costs[name], "us", limit, peer, costs[peer], note
                )
                bench.add(figure)
    gap_ms = scores["egress"].longest_gap_ms
    note = f"of all viewers, {turns} turns"
    bench.add(Figure(f"fanout longest gap, {what}", gap_ms, "ms", 200.0 + 1000 / FPS, note=note))
    bench.add(Figure(f"fanout memory, {what}", egress.kib_a_player, "KiB a player", 40.0))


def measure_flv(bench: Bench, players: int, kbps: int, turns: int) -> None:
    """Viewers of HTTP-FLV beside players of RTMP, of as many bytes."""
    with ExitStack() as stack:
        contestants: dict[str, Contestant] = {
            "rtmp": Egress(stack, players, kbps),
            "http-flv": Egress(stack, players, kbps, is_flv=True),
        }
        scores = compete(contestants, players, turns)
    costs = {name: statistics.median(score.costs_us) for name, score in scores.items()}
    note = f"{scores['http-flv'].delivered / scores['rtmp'].delivered:.3f} of the bytes"
    what = f"fanout http-flv, {players} x {kbps} kbit/s"
    bench.add(Figure(what, costs["http-flv"], "us", 1.25, "rtmp", costs["rtmp"], note))


def run(bench: Bench) -> None:
    measure(bench, 500, 2000, 2 * bench.runs, alone=False)
    measure(bench, 2000, 600, bench.runs, alone=True)
    measure_flv(bench, 500, 2000, bench.runs)
    delays = delays_ms(2000, 3)
    bench.add(Figure("fanout delay of egress alone, median", statistics.median(delays), "ms", 0.6))
    bench.add(Figure("fanout delay of egress alone, p99", percentile(delays, 0.99), "ms", 3.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--players", type=int, default=500)
    parser.add_argument("--kbps", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--alone", action="store_true", help="against the bare loop only")
    parser.add_argument("--flv", action="store_true", help="HTTP-FLV against RTMP only")
    options = parser.parse_args()
    if options.flv:
        measure_flv(Bench(), options.players, options.kbps, options.turns)
    else:
        measure(Bench(), options.players, options.kbps, options.turns, alone=options.alone)


PROGRAM = (sys.executable, "-m", "tests.bench.fanout")

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["bare", players, kbps]:
            bare(int(players), int(kbps))
        case _:
            main()
