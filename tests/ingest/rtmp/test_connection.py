"""A publisher's connection: when its socket is read, and when not."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from common.access.fair_turns import Budget
from common.access.refusal import Refusal, RefusalReason
from common.flv import amf0
from common.process.fair_reading import FairReading
from common.rtmp.chunks import encode_message
from common.rtmp.client import ClientSession, Published
from common.rtmp.events import (
    AudioReceived,
    ConnectRequested,
    Event,
    MetadataReceived,
    PlayRequested,
    PublishRequested,
    VideoReceived,
)
from common.rtmp.messages import encode_command
from common.rtmp.session import ServerSession
from ingest.rtmp.bounded_output import QUIET_S
from ingest.rtmp.connection import Connection, Phase
from ingest.streams.clock.timeline import Timeline
from tests.kit.waiting import until_async

CHUNK_SIZE = 4096


class Owner:
    """Lets everybody do everything, and notes it."""

    def __init__(self) -> None:
        self.open_timeout_s = 10.0
        self.buffer = memoryview(bytearray(65536))
        self.newcomers = FairReading(
            asyncio.get_running_loop(), 1.0, Budget(1.0, 1 << 30), self.now, lambda: 0.0
        )
        self.names: list[str] = []
        self.media_events: list[Event] = []
        self.ended: list[str] = []
        self.unread_counts: list[int] = []
        self.why_closed = ""
        self.is_fault = False
        self.is_slow = False  # lets its requests to publish wait
        self.request: PublishRequested | None = None  # the last

    def now(self) -> float:
        return time.monotonic()

    def connect(self, connection: Connection, request: ConnectRequested) -> None:
        connection.accept_connect(request.request_id)

    def publish(self, connection: Connection, request: PublishRequested, now: float) -> None:
        self.names.append(request.name)
        self.request = request
        if not self.is_slow:
            connection.accept_publish(request.request_id, Timeline(), now)

    def media(self, connection: Connection, events: Sequence[Event], now: float) -> None:
        self.media_events += events

    def unread(self, connection: Connection, count: int) -> int:
        self.unread_counts.append(count)
        return count

    def publish_ended(self, connection: Connection, how: str) -> None:
        self.ended.append(how)

    def play(self, connection: Connection, request: PlayRequested) -> None:
        raise AssertionError("nobody plays here")

    def closed(self, connection: Connection, reason: str, is_fault: bool) -> None:
        self.why_closed, self.is_fault = reason, is_fault


class Publisher:
    """A client at the other end of a socket pair, and the connection under test."""

    def __init__(self) -> None:
        self.owner = Owner()
        self.peer, ours = socket.socketpair()
        self.peer.setblocking(False)
        ours.setblocking(False)
        self.connection = Connection(ours, "127.0.0.1", "127.0.0.1:1", ServerSession(), self.owner)
        self.client = ClientSession("rtmp://host/live/cam1", "publish", CHUNK_SIZE)

    async def begin(self) -> None:
        self.client.start()
        while not any(isinstance(event, Published) for event in self.client.events_received()):
            self.peer.send(self.client.data_to_send())
            await asyncio.sleep(0.001)
            try:
                self.client.receive_data(self.peer.recv(65536), 0.0)
            except BlockingIOError:
                continue

    def picture(self, at_ms: int) -> None:
        self.client.send_video(at_ms, b"\x17\x01\0\0\0" + bytes(100))
        self.peer.send(self.client.data_to_send())

    def call(self, stream: int, name: str, transaction: float, *arguments: str) -> None:
        self.peer.send(encode_command(3, stream, CHUNK_SIZE, name, transaction, None, *arguments))


def run(scenario: Callable[[Publisher], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            publisher = Publisher()
            try:
                await publisher.begin()
                await scenario(publisher)
            finally:
                publisher.connection.close("the test is over")
                publisher.peer.close()

    asyncio.run(bounded())


async def some_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0.001)


def test_what_is_read_lazily_waits_until_it_is_asked_for() -> None:
    async def scenario(publisher: Publisher) -> None:
        connection, owner = publisher.connection, publisher.owner
        connection.read_batched()
        publisher.picture(40)
        publisher.picture(80)
        await some_turns()
        assert owner.media_events == []
        connection.read_batched()
        assert len(owner.media_events) == 2
        publisher.picture(120)
        connection.read_immediately()
        await until_async(lambda: len(owner.media_events) == 3)

    run(scenario)


def test_a_lazy_publisher_that_ends_and_begins_again_is_prompt_from_then_on() -> None:
    async def scenario(publisher: Publisher) -> None:
        connection, owner = publisher.connection, publisher.owner
        connection.read_batched()
        publisher.picture(40)
        publisher.call(0, "FCUnpublish", 8.0, "cam1")
        publisher.call(1, "publish", 9.0, "cam2", "live")
        connection.read_batched()
        assert owner.ended == ["FCUnpublish"]
        assert owner.names == ["cam1", "cam2"]
        assert connection.phase is Phase.PUBLISHING
        assert not connection.is_batched
        publisher.picture(80)
        await until_async(lambda: len(owner.media_events) == 2)

    run(scenario)


def test_a_lazy_publisher_that_is_closed_still_reads_why_and_is_not_reset() -> None:
    async def scenario(publisher: Publisher) -> None:
        connection, owner = publisher.connection, publisher.owner
        connection.read_batched()
        publisher.picture(40)
        connection.end_publish(Refusal(RefusalReason.NAME_IN_USE, "another took over"))
        await some_turns()
        assert b"another took over" in publisher.peer.recv(65536)
        assert publisher.peer.recv(65536) == b""
        publisher.peer.close()
        await until_async(lambda: owner.why_closed != "")
        assert owner.why_closed == "another took over"
        assert owner.media_events == [], "what came too late is thrown away"

    run(scenario)


def test_a_lazy_publisher_that_is_gone_is_found_out_at_the_first_look() -> None:
    async def scenario(publisher: Publisher) -> None:
        connection, owner = publisher.connection, publisher.owner
        connection.read_batched()
        publisher.picture(40)
        publisher.peer.close()
        await some_turns()
        assert owner.why_closed == ""
        connection.look_again()
        assert len(owner.media_events) == 1
        assert owner.why_closed == "the peer closed the connection"

    run(scenario)


def test_one_that_is_held_back_is_not_read_lazily_meanwhile() -> None:
    async def scenario(publisher: Publisher) -> None:
        connection, owner = publisher.connection, publisher.owner
        connection.read_batched()
        connection.hold_back(0.02)
        publisher.picture(40)
        connection.read_batched()
        connection.read_immediately()
        assert owner.media_events == []
        await until_async(lambda: len(owner.media_events) == 1)
        publisher.picture(80)
        await until_async(lambda: len(owner.media_events) == 2)

    run(scenario)


def test_what_waits_unread_while_a_publisher_is_held_back_is_known() -> None:
    async def scenario(publisher: Publisher) -> None:
        connection, owner = publisher.connection, publisher.owner
        assert connection.unread_bytes() == 0
        connection.hold_back(0.2)
        publisher.picture(40)
        await until_async(lambda: connection.unread_bytes() > 0)
        await until_async(lambda: len(owner.media_events) == 1)
        assert connection.unread_bytes() == 0
        connection.close("a test")
        assert connection.unread_bytes() == 0

    run(scenario)


HEADERS = [(18, amf0.encode("onMetaData", {})), (9, b"\x17\0\0\0\0"), (8, b"\xaf\0\x12\x10")]
ENOUGH = 1_000_000  # bytes of media; much more than is kept for one whose answer is due


def publish_with_media(publisher: Publisher) -> None:
    """Its first publish ends; the second waits, and its media does not wait for the answer."""
    publisher.owner.is_slow = True
    publisher.call(0, "FCUnpublish", 8.0, "cam1")
    publisher.call(1, "publish", 9.0, "cam2", "live")
    for type_id, payload in HEADERS:
        publisher.peer.send(encode_message(5, type_id, 0, 1, payload, CHUNK_SIZE))


async def send_all(publisher: Publisher, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(publisher.peer, data)


def test_media_sent_with_the_publish_request_is_taken_once_it_is_accepted() -> None:
    async def scenario(publisher: Publisher) -> None:
        connection, owner = publisher.connection, publisher.owner
        publish_with_media(publisher)
        picture = b"\x27\x01\0\0\0" + bytes(9995)
        more = b"".join(
            encode_message(5, 9, 40 * i, 1, picture, CHUNK_SIZE) for i in range(ENOUGH // 10_000)
        )
        sending = asyncio.ensure_future(send_all(publisher, more))
        await until_async(lambda: owner.names == ["cam1", "cam2"])
        await some_turns()
        connection.look_again()
        assert not sending.done(), "nothing more is read before the answer"
        assert owner.media_events == []
        assert connection.phase is Phase.ASKING
        assert owner.request is not None
        connection.accept_publish(owner.request.request_id, Timeline(), 0.0)
        assert owner.media_events == [], "its owner is in the middle of beginning it"
        await until_async(lambda: len(owner.media_events) == 3 + ENOUGH // 10_000)
        assert [type(event) for event in owner.media_events[:4]] == [
            MetadataReceived,
            VideoReceived,
            AudioReceived,
            VideoReceived,
        ]
        assert owner.why_closed == ""

    run(scenario)


def test_one_that_is_refused_with_media_under_way_reads_why_and_is_not_reset() -> None:
    async def scenario(publisher: Publisher) -> None:
        connection, owner = publisher.connection, publisher.owner
        publish_with_media(publisher)
        await until_async(lambda: owner.names == ["cam1", "cam2"])
        await some_turns()
        assert owner.request is not None
        connection.refuse_publish(owner.request.request_id, Refusal(RefusalReason.DENIED, "full"))
        await some_turns()
        assert b"full" in publisher.peer.recv(65536)
        assert publisher.peer.recv(65536) == b""
        publisher.peer.close()
        await until_async(lambda: owner.why_closed != "")
        assert owner.why_closed == "full"
        assert owner.media_events == []

    run(scenario)


def test_one_that_has_heard_nothing_for_long_gets_a_sign_of_life() -> None:
    async def scenario(publisher: Publisher) -> None:
        connection = publisher.connection
        now = publisher.owner.now()
        connection.show_life(now)
        await some_turns()
        heard = b""
        with contextlib.suppress(BlockingIOError):
            heard = publisher.peer.recv(65536)
        connection.show_life(now + QUIET_S + 1)
        await some_turns()
        assert publisher.peer.recv(65536)[:12] == bytes.fromhex("02 000000 000004 03 00000000")
        assert b"\x02\0\0\0\0\0\x04\x03" not in heard

    run(scenario)


def test_one_whose_request_waits_gets_it_too_but_none_that_is_held_back() -> None:
    async def scenario(publisher: Publisher) -> None:
        connection, owner = publisher.connection, publisher.owner
        publisher.picture(40)
        await until_async(lambda: len(owner.media_events) == 1)
        connection.hold_back(2.0)
        connection.show_life(owner.now() + 60)
        assert connection.session.data_to_send() == b""
        with pytest.raises(BlockingIOError):
            publisher.peer.recv(65536)

    async def waiting(publisher: Publisher) -> None:
        publish_with_media(publisher)
        await until_async(lambda: publisher.connection.phase is Phase.ASKING)
        await some_turns()
        publisher.peer.recv(65536)
        publisher.connection.show_life(publisher.owner.now() + 60)
        assert publisher.peer.recv(65536)

    run(scenario)
    run(waiting)


def test_one_that_asks_for_nothing_in_time_reads_why() -> None:
    async def scenario(publisher: Publisher) -> None:
        owner = publisher.owner
        owner.open_timeout_s = 0.02
        publisher.call(0, "FCUnpublish", 8.0, "cam1")
        await until_async(lambda: publisher.connection.phase is Phase.CLOSING)
        assert b"NetConnection.Connect.Closed" in publisher.peer.recv(65536)
        publisher.peer.close()
        await until_async(lambda: owner.why_closed != "")
        assert owner.why_closed == "neither publish nor play within 0.02 s"
        assert owner.is_fault

    run(scenario)


def test_a_client_may_send_all_its_commands_at_once() -> None:
    async def scenario() -> None:
        publisher = Publisher()
        try:
            commands = (
                encode_command(3, 0, 128, "connect", 1.0, {"app": "live"})
                + encode_command(3, 0, 128, "createStream", 2.0, None)
                + encode_command(3, 1, 128, "publish", 3.0, None, "cam1", "live")
            )
            publisher.peer.send(b"\x03" + bytes(2 * 1536) + commands)
            await until_async(lambda: publisher.connection.phase is Phase.PUBLISHING)
            assert publisher.owner.names == ["cam1"]
        finally:
            publisher.connection.close("the test is over")
            publisher.peer.close()

    asyncio.run(scenario())
