"""What a viewer of low-latency HLS costs the `web` process: CPU, by the slope over some viewers.

A rendition of 2 Mbit/s and its sound come in real time. Each viewer has two connections, one for
each track, and asks as a player does: a reload that blocks, then the part that it lists last. The
viewers are in processes of their own, and throw away what comes.

    python -m tests.bench hls [--viewers 100,500,1000] [--seconds 10] [--json FILE]
    python -m tests.bench.hls HOST:PORT VIEWERS     the viewers
"""

import asyncio
import re
import sys
import threading
import time
import urllib.request
from dataclasses import replace
from functools import partial
from typing import Final

import psutil

from common.config.settings import EgressSettings, Settings, WebSettings
from common.ipc.media_messages import HEADER, KEY
from egress.streams.tag import AUDIO
from tests.bench.fanout_stream import FPS, GOP, TURN_MS, turn
from tests.bench.report import Bench, Figure
from tests.bench.viewers import answer_words, is_full, slope, step, table
from tests.kit.egress import TEMPLATE, head, rendition_open, shared, stream_open, tags
from tests.kit.egress_process import EgressProcess
from tests.kit.http_viewer import audio_header, video_header

VIEWERS: Final = (100, 500, 1000)
SECONDS: Final = 10.0
MOST: Final = 100  # viewers of one process
NAME = "360p"
LIMIT_PERCENT = 0.15  # of a core, a viewer
ANSWERS, REFUSED = "answers", "refused"
SETTLE_S = 6.0  # until all viewers are there, and have asked a few times
SETTINGS = Settings(
    templates=(replace(TEMPLATE, wait_ms=20_000),),
    egress=EgressSettings(max_players_per_address=100_000),
    web=WebSettings(max_viewers=100_000, max_connections=100_000),
)
INDEX = f"/live/cam1/index.m3u8?rendition={NAME}"
_HINT = re.compile(rb'PRELOAD-HINT:TYPE=PART,URI="(\d+)\.(\d+)\.m4s')
_LISTED = re.compile(rb'#EXT-X-PART:[^\n]*URI="([^"]+)"')


class Source(threading.Thread):
    """Sends one GOP again and again, as time goes."""

    def __init__(self, web: EgressProcess, kbps: int) -> None:
        super().__init__(daemon=True)
        self._web = web
        self._turn = turn(kbps)
        self._is_over = threading.Event()

    def begin(self) -> None:
        self._web.push(stream_open(renditions=(NAME,)))
        self._web.push(*rendition_open(NAME, header=video_header()))
        self._web.push(*shared((head(AUDIO, 0, HEADER), audio_header())))
        self.start()

    def run(self) -> None:
        began, frames = time.monotonic(), 0
        while not self._is_over.wait(max(0.0, began + frames / FPS - time.monotonic())):
            begin_ms = frames // GOP * TURN_MS
            for piece in self._turn[frames % GOP]:
                flags = KEY if piece.tag_type == 9 and frames % GOP == 0 else 0
                item = head(piece.tag_type, begin_ms + piece.dts_ms, flags), piece.body
                if piece.tag_type == AUDIO:
                    self._web.push(*shared(item))
                else:
                    self._web.push(*tags(frames, item, rendition=NAME))
            frames += 1

    def stop(self) -> None:
        self._is_over.set()
        self.join()


class Watching(asyncio.Protocol):
    """One track of one viewer: a reload, the part that is listed last, and again."""

    def __init__(self, folder: str, query: str, counts: dict[str, int]) -> None:
        self._folder, self._query, self._counts = folder, query, counts
        self._buffer = bytearray()
        self._is_playlist = True
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask("index.m3u8?" + self._query)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first = bytes(self._buffer[:end])
            length = int(first.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            self._take(int(first[9:12]), body)

    def _take(self, status: int, body: bytes) -> None:
        self._counts[ANSWERS if status == 200 else REFUSED] += 1
        self._counts["bytes"] += len(body)
        if self._is_playlist and status == 200:
            hint = _HINT.search(body)
            assert hint is not None
            self._next = f"&_HLS_msn={int(hint[1])}&_HLS_part={int(hint[2])}"
            self._is_playlist = False
            self._ask(_LISTED.findall(body)[-1].decode())
        else:
            self._is_playlist = True
            self._ask("index.m3u8?" + self._query + self._next)

    def _ask(self, rest: str) -> None:
        assert self._transport is not None
        target = f"GET /live/cam1/{self._folder}/{rest} HTTP/1.1\r\nHost: bench\r\n"
        self._transport.write(f"{target}User-Agent: bench\r\nAccept: */*\r\n\r\n".encode())


def _same(made: Watching) -> Watching:
    return made


async def view(address: str, viewers: int) -> None:
    """Have so many viewers until stdin ends, and say what comes."""
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    counts = dict.fromkeys((ANSWERS, REFUSED, "bytes"), 0)
    for _ in range(viewers):
        url = f"http://{address}{INDEX}"
        with await asyncio.to_thread(urllib.request.urlopen, url) as response:  # nosec B310 # ours
            index = response.read().decode()
        query = re.search(r"index\.m3u8\?(\S+)\n", index + "\n")
        assert query is not None
        token = query[1].rstrip('"')
        for folder in (NAME, "sound"):
            made = Watching(folder, token, counts)
            await loop.create_connection(partial(_same, made), host, int(port))
    await answer_words(lambda: dict(counts))


def run(bench: Bench) -> None:
    arguments = ("--listen", "127.0.0.1:0", "--orphan-timeout", "3600")
    with EgressProcess(SETTINGS, *arguments, module="egress.web") as web:
        source = Source(web, 2_000)
        source.begin()
        try:
            steps = [
                step(
                    psutil.Process(web.pid),
                    lambda count: ("-m", "tests.bench.hls", web.listen[0], str(count)),
                    ANSWERS,
                    viewers,
                    most=MOST,
                    settle_s=SETTLE_S,
                    seconds=bench.seconds or SECONDS,
                )
                for viewers in bench.viewers or VIEWERS
            ]
        finally:
            source.stop()
    table(bench, "LL-HLS, 2 Mbit/s, sound apart", ANSWERS, steps)
    most = max(one.viewers for one in steps if is_full(one, steps))
    refused = sum(one.counts[REFUSED] for one in steps)
    note = f"up to {most} viewers served in full by one process, {refused} answers refused"
    name = "LL-HLS, 2 Mbit/s, sound apart: CPU a viewer"
    bench.add(Figure(name, 100 * slope(steps), "%", LIMIT_PERCENT, note=note))


if __name__ == "__main__":
    asyncio.run(view(sys.argv[1], int(sys.argv[2])))
