"""The egress process, whole: tags pushed in, players handed over, media played out."""

import hashlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from common.config.ladder import SOURCE
from common.config.settings import EgressSettings, Settings
from common.errors import ExitCode
from common.ipc.control_messages import Positions, SwitchGeneration
from common.ipc.identity import Generation
from common.ipc.media_messages import HEADER, KEY
from common.rtmp.blocking_client import RtmpPlayer, RtmpRefused
from common.rtmp.chunks import encode_message
from common.rtmp.messages import MessageType, encode_command
from tests.kit.clients import Player as AvPlayer
from tests.kit.clients import flv_tags, frames
from tests.kit.clips import ClipSpec, make_clip
from tests.kit.egress import (
    STREAM,
    TEMPLATE,
    head,
    key_tag,
    picture,
    rendition_open,
    shared,
    tags,
)
from tests.kit.egress_process import EgressProcess, FrontDoor
from tests.kit.egress_publisher import Publisher, watch
from tests.kit.process_facts import descriptors
from tests.kit.waiting import patient, until

pytestmark = pytest.mark.e2e

WAIT_MS = round(patient(10_000))  # for a stream that comes, however slow this machine is
KEYED = replace(
    TEMPLATE, name="keyed", play_keys=(hashlib.sha256(b"s3cret").hexdigest(),), wait_ms=300
)
BRIEF = replace(TEMPLATE, name="brief", wait_ms=300)
SETTINGS = Settings(
    templates=(replace(TEMPLATE, wait_ms=WAIT_MS), KEYED, BRIEF),
    egress=EgressSettings(max_players=20, queue_ms=500, stall_timeout_s=1.0),
)


@pytest.fixture(scope="module")
def egress() -> Iterator[EgressProcess]:
    with EgressProcess(SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def door(egress: EgressProcess) -> Iterator[FrontDoor]:
    with FrontDoor(egress.endpoint.handover) as opened:
        yield opened


@pytest.fixture(autouse=True)
def leaves_no_stream() -> Iterator[None]:
    """A test that failed leaves no publisher to the next one."""
    yield
    for publisher in Publisher.here.copy():
        if publisher.egress.is_running:
            publisher.close()
    Publisher.here.clear()


def test_a_joiner_gets_headers_and_the_gop_at_once_then_what_comes(
    egress: EgressProcess, door: FrontDoor
) -> None:
    publisher = Publisher(egress)
    publisher.frames(7)
    with RtmpPlayer(door.url("live/cam1/360p")) as player:
        got = watch(player, "v240")
        assert got[:4] == ["M", "H", "h", "v200"]
        publisher.frames(3)
        got += watch(player, "v360")
        assert [w for w in got if w[0] == "v"] == ["v200", "v240", "v280", "v320", "v360"]
        publisher.close()
        assert watch(player, "end")[-1] == "end"
        assert player.next_event() is None  # and the connection is closed


def test_a_live_joiner_starts_at_the_next_keyframe(egress: EgressProcess, door: FrontDoor) -> None:
    publisher = Publisher(egress)
    publisher.frames(3)
    with RtmpPlayer(door.url("live/cam1?start=live")) as player:
        publisher.frames(4)
        assert watch(player, "v240")[:4] == ["M", "H", "h", "v200"]
    publisher.close()


def test_a_player_may_come_before_its_stream(egress: EgressProcess, door: FrontDoor) -> None:
    made: list[Publisher] = []

    before = len(door.acks)

    def publish() -> None:
        until(lambda: len(door.acks) > before, 10, "egress has the player")
        made.append(Publisher(egress))
        made[0].frames(2)

    thread = threading.Thread(target=publish)
    thread.start()
    with RtmpPlayer(door.url("live/cam1/360p")) as player:
        assert watch(player, "v40")[:4] == ["M", "H", "h", "v0"]
    thread.join()
    made[0].close()


def test_a_player_ends_when_its_publisher_goes_over_to_a_codec_that_it_did_not_name(
    egress: EgressProcess, door: FrontDoor
) -> None:
    publisher = Publisher(egress)
    publisher.frames(6)
    with RtmpPlayer(door.url("live/cam1/360p")) as player:
        watch(player, "v200")
        number, generation = publisher.number, publisher.generation
        header = b"\x90hvc1record"
        egress.push(*rendition_open("360p", number, generation, header=header))
        first, _ = key_tag(publisher.now_ms)
        hevc = (first._replace(codec="h265"), b"\x93hvc1\0\0\0\1a")
        egress.push(*tags(number, hevc, generation=generation, rendition="360p"))
        assert watch(player, "end")[-1] == "end"
    publisher.close()


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("brief/nobody/360p", "NetStream.Play.StreamNotFound", "nobody publishes"),
        ("brief/nobody/1080p", "NetStream.Play.StreamNotFound", "720p, 360p, source"),
        ("other/cam1", "NetStream.Play.StreamNotFound", "no app other"),
        ("keyed/cam1", "NetStream.Play.Failed", "key"),
        ("keyed/cam1?key=wrong", "NetStream.Play.Failed", "key"),
        ("keyed/cam1?key=s3cret", "NetStream.Play.StreamNotFound", "nobody publishes"),
    ],
)
def test_refusals_arrive_with_their_reason(
    door: FrontDoor, path: str, code: str, says: str
) -> None:
    with pytest.raises(RtmpRefused) as refused, RtmpPlayer(door.url(path)):
        pass
    assert refused.value.code == code
    assert says in refused.value.description


def test_a_rendition_that_this_source_has_not_is_refused_by_name(
    egress: EgressProcess, door: FrontDoor
) -> None:
    publisher = Publisher(egress)
    publisher.frames(1)
    with (
        pytest.raises(RtmpRefused, match="this stream has no 720p"),
        RtmpPlayer(door.url("live/cam1/720p")),
    ):
        pass
    publisher.close()


def test_players_stay_through_a_lost_worker_and_a_publishers_absence(
    egress: EgressProcess, door: FrontDoor
) -> None:
    first = Publisher(egress)
    first.frames(3)
    with RtmpPlayer(door.url("live/cam1/360p")) as player:
        watch(player, "v80")
        egress.send(SwitchGeneration(7, STREAM, Generation(first.generation)))
        positions = egress.receive(Positions)
        assert positions == Positions(7, STREAM, 80)
        second = Publisher(egress, start_ms=120)
        second.frames(2)
        assert [w for w in watch(player, "v160") if w[0] in "Hv"] == ["H", "v120", "v160"]
        second.close(hold_ms=5000)
        third = Publisher(egress, start_ms=3000)
        third.frames(2)
        assert [w for w in watch(player, "v3040") if w[0] in "Hv"] == ["H", "v3000", "v3040"]
        third.close()
        watch(player, "end")


def test_after_the_hold_players_are_told(egress: EgressProcess, door: FrontDoor) -> None:
    publisher = Publisher(egress)
    publisher.frames(2)
    with RtmpPlayer(door.url("live/cam1")) as player:
        publisher.close(hold_ms=200)
        assert watch(player, "end")


def test_a_play_after_the_end_is_answered_before_the_close(
    egress: EgressProcess, door: FrontDoor
) -> None:
    publisher = Publisher(egress)
    publisher.frames(2)
    with RtmpPlayer(door.url("live/cam1")) as player:
        publisher.close()
        watch(player, "end")
        peer = player.peer
        again = [
            encode_command(3, 0, 4096, "createStream", 9.0, None),
            encode_command(8, 2, 4096, "play", 10.0, None, "cam1"),
        ]
        peer.sendall(again[0] + again[1])
        got = b""
        while data := peer.recv(4096):
            got += data
    assert b"NetStream.Play.StreamNotFound" in got
    assert b"connect anew" in got


@pytest.mark.parametrize(
    ("commands", "wanted"),
    [
        ([(2, "play", 10.0, None, "cam1")], "NetStream.Play.Stop"),  # the first one is over
        ([(1, "play", 10.0, None, "nobody/1080p")], "NetStream.Play.StreamNotFound"),
        ([(1, "closeStream", 0.0, None), (1, "play", 10.0, None, "cam1")], "NetStream.Play.Start"),
    ],
)
def test_a_second_play_gets_a_status(
    egress: EgressProcess, door: FrontDoor, commands: list[tuple[Any, ...]], wanted: str
) -> None:
    publisher = Publisher(egress)
    publisher.frames(2)
    with RtmpPlayer(door.url("live/cam1")) as player:
        for stream, *values in commands:
            player.peer.sendall(encode_command(8, stream, 4096, *values))
        got = b""
        while wanted.encode() not in got:
            data = player.peer.recv(65536)
            assert data, got[-300:]
            got += data
    publisher.close()


def test_status_counts_players_frames_and_positions(egress: EgressProcess, door: FrontDoor) -> None:
    publisher = Publisher(egress)
    publisher.frames(5)
    with RtmpPlayer(door.url("live/cam1/360p")) as player:
        watch(player, "v160")
        heartbeat = egress.served(lambda beat: bool(beat.served) and _players(beat, "360p") == 1)
        status = next(r for r in heartbeat.served[0].renditions if r.name == "360p")
        assert status.frames == 5
        assert status.last_pts_ms == 160
        assert status.bytes > 0
        assert _players(heartbeat, SOURCE) == 0
    egress.served(lambda beat: bool(beat.served) and _players(beat, "360p") == 0)
    publisher.close()
    egress.served(lambda beat: not beat.served)


def _players(heartbeat: object, rendition: str) -> int:
    served = getattr(heartbeat, "served")  # noqa: B009
    return next(int(r.players) for r in served[0].renditions if r.name == rendition)


def test_a_player_who_never_reads_is_cut_off_and_the_others_miss_nothing(
    egress: EgressProcess, door: FrontDoor
) -> None:
    publisher = Publisher(egress)
    publisher.frames(1)
    with (
        RtmpPlayer(door.url("live/cam1/360p")) as reader,
        RtmpPlayer(door.url("live/cam1/360p")) as sleeper,
    ):
        watch(reader, "v0")
        watch(sleeper, "v0")
        stalled = egress.served(lambda beat: True).counters["stalled"]
        deadline = time.monotonic() + patient(10)
        seen = []
        while time.monotonic() < deadline:
            number, at = publisher.number, publisher.now_ms
            body = picture("x" * 200_000, is_key=number % 5 == 0)
            publisher.tag((head(9, at, KEY if number % 5 == 0 else 0), body))
            publisher.now_ms += 40
            seen += [w for w in watch(reader, f"v{at}") if w[0] == "v"]
            if number % 25 == 0 and _stalled(egress) > stalled:
                break
            time.sleep(0.01)
        else:
            pytest.fail("the sleeper was not cut off")
        with pytest.raises(ConnectionResetError):  # the kernel keeps nothing for it
            sum(map(len, iter(lambda: sleeper._open_socket().recv(1 << 20), b"")))
        assert seen == [f"v{40 * (i + 1)}" for i in range(len(seen))]
    publisher.close()


def _stalled(egress: EgressProcess) -> int:
    return egress.served(lambda beat: True).counters["stalled"]


def test_a_player_who_floods_is_cut_off(egress: EgressProcess, door: FrontDoor) -> None:
    publisher = Publisher(egress)
    publisher.frames(1)
    with RtmpPlayer(door.url("live/cam1")) as player:
        watch(player, "v0")
        with pytest.raises(ConnectionError):
            flood(player._open_socket())
    publisher.close()


def test_a_reset_seen_together_with_the_last_bytes_ends_the_player(
    egress: EgressProcess, door: FrontDoor
) -> None:
    """libuv stops watching a socket whose reset it saw, however much of it was read by then."""
    publisher = Publisher(egress)
    publisher.frames(1)
    with RtmpPlayer(door.url("live/cam1/360p")) as player:
        watch(player, "v0")
        egress.served(lambda beat: bool(beat.served) and _players(beat, "360p") == 1)
        os.kill(egress.pid, signal.SIGSTOP)
        peer = player._open_socket()
        peer.sendall(encode_message(2, MessageType.ACKNOWLEDGEMENT, 0, 0, bytes(4), 4096))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        player.abort()
        os.kill(egress.pid, signal.SIGCONT)
        # nothing is sent meanwhile: only reading tells
        egress.served(lambda beat: bool(beat.served) and _players(beat, "360p") == 0)
    publisher.close()


def flood(peer: socket.socket) -> None:
    """Empty messages, one after another."""
    for _ in range(2000):
        peer.sendall(bytes.fromhex("42 000000 000000 09 01000000") * 100)
        time.sleep(0.001)


def test_input_that_came_with_the_play_request_is_not_lost(
    egress: EgressProcess, door: FrontDoor
) -> None:
    publisher = Publisher(egress)
    publisher.frames(1)
    player = RtmpPlayer(door.url("live/cam1"))
    session = player.session
    with socket.create_connection(("127.0.0.1", door.port), 5) as peer:
        session.start()
        pause = b""
        while not pause:
            data = session.data_to_send()
            if b"\x02\x00\x04play" in data:
                # a pause right behind it, the last byte of it later
                pause = (
                    bytes.fromhex("08 000000 000021 14 01000000")
                    + b"\x02\x00\x05pause"
                    + bytes(1 + 8)
                    + b"\x05\x01\x01"
                    + b"\x00"
                    + bytes(8)
                )
                pause = pause[:4] + (len(pause) - 12).to_bytes(3, "big") + pause[7:]
                peer.sendall(data + pause[:-1])
                time.sleep(0.2)
                peer.sendall(pause[-1:])
                break
            peer.sendall(data)
            session.receive_data(peer.recv(4096), time.monotonic())
        got = b""
        peer.settimeout(5)
        while b"NetStream.Pause.Notify" not in got:
            data = peer.recv(4096)
            assert data, got
            got += data
    publisher.close()


def test_more_players_than_allowed_are_refused_clearly() -> None:
    settings = replace(SETTINGS, egress=replace(SETTINGS.egress, max_players=2))
    with EgressProcess(settings) as egress, FrontDoor(egress.endpoint.handover) as door:
        publisher = Publisher(egress)
        publisher.frames(1)
        url = door.url("live/cam1")
        with (
            RtmpPlayer(url),
            RtmpPlayer(url),
            pytest.raises(RtmpRefused, match="all the 2 players"),
            RtmpPlayer(url),
        ):
            pass


def test_a_hundred_rounds_leave_no_descriptor(egress: EgressProcess, door: FrontDoor) -> None:
    publisher = Publisher(egress)
    publisher.frames(1)
    before = descriptors(egress.pid)
    for _ in range(100):
        with RtmpPlayer(door.url("live/cam1")) as player:
            watch(player, "v0")
    until(lambda: descriptors(egress.pid) <= before, 5, "descriptors to be closed")
    publisher.close()


def test_libavformat_plays_what_egress_sends(
    egress: EgressProcess, door: FrontDoor, tmp_path: Path
) -> None:
    clip = make_clip(
        tmp_path / "clip.flv", ClipSpec(seconds=3, width=320, height=180, fps=Fraction(25))
    )
    publisher = Publisher(egress)
    with AvPlayer(door.url("live/cam1"), enough=frames(60)) as player:
        numbered = 0
        for tag in flv_tags(clip):
            if tag.type == 18:
                continue
            if tag.type == 8:
                flags = HEADER if tag.is_header else 0
                egress.push(
                    *shared((head(8, tag.dts_ms, flags), tag.body), generation=publisher.generation)
                )
            elif tag.is_header:
                egress.push(
                    *rendition_open(
                        SOURCE,
                        first_number=0,
                        generation=publisher.generation,
                        metadata=b"",
                        header=tag.body,
                    )
                )
            else:
                entry = head(9, tag.dts_ms, KEY if tag.is_key else 0, time.monotonic())
                egress.push(*tags(numbered, (entry, tag.body), generation=publisher.generation))
                numbered += 1
                time.sleep(0.01)
        publisher.close()
        player.join(10)
    recording = player.recording
    assert recording.decode_error == ""
    assert len(recording.video) >= 60
    assert recording.audio
    numbers = [shown.number for shown in recording.shown]
    assert numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + len(numbers)))


def test_sigterm_tells_the_players_and_leaves_nothing() -> None:
    with EgressProcess(SETTINGS) as egress, FrontDoor(egress.endpoint.handover) as door:
        publisher = Publisher(egress)
        publisher.frames(1)
        with RtmpPlayer(door.url("live/cam1")) as player:
            watch(player, "v0")
            os.kill(egress.pid, signal.SIGTERM)
            assert watch(player, "end")
        assert egress.wait() == ExitCode.OK
        assert STREAM.partition("/")[2] not in egress.log  # a key is never logged


def test_an_orphan_ends_with_its_exit_code() -> None:
    with EgressProcess(SETTINGS, "--orphan-timeout", "0.5") as egress:
        assert egress.wait() == ExitCode.ORPHANED
