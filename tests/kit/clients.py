"""Publishers and players, each in a thread with deadlines: libavformat's, and our own.

A `Publisher` sends a clip's packets at their own pace; a `Player` records every packet it gets and
then decodes all of them with FFmpeg's strictest error detection. A `TagPublisher` sends FLV tags as
they are, for what libavformat would not send; a `TagPlayer` only notes when they come. Threads end
by themselves: every read and write has a time limit.
"""

import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import av.error

from common.errors import TfarmError
from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher, RtmpRefused
from common.rtmp.events import VideoReceived
from tests.kit.clips import Plane, luma_of, read_number
from tests.kit.coded import CodedUnit
from tests.kit.waiting import patient, until

IO_TIMEOUT_S = patient(15.0)
AV_ERRORS = (av.error.FFmpegError, OSError)


@dataclass(frozen=True)
class Shown:
    """One decoded picture."""

    pts_ms: int
    number: int | None
    width: int
    height: int


@dataclass
class Recording:
    """What a clip holds, or what a player got."""

    video: list[CodedUnit] = field(default_factory=list)
    audio: list[CodedUnit] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    profile: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    decode_error: str = ""
    first_luma: Plane | None = None

    @property
    def keyframes_ms(self) -> list[int]:
        return [unit.pts_ms for unit in self.video if unit.is_key]

    def pts_of(self) -> dict[int, int]:
        """PTS of each picture number that could be read."""
        return {shown.number: shown.pts_ms for shown in self.shown if shown.number is not None}

    def sizes(self) -> set[tuple[int, int]]:
        return {(shown.width, shown.height) for shown in self.shown}

    def number_steps(self, per_clip: int) -> set[int]:
        """From each picture's number to the next one's, over the end of a clip of so many too.

        Without the last ones: where a player stops, B-frames may be missing between them.
        """
        numbers = [shown.number for shown in self.shown[:-4]]
        assert None not in numbers
        known = [number for number in numbers if number is not None]
        return {(after - before) % per_clip for before, after in itertools.pairwise(known)}

    def fps(self) -> float:
        times = sorted(shown.pts_ms for shown in self.shown)
        return (len(times) - 1) * 1000 / (times[-1] - times[0])


def record(
    url: str,
    *,
    enough: Callable[[Recording], bool] | None = None,
    seconds: float = 60.0,
    picture: tuple[int, int, int, int] | None = None,
    stop: threading.Event | None = None,
    into: Recording | None = None,
    opened: threading.Event | None = None,
    fourccs: str = "",
) -> Recording:
    """Read a file or an RTMP stream until it ends, `enough` says so, or `seconds` are over.

    `fourccs`: of Enhanced RTMP, that the player names.

    Raises what libavformat raises on opening; the end of a live stream is no error.
    """
    recording = into if into is not None else Recording()
    deadline = time.monotonic() + seconds
    options = {"analyzeduration": "2000000", "fpsprobesize": "3"}
    options |= {"rtmp_live": "live"} if url.startswith("rtmp") else {}
    options |= {"rtmp_enhanced_codecs": fourccs} if fourccs else {}
    with av.open(url, timeout=(IO_TIMEOUT_S, IO_TIMEOUT_S), options=options) as container:
        if opened is not None:
            opened.set()
        packets = []
        recording.metadata = dict(container.metadata)
        try:
            for packet in container.demux():
                if packet.dts is None or packet.pts is None or packet.time_base is None:
                    continue
                unit = CodedUnit(
                    pts_ms=_ms(packet.pts, packet.time_base),
                    dts_ms=_ms(packet.dts, packet.time_base),
                    is_key=packet.is_keyframe,
                    data=bytes(packet),
                )
                if packet.stream.type == "video":
                    recording.video.append(unit)
                    packets.append(packet)
                elif packet.stream.type == "audio":
                    recording.audio.append(unit)
                if (stop is not None and stop.is_set()) or time.monotonic() > deadline:
                    break
                if enough is not None and enough(recording):
                    break
        except AV_ERRORS:
            pass  # a server that closes at the end of a stream, seen as an error of reading
        if container.streams.video:
            _decode(container.streams.video[0], packets, recording, picture)
    return recording


def _decode(
    stream: Any,
    packets: Sequence[Any],
    recording: Recording,
    picture: tuple[int, int, int, int] | None,
) -> None:
    context = stream.codec_context
    context.options = {"err_detect": "explode+crccheck+bitstream+buffer"}
    context.thread_type = "NONE"
    try:
        for packet in (*packets, None):
            for frame in context.decode(packet):
                luma = luma_of(frame)
                if recording.first_luma is None:
                    recording.first_luma = luma.copy()
                recording.shown.append(
                    Shown(
                        _ms(frame.pts, stream.time_base),
                        read_number(luma, picture),
                        frame.width,
                        frame.height,
                    )
                )
    except av.error.FFmpegError as error:
        recording.decode_error = f"{type(error).__name__}: {error}"
    recording.profile = context.profile or ""


def _ms(value: int, time_base: Fraction) -> int:
    return round(value * time_base * 1000)


class _Threaded(ABC):
    """A thread that keeps what went wrong in it, and never outlives its `with` block."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._guarded, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self, timeout: float = 25.0) -> None:
        """Ask the thread to end and wait for it."""
        self._stop.set()
        self.join(timeout)

    def join(self, timeout: float) -> None:
        """Wait for its end, `timeout` on a quiet machine."""
        timeout = patient(timeout)
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"{self!r} did not end within {timeout} s"

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _guarded(self) -> None:
        try:
            self._run()
        except AV_ERRORS as error:
            self.error = error

    @abstractmethod
    def _run(self) -> None:
        """What the thread does."""


class Publisher(_Threaded):
    """Sends clips one after the other, at their own pace, through libavformat.

    With `loop`, the clips start again when they are over, until `stop`. Each clip's pictures follow
    those of the one before at their pace, as when an encoder changes its scene: the sound of a clip
    that is longer than its pictures takes the place of the next one's beginning.
    """

    def __init__(self, url: str, *clips: Path, loop: bool = False, pace: float = 1.0) -> None:
        super().__init__()
        self.started = threading.Event()  # the server agreed
        self.sent_frames = 0
        self._url = url
        self._clips = clips
        self._loop = loop
        self._pace = pace
        self._last_ms: dict[str, int] = {}  # DTS of what was sent, by kind

    def _run(self) -> None:
        timeout = (IO_TIMEOUT_S, IO_TIMEOUT_S)
        with av.open(self._url, "w", format="flv", timeout=timeout) as output:
            self._send(output)

    def _send(self, output: Any) -> None:
        streams: dict[str, Any] = {}
        offset_ms = 0
        begin = time.monotonic()
        while True:
            for clip in self._clips:
                offset_ms = self._send_clip(output, streams, clip, offset_ms, begin)
                if self._stop.is_set():
                    return
            if not self._loop:
                return

    def _send_clip(
        self, output: Any, streams: dict[str, Any], clip: Path, offset_ms: int, begin: float
    ) -> int:
        step_ms: dict[str, int] = {}
        with av.open(str(clip)) as source:
            for stream in source.streams:
                if stream.type in ("video", "audio") and stream.type not in streams:
                    # opaque: PyAV looks for an encoder of the decoder's name, and libdav1d has none
                    streams[stream.type] = output.add_stream_from_template(stream, opaque=True)
            for packet in source.demux():
                if self._stop.is_set():
                    break
                if packet.dts is None or packet.pts is None or packet.time_base is None:
                    continue
                kind = packet.stream.type
                dts_ms = offset_ms + _ms(packet.dts, packet.time_base)
                if kind in self._last_ms:
                    if dts_ms <= self._last_ms[kind]:
                        continue
                    step_ms[kind] = dts_ms - self._last_ms[kind]
                self._last_ms[kind] = dts_ms
                packet.pts = offset_ms + _ms(packet.pts, packet.time_base)
                packet.dts = dts_ms
                packet.time_base = Fraction(1, 1000)
                packet.stream = streams[kind]
                wait = begin + dts_ms / 1000 / self._pace - time.monotonic()
                if wait > 0 and self._stop.wait(wait):
                    break
                output.mux(packet)  # the first one connects
                self.started.set()
                self.sent_frames += kind == "video"
        leader = "video" if "video" in streams else "audio"
        return self._last_ms.get(leader, offset_ms) + step_ms.get(leader, 1)


class Player(_Threaded):
    """Records a stream until it ends, `enough` is there, or `stop`."""

    def __init__(
        self,
        url: str,
        *,
        enough: Callable[[Recording], bool] | None = None,
        seconds: float = 60.0,
        picture: tuple[int, int, int, int] | None = None,
        fourccs: str = "",
    ) -> None:
        super().__init__()
        self.recording = Recording()
        self._fourccs = fourccs
        self.opened = threading.Event()
        self._url = url
        self._enough = enough
        self._seconds = seconds
        self._picture = picture

    def _run(self) -> None:
        record(
            self._url,
            enough=self._enough,
            seconds=self._seconds,
            picture=self._picture,
            stop=self._stop,
            into=self.recording,
            opened=self.opened,
            fourccs=self._fourccs,
        )


def play_on(*players: Player, ms: float = 1000.0, timeout: float = 30.0) -> None:
    """Until each has so much more of its stream than now, by the stream's time."""

    def at_ms(player: Player) -> float:
        return player.recording.video[-1].pts_ms if player.recording.video else -1

    wanted = [(player, at_ms(player) + ms) for player in players]
    until(
        lambda: all(at_ms(player) >= end_ms for player, end_ms in wanted),
        timeout,
        f"{ms:.0f} ms more for each of {len(players)} players",
    )


def frames(count: int) -> Callable[[Recording], bool]:
    """Enough: so many video packets."""
    return lambda recording: len(recording.video) >= count


def refusal_of(peer: RtmpPublisher | RtmpPlayer) -> tuple[str, str]:
    """Have it ask; code and words of its refusal, both empty where it is let in. It is closed."""
    try:
        with peer:
            return "", ""
    except RtmpRefused as refused:
        return refused.code, refused.description


def refusal(url: str, mode: str) -> str:
    """What libavformat logs as the server's words when it publishes or plays at `url`.

    Empty when the server let it in. The log of libav is the process's own: one at a time.
    """
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=True) as lines:
            try:
                if mode == "w":
                    with av.open(url, "w", format="flv", timeout=(10, 10)) as output:
                        output.add_stream("aac", rate=48_000)
                        output.start_encoding()  # this connects
                else:
                    av.open(url, timeout=(10, 10)).close()
            except AV_ERRORS:
                said = _server_words(lines)
                assert said, f"refused without a word: {lines}"
                return said
        return ""
    finally:
        av.logging.set_level(None)


def _server_words(lines: Iterable[tuple[int, str, str]]) -> str:
    return " ".join(text.strip() for _, _, text in lines if "Server error" in text)


# ---- our own publisher: tag by tag ------------------------------------------------------------


@dataclass(frozen=True)
class FlvTag:
    """One tag of an FLV file."""

    type: int  # 8 audio, 9 video, 18 script
    dts_ms: int
    body: bytes

    @property
    def is_header(self) -> bool:
        if self.type == 9:
            return self.body[:1] in (b"\x17", b"\x27") and self.body[1:2] == b"\x00"
        return self.type == 8 and self.body[:1] == b"\xaf" and self.body[1:2] == b"\x00"

    @property
    def is_key(self) -> bool:
        return self.type == 9 and self.body[:2] == b"\x17\x01"


def flv_tags(path: Path) -> list[FlvTag]:
    """The tags of an FLV file."""
    data = path.read_bytes()
    at = int.from_bytes(data[5:9], "big") + 4
    tags = []
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        dts_ms = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        tags.append(FlvTag(data[at], dts_ms, data[at + 11 : at + 11 + size]))
        at += 11 + size + 4
    return tags


def end_ms(tags: Sequence[FlvTag]) -> int:
    """The time at which the next clip follows without a gap, for clips of 30 fps or more."""
    return max(tag.dts_ms for tag in tags if tag.type == 9) + 33


def shifted(tags: Sequence[FlvTag], by_ms: int) -> list[FlvTag]:
    return [FlvTag(tag.type, tag.dts_ms + by_ms, tag.body) for tag in tags]


def send_tag(publisher: RtmpPublisher, tag: FlvTag) -> None:
    timestamp = tag.dts_ms & 0xFFFFFFFF
    match tag.type:
        case 8:
            publisher.send_audio(timestamp, tag.body)
        case 9:
            publisher.send_video(timestamp, tag.body)
        case _:
            publisher.send_metadata(tag.body, timestamp)


class TagPublisher(_Threaded):
    """Sends FLV tags as they are, at their own pace: for all that libavformat would not send.

    Time runs from the first tag. `due_ms` may be given where timestamps jump and the pace must not.
    """

    def __init__(
        self,
        url: str,
        tags: Sequence[FlvTag],
        *,
        due_ms: Sequence[float] | None = None,
        vanish: bool = False,
    ) -> None:
        super().__init__()
        self.started = threading.Event()
        self.sent = 0
        self._peer = RtmpPublisher(url, IO_TIMEOUT_S)
        self._tags = tags
        self._due_ms = due_ms if due_ms is not None else [tag.dts_ms for tag in tags]
        self._vanish = vanish  # end without a goodbye and without a FIN that the farm would see

    def _run(self) -> None:
        try:
            self._peer.connect()
            self.started.set()
            begin = time.monotonic() - self._due_ms[0] / 1000
            for tag, due_ms in zip(self._tags, self._due_ms, strict=True):
                wait = begin + due_ms / 1000 - time.monotonic()
                if self._stop.wait(max(0.0, wait)):
                    break
                send_tag(self._peer, tag)
                self.sent += 1
            if self._vanish:
                self._stop.wait(60)
        except TfarmError as error:
            self.error = error
        finally:
            if self._vanish:
                self._peer.abort()
            else:
                self._peer.close()


class TagPlayer(_Threaded):
    """Plays a stream, notes when each of its pictures came, and decodes nothing."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.came: list[tuple[float, int]] = []  # CLOCK_MONOTONIC, DTS in ms
        self._url = url

    def _run(self) -> None:
        try:
            with RtmpPlayer(self._url, IO_TIMEOUT_S) as peer:
                while not self._stop.is_set():
                    try:
                        event = peer.next_event(0.2)
                    except TimeoutError:
                        continue
                    if event is None:
                        break
                    if isinstance(event, VideoReceived) and event.payload[1] == 1:
                        self.came.append((time.monotonic(), event.timestamp))
        except TfarmError as error:
            self.error = error

    def steps_ms(self) -> list[int]:
        """From each picture's DTS to the next one's."""
        return [b - a for (_, a), (_, b) in itertools.pairwise(self.came)]

    def longest_wait_s(self) -> float:
        return max(b - a for (a, _), (b, _) in itertools.pairwise(self.came))
