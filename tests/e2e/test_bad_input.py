"""Bad input of every kind ends its own connection, with a log line, and touches no other stream.

One good stream is published and played all the while; at the end it must have lost nothing.
"""

import contextlib
import itertools
import random
import socket
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from common.rtmp.blocking_client import RtmpPublisher, RtmpRefused
from tests.kit.clients import FlvTag, Player, Publisher, TagPublisher, flv_tags, send_tag
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.needs import needs_root
from tests.kit.process_facts import descriptors, pss_bytes
from tests.kit.waiting import patient, until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
CONFIG = (
    """
[ingest]
handshake_timeout = "2s"
first_video_timeout = "2s"
idle_timeout = "2s"
"""
    + DEFAULT_CONFIG
)
GOOD = ClipSpec(
    seconds=8.0, width=320, height=180, fps=Fraction(15), gop_frames=15, bitrate_bps=200_000
)
HANDSHAKE = b"\x03" + bytes(8) + bytes(1528)


@pytest.fixture(scope="module")
def farm(clip: MakeClip) -> Iterator[Farm]:
    """A farm with a good stream on it, which must come out whole."""
    path = clip(GOOD)
    with (
        Farm(CONFIG) as running,
        Publisher(running.url("good"), path, loop=True) as publisher,
        Player(running.url("good", "144p"), seconds=900) as player,
    ):
        running.wait_stream("good")
        yield running
        assert publisher.is_running, "the good publisher was cut"
        assert player.is_running, "the good player was cut"
        player.stop()
        publisher.stop()
        assert player.recording.decode_error == ""
        numbers = [shown.number for shown in player.recording.shown]
        gaps = [
            (a, b)
            for a, b in itertools.pairwise(numbers)
            if a is None or b is None or b != (a + 1) % GOOD.frames
        ]
        assert not gaps, f"the good stream lost pictures: {gaps}"


@contextlib.contextmanager
def connection(farm: Farm) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", farm.port), 10) as peer:
        peer.settimeout(10)
        yield peer


@contextlib.contextmanager
def shaken(farm: Farm) -> Iterator[socket.socket]:
    """A connection with its handshake done."""
    with connection(farm) as peer:
        peer.sendall(HANDSHAKE)
        answer = b""
        while len(answer) < 3073:
            data = peer.recv(4096)
            assert data
            answer += data
        peer.sendall(answer[1:1537])
        yield peer


def assert_closed(peer: socket.socket, within: float = patient(8.0)) -> None:
    """The farm closes; whatever it says before is read and dropped."""
    deadline = time.monotonic() + within
    while True:
        left = deadline - time.monotonic()
        assert left > 0, f"still open after {within} s"
        peer.settimeout(left)
        try:
            if not peer.recv(65536):
                return
        except TimeoutError:
            continue
        except OSError:
            return


def send_as_far_as_it_goes(peer: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # closed while we were sending: that is the point
        peer.sendall(data)


def log_grows(farm: Farm) -> Callable[[], None]:
    """Remember the log's length; the result asserts that something was logged since."""
    before = len(farm.log())

    def check() -> None:
        until(lambda: len(farm.log()) > before, 5, "a log line about it")

    return check


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\xff" * 4000]
)
def test_garbage_instead_of_a_handshake_is_closed(farm: Farm, garbage: bytes) -> None:
    logged = log_grows(farm)
    with connection(farm) as peer:
        send_as_far_as_it_goes(peer, garbage)
        assert_closed(peer)
    logged()


def test_half_a_handshake_is_closed_by_the_deadline(farm: Farm) -> None:
    logged = log_grows(farm)
    with connection(farm) as peer:
        peer.sendall(HANDSHAKE[:700])
        began = time.monotonic()
        assert_closed(peer)
        assert time.monotonic() - began > 1.0
    logged()


def test_a_handshake_that_drips_is_closed_by_the_same_deadline(farm: Farm) -> None:
    """One deadline for all of it: each byte does not start it anew."""
    with connection(farm) as peer:
        began = time.monotonic()
        try:
            for byte in HANDSHAKE:
                peer.sendall(bytes([byte]))
                time.sleep(0.05)  # sleep: the pace at which it drips
                assert time.monotonic() - began < patient(6)
        except OSError:
            pass
        assert time.monotonic() - began > 1.0


def test_a_connection_that_asks_for_nothing_is_closed(farm: Farm) -> None:
    with shaken(farm) as peer:
        assert_closed(peer)


def test_random_bytes_after_the_handshake_are_closed(farm: Farm) -> None:
    logged = log_grows(farm)
    noise = random.Random(1).randbytes(200_000)
    with shaken(farm) as peer:
        send_as_far_as_it_goes(peer, noise)
        assert_closed(peer)
    logged()


def chunk(chunk_stream: int, length: int, type_id: int, body: bytes = b"") -> bytes:
    header = bytes([chunk_stream]) if chunk_stream < 64 else _long_header(chunk_stream)
    return header + bytes(3) + length.to_bytes(3, "big") + bytes([type_id]) + bytes(4) + body


def _long_header(chunk_stream: int) -> bytes:
    return b"\x01" + (chunk_stream - 64).to_bytes(2, "little")


def test_a_message_larger_than_the_limit_is_refused_before_memory_is_taken(farm: Farm) -> None:
    """16 MiB are all that 24 bits can say; 200 MB come as many of them, all at once."""
    logged = log_grows(farm)
    ingest = farm.child("ingest")["pid"]
    before = pss_bytes(ingest)
    with shaken(farm) as peer:
        for stream in range(3, 15):
            send_as_far_as_it_goes(peer, chunk(stream, 0xFFFFFF, 9, bytes(128)))
        assert_closed(peer)
    logged()
    assert pss_bytes(ingest) - before < 8 * 1024**2


def test_ten_thousand_chunk_streams_are_refused(farm: Farm) -> None:
    logged = log_grows(farm)
    with shaken(farm) as peer:
        flood = b"".join(chunk(64 + n, 200, 9, bytes(128)) for n in range(10_000))
        send_as_far_as_it_goes(peer, flood)
        assert_closed(peer)
    logged()


def test_amf_nested_a_thousand_deep_is_refused(farm: Farm) -> None:
    logged = log_grows(farm)
    nested = b"\x02\x00\x07connect" + b"\x00" + bytes(8) + b"\x03\x00\x01a" * 1000
    with shaken(farm) as peer:
        peer.sendall(b"\x02" + bytes(3) + b"\x00\x00\x04\x01" + bytes(4) + b"\x00\x00\x20\x00")
        send_as_far_as_it_goes(peer, chunk(3, len(nested), 20, nested))
        assert_closed(peer)
    logged()


def test_media_before_publish_is_no_stream(farm: Farm) -> None:
    with shaken(farm) as peer:
        send_as_far_as_it_goes(peer, chunk(6, 20, 9, b"\x17\x01" + bytes(18)) * 100)
        assert_closed(peer)


def test_a_publisher_of_no_video_is_closed_with_the_reason(farm: Farm) -> None:
    logged = log_grows(farm)
    silence = [FlvTag(8, step * 23, b"\xaf\x01" + bytes(20)) for step in range(400)]
    with TagPublisher(farm.url("silent"), silence) as publisher:
        publisher.join(15)
    assert publisher.error is not None
    assert publisher.sent < len(silence)
    logged()


def test_video_before_its_sequence_header_is_dropped_until_it_comes(
    farm: Farm, clip: MakeClip
) -> None:
    tags = flv_tags(clip(ClipSpec(seconds=3.0, b_frames=0, audio=False)))
    headers = [tag for tag in tags if tag.is_header]
    pictures = [tag for tag in tags if tag.type == 9 and not tag.is_header]
    late = [FlvTag(9, pictures[30].dts_ms, headers[0].body)]
    with (
        Player(farm.url("late", "240p")) as player,
        TagPublisher(farm.url("late"), [*pictures[:30], *late, *pictures[30:]]) as publisher,
    ):
        publisher.join(15)
        assert publisher.error is None
        player.join(15)
    assert player.recording.decode_error == ""
    assert [shown.number for shown in player.recording.shown] == list(range(30, 90))


def test_corrupt_h264_never_reaches_players_of_a_rendition_as_errors(
    farm: Farm, clip: MakeClip
) -> None:
    """A tenth of the bytes of every picture flipped: what comes out decodes strictly."""
    noise = random.Random(7)
    tags = []
    for tag in flv_tags(clip(ClipSpec(seconds=4.0))):
        body = bytearray(tag.body)
        if tag.type == 9 and not tag.is_header and 1000 < tag.dts_ms < 2900:
            for at in noise.sample(range(5, len(body)), len(body) // 10):
                body[at] ^= 1 << noise.randrange(8)
        tags.append(FlvTag(tag.type, tag.dts_ms, bytes(body)))
    with (
        Player(farm.url("corrupt", "240p")) as player,
        TagPublisher(farm.url("corrupt"), tags) as publisher,
    ):
        publisher.join(15)
        assert publisher.error is None
        player.join(15)
    recording = player.recording
    assert recording.decode_error == ""
    numbers = [shown.number for shown in recording.shown]
    assert numbers[:20] == list(range(20))
    assert set(range(95, 118)) <= set(numbers), "it goes on at the next keyframe"


def test_a_publisher_of_another_codec_is_refused_by_name(farm: Farm) -> None:
    """Sorenson H.263 in the first video tag: after Start, so it is closed, and remembered."""
    logged = log_grows(farm)
    told: list[BaseException] = []
    sorenson = [FlvTag(9, step * 33, b"\x12" + bytes(50)) for step in range(200)]
    for _ in range(2):
        with TagPublisher(farm.url("h263"), sorenson) as publisher:
            publisher.join(15)
        if publisher.error is not None:
            told.append(publisher.error)
    logged()
    assert len(told) == 2
    second = told[1]
    assert isinstance(second, RtmpRefused), "the second attempt is refused before Start"
    assert "263" in second.description or "codec" in second.description.lower()


def test_a_publisher_that_sends_nothing_any_more_is_given_up(farm: Farm, clip: MakeClip) -> None:
    tags = [tag for tag in flv_tags(clip(ClipSpec(seconds=2.0))) if tag.dts_ms < 1000]
    with TagPublisher(farm.url("mute"), tags, vanish=True) as publisher:
        farm.wait_stream("mute")
        farm.wait_gone("mute", 8)
        publisher.stop()


@needs_root("it has a socket vanish without a word (TCP_REPAIR)")
def test_a_publisher_that_vanishes_without_fin_is_given_up(farm: Farm, clip: MakeClip) -> None:
    """As when its machine loses power: the socket is closed by RST-less repair mode."""
    tags = [tag for tag in flv_tags(clip(ClipSpec(seconds=2.0))) if tag.dts_ms < 1000]
    peer = RtmpPublisher(farm.url("gone"), 30)
    peer.connect()
    for tag in tags:
        send_tag(peer, tag)
    farm.wait_stream("gone")
    raw = peer._open_socket()
    try:
        raw.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR: close says nothing to the peer
    except OSError as error:
        peer.abort()
        pytest.skip(f"this kernel has no TCP_REPAIR: {error}")
    peer.abort()
    farm.wait_gone("gone", 8)


def test_commands_in_a_flood_end_the_connection(farm: Farm) -> None:
    create = b"\x02\x00\x0ccreateStream\x00" + bytes(8) + b"\x05"
    with shaken(farm) as peer:
        send_as_far_as_it_goes(peer, chunk(3, len(create), 20, create) * 20_000)
        assert_closed(peer)


def test_the_log_holds_no_stream_key(farm: Farm) -> None:
    for key in ("h263", "corrupt", "silent"):
        assert f"live/{key}" not in farm.log()


def test_many_connections_that_say_nothing_leave_nothing(farm: Farm) -> None:
    ingest = farm.child("ingest")["pid"]

    before = descriptors(ingest)
    peers = [socket.create_connection(("127.0.0.1", farm.port), 10) for _ in range(60)]
    try:
        until(lambda: descriptors(ingest) > before, 5, "they are accepted")
        for peer in peers:
            assert_closed(peer)
    finally:
        for peer in peers:
            peer.close()
    until(lambda: descriptors(ingest) <= before, 5, "all are closed")


def test_no_process_was_restarted_by_any_of_this(farm: Farm) -> None:
    assert all(child["restarts"] == 0 for child in farm.status()["children"])
