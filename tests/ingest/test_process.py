"""A real ingest process with real publishers; supervisor, worker and egress are the test's."""

import contextlib
import hashlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import SOURCE
from common.errors import ExitCode
from common.ipc.control_messages import (
    Configure,
    EndStream,
    Fatal,
    Heartbeat,
    PublishEnd,
    PublisherStatus,
    PublishRequest,
    Refused,
    SourceFormatReport,
)
from common.ipc.identity import Generation
from common.ipc.media_messages import (
    HEADER as HEADER_FLAG,
)
from common.ipc.media_messages import (
    KEY,
    REPLAY,
    SHARED,
    RenditionOpen,
    StreamClosed,
    StreamEnd,
    StreamOpen,
    StreamStart,
    Tags,
)
from common.ipc.socket_handover import ADOPTED, HEADER, MAGIC
from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher, RtmpRefused
from common.rtmp.client import Ended
from common.rtmp.events import PlayRequested
from common.rtmp.session import ServerSession
from common.rtmp.snapshot import SessionSnapshot
from tests.kit.ingest_ports import header, picture, sound, sound_header
from tests.kit.ingest_process import SETTINGS, TEMPLATE, FarmAround, placed, stream_id
from tests.kit.process_facts import descriptors

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
LOCKED = replace(TEMPLATE, name="locked", publish_keys=(hashlib.sha256(b"sesame").hexdigest(),))


@pytest.fixture
def farm() -> Iterator[FarmAround]:
    settings = replace(SETTINGS, templates=(TEMPLATE, LOCKED))
    with FarmAround(settings) as running:
        yield running
        log = running.log()
    assert "Traceback" not in log
    for credential in ("cam", "sesame"):
        assert credential not in log, "a stream key or a publish key stands in the log"


def send_gop(publisher: RtmpPublisher, start_ms: int = 0, pictures: int = 5) -> None:
    """Headers, a keyframe, and pictures after it, with audio."""
    publisher.send_audio(0, sound_header().payload)
    publisher.send_video(0, header().payload)
    for number in range(pictures):
        at_ms = start_ms + number * 40
        publisher.send_video(at_ms, picture(at_ms, key=number == 0).payload)
        publisher.send_audio(at_ms + 10, sound(at_ms + 10).payload)


def send_until_closed(publisher: RtmpPublisher, body: bytes = picture(0).payload) -> None:
    """Pictures for two seconds; raises ConnectionError as soon as the server ends it."""
    for number in range(200):
        publisher.send_video(1000 + number * 10, body)
        time.sleep(0.01)


def refusal(url: str) -> RtmpRefused:
    with pytest.raises(RtmpRefused) as refused, RtmpPublisher(url, 5):
        pass
    return refused.value


def status(farm: FarmAround) -> PublisherStatus | None:
    beat = farm.last(Heartbeat)
    return beat.publishers[0] if beat and beat.publishers else None


def source_times(farm: FarmAround) -> list[int]:
    return [entry.dts_ms for message, _ in farm.tags(SOURCE) for entry in message.tags]


# ---- publishing -------------------------------------------------------------------------------


def test_a_published_stream_reaches_supervisor_egress_and_worker(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 5) as publisher:
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
    with RtmpPublisher(farm.url("live/cam1"), 5) as first:
        send_gop(first)
        with RtmpPublisher(farm.url("live/cam2"), 5) as second:
            send_gop(second)
        third = RtmpPublisher(farm.url("live/cam3"), 5)
        third.connect()
        third.abort()
        for number in range(5, 30):
            first.send_video(number * 40, picture(number * 40).payload)
    farm.wait(lambda: len(farm.of(PublishEnd)) == 3, "all ends")

    def pictures() -> int:
        mine = [m for m, _ in farm.tags(SOURCE) if m.stream_id == stream_id("cam1")]
        return sum(len(message.tags) for message in mine)

    farm.wait(lambda: pictures() == 30, "every picture of the first")


# ---- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code", "word"),
    [
        ("nope/cam", "NetConnection.Connect.InvalidApp", "nope"),
        ("live", "NetStream.Publish.BadName", "stream key"),
        ("live/" + "k" * 3000, "NetStream.Publish.BadName", "longer"),
        ("locked/cam", "NetStream.Publish.Denied", "missing"),
        ("locked/cam?key=wrong", "NetStream.Publish.Denied", "wrong"),
    ],
)
def test_what_cannot_be_published_is_told_and_logged(
    farm: FarmAround, path: str, code: str, word: str
) -> None:
    told = refusal(farm.url(path))
    assert told.code == code
    assert word in told.description
    farm.wait_log("refused")
    assert not farm.of(PublishRequest)


def test_the_right_key_opens(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url("locked/cam?key=sesame"), 5) as publisher:
        send_gop(publisher)
        farm.wait(lambda: farm.last(StreamOpen), "the stream")


def test_the_same_key_twice_is_refused_and_the_first_goes_on(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 5) as first:
        send_gop(first)
        assert refusal(farm.url()).code == "NetStream.Publish.BadName"
        first.send_video(200, picture(200).payload)
        farm.wait(lambda: 200 in source_times(farm), "the next picture")


def test_a_farm_that_is_full_says_so(farm: FarmAround) -> None:
    farm.answer = lambda ask: (
        Refused(ask.request_id, ask.stream_id, Refusal(RefusalReason.DENIED, "no room"))
        if isinstance(ask, PublishRequest)
        else None
    )
    told = refusal(farm.url())
    assert (told.code, told.description) == ("NetStream.Publish.Denied", "no room")


def test_a_supervisor_that_does_not_answer_is_not_waited_for(farm: FarmAround) -> None:
    farm.answer = lambda _: None
    told = refusal(farm.url())
    assert told.code == "NetStream.Failed"


def test_another_codec_is_closed_with_its_name_and_refused_before_start_the_next_time(
    farm: FarmAround,
) -> None:
    with RtmpPublisher(farm.url(), 5) as publisher, pytest.raises(ConnectionError):
        send_until_closed(publisher, b"\x90hvc1" + bytes(50))
    farm.wait_log("HEVC")
    told = refusal(farm.url())
    assert told.code == "NetStream.Publish.Rejected"
    assert "HEVC" in told.description


def test_no_video_in_time_and_silence_close_a_publisher(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 5) as publisher:
        publisher.send_audio(0, sound_header().payload)
        farm.wait_log("no video within 1.5 s")
        farm.wait(lambda: farm.last(PublishEnd), "the end")
    with RtmpPublisher(farm.url(), 5) as publisher:
        send_gop(publisher)
        farm.wait_log("no media for 2 s")
        farm.wait(lambda: farm.last(StreamClosed), "the hold")


def test_a_kicked_publisher_is_told_and_kept_out(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 5) as publisher:
        send_gop(publisher)
        farm.wait(lambda: farm.last(StreamStart), "the stream")
        farm.send(EndStream(stream_id(), Refusal(RefusalReason.DENIED, "kicked", is_lasting=True)))
        farm.wait(lambda: farm.last(PublishEnd), "the end")
        told = publisher.next_event()
        assert isinstance(told, Ended)
        assert told.code == "NetStream.Publish.Denied"
    assert refusal(farm.url()).description == "kicked"


def test_new_settings_hold_for_new_publishers(farm: FarmAround) -> None:
    farm.wait(lambda: farm.port, "the port")
    farm.send(Configure(replace(SETTINGS, templates=(replace(TEMPLATE, name="other"),))))
    farm.wait(lambda: _is_refused(farm.url()), "the new templates")
    with RtmpPublisher(farm.url("other/cam"), 5):
        pass


def _is_refused(url: str) -> bool:
    try:
        with RtmpPublisher(url, 5):
            return False
    except RtmpRefused:
        return True


# ---- placements, peers, returns ---------------------------------------------------------------


def test_a_publisher_that_drops_returns_into_its_stream(farm: FarmAround) -> None:
    first = RtmpPublisher(farm.url(), 5)
    first.connect()
    send_gop(first)
    farm.wait(lambda: len(farm.units()) == 5, "units")
    first.abort()
    held = farm.wait(lambda: farm.last(StreamClosed), "the hold")
    assert held.hold_ms == TEMPLATE.hold_ms
    with RtmpPublisher(farm.url(), 5) as second:
        send_gop(second)
        farm.wait(lambda: len(farm.units()) == 10, "more units")
    units = farm.units()
    assert [unit.number for unit in units] == list(range(10))
    times = [unit.dts_ms for unit in units]
    assert times == sorted(set(times))
    assert len(farm.of(PublishRequest)) == 1


def test_a_reset_seen_together_with_the_last_bytes_loses_the_publisher_in_the_end(
    farm: FarmAround,
) -> None:
    """libuv stops watching a socket whose reset it saw, however much of it was read by then."""
    with RtmpPublisher(farm.url(), 5) as publisher:
        send_gop(publisher)
        farm.wait(lambda: len(farm.units()) == 5, "units")
        assert farm.process is not None
        farm.process.send_signal(signal.SIGSTOP)
        publisher.send_video(200, picture(200).payload)
        linger = struct.pack("ii", 1, 0)
        publisher._open_socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        publisher.abort()
        farm.process.send_signal(signal.SIGCONT)
        held = farm.wait(lambda: farm.last(StreamClosed), "the hold")
    assert "reset" in held.reason
    farm.wait(lambda: len(farm.units()) == 6, "what had arrived before the reset")


def test_a_held_stream_ends_when_its_publisher_stays_away(farm: FarmAround) -> None:
    publisher = RtmpPublisher(farm.url(), 5)
    publisher.connect()
    send_gop(publisher)
    farm.wait(lambda: len(farm.units()) == 5, "units")
    publisher.abort()
    farm.wait(lambda: farm.last(PublishEnd), "the end")
    farm.wait(lambda: len(farm.of(StreamClosed)) == 2, "both closes")
    assert [message.hold_ms for message in farm.of(StreamClosed)] == [TEMPLATE.hold_ms, 0]


def test_a_silent_publisher_makes_way_for_a_new_one(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 5) as half_open:
        send_gop(half_open)
        assert refusal(farm.url()).code == "NetStream.Publish.BadName"
        farm.wait(lambda: not _is_refused(farm.url()), "the takeover")


def test_a_new_placement_gets_the_last_gop_and_egress_hears_of_it_first(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 5) as publisher:
        send_gop(publisher)
        farm.wait(lambda: len(farm.units()) == 5, "units")
        ask = farm.of(SourceFormatReport)[0]
        farm.send(placed(ask, 2, request_id=0, resume_after_ms=80))
        farm.wait(lambda: len(farm.units()) == 10, "the replay")
        publisher.send_video(200, picture(200).payload)
        farm.wait(lambda: len(farm.units()) == 11, "the next unit")
    starts = farm.of(StreamStart)
    assert [(s.generation, s.resume_after_ms) for s in starts] == [(1, None), (2, 80)]
    again = [u for u in farm.units() if u.generation == 2]
    assert [(u.number, u.replay) for u in again] == [
        *((number, True) for number in range(5)),
        (5, False),
    ]
    assert [m.generation for m in farm.of(StreamOpen)] == [1, 2]


def test_a_new_egress_gets_headers_and_the_last_gop(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 5) as publisher:
        send_gop(publisher)
        farm.wait(lambda: len(source_times(farm)) == 5, "tags")
        before = len(farm.received)
        farm.egress_boot = 2
        farm.set_topology()
        farm.wait(lambda: len(source_times(farm)) == 10, "the replay")
        publisher.send_video(200, picture(200).payload)
        farm.wait(lambda: 200 in source_times(farm), "the next picture")
    late = [entry.message for entry in farm.received[before:] if entry.at == "egress"]
    assert [type(message) for message in late[:2]] == [StreamOpen, RenditionOpen]
    flags = [
        entry.flags
        for message in late
        if isinstance(message, Tags) and message.rendition == SOURCE
        for entry in message.tags
    ]
    assert flags == [KEY | REPLAY, REPLAY, REPLAY, REPLAY, REPLAY, 0]


# ---- players ----------------------------------------------------------------------------------


class Adopter:
    """Egress's end of a handover, for one player: answers its play request and says goodbye."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen(5)
        self.listener.settimeout(5)

    def adopt(self) -> PlayRequested:
        link, _ = self.listener.accept()
        with link:
            link.settimeout(5)
            piece, fds, _, _ = socket.recv_fds(link, 65536 + HEADER.size, 4)
            magic, length = HEADER.unpack_from(piece)
            assert magic == MAGIC
            snapshot = piece[HEADER.size :]
            while len(snapshot) < length:
                snapshot += link.recv(65536)
            link.send(ADOPTED)
        with socket.socket(fileno=fds[0]) as player:
            player.setblocking(True)
            session = ServerSession.restore(SessionSnapshot.from_bytes(snapshot))
            (request,) = session.events_received()
            assert isinstance(request, PlayRequested)
            session.accept(request.request_id)
            session.end_play(request.message_stream_id, "the test is over")
            player.sendall(session.data_to_send())
        return request

    def close(self) -> None:
        self.listener.close()


def played(url: str) -> Callable[[], str]:
    """A player in the background; the result waits for it and tells how it ended."""
    words: list[str] = []

    def play() -> None:
        try:
            with RtmpPlayer(url, 8) as player:
                words.extend(type(event).__name__ for event in player)
        except (RtmpRefused, OSError) as error:
            words.append(str(error))

    thread = threading.Thread(target=play)
    thread.start()

    def result() -> str:
        thread.join(10)
        return " ".join(words)

    return result


def open_files(farm: FarmAround) -> int:
    assert farm.process is not None
    return descriptors(farm.process.pid)


def test_a_player_is_handed_over_with_its_session(farm: FarmAround) -> None:
    farm.wait(lambda: farm.port, "the port")
    adopter = Adopter(farm.run_dir / "handover")
    files = 0
    for _ in range(4):
        result = played(farm.url("live/cam/720p"))
        request = adopter.adopt()
        assert (request.app, request.name) in (("live", "cam/720p"), ("live/cam", "720p"))
        assert result().endswith("Ended")
        files = files or open_files(farm)
    adopter.close()
    farm.wait(lambda: open_files(farm) <= files, "ingest lets go of the sockets")


def test_a_player_waits_for_an_egress_that_is_away(farm: FarmAround) -> None:
    farm.wait(lambda: farm.port, "the port")
    farm.has_egress = False
    farm.set_topology()
    time.sleep(0.1)
    result = played(farm.url("live/cam"))
    farm.wait(lambda: _waiting_players(farm) == 1, "the player waits")
    adopter = Adopter(farm.run_dir / "handover")
    farm.has_egress = True
    farm.set_topology()
    adopter.adopt()
    adopter.close()
    assert result().endswith("Ended")


def test_a_player_without_an_egress_is_refused_in_the_end(farm: FarmAround) -> None:
    farm.wait(lambda: farm.port, "the port")
    farm.has_egress = False
    farm.set_topology()
    time.sleep(0.1)
    assert "NetStream.Play.Failed" in played(farm.url("live/cam"))()


def _waiting_players(farm: FarmAround) -> int:
    beat = farm.last(Heartbeat)
    return beat.counters["players waiting"] if beat else 0


# ---- limits per address -----------------------------------------------------------------------


def test_an_address_that_is_not_exempt_gets_its_share_and_others_theirs() -> None:
    limits = replace(SETTINGS.ingest, max_connections_per_address=3, max_publishes_per_address=1)
    with FarmAround(replace(SETTINGS, ingest=limits)) as farm, contextlib.ExitStack() as stack:

        def call(source: str) -> socket.socket:
            where = ("127.0.0.1", farm.port)
            return stack.enter_context(socket.create_connection(where, 5, (source, 0)))

        held = [call("127.0.0.2") for _ in range(3)]
        over = call("127.0.0.2")
        assert over.recv(1) == b"", "closed without a word"
        farm.wait_log("max_connections_per_address = 3")
        other = call("127.0.0.3")
        other.settimeout(0.2)
        with pytest.raises(TimeoutError):
            other.recv(1)
        held.pop().close()
        farm.wait(lambda: _stays_open(call("127.0.0.2")), "its share again")


def _stays_open(peer: socket.socket) -> bool:
    peer.settimeout(0.2)
    try:
        return peer.recv(1) != b""
    except TimeoutError:
        return True


# ---- the process ------------------------------------------------------------------------------


def test_a_port_in_use_is_told_and_ends_the_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with FarmAround(listen=f"127.0.0.1:{port}") as farm:
            fatal = farm.wait(lambda: farm.last(Fatal), "the reason")
            assert farm.process is not None
            assert farm.process.wait(5) == ExitCode.BOOT_FAILED
    assert fatal.exit_code == ExitCode.BOOT_FAILED
    assert f"127.0.0.1:{port}" in fatal.reason
    assert "in use" in fatal.reason


def test_a_stop_tells_publishers_players_and_supervisor(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 5) as publisher:
        send_gop(publisher)
        farm.wait(lambda: len(farm.units()) == 5, "units")
        begin = time.monotonic()
        assert farm.terminate() == ExitCode.OK
        assert time.monotonic() - begin < 2
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
        with RtmpPublisher(farm.url(), 5) as publisher:
            send_gop(publisher)
        with contextlib.suppress(RtmpRefused):
            RtmpPublisher(farm.url("nope/cam"), 5).connect()

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
