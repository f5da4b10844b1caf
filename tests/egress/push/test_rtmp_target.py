"""egress/push/rtmp_target.py: what a server of RTMP is sent, and what it may do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from common.config.settings import Settings
from common.flv import amf0
from common.rtmp.events import (
    AudioReceived,
    ConnectRequested,
    DataReceived,
    Event,
    MetadataReceived,
    PublishEnded,
    PublishRequested,
    VideoReceived,
)
from common.rtmp.session import ServerSession
from egress.fanout.channel import Channels
from egress.push.rtmp_form import PublishForm
from egress.push.rtmp_target import RtmpCalls, RtmpTarget
from egress.push.target_context import TargetContext
from egress.streams.rendition import Rendition
from tests.kit.egress import (
    METADATA,
    VIDEO_HEADER,
    audio_header_tag,
    audio_tag,
    data_tag,
    egress_rendition,
    give,
    give_shared,
    inter_tag,
    key_tag,
)

URL = "rtmp://u:s3cr3t@media.example/live/s3cr3t-key?token=s3cr3t"


class ToyServer(asyncio.Transport):
    """A server, and the connection to it."""

    def __init__(self, target: RtmpTarget, *, refuses: bool = False) -> None:
        super().__init__()
        self.session, self.target, self.refuses = ServerSession(), target, refuses
        self.events: list[Event] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.session.receive_data(bytes(data), 0.0)
        while events := self.session.events_received():
            self.events += events
            for event in events:
                if isinstance(event, PublishRequested) and self.refuses:
                    name = "NetStream.Publish.BadName"
                    self.session.reject(event.request_id, name, f"s3cr3t-key is in use {name}")
                elif isinstance(event, ConnectRequested | PublishRequested):
                    self.session.accept(event.request_id)
            self.session.receive_data(b"", 0.0)
        self.answer()

    def answer(self) -> None:
        if data := self.session.data_to_send():
            asyncio.get_running_loop().call_soon(self.target.data_received, data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is kept here."""

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Rig:
    """A rendition, a target of it, and the server that it calls."""

    def __init__(self, connect: Callable[["Rig"], None], url: str = URL) -> None:
        self.now = 100.0
        self.rendition: Rendition = egress_rendition()
        self.rendition.open(METADATA, VIDEO_HEADER, 0)
        give_shared(self.rendition, audio_header_tag(0))
        self.number = 0
        self.called: list[tuple[str, int, bool]] = []
        self.server: ToyServer | None = None
        self._connect = connect
        loop: Any = asyncio.get_running_loop()

        class Loop:
            create_task = staticmethod(loop.create_task)
            call_soon = staticmethod(loop.call_soon)
            call_later = staticmethod(loop.call_later)
            create_connection = staticmethod(self.connect)

        stand_in: Any = Loop
        self.context = TargetContext(stand_in, Settings, lambda: self.now)
        self.target = RtmpCalls(self.context).call(url, self.rendition)

    async def connect(self, make: Callable[[], Any], host: str, port: int, ssl: Any) -> None:
        self.called.append((host, port, ssl is not None))
        self._connect(self)

    def give(self, item: Any) -> None:
        give(self.rendition, self.number, item)
        self.number += 1
        self.rendition.flush()

    def seen(self) -> ToyServer:
        assert self.server is not None
        return self.server


def serve(rig: Rig) -> None:
    rig.server = ToyServer(rig.target)
    rig.target.connection_made(rig.server)


def refuse(rig: Rig) -> None:
    rig.server = ToyServer(rig.target, refuses=True)
    rig.target.connection_made(rig.server)


def nobody(rig: Rig) -> None:
    raise ConnectionRefusedError(111, "Connection refused")


def misname(rig: Rig) -> None:
    "a..b".encode("idna")


def run(
    scenario: Callable[[Rig], Awaitable[None]],
    connect: Callable[[Rig], None] = serve,
    url: str = URL,
) -> None:
    async def main() -> None:
        rig = Rig(connect, url)
        rig.give(key_tag(1000))
        try:
            await scenario(rig)
        finally:
            rig.target.close("the test is over")
            await asyncio.sleep(0)

    asyncio.run(main())


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_rendition_is_published_from_its_last_keyframe_on() -> None:
    async def scenario(rig: Rig) -> None:
        await turns()
        assert rig.called == [("media.example", 1935, False)]
        assert rig.target.is_sending
        rig.give(inter_tag(1040))
        give_shared(rig.rendition, audio_tag(1045))
        give_shared(rig.rendition, data_tag(1050))
        rig.give(inter_tag(1080))
        server = rig.seen()
        (connect,) = server.of(ConnectRequested)
        assert connect.tc_url == "rtmp://media.example/live", "without user and password"
        (wish,) = server.of(PublishRequested)
        assert wish.name == "s3cr3t-key?token=s3cr3t"
        (metadata,) = server.of(MetadataReceived)
        assert amf0.leading_string(metadata.payload)[0] == "onMetaData"  # type: ignore[index]
        pictures = server.of(VideoReceived)
        assert pictures[0].payload == VIDEO_HEADER
        assert [one.timestamp for one in pictures] == [1000, 1000, 1040, 1080]
        assert [one.timestamp for one in server.of(AudioReceived)][-1] == 1045
        assert server.of(DataReceived)
        assert rig.target.sent_bytes > 0
        rig.target.close("it is not pushed any more")
        assert server.of(PublishEnded), "it says goodbye"
        assert server.is_closed
        rig.give(inter_tag(1120))
        assert len(server.of(VideoReceived)) == 4

    run(scenario)


@pytest.mark.parametrize(
    ("connect", "words"),
    [
        (nobody, "no connection: Connection refused"),
        (misname, "no connection: its host is no name"),
        (refuse, "the server refused: NetStream"),
    ],
)
def test_why_it_came_to_nothing_is_said_without_the_streams_name(
    connect: Callable[[Rig], None], words: str
) -> None:
    async def scenario(rig: Rig) -> None:
        await turns()
        assert rig.target.ended.startswith(words)
        assert "s3cr3t" not in rig.target.ended
        assert not rig.target.is_sending

    run(scenario, connect)


def test_a_line_that_takes_no_more_costs_pictures_and_then_the_connection() -> None:
    async def scenario(rig: Rig) -> None:
        await turns()
        server, target = rig.seen(), rig.target
        target.pause_writing()
        for at in range(1040, 1400, 40):
            rig.give(inter_tag(at))
        before = len(server.of(VideoReceived))
        target.resume_writing()
        assert len(server.of(VideoReceived)) == before + 9, "what waited goes on, in order"
        target.pause_writing()
        for at in range(1400, 5000, 40):
            rig.give(inter_tag(at))
        assert target.dropped > 0, "the queue is bounded"
        rig.now += Settings().egress.stall_timeout_s + 1
        target.check(rig.now)
        assert target.ended == "it took nothing for too long"

    run(scenario)


def test_a_server_that_breaks_the_protocol_or_goes_ends_its_own_connection() -> None:
    async def scenario(rig: Rig) -> None:
        await turns()
        rig.target.data_received(b"\xff" * 64)
        assert "the server broke the protocol" in rig.target.ended

    async def gone(rig: Rig) -> None:
        await turns()
        rig.seen().close()
        rig.give(inter_tag(1040))
        await turns()
        assert rig.target.ended == "the server closed the connection"

    run(scenario)
    run(gone)


def test_the_end_of_the_rendition_is_the_end_of_the_connection() -> None:
    async def scenario(rig: Rig) -> None:
        await turns()
        rig.rendition.end("the publisher left")
        assert rig.target.ended == "the publisher left"
        assert rig.seen().of(PublishEnded)

    run(scenario)


def test_with_tls_the_certificate_is_looked_at_and_the_port_is_another() -> None:
    async def scenario(rig: Rig) -> None:
        await turns()
        assert rig.called == [("media.example", 443, True)]

    run(scenario, url=URL.replace("rtmp:", "rtmps:"))


def test_two_targets_of_one_rendition_share_its_bytes() -> None:
    async def scenario(rig: Rig) -> None:
        await turns()
        channels = Channels()
        assert channels.get(rig.rendition) is channels.get(rig.rendition)
        assert PublishForm(1) == PublishForm(1)

    run(scenario)
