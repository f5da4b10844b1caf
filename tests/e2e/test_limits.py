"""Limits per address and of descriptors, met from 127.0.0.2 and on, which are not exempt."""

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from common.ipc.egress_homes import home
from common.ipc.identity import stream_id
from common.rtmp.client import ClientSession, Playing, Published, Refused
from tests.kit.children import EGRESS0, EGRESS1
from tests.kit.clients import Player, Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
CLIP = ClipSpec(seconds=30.0, width=320, height=180, audio=False)
LIMITS = """
[ingest]
handshake_timeout = "2s"
max_handshakes_per_address = 10
max_publishes_per_address = 2
exempt_networks = ["127.0.0.1", "127.0.9.0/24"]

[egress]
max_players_per_address = 3
"""


@pytest.fixture(scope="module")
def farm(clip: MakeClip) -> Iterator[Farm]:
    with Farm(LIMITS + DEFAULT_CONFIG) as running, Publisher(running.url("good"), clip(CLIP)):
        running.wait_stream("good")
        yield running


class Peer:
    """A client of one address, which says what became of it."""

    def __init__(self, url: str, mode: str, source: str) -> None:
        self.session = ClientSession(url, "publish" if mode == "publish" else "play")
        address = self.session.address
        self.socket = socket.create_connection((address.host, address.port), 10, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> str:
        """Empty when it was let in, else the refusal."""
        self.session.start()
        while True:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.socket.sendall(self.session.data_to_send())
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return "closed"
            self.session.receive_data(data, time.monotonic())
            for event in self.session.events_received():
                match event:
                    case Refused(code, description):
                        return f"{code}: {description}"
                    case Published() | Playing():
                        return ""
                    case _:
                        pass


def asks(farm: Farm, stack: contextlib.ExitStack, mode: str, source: str, name: str) -> str:
    peer = Peer(farm.url(name, "source" if mode == "play" else ""), mode, source)
    stack.enter_context(peer.socket)
    return peer.ask()


def test_players_of_one_address_are_limited_and_others_are_not(farm: Farm) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            assert asks(farm, stack, "play", "127.0.0.2", "good") == ""
        said = asks(farm, stack, "play", "127.0.0.2", "good")
        assert "3 players are here from this address" in said
        assert asks(farm, stack, "play", "127.0.0.3", "good") == ""
        for _ in range(5):
            assert asks(farm, stack, "play", "127.0.9.7", "good") == "", "a network that is exempt"
    with contextlib.ExitStack() as stack:

        def has_room_again() -> bool:
            return asks(farm, stack, "play", "127.0.0.2", "good") == ""

        until(has_room_again, 5, "what is given back can be had again", every=0.2)


def test_publishes_of_one_address_are_limited(farm: Farm) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(2):
            assert asks(farm, stack, "publish", "127.0.0.4", f"two{number}") == ""
        said = asks(farm, stack, "publish", "127.0.0.4", "two2")
        assert said.startswith("NetStream.Publish.Denied: 2 streams are published")
        assert asks(farm, stack, "publish", "127.0.0.5", "two2") == ""


def was_closed(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        return peer.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_handshakes_of_one_address_have_a_rate(farm: Farm) -> None:
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        peers = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", farm.port), 5, ("127.0.0.6", 0))
            )
            for _ in range(40)
        ]
        farm.wait_log("max_handshakes_per_address = 10")
        # one more, behind all others: who is turned away then was so before it
        with socket.create_connection(("127.0.0.1", farm.port), 30, ("127.0.0.1", 0)) as last:
            last.sendall(b"\x03" + bytes(1536))
            assert last.recv(1) == b"\x03"
        seconds = time.monotonic() - began
        let_in = sum(not was_closed(peer) for peer in peers)
        assert 20 <= let_in <= 21 + 10 * seconds, "a burst of two seconds' worth, then ten a second"


def test_publishing_in_a_loop_on_one_connection_is_stopped(farm: Farm) -> None:
    """Each one is a question to the supervisor; without this, thousands a second."""
    peer = Peer(farm.url("loop"), "publish", "127.0.0.7")
    with peer.socket:
        began = time.monotonic()
        assert peer.ask() == ""
        again = 0
        with contextlib.suppress(OSError):
            for _ in range(200):
                peer.session._call("deleteStream", None, float(peer.session._stream_id))
                peer.session._call("createStream", None)
                peer.socket.sendall(peer.session.data_to_send())
                until_s = time.monotonic() + 5
                answered = False
                while not answered and time.monotonic() < until_s:
                    data = peer.socket.recv(65536)
                    if not data:
                        raise ConnectionError
                    peer.session.receive_data(data, time.monotonic())
                    out = peer.session.data_to_send()
                    if out:
                        peer.socket.sendall(out)
                    answered = b"NetStream.Publish" in data
                again += 1
        most = 21 + 10 * (time.monotonic() - began)  # two seconds' worth, then ten a second
        assert 10 <= again <= most, f"{again} publishes on one connection"
    farm.wait_log("max_handshakes_per_address = 10")


def test_a_process_refuses_in_order_before_its_descriptors_run_out(clip: MakeClip) -> None:
    """Egress and ingest restarted with room for few: who is there stays, who is over is told."""
    limit = 220
    with Farm(DEFAULT_CONFIG) as farm:
        assert farm.process is not None
        psutil.Process(farm.process.pid).rlimit(resource.RLIMIT_NOFILE, (limit, limit))
        for kind in ("egress", "ingest"):
            old = farm.child(kind)["pid"]
            os.kill(old, signal.SIGKILL)

            def is_back(kind: str = kind, old: int = old) -> bool:
                child = farm.child(kind)
                return bool(child["state"] == "ready" and child["pid"] != old)

            until(is_back, 15, f"{kind} is back", every=0.2)
        farm.port = int(farm.status()["listen"]["rtmp"][0].rpartition(":")[2])
        with (
            Publisher(farm.url("cam"), clip(CLIP)) as publisher,
            Player(farm.url("cam", "144p")) as player,
            contextlib.ExitStack() as stack,
        ):
            farm.wait_stream("cam")
            assert player.opened.wait(10)
            with ThreadPoolExecutor(10) as pool:
                said = list(
                    pool.map(
                        lambda number: asks(
                            farm, stack, "play", f"127.0.1.{1 + number % 50}", "cam"
                        ),
                        range(250),
                    )
                )
            refused = [words for words in said if words]
            assert 50 <= said.count("") <= limit
            assert refused
            assert all("descriptors" in words or words == "closed" for words in refused), set(said)
            assert any("descriptors" in words for words in refused)
            assert publisher.is_running
            assert player.is_running
            child = farm.child("egress")
            assert psutil.Process(child["pid"]).num_fds() < limit
            player.stop()
        assert player.recording.decode_error == ""
        assert len(farm.log().splitlines()) < 400, "log lines are limited"


def refused_publishers(farm: Farm) -> list[int]:
    """How many each ingest has refused, as its last heartbeat said."""
    children = farm.status()["children"]
    return [c["counters"].get("refused publishers", 0) for c in children if c["kind"] == "ingest"]


def test_limits_per_address_are_the_farms_where_ingests_share_a_port() -> None:
    config = LIMITS.replace("[ingest]", "[ingest]\nprocesses = 2") + DEFAULT_CONFIG
    words = "2 streams are published from this address"
    with Farm(config) as farm, contextlib.ExitStack() as stack:
        for i in range(2):
            assert asks(farm, stack, "publish", "127.0.0.5", f"a{i}") == ""

        def all_have_refused() -> bool:
            with contextlib.ExitStack() as tried:
                asks(farm, tried, "publish", "127.0.0.5", "b")
            return len(refused := refused_publishers(farm)) == 2 and min(refused) > 0

        until(all_have_refused, 30, "each ingest is told of the other one's", every=0.2)
        said = [asks(farm, stack, "publish", "127.0.0.5", f"b{i}") for i in range(8)]
        assert all(words in text for text in said), said
        assert asks(farm, stack, "publish", "127.0.0.6", "c") == ""
        counted = farm.log().count(words)
        until(lambda: sum(refused_publishers(farm)) == counted, 10, "each refusal is counted")
        assert counted >= 10


def test_players_per_address_are_the_farms_where_there_are_several_egresses(clip: MakeClip) -> None:
    egresses = [EGRESS0, EGRESS1]
    homes = {home(stream_id("live", f"s{i}"), egresses): f"s{i}" for i in range(40)}
    assert len(homes) == 2
    one, two = homes.values()
    config = LIMITS.replace("[egress]", "[egress]\nprocesses = 2") + DEFAULT_CONFIG
    with Farm(config) as farm, contextlib.ExitStack() as stack:
        for name in (one, two):
            stack.enter_context(Publisher(farm.url(name), clip(CLIP)))
            farm.wait_stream(name)
        for _ in range(3):
            assert asks(farm, stack, "play", "127.0.0.5", one) == ""

        def is_told() -> bool:
            with contextlib.ExitStack() as tried:
                said = asks(farm, tried, "play", "127.0.0.5", two)
            return "3 players are here from this address" in said

        until(is_told, 5, "the other egress knows of them", every=0.2)
        assert asks(farm, stack, "play", "127.0.0.6", two) == ""


def test_a_publisher_at_its_limit_takes_its_own_stream_over_at_every_ingest() -> None:
    limits = LIMITS.replace("per_address = 2", "per_address = 1")
    limits = limits.replace("[ingest]", '[ingest]\nprocesses = 2\ntakeover_idle = "500ms"')
    owners = []
    with Farm(limits + DEFAULT_CONFIG) as farm, contextlib.ExitStack() as stack:

        def takes_over() -> bool:
            return asks(farm, stack, "publish", "127.0.0.2", "own") == ""

        def is_at_its_limit() -> bool:
            with contextlib.ExitStack() as tried:
                said = asks(farm, tried, "publish", "127.0.0.2", "other")
            return "1 streams are published from this address" in said

        for _ in range(20):
            until(takes_over, 15, "its own stream is silent for long enough", every=0.25)
            owners.append(farm.streams()["own"]["ingest"])
            until(is_at_its_limit, 15, "the ingests hear of one another", every=0.25)
            if len(set(owners)) == 2:
                break
        assert set(owners) == {"ingest:0", "ingest:1"}
        assert asks(farm, stack, "publish", "127.0.0.3", "other") == ""
