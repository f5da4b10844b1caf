"""What a viewer of low-latency HLS, and an answer to him, costs `web`: the slope over some viewers.

A rendition of 2 Mbit/s and its sound come in real time. Each viewer has two connections, one for
each track, and asks as a player does: a reload that blocks, then the part that it lists last. The
viewers are in processes of their own (`hls_viewers.py`), and throw away what comes.

    python -m tests.bench hls [--viewers 100,500,1000] [--processes 2] [--seconds 10]
"""

import statistics
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

import psutil

from common.config.settings import EgressSettings, Settings, WebSettings
from common.ipc.control_messages import Endpoint, Topology
from common.ipc.media_messages import HEADER, KEY
from egress.streams.tag import AUDIO
from tests.bench.fanout_stream import FPS, GOP, TURN_MS, turn
from tests.bench.hls_viewers import ANSWERS, NAME, REFUSED
from tests.bench.report import Bench, Figure
from tests.bench.viewers import Step, is_full, show, slope, step
from tests.kit.egress import TEMPLATE, head, rendition_open, shared, stream_open, tags
from tests.kit.egress_process import INGEST, SUPERVISOR, EgressProcess
from tests.kit.http_viewer import audio_header, video_header

VIEWERS: Final = (100, 500, 1000)
SECONDS: Final = 10.0
MOST: Final = 100  # viewers of one process
TITLE = "LL-HLS, 2 Mbit/s, sound apart"
LIMIT_PERCENT = 0.15  # of a core, a viewer
SETTLE_S = 6.0  # until all viewers are there, and have asked a few times
SETTINGS = Settings(
    templates=(replace(TEMPLATE, wait_ms=20_000),),
    egress=EgressSettings(max_players_per_address=100_000),
    web=WebSettings(max_viewers=100_000, max_connections=100_000),
)


class Source(threading.Thread):
    """Sends one GOP again and again to all processes, as time goes."""

    def __init__(self, webs: Sequence[EgressProcess], kbps: int) -> None:
        super().__init__(daemon=True)
        self._webs = webs
        self._turn = turn(kbps)
        self._is_over = threading.Event()

    def begin(self) -> None:
        self._push(stream_open(renditions=(NAME,)))
        self._push(*rendition_open(NAME, header=video_header()))
        self._push(*shared((head(AUDIO, 0, HEADER), audio_header())))
        self.start()

    def run(self) -> None:
        began, frames = time.monotonic(), 0
        while not self._is_over.wait(max(0.0, began + frames / FPS - time.monotonic())):
            begin_ms = frames // GOP * TURN_MS
            for piece in self._turn[frames % GOP]:
                flags = KEY if piece.tag_type == 9 and frames % GOP == 0 else 0
                item = head(piece.tag_type, begin_ms + piece.dts_ms, flags), piece.body
                if piece.tag_type == AUDIO:
                    self._push(*shared(item))
                else:
                    self._push(*tags(frames, item, rendition=NAME))
            frames += 1

    def stop(self) -> None:
        self._is_over.set()
        self.join()

    def _push(self, message: object, payloads: Sequence[bytes] = ()) -> None:
        for web in self._webs:
            web.push(message, payloads)


def begin(stack: ExitStack, count: int) -> list[EgressProcess]:
    """So many processes at one address, each of which knows the others."""
    webs: list[EgressProcess] = []
    for index in range(count):
        where = webs[0].listen[0] if webs else "127.0.0.1:0"
        arguments = ("--index", str(index), "--listen", where, "--orphan-timeout", "3600")
        shared_port = ("--share-port",) if count > 1 else ()
        web = EgressProcess(SETTINGS, *arguments, *shared_port, module="egress.web")
        webs.append(stack.enter_context(web))
    known = tuple(replace(web.endpoint, pid=web.pid) for web in webs)
    for web in webs:
        web.send(Topology((Endpoint(INGEST, SUPERVISOR), *known)))
    return webs


def run(bench: Bench) -> None:
    steps: list[Step] = []
    title = TITLE if bench.processes == 1 else f"{TITLE}, {bench.processes} processes"
    with ExitStack() as stack:
        webs = begin(stack, bench.processes)
        source = Source(webs, 2_000)
        source.begin()
        stack.callback(source.stop)
        for viewers in bench.viewers or VIEWERS:
            steps.append(
                step(
                    [psutil.Process(web.pid) for web in webs],
                    lambda count: ("-m", "tests.bench.hls_viewers", webs[0].listen[0], str(count)),
                    ANSWERS,
                    viewers,
                    most=MOST,
                    settle_s=SETTLE_S,
                    seconds=bench.seconds or SECONDS,
                )
            )
            show(bench, title, ANSWERS, steps)
    print(flush=True)
    most = max(one.viewers for one in steps if is_full(one, steps))
    refused = sum(one.counts[REFUSED] for one in steps)
    answers = [one.rate * one.viewers for one in steps]
    per_answer = statistics.linear_regression(answers, [one.cores for one in steps]).slope
    bench.add(Figure(f"{title}: CPU an answer", 1e6 * per_answer, "µs"))
    note = f"up to {most} viewers served in full, {refused} answers refused"
    bench.add(Figure(f"{title}: CPU a viewer", 100 * slope(steps), "%", LIMIT_PERCENT, note=note))
