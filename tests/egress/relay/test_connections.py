"""egress/relay/connections.py: real TLS between two ends, and who is refused"""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from common.ipc.cluster_messages import StreamOwner
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.relay_messages import RemotePlay, RemotePlayEnd
from common.link.serving import Demanded, Serving
from common.process.certificate_files import mutual_contexts
from common.process.listening import bind
from egress.relay.connections import LinkClient, LinkServer, certified
from egress.relay.pulls import Pulls
from tests.egress.relay.test_pulls import FakeLinks
from tests.kit.certificates import Authority, Files
from tests.kit.host_link import EDGE, OWNER, STREAM
from tests.kit.waiting import until_async

ID = StreamId("live/cam")


class Output:
    """Who has the streams."""

    def __init__(self) -> None:
        self.servings: list[Serving] = []
        self.demands: list[Demanded] = []

    def arrived(self, serving: Serving) -> None:
        self.servings.append(serving)

    def left(self, serving: Serving) -> None:
        self.servings.remove(serving)

    def demanded(self, serving: Serving, demanded: Demanded) -> None:
        self.demands.append(demanded)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("hosts"))
    for host in ("host-a", "host-b", "host-c"):
        made.issue(host)
    return made


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("strangers"))
    made.issue("host-b")
    return made


def contexts(
    authority: Authority, host: str, trusted: Path | None = None
) -> tuple[ssl.SSLContext, ...]:
    own = Files(authority.directory / f"{host}.pem", authority.directory / f"{host}.key")
    return mutual_contexts(own.certificate, own.key, trusted or authority.files.certificate)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_awaited(scenario))


async def _awaited(scenario: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(60):
        await scenario()


class Scenario:
    """Host a with its server, and host b that pulls a stream from it."""

    def __init__(
        self, serving: ssl.SSLContext, connecting: ssl.SSLContext, host: str = "host-a"
    ) -> None:
        self.output = Output()
        listeners = bind("127.0.0.1", 0)
        self.address = f"127.0.0.1:{listeners[0].getsockname()[1]}"
        self.server = LinkServer(listeners, lambda: serving, self.output)
        self.server.start(OWNER)
        self.pulls = Pulls(ChildId("relay"), FakeLinks(), lambda wanted: None)
        self.pulls.configure(EDGE, 10.0)
        self.client = LinkClient(self.pulls, lambda: connecting)
        self.pulls.on_play(RemotePlay(ID, Generation(1), ("720p",)), time.monotonic())
        owner = StreamOwner(STREAM, ID, host, self.address, 7)
        self.pulls.on_owner(owner, time.monotonic())

    async def close(self) -> None:
        self.server.stop()
        await self.client.stop()
        await asyncio.sleep(0.05)
        self.client.close()
        self.server.close()
        await asyncio.sleep(0)


def test_a_host_of_the_cluster_is_let_in_and_comes_back_after_a_break(authority: Authority) -> None:
    async def scenario() -> None:
        serving, _ = contexts(authority, "host-a")
        _, connecting = contexts(authority, "host-b")
        both = Scenario(serving, connecting)
        both.client.follow()
        await until_async(lambda: both.output.demands == [Demanded(STREAM, ("720p",))])
        for link in both.client.links:
            link.abort()
        await until_async(lambda: len(both.output.demands) == 2)
        assert len(both.output.servings) == 1
        await both.close()

    run(scenario)


def test_who_retires_accepts_nobody_and_keeps_a_connection_while_something_goes_by_it(
    authority: Authority,
) -> None:
    async def scenario() -> None:
        serving, _ = contexts(authority, "host-a")
        _, connecting = contexts(authority, "host-b")
        both = Scenario(serving, connecting)
        both.client.follow()
        await until_async(lambda: both.output.demands == [Demanded(STREAM, ("720p",))])
        both.server.retire()
        both.server.check(time.monotonic())
        assert both.server.is_in_use
        host, _, port = both.address.rpartition(":")
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection(host, int(port))
        both.pulls.on_play_end(RemotePlayEnd(ID, "nobody wants it"), time.monotonic())
        await until_async(lambda: not both.server.is_in_use)
        assert both.output.servings, "the connection stands"
        both.server.check(time.monotonic())
        await until_async(lambda: not both.output.servings)
        await both.close()

    run(scenario)


@pytest.mark.parametrize("who", ["another CA's", "another host's", "none", "another server's"])
def test_who_is_no_host_of_the_cluster_is_refused_and_logged_once(
    who: str, authority: Authority, stranger: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        serving, _ = contexts(authority, "host-a")
        host = "host-a"
        if who == "another CA's":
            _, connecting = contexts(stranger, "host-b", authority.files.certificate)
        elif who == "another host's":
            _, connecting = contexts(authority, "host-c")
        elif who == "none":
            connecting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            connecting.load_verify_locations(authority.files.certificate)
        else:
            _, connecting = contexts(authority, "host-b")
            host = "host-c"  # that is meant, and is not the one that answers
        both = Scenario(serving, connecting, host)
        both.client.follow()
        await until_async(lambda: both.server.counters["relay refused"] >= 2)
        assert both.output.demands == []
        await both.close()

    run(scenario)
    refused = [r.message for r in caplog.records if r.message.startswith("host refused")]
    assert len(refused) == 1, refused
    assert not [r for r in caplog.records if r.message.startswith("host connected")]
    if who == "another host's":
        assert "it says that it is 'host-b', its certificate names host-c" in refused[0]


def test_names_are_those_of_the_certificate(authority: Authority) -> None:
    assert certified(None) == certified({}) == frozenset()
    named = {"subjectAltName": (("DNS", "Host-A"), ("IP Address", "10.0.0.1"))}
    assert certified(named) == frozenset(("host-a",))
