"""A real ingest process with real publishers; supervisor, worker and egress are the test's."""

import contextlib
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from common.config.ladder import SOURCE
from common.errors import ExitCode
from common.ipc.control_messages import (
    Fatal,
    Heartbeat,
    PublishEnd,
    PublishRequest,
    SourceFormatReport,
)
from common.ipc.identity import Generation
from common.ipc.media_messages import (
    HEADER as HEADER_FLAG,
)
from common.ipc.media_messages import (
    SHARED,
    RenditionOpen,
    StreamClosed,
    StreamEnd,
    StreamStart,
)
from common.ipc.status_messages import PublisherStatus
from common.rtmp.blocking_client import RtmpPublisher, RtmpRefused
from tests.kit.ingest_ports import picture
from tests.kit.ingest_process import (
    FarmAround,
    open_files,
    send_gop,
    send_until_closed,
    source_times,
    stream_id,
)
from tests.kit.waiting import patient

pytestmark = pytest.mark.e2e

REMUX = """
import sys, av
with av.open(sys.argv[1]) as clip, av.open(sys.argv[2], "w", format="flv", timeout=5.0) as out:
    streams = {s.index: out.add_stream_from_template(s) for s in clip.streams}
    for packet in clip.demux():
        if packet.dts is not None:
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
"""


def status(farm: FarmAround) -> PublisherStatus | None:
    beat = farm.last(Heartbeat)
    return beat.publishers[0] if beat and beat.publishers else None


def test_a_published_stream_reaches_supervisor_egress_and_worker(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 30) as publisher:
        send_gop(publisher)
        farm.wait(lambda: len(farm.units()) >= 5, "units at the worker")
        farm.wait(lambda: status(farm), "status")
    for kind in (PublishEnd, StreamClosed, StreamEnd):
        farm.wait(partial(farm.last, kind), f"a {kind.__name__}")
    assert farm.of(PublishRequest)[0].stream_id == stream_id()
    assert farm.of(SourceFormatReport)[0].format.width == 1920
    (opened,) = farm.of(RenditionOpen)
    assert (opened.rendition, opened.first_number) == (SOURCE, 0)
    (start,) = farm.of(StreamStart)
    assert (start.stream_id, start.generation) == (stream_id(), Generation(1))
    assert [unit.number for unit in farm.units()] == [0, 1, 2, 3, 4]
    assert source_times(farm) == [0, 40, 80, 120, 160]
    shared = [entry for message, _ in farm.tags(SHARED) for entry in message.tags]
    assert [(entry.type, entry.dts_ms, entry.flags) for entry in shared] == [
        (8, 0, HEADER_FLAG),
        *((8, number * 40 + 10, 0) for number in range(5)),
    ]
    bodies = [body for _, payloads in farm.tags(SOURCE) for body in payloads]
    assert bodies == [picture(n * 40, key=n == 0).payload for n in range(5)]
    assert farm.of(StreamClosed)[-1].hold_ms == 0, "it said goodbye"
    seen = status(farm)
    assert seen is not None
    assert (seen.codec, seen.audio) == ("avc1.640028", "AAC-LC 48 kHz 2ch")


def test_libavformat_publishes_every_picture_and_its_audio_untouched(
    farm: FarmAround, tmp_path: Path
) -> None:
    file = tmp_path / "clip.flv"
    with av.open(str(file), "w") as clip:
        video = clip.add_stream("libx264", rate=25, options={"bf": "2", "g": "25"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = clip.add_stream("aac", rate=48000, layout="stereo")
        for index in range(50):
            frame = av.VideoFrame(320, 240, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([index * 4]) * plane.buffer_size)
            frame.pts = index
            clip.mux(video.encode(frame))
        samples = np.random.default_rng(1).normal(0, 0.1, (2, 96000)).astype("float32")
        sounds = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
        sounds.sample_rate = 48000
        clip.mux(audio.encode(sounds))
        clip.mux([*video.encode(), *audio.encode()])
    with av.open(str(file)) as clip:
        sent = [(p.stream.type, bytes(p)) for p in clip.demux() if p.dts is not None]
    # in a process of its own: libavformat holds the interpreter while it connects
    subprocess.run([sys.executable, "-c", REMUX, file, farm.url()], check=True, timeout=20)
    farm.wait(lambda: farm.last(StreamClosed), "the close")
    video_bodies = [body[5:] for _, payloads in farm.tags(SOURCE) for body in payloads]
    assert video_bodies == [body for kind, body in sent if kind == "video"]
    audio_bodies = [
        body[2:]
        for message, payloads in farm.tags(SHARED)
        for entry, body in zip(message.tags, payloads, strict=True)
        if entry.type == 8 and not entry.flags & HEADER_FLAG
    ]
    assert audio_bodies == [body for kind, body in sent if kind == "audio"]
    compositions = {body[2:5] for _, payloads in farm.tags(SOURCE) for body in payloads}
    assert len(compositions) > 1, "B-frames"


def test_three_publishers_come_and_go_without_one_another(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url("live/cam1"), 30) as first:
        send_gop(first)
        with RtmpPublisher(farm.url("live/cam2"), 30) as second:
            send_gop(second)
        third = RtmpPublisher(farm.url("live/cam3"), 30)
        third.connect()
        third.abort()
        for number in range(5, 30):
            first.send_video(number * 40, picture(number * 40).payload)
    farm.wait(lambda: len(farm.of(PublishEnd)) == 3, "all ends")

    def pictures() -> int:
        mine = [m for m, _ in farm.tags(SOURCE) if m.stream_id == stream_id("cam1")]
        return sum(len(message.tags) for message in mine)

    farm.wait(lambda: pictures() == 30, "every picture of the first")


def test_a_port_in_use_is_told_and_ends_the_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with FarmAround(listen=f"127.0.0.1:{port}") as farm:
            fatal = farm.wait(lambda: farm.last(Fatal), "the reason")
            assert farm.process is not None
            assert farm.process.wait(patient(5)) == ExitCode.BOOT_FAILED
    assert fatal.exit_code == ExitCode.BOOT_FAILED
    assert f"127.0.0.1:{port}" in fatal.reason
    assert "in use" in fatal.reason


def test_a_stop_tells_publishers_players_and_supervisor(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 30) as publisher:
        send_gop(publisher)
        farm.wait(lambda: len(farm.units()) == 5, "units")
        begin = time.monotonic()
        assert farm.terminate() == ExitCode.OK
        assert time.monotonic() - begin < patient(2)
        with pytest.raises(ConnectionError, match=r"closed|ended|Unpublish|reset|[Pp]ipe"):
            send_until_closed(publisher)
    for kind in (PublishEnd, StreamClosed, StreamEnd):
        farm.wait(partial(farm.last, kind), f"a {kind.__name__}")
    assert farm.of(StreamClosed)[-1].hold_ms == 0
    assert "control" not in [p.name for p in farm.run_dir.iterdir() if p.name.startswith("ingest")]


def test_an_orphan_ends_by_itself() -> None:
    with FarmAround(orphan_timeout_s=1.0) as farm:
        farm.wait(lambda: farm.port, "the port")
        farm.go_silent()
        assert farm.process is not None
        assert farm.process.wait(6) == ExitCode.ORPHANED


def test_publishers_that_come_and_go_leave_nothing(farm: FarmAround) -> None:
    def once() -> None:
        with RtmpPublisher(farm.url(), 30) as publisher:
            send_gop(publisher)
        with contextlib.suppress(RtmpRefused):
            RtmpPublisher(farm.url("nope/cam"), 30).connect()

    once()
    farm.wait(lambda: farm.last(PublishEnd), "the end")
    files = open_files(farm)
    for _ in range(20):
        ends = len(farm.of(PublishEnd))
        once()
        farm.wait(partial(_has_more_ends, farm, ends), "the end")
    farm.wait(lambda: open_files(farm) <= files, "all sockets closed")
    farm.wait(lambda: len(source_times(farm)) == 21 * 5, "every picture")


def _has_more_ends(farm: FarmAround, than: int) -> bool:
    return len(farm.of(PublishEnd)) > than
