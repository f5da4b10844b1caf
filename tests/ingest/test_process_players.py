"""A real ingest process hands its players over to egress, which is the test's."""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.ipc.control_messages import (
    Heartbeat,
)
from common.ipc.socket_handover import ADOPTED, HEADER, MAGIC
from common.rtmp.blocking_client import RtmpPlayer, RtmpRefused
from common.rtmp.events import PlayRequested
from common.rtmp.session import ServerSession
from common.rtmp.snapshot import SessionSnapshot
from tests.kit.ingest_process import FarmAround, open_files

pytestmark = pytest.mark.e2e


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
            with RtmpPlayer(url, 30) as player:
                words.extend(type(event).__name__ for event in player)
        except (RtmpRefused, OSError) as error:
            words.append(str(error))

    thread = threading.Thread(target=play)
    thread.start()

    def result() -> str:
        thread.join(10)
        return " ".join(words)

    return result


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
