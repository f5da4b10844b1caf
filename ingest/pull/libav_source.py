"""A source that libavformat demuxes: RTSP and HLS, in a thread of its own (IO).

The thread is never waited for but with a deadline: libavformat gives up what takes longer than
`OPEN_S` or `IDLE_S`. What it has read waits in a bounded queue; while that is full nothing is read.
"""

import asyncio
import math
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import av

from ingest.pull.from_packets import PacketFacts, PacketUnits, TrackFacts
from ingest.pull.pacing import Pacing
from ingest.pull.source import IDLE_S, OPEN_S, Batch, Memory, SourceError

MAX_PACKETS: Final = 512  # that wait
PROBE_BYTES: Final = 2_000_000
LOOK_S: Final = 0.2  # how often a thread that waits for room looks whether it is to end
RTSP: Final = ("rtsp", "rtsps")
# What the formats may open by themselves: never a file, nor another protocol than they need.
PROTOCOLS: Final = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
    "http": "http,https,tcp,tls,crypto",
    "https": "http,https,tcp,tls,crypto",
}
_TICKS: Final = 1_000_000  # AV_TIME_BASE


def options_of(scheme: str, is_udp: bool) -> dict[str, str]:
    """What libavformat is told about a source."""
    found = {
        "protocol_whitelist": PROTOCOLS[scheme],
        "probesize": str(PROBE_BYTES),
        "analyzeduration": "2000000",  # of a track that is silent: it is not waited for longer
        "fpsprobesize": "0",  # rates are the ingest's to find: nothing waits for that
        "fflags": "nobuffer",
    }
    if scheme in RTSP:
        found["rtsp_transport"] = "udp" if is_udp else "tcp"
        found["timeout"] = str(round(IDLE_S * _TICKS))
    else:
        found["reconnect"] = "0"
    return found


class LibavSource:
    """A `Source`."""

    def __init__(self, url: str, memory: Memory, *, is_udp: bool = False) -> None:
        """`memory`: what connections to the same server tell the next one."""
        self._memory = memory
        parts = urlsplit(url)
        self._url, self._scheme, self._is_udp = url, parts.scheme, is_udp
        self.peer = f"{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"
        self._loop = asyncio.get_running_loop()
        self._pacing = Pacing(memory.newest_s) if parts.scheme not in RTSP else None
        self._opened = self._loop.create_future()
        self._has_more = asyncio.Event()
        self._packets: deque[tuple[bool, PacketFacts]] = deque()
        self._room = threading.Semaphore(MAX_PACKETS)
        self._is_ending = threading.Event()
        self._units = PacketUnits(None, None)
        self._first = Batch()
        self._due_s: float | None = None  # when the first of the packets goes on
        self._failure = ""
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()

    async def open(self) -> None:
        self._thread = threading.Thread(target=self._run, name="libav", daemon=True)
        self._thread.start()
        try:
            async with asyncio.timeout(OPEN_S + IDLE_S):
                await self._opened
        except TimeoutError:
            raise SourceError(f"the server did not answer within {OPEN_S + IDLE_S:.0f} s") from None
        self._first = Batch()
        self._units.begin(self._first)

    async def read(self) -> Batch:
        batch, self._first = self._first, Batch()
        before = len(batch.items)  # what the tracks say of themselves is no media yet
        while len(batch.items) == before:
            while not self._packets:
                if self._failure:
                    raise SourceError(self._failure)
                self._has_more.clear()
                await self._has_more.wait()
            await self._take_due(batch)
        return batch

    def end(self) -> None:
        self._fail("it was ended here")
        self._is_ending.set()

    async def close(self) -> None:
        self._is_ending.set()
        self._packets.clear()
        if self._thread is not None:
            await self._ended.wait()

    # ---- on the loop --------------------------------------------------------------------------

    async def _take_due(self, batch: Batch) -> None:
        """Take what is due; wait for the first of it."""
        while self._packets:
            is_video, packet = self._packets[0]
            if self._pacing is not None and self._due_s is None:
                self._due_s = self._when(self._pacing, packet)
            if self._due_s is not None and (wait_s := self._due_s - time.monotonic()) > 0:
                if wait_s < math.inf and batch.items:
                    return
                if wait_s < math.inf:
                    await asyncio.sleep(wait_s)
                    packet = replace(packet, received_s=time.monotonic())
            is_dropped, self._due_s = self._due_s == math.inf, None
            self._packets.popleft()
            self._room.release()
            if not is_dropped:
                (self._units.video if is_video else self._units.audio)(batch, packet)

    def _when(self, pacing: Pacing, packet: PacketFacts) -> float:
        """When a packet is due; inf: it was there before."""
        stamp_s = packet.dts_s if packet.dts_s is not None else packet.pts_s
        now = time.monotonic()
        due_s = pacing.due_s(stamp_s, now) if stamp_s is not None else now
        self._memory.newest_s = pacing.newest_s
        return math.inf if due_s is None else due_s

    def _on_open(self, video: TrackFacts | None, audio: TrackFacts | None) -> None:
        self._units = PacketUnits(video, audio)
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_packet(self, is_video: bool, packet: PacketFacts) -> None:
        if not self._is_ending.is_set():
            self._packets.append((is_video, packet))
            self._has_more.set()

    def _fail(self, words: str) -> None:
        self._failure = self._failure or words
        self._has_more.set()
        if not self._opened.done():
            self._opened.set_exception(SourceError(self._failure))
            self._opened.exception()  # nobody may be waiting for it

    def _on_end(self, words: str) -> None:
        self._fail(words)
        self._ended.set()

    # ---- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        words = "the server ended the stream"
        try:
            self._demux()
        except av.FFmpegError as error:  # its own text holds the URL
            words = error.strerror or "it cannot be read"
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or "it cannot be read"
        self._report(self._on_end, words)

    def _demux(self) -> None:
        container = av.open(
            self._url,
            options=options_of(self._scheme, self._is_udp),
            timeout=(OPEN_S, IDLE_S),
        )
        with container:
            video = next(iter(container.streams.video), None)
            audio = next(iter(container.streams.audio), None)
            tracks = [track for track in (video, audio) if track is not None]
            if video is None:
                raise OSError(0, "there is no picture track")
            self._report(self._on_open, _facts(video), _facts(audio))
            for packet in container.demux(tracks):
                if packet.size and not self._put(packet, packet.stream is video):
                    return

    def _put(self, packet: Any, is_video: bool) -> bool:
        """Queue a packet, once there is room; False: it is to end."""
        while not self._room.acquire(timeout=LOOK_S):
            if self._is_ending.is_set():
                return False
        base = packet.time_base
        facts = PacketFacts(
            bytes(packet),
            float(packet.dts * base) if packet.dts is not None else None,
            float(packet.pts * base) if packet.pts is not None else None,
            packet.is_keyframe,
            time.monotonic(),
        )
        self._report(self._on_packet, is_video, facts)
        return not self._is_ending.is_set()

    def _report(self, function: Any, *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop has ended
            self._is_ending.set()


_PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}


def _facts(track: Any) -> TrackFacts | None:
    if track is None:
        return None
    context = track.codec_context
    return TrackFacts(context.name, track.type == "video", bytes(context.extradata or b""))
