"""Bad input of every kind ends its own connection with a log line, and costs others nothing."""

import contextlib
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.flv import amf0
from common.ipc.media_messages import AccessUnit
from common.rtmp.blocking_client import RtmpPublisher, RtmpRefused
from common.rtmp.chunks import encode_message
from common.rtmp.messages import MessageType, encode_command, set_chunk_size
from tests.kit.ingest_ports import header, picture
from tests.kit.ingest_process import FarmAround, connect, stream_id
from tests.kit.waiting import patient

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
C0_C1 = b"\x03" + bytes(8) + bytes(1528)


class GoodStream(threading.Thread):
    """A publisher of 50 pictures a second."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.publisher = RtmpPublisher(url, 30)
        self.stopping = threading.Event()
        self.sent_s: list[float] = []
        self.error: Exception | None = None

    @property
    def sent(self) -> int:
        return len(self.sent_s)

    def run(self) -> None:
        try:
            with self.publisher:
                self.publisher.send_video(0, header().payload)
                while not self.stopping.wait(0.02):
                    at_ms = self.sent * 20
                    self.sent_s.append(time.monotonic())
                    self.publisher.send_video(at_ms, picture(at_ms, key=at_ms % 1000 == 0).payload)
        except Exception as error:
            self.error = error


@pytest.fixture(scope="module")
def farm() -> Iterator[FarmAround]:
    """An ingest with a good stream on it, which must come through whole and in time."""
    with FarmAround() as running:
        good = GoodStream(running.url("live/good"))
        good.start()
        running.wait(lambda: running.units(), "the good stream")
        try:
            yield running
        finally:
            good.stopping.set()
            good.join(5)
        assert good.error is None
        running.wait(lambda: len(units_of(running)) == good.sent, "every picture")
        assert [unit.number for unit in units_of(running)] == list(range(good.sent))
        came_s = [unit.received_s for unit in units_of(running)]
        delays_s = [came - sent for came, sent in zip(came_s, good.sent_s, strict=True)]
        assert max(delays_s) < patient(0.5), "it was never held up"
        assert "Traceback" not in running.log()
        assert running.process is not None
        assert running.process.poll() is None


def units_of(farm: FarmAround) -> list[AccessUnit]:
    return [unit for unit in farm.units() if unit.stream_id == stream_id("good")]


@contextlib.contextmanager
def shaken(farm: FarmAround) -> Iterator[socket.socket]:
    """A connection with its handshake done."""
    with connect(farm) as peer:
        peer.sendall(C0_C1)
        answer = b""
        while len(answer) < 3073:
            answer += peer.recv(4096)
        peer.sendall(answer[1:1537])
        yield peer


@contextlib.contextmanager
def connected(farm: FarmAround) -> Iterator[socket.socket]:
    """A connection whose connect command was granted."""
    with shaken(farm) as peer:
        peer.sendall(encode_command(3, 0, 128, "connect", 1.0, {"app": "live", "tcUrl": "x"}))
        assert peer.recv(4096)
        yield peer


def give(peer: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # closed while we were sending: that is the point
        peer.sendall(data)


def assert_closed(peer: socket.socket, within: float = 4.0) -> bytes:
    """Wait for the end; what was said before it."""
    said = b""
    deadline = time.monotonic() + within
    with contextlib.suppress(ConnectionError):
        while True:
            peer.settimeout(max(0.01, deadline - time.monotonic()))
            data = peer.recv(65536)
            if not data:
                break
            said += data
    return said


def log_since(farm: FarmAround, mark: int, pattern: str) -> None:
    farm.wait(
        lambda: re.search(pattern, farm.log()[mark:]), f"log line like {pattern!r}", timeout=5
    )


def resident_bytes(farm: FarmAround) -> int:
    assert farm.process is not None
    status = Path(f"/proc/{farm.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


NOISE = random.Random(1)


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", bytes(4000)],
    ids=["HTTP", "TLS", "zeros"],
)
def test_garbage_instead_of_a_handshake(farm: FarmAround, garbage: bytes) -> None:
    mark = len(farm.log())
    with connect(farm) as peer:
        give(peer, garbage)
        assert_closed(peer)
    log_since(farm, mark, r"connection closed peer=127.0.0.1:\d+ .*HandshakeError")


def test_garbage_as_the_rest_of_the_handshake_is_no_error_but_behind_it_is(
    farm: FarmAround,
) -> None:
    """C2 is not checked (docs/rtmp.md, Handshake); what follows has to be chunks."""
    mark = len(farm.log())
    with connect(farm) as peer:
        give(peer, C0_C1 + NOISE.randbytes(1536) + b"\xff" * 5000)
        assert_closed(peer)
    log_since(farm, mark, "connection closed .*ChunkError")


def test_garbage_after_the_handshake(farm: FarmAround) -> None:
    mark = len(farm.log())
    with shaken(farm) as peer:
        give(peer, NOISE.randbytes(100_000))
        assert_closed(peer)
    log_since(farm, mark, "connection closed .*Error")


def test_garbage_in_place_of_media(farm: FarmAround) -> None:
    mark = len(farm.log())
    with RtmpPublisher(farm.url("live/noise-key"), 30) as publisher:
        give(publisher._open_socket(), b"\xff" * 50_000)
        with contextlib.suppress(OSError):
            assert publisher.next_event(3) is None
    log_since(farm, mark, "connection closed .*ChunkError")
    log_since(farm, mark, "publisher lost")


def test_messages_of_200_mb_take_no_memory(farm: FarmAround) -> None:
    """24 bits say 16 MiB at most: 200 MB are twelve of them at once, each cut off early."""
    mark = len(farm.log())
    before = resident_bytes(farm)
    with shaken(farm) as peer:
        for chunk_stream_id in range(3, 16):
            head = bytes((chunk_stream_id,)) + bytes(3) + b"\xff\xff\xff" + b"\x09" + bytes(4)
            give(peer, head + bytes(128))
        assert_closed(peer)
    log_since(farm, mark, "connection closed .*message of 16777215 bytes exceeds")
    assert resident_bytes(farm) - before < 8 * MIB


def test_a_publisher_has_limits_too(farm: FarmAround) -> None:
    mark = len(farm.log())
    before = resident_bytes(farm)
    with RtmpPublisher(farm.url("live/large-key"), 30) as publisher:
        peer = publisher._open_socket()
        head = b"\x06" + bytes(3) + b"\xff\xff\xff" + b"\x09" + bytes(4)
        give(peer, head + bytes(4096))
        with contextlib.suppress(OSError):
            assert publisher.next_event(3) is None
    log_since(farm, mark, "connection closed .*exceeds 10485760")
    assert resident_bytes(farm) - before < 8 * MIB


def test_ten_thousand_chunk_streams(farm: FarmAround) -> None:
    mark = len(farm.log())
    one = b"".join(
        encode_message(64 + number, MessageType.VIDEO, 0, 1, bytes(200), 128)[:128]
        for number in range(10_000)
    )
    with shaken(farm) as peer:
        give(peer, one)
        assert_closed(peer)
    log_since(farm, mark, "connection closed .*ChunkError")

    mark = len(farm.log())
    opened = b"".join(
        encode_message(64 + number, MessageType.VIDEO, 0, 1, b"", 128) for number in range(10_000)
    )
    with shaken(farm) as peer:
        give(peer, opened)
        assert_closed(peer)
    log_since(farm, mark, "connection closed .*more than 256 chunk streams")


@pytest.mark.parametrize("marker", [b"\x03\x00\x01a", b"\x0a\x00\x00\x00\x01"])
def test_amf_nested_a_thousand_deep(farm: FarmAround, marker: bytes) -> None:
    mark = len(farm.log())
    body = amf0.encode("connect", 1.0) + marker * 1000
    with shaken(farm) as peer:
        give(peer, set_chunk_size(65536))
        give(peer, encode_message(3, MessageType.COMMAND, 0, 0, body, 65536))
        assert_closed(peer)
    log_since(farm, mark, "connection closed .*Amf0Error")


def test_metadata_nested_a_thousand_deep_is_no_metadata(farm: FarmAround) -> None:
    body = amf0.encode("onMetaData") + b"\x03\x00\x01a" * 1000
    with RtmpPublisher(farm.url("live/deep-key"), 30) as publisher:
        publisher.send_data(body)
        publisher.send_video(0, header().payload)
        publisher.send_video(0, picture(0, key=True).payload)
        farm.wait(
            lambda: [u for u in farm.units() if u.stream_id == stream_id("deep-key")], "units"
        )


@pytest.mark.parametrize("sent", [0, 1, 700, 1537])
def test_half_a_handshake_is_closed_by_its_deadline(farm: FarmAround, sent: int) -> None:
    mark = len(farm.log())
    with connect(farm) as peer:
        begin = time.monotonic()
        give(peer, C0_C1[:sent])
        assert_closed(peer)
        assert time.monotonic() - begin > 1.0
    log_since(farm, mark, "neither publish nor play within 1.5 s")


def test_a_handshake_that_drips_has_the_same_deadline(farm: FarmAround) -> None:
    with connect(farm) as peer:
        begin = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in C0_C1:
                peer.sendall(bytes((byte,)))
                time.sleep(0.02)
        assert 1.0 < time.monotonic() - begin < patient(3.5)


def test_commands_without_a_publish_have_the_same_deadline(farm: FarmAround) -> None:
    with connected(farm) as peer:
        begin = time.monotonic()
        while time.monotonic() - begin < patient(5):
            try:
                peer.sendall(encode_command(3, 0, 128, "createStream", 2.0, None))
            except OSError:
                break
            time.sleep(0.1)
        assert 1.0 < time.monotonic() - begin < patient(3.5)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("nope/key", "NetConnection.Connect.InvalidApp"),
        ("live", "NetStream.Publish.BadName"),
        ("live/" + "k" * 2000, "NetStream.Publish.BadName"),
        ("live/../../etc", "NetStream.Publish.BadName"),
    ],
)
def test_addresses_that_cannot_be_published(farm: FarmAround, path: str, code: str) -> None:
    mark = len(farm.log())
    with pytest.raises(RtmpRefused) as refused, RtmpPublisher(farm.url(path), 30):
        pass
    assert refused.value.code == code
    log_since(farm, mark, "refused .*peer=127.0.0.1")


def test_video_before_its_header_is_left_out_until_the_header_comes(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url("live/late-key"), 30) as publisher:
        for number in range(10):
            publisher.send_video(number * 40, picture(number * 40, key=True).payload)
        publisher.send_video(400, header().payload)
        publisher.send_video(400, picture(400, key=True).payload)
        farm.wait(
            lambda: [u for u in farm.units() if u.stream_id == stream_id("late-key")], "units"
        )
    (unit,) = [u for u in farm.units() if u.stream_id == stream_id("late-key")]
    assert unit.dts_ms == 400


def test_video_whose_header_never_comes_is_closed_with_the_reason(farm: FarmAround) -> None:
    mark = len(farm.log())
    with RtmpPublisher(farm.url("live/never-key"), 30) as publisher, contextlib.suppress(OSError):
        for number in range(300):
            publisher.send_video(number * 20, picture(number * 20, key=True).payload)
            time.sleep(0.01)
    log_since(farm, mark, "no video within 1.5 s of the start: video before its sequence header")


def test_corrupt_pictures_end_nothing(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url("live/corrupt-key"), 30) as publisher:
        publisher.send_video(0, header().payload)
        for number in range(200):
            body = bytearray(picture(number * 20, key=number % 20 == 0, size=300).payload)
            if number < 150:
                for at in NOISE.sample(range(len(body)), len(body) // 10):
                    body[at] = NOISE.randrange(256)
            publisher.send_video(number * 20, bytes(body))
        farm.wait(
            lambda: [
                unit
                for unit in farm.units()
                if unit.stream_id == stream_id("corrupt-key") and unit.dts_ms == 199 * 20
            ],
            "the last picture",
        )


def test_a_peer_that_reads_nothing_is_closed(farm: FarmAround) -> None:
    """Replies pile up for who asks and asks; they are bounded."""
    mark = len(farm.log())
    ask = encode_command(3, 0, 128, "createStream", 2.0, None)
    with connected(farm) as peer:
        give(peer, ask * 20_000)
        assert_closed(peer)
    log_since(farm, mark, "connection closed")


def test_three_hundred_connections_that_say_nothing_keep_nobody_out(farm: FarmAround) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connect(farm))
        begin = time.monotonic()
        with RtmpPublisher(farm.url("live/among-key"), 30):
            assert time.monotonic() - begin < patient(1.0)


def test_the_log_names_no_key(farm: FarmAround) -> None:
    assert "-key" not in farm.log()
    assert "kkkk" not in farm.log()
