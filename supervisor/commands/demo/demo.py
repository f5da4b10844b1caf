"""`tfarm demo`: a publisher for who has no camera (IO).

Draws, encodes with PyAV and publishes in a thread of its own, in real time, over RTMP as any
other publisher. When no farm runs in the run directory it starts one, in a session of its own so
that Ctrl-C reaches the demo first, and ends it at the end.
"""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.codec.context import Flags
from av.video.frame import VideoFrame

from common.codecs.h264 import AvcConfig, NalType, join_avcc, nal_type, split_annexb
from common.errors import ExitCode, TfarmError
from common.flv.amf0 import EcmaArray
from common.flv.amf0 import encode as encode_amf0
from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.video import avc_nalus, avc_sequence_header
from common.rtmp.blocking_client import RtmpPublisher, RtmpRefused
from common.words import printable
from supervisor.commands.banner import page_url
from supervisor.commands.demo.picture import DemoPicture, tone
from supervisor.commands.line.client import (
    CommandFailed,
    NotRunning,
    for_terminal,
    status,
    understanding,
)

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 15.0
SAMPLE_RATE = 48_000
SAMPLES = 1024  # an AAC frame
# Room before the first picture: AAC's first packet lies a frame before the first sample.
FIRST_MS = 100


class DemoFailed(TfarmError):
    """The demo cannot go on."""


class DemoSource:
    """Encodes the picture and the tone, frame by frame."""

    def __init__(self, width: int, height: int, fps: int) -> None:
        self.fps = fps
        self._picture = DemoPicture(width, height, fps)
        self._video: Any = av.CodecContext.create("libx264", "w")
        self._video.width, self._video.height = width, height
        self._video.pix_fmt = "yuv420p"
        self._video.framerate = Fraction(fps)
        self._video.time_base = Fraction(1, fps)
        self._video.bit_rate = max(500_000, width * height * fps // 10)
        self._video.gop_size = 2 * fps
        self._video.flags |= Flags.global_header
        self._video.thread_count = 1
        self._video.options = {"preset": "superfast", "tune": "zerolatency"}
        self._video.open()
        self._audio: Any = av.CodecContext.create("aac", "w")
        self._audio.sample_rate = SAMPLE_RATE
        self._audio.layout = "mono"
        self._audio.format = "fltp"
        self._audio.time_base = Fraction(1, SAMPLE_RATE)
        self._audio.bit_rate = 96_000
        self._audio.open()
        nals = split_annexb(self._video.extradata or b"")
        config = AvcConfig.from_parameter_sets(
            [nal for nal in nals if nal_type(nal) == NalType.SPS],
            [nal for nal in nals if nal_type(nal) == NalType.PPS],
        )
        self.video_header = avc_sequence_header(config.encode())
        self.audio_header = aac_sequence_header(self._audio.extradata or b"")
        self.metadata = encode_amf0(
            "onMetaData",
            EcmaArray(
                {
                    "width": float(width),
                    "height": float(height),
                    "framerate": float(fps),
                    "videocodecid": 7.0,
                    "audiocodecid": 10.0,
                    "audiosamplerate": float(SAMPLE_RATE),
                    "encoder": "tfarm demo",
                }
            ),
        )

    def video(self, number: int, time_of_day: str) -> Iterator[tuple[int, bytes]]:
        """Timestamps in ms and tag bodies of one more frame."""
        planes = self._picture.draw(number, time_of_day)
        frame = VideoFrame(self._picture.width, self._picture.height, "yuv420p")
        for plane, data in zip(frame.planes, planes, strict=True):
            padded = np.zeros((data.shape[0], plane.line_size), np.uint8)
            padded[:, : data.shape[1]] = data
            plane.update(padded.tobytes())
        frame.pts = number
        frame.time_base = Fraction(1, self.fps)
        for packet in self._video.encode(frame):
            nals = [n for n in split_annexb(bytes(packet)) if nal_type(n) not in _NOT_SENT]
            at_ms = FIRST_MS + round(packet.pts * 1000 / self.fps)
            yield at_ms, avc_nalus(join_avcc(nals), 0, packet.is_keyframe)

    def audio(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Timestamps in ms and tag bodies of one more AAC frame."""
        samples = tone(number * SAMPLES, SAMPLES, SAMPLE_RATE)
        frame = AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.pts = number * SAMPLES
        frame.time_base = Fraction(1, SAMPLE_RATE)
        for packet in self._audio.encode(frame):
            yield FIRST_MS + round(packet.pts * 1000 / SAMPLE_RATE), aac_frame(bytes(packet))


_NOT_SENT = (NalType.SPS, NalType.PPS, NalType.AUD)


class DemoPublisher(threading.Thread):
    """Publishes in real time until `stop`; `failure` says why it ended by itself."""

    def __init__(self, url: str, source: DemoSource) -> None:
        super().__init__(name="demo")
        self.failure = ""
        self.frames = 0
        self.publishing = threading.Event()
        self.over = threading.Event()
        self._url = url
        self._source = source
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        try:
            with RtmpPublisher(self._url) as publisher:
                self.publishing.set()
                self._publish(publisher)
        except (RtmpRefused, OSError, TfarmError) as error:
            self.failure = str(error)
        finally:
            self.over.set()

    def _publish(self, publisher: RtmpPublisher) -> None:
        source = self._source
        publisher.send_metadata(source.metadata)
        publisher.send_video(0, source.video_header)
        publisher.send_audio(0, source.audio_header)
        began = time.monotonic()
        audio_frames = 0
        while not self._stop_asked.wait(
            max(0.0, began + self.frames / source.fps - time.monotonic())
        ):
            for at_ms, body in source.video(self.frames, time.strftime("%H:%M:%S")):
                publisher.send_video(at_ms, body)
            self.frames += 1
            while audio_frames * SAMPLES * source.fps < self.frames * SAMPLE_RATE:
                for at_ms, body in source.audio(audio_frames):
                    publisher.send_audio(at_ms, body)
                audio_frames += 1


def run_demo(
    run_dir: Path,
    *,
    app: str | None,
    key: str,
    seconds: float | None,
    width: int,
    height: int,
    fps: int,
    listen: str | None = None,
) -> int:
    """Publish until Ctrl-C, SIGTERM or the time is over; the exit code."""
    stopped = threading.Event()
    signal.signal(signal.SIGINT, lambda number, frame: stopped.set())
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
    try:
        with _farm(run_dir, listen, stopped) as document:
            if document is not None:
                _publish(document, app, key, seconds, DemoSource(width, height, fps), stopped)
    except (DemoFailed, CommandFailed) as error:
        print(f"tfarm: {printable(str(error))}", file=sys.stderr)
        return ExitCode.FAILED
    return ExitCode.OK


def _publish(
    document: dict[str, Any],
    app: str | None,
    key: str,
    seconds: float | None,
    source: DemoSource,
    stopped: threading.Event,
) -> None:
    with understanding():
        apps: dict[str, list[str]] = document["apps"]
        app = app or next(iter(apps))
        if app not in apps:
            raise DemoFailed(f"the farm has no app {app!r}; it has {', '.join(apps)}")
        base = f"rtmp://{document['listen']['rtmp'][0]}/{app}"
        renditions = [str(rendition) for rendition in apps[app]]
    publisher = DemoPublisher(f"{base}/{key}", source)
    publisher.start()
    try:
        while not (publisher.publishing.is_set() or publisher.over.is_set() or stopped.is_set()):
            publisher.publishing.wait(0.1)
        if publisher.publishing.is_set():
            name = key.partition("?")[0]
            print(f"Publishing a clock and a tone to {base}/{name}. Play it, for example:")
            for address in document["listen"].get("web", ())[:1]:
                print(f"  {page_url(address, app, name)}    (in a browser)")
            for rendition in renditions:
                print(f"  ffplay -fflags nobuffer {base}/{name}/{rendition}")
            print(
                "Its clock: time of day; then hours:minutes:seconds and the frame of that second."
            )
            print("Ctrl-C ends it.", flush=True)
        deadline = None if seconds is None else time.monotonic() + seconds
        while not (publisher.over.is_set() or stopped.is_set()):
            left = 0.2 if deadline is None else min(0.2, deadline - time.monotonic())
            if left <= 0:
                break
            stopped.wait(left)
    finally:
        publisher.stop()
        publisher.join()
    if publisher.failure and not stopped.is_set():
        raise DemoFailed(f"the demo's stream ended: {publisher.failure}")
    print(f"Published {publisher.frames} frames.")


@contextlib.contextmanager
def _farm(
    run_dir: Path, listen: str | None, stopped: threading.Event
) -> Iterator[dict[str, Any] | None]:
    """The status of the farm that runs there, or of one started for the demo."""
    try:
        document = for_terminal(status(run_dir))
    except NotRunning:
        pass
    else:
        yield document
        return
    print(f"No farm runs in {run_dir}: starting one.", flush=True)
    argv = [sys.executable, "-P", "-m", "supervisor", "--run-dir", str(run_dir)]
    if listen is not None:
        argv += ["--listen", listen]
    farm = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield _wait_ready(run_dir, farm, stopped)
    finally:
        farm.terminate()
        try:
            farm.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            farm.kill()
            farm.wait()


def _wait_ready(
    run_dir: Path, farm: "subprocess.Popen[bytes]", stopped: threading.Event
) -> dict[str, Any] | None:
    """Its status once it listens and has a device; None when stopped before."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and not stopped.is_set():
        if farm.poll() is not None:
            raise DemoFailed("the farm did not start")
        with contextlib.suppress(NotRunning):
            document: dict[str, Any] = for_terminal(status(run_dir))
            with understanding():
                is_ready = any(device["state"] == "ready" for device in document["devices"])
                if document["listen"]["rtmp"] and is_ready:
                    return document
        stopped.wait(0.1)
    if stopped.is_set():
        return None
    raise DemoFailed(f"the farm is not ready after {START_TIMEOUT_S:g} s")
