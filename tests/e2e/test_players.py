"""Many players on many streams: none feels another one come, go, or stall."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from common.rtmp.blocking_client import RtmpPlayer, RtmpRefused
from common.rtmp.client import ClientSession, Ended
from common.rtmp.events import VideoReceived
from tests.kit.clients import Player, Publisher, frames, play_on
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.process_facts import descriptors
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=6.0)
KEYS = ("one", "two", "three")


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    hasty = DEFAULT_CONFIG.replace('wait = "30s"', 'wait = "1s"').replace(".live", ".hasty")
    with Farm(DEFAULT_CONFIG + hasty[hasty.index("[templates.") :]) as running:
        yield running


def test_three_publishers_and_ten_players_each_do_not_disturb_one_another(
    farm: Farm, clip: MakeClip
) -> None:
    path = clip(SPEC)
    renditions = ("source", "240p", "144p")
    with ExitStack() as stack:
        for key in KEYS:
            stack.enter_context(Publisher(farm.url(key), path, loop=True))
        for key in KEYS:
            farm.wait_stream(key)
        steady = [
            stack.enter_context(Player(farm.url(key, renditions[i % 3])))
            for key in KEYS
            for i in range(6)
        ]
        # The others come and go: two leave early, two come later.
        early = [
            stack.enter_context(Player(farm.url(key, "240p"), enough=frames(30)))
            for key in KEYS
            for _ in range(2)
        ]
        for player in early:
            player.join(40)
        late = [
            stack.enter_context(Player(farm.url(key, "144p"), enough=frames(30)))
            for key in KEYS
            for _ in range(2)
        ]
        for player in late:
            player.join(40)
        play_on(*steady)
        for player in steady:
            assert player.is_running
            player.stop()
    for player in (*steady, *early, *late):
        assert player.error is None
        assert player.recording.decode_error == ""
    for player in steady:
        assert player.recording.number_steps(SPEC.frames) in ({1}, {2})
        assert len(player.recording.shown) > 30
    for player in late:
        assert player.recording.number_steps(SPEC.frames) == {2}


def test_a_player_may_come_before_its_publisher(farm: Farm, clip: MakeClip) -> None:
    def are_there() -> int:
        return int(farm.child("egress")["counters"].get("players", 0))

    with Player(farm.url("soon", "240p"), enough=frames(30)) as player:
        until(lambda: are_there() == 1, 30, "egress has it")
        assert player.is_running
        with Publisher(farm.url("soon"), clip(SPEC.but(seconds=3.0))) as publisher:
            player.join(40)
            publisher.stop()
    assert player.error is None
    assert player.recording.shown[0].number == 0
    assert player.recording.decode_error == ""


def test_a_player_that_waits_in_vain_is_told(farm: Farm) -> None:
    began = time.monotonic()
    with (
        pytest.raises(RtmpRefused) as refused,
        RtmpPlayer(farm.url("never", "240p", app="hasty"), 30),
    ):
        pass
    assert refused.value.code == "NetStream.Play.StreamNotFound"
    assert time.monotonic() - began >= 1, "the app's `wait`"


def test_start_gop_gives_a_keyframe_at_once_and_start_live_the_next_one(
    farm: Farm, clip: MakeClip
) -> None:
    """By stream time: what had been sent, at most, when each of them was let in."""
    with Publisher(farm.url("start"), clip(SPEC), loop=True) as publisher:
        farm.wait_stream("start")

        def sent_ms() -> float:
            """With one that may just be going, and be reordered."""
            return publisher.sent_frames * 1000 / 30 + 100

        with RtmpPlayer(farm.url("start", "240p")) as from_gop:
            most_ms = sent_ms()
            first_gop = _first_picture(from_gop)
            assert first_gop.timestamp <= most_ms, "it waits for nothing"
            with RtmpPlayer(farm.url("start", "240p", "start=live")) as from_live:
                next_ms = (sent_ms() // 1000 + 1) * 1000
                first_live = _first_picture(from_live)
    assert first_gop.payload[0] == 0x17
    assert first_live.payload[0] == 0x17
    assert first_gop.timestamp < first_live.timestamp <= next_ms


def _first_picture(player: RtmpPlayer) -> VideoReceived:
    for event in player:
        if isinstance(event, VideoReceived) and event.payload[1:2] == b"\x01":
            return event
    raise AssertionError("the stream ended before its first picture")


def test_the_end_of_the_publisher_is_told_to_its_players(farm: Farm, clip: MakeClip) -> None:
    with (
        Publisher(farm.url("ending"), clip(SPEC.but(seconds=2.0))) as publisher,
        RtmpPlayer(farm.url("ending", "144p")) as player,
    ):
        publisher.join(15)
        last = [event for event in player][-1]
    assert isinstance(last, Ended)
    assert last.code == "NetStream.Play.UnpublishNotify"
    farm.wait_gone("ending")


def test_a_player_that_never_reads_harms_nobody_and_is_cut(clip: MakeClip) -> None:
    """Its socket takes a few hundred kB, then its queue fills, then its time runs out."""
    config = """
[listen]
rtmp = "127.0.0.1:0"
[devices]
use_gpus = false
[egress]
queue = "500ms"
stall_timeout = "2s"
send_buffer = "16KiB"
[templates.live]
gop = "1s"
hold = "0s"
renditions = []
"""
    path = clip(SPEC.but(seconds=12.0, bitrate_bps=4_000_000, b_frames=0))
    with Farm(config) as farm, Publisher(farm.url("cam"), path) as publisher:
        assert publisher.started.wait(10)

        def told(what: str) -> int:
            renditions = farm.streams()["cam"]["renditions"]
            return int(next(r[what] for r in renditions if r["name"] == "source"))

        def players() -> int:
            return told("players")

        with (
            Player(farm.url("cam")) as well,
            socket.create_connection(("127.0.0.1", farm.port), 10) as lazy,
        ):
            _play_and_stop_reading(lazy, farm.url("cam"))
            until(lambda: players() == 2, 5, "both play", every=0.2)
            until(lambda: players() == 1, 9, "the player that never reads is cut", every=0.2)
            assert told("dropped_to_players") > 10, "what it missed is counted"
            well.stop()
        assert well.recording.decode_error == ""
        assert len(well.recording.shown) > 60
        assert well.recording.number_steps(1000) == {1}


def _play_and_stop_reading(lazy: socket.socket, url: str) -> None:
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    session = ClientSession(url, "play", 4096)
    session.start()
    lazy.sendall(session.data_to_send())
    seen = 0
    while seen < 20_000:  # it plays
        data = lazy.recv(4096)
        assert data
        seen += len(data)
        session.receive_data(data, time.monotonic())
        session.events_received()
        lazy.sendall(session.data_to_send())


def test_players_come_and_go_without_leaving_anything(farm: Farm, clip: MakeClip) -> None:
    """Fifty short visits: the egress has no more open files after than before."""
    with Publisher(farm.url("visits"), clip(SPEC)):
        farm.wait_stream("visits")
        egress = farm.child("egress")
        before = descriptors(egress["pid"])

        def visit() -> None:
            with RtmpPlayer(farm.url("visits", "144p")) as player:
                _first_picture(player)

        for _ in range(5):
            visitors = [threading.Thread(target=visit) for _ in range(10)]
            for visitor in visitors:
                visitor.start()
            for visitor in visitors:
                visitor.join(15)
                assert not visitor.is_alive()
        until(lambda: descriptors(egress["pid"]) <= before, 5, "every player's socket is closed")
