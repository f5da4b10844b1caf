"""Viewers by HTTP at an egress process, handed over as the API does; the test is that API."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator

import pytest

from common.config.settings import ApiSettings, EgressSettings, Settings
from common.ipc.api_messages import WatchRequest
from common.ipc.control_messages import Configure, Endpoint, Topology
from common.ipc.envelope import encode
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import HEADER, Demand, StreamClosed
from common.ipc.socket_handover import HandoverAck, HandoverClient
from egress.streams.tag import AUDIO
from tests.kit.egress import (
    STREAM,
    TEMPLATE,
    audio_tag,
    head,
    key_tag,
    rendition_open,
    shared,
    stream_open,
    tags,
)
from tests.kit.egress_process import INGEST, SUPERVISOR, TIMEOUT_S, EgressProcess
from tests.kit.http_viewer import audio_header, video_header
from tests.kit.mp4_reader import read_movie, unchunked
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

SETTINGS = Settings(
    templates=(TEMPLATE,),
    api=ApiSettings(max_viewers=2),
    egress=EgressSettings(stall_timeout_s=1.0),
)


BROWSERS: list[socket.socket] = []  # of this test, whatever becomes of it


@pytest.fixture(autouse=True)
def closes_browsers() -> Iterator[None]:
    yield
    for browser in BROWSERS:
        browser.close()
    BROWSERS.clear()


@pytest.fixture
def egress() -> Iterator[EgressProcess]:
    """It has a stream whose 360p has begun."""
    with EgressProcess(SETTINGS) as running:
        api = Endpoint(ChildId("api"), SUPERVISOR)
        running.send(Topology((Endpoint(INGEST, SUPERVISOR), api)))
        running.push(stream_open(renditions=("360p",)))
        running.push(*rendition_open("360p", header=video_header()))
        running.push(*shared((head(AUDIO, 0, HEADER), audio_header())))
        pictures(running, 0, 3)
        running.served(lambda beat: bool(beat.served) and beat.served[0].renditions[0].frames == 3)
        yield running


def pictures(egress: EgressProcess, begin: int, end: int) -> None:
    for number in range(begin, end):
        egress.push(*tags(number, key_tag(40 * number), rendition="360p"))
        egress.push(*shared(audio_tag(40 * number)))


def hand_over(egress: EgressProcess, data: bytes) -> tuple[HandoverAck, socket.socket]:
    """The answer, and the browser's end of the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        browser = socket.create_connection(listener.getsockname())
        BROWSERS.append(browser)
        served, _ = listener.accept()
    with served:
        client = HandoverClient(egress.endpoint.viewers)
        ack = asyncio.run(client.send(served.fileno(), data, time.monotonic() + TIMEOUT_S))
    browser.settimeout(TIMEOUT_S)
    return ack, browser


def watch(
    egress: EgressProcess, rendition: str = "360p", stream: StreamId = STREAM
) -> tuple[HandoverAck, socket.socket]:
    return hand_over(egress, encode(WatchRequest(stream, rendition, "127.0.0.1:50000")))


def read_all(browser: socket.socket) -> bytes:
    """The body, which has its last chunk."""
    got = b"".join(iter(lambda: browser.recv(65536), b""))
    start, _, body = got.partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 200 OK\r\n"), start
    found, has_ended = unchunked(body)
    assert has_ended
    return found


def test_a_viewer_gets_a_movie_until_the_stream_ends_and_is_counted(egress: EgressProcess) -> None:
    ack, browser = watch(egress)
    with browser:
        assert ack.adopted, ack.reason
        assert egress.answer(Demand).renditions == ("360p",)
        served = egress.served(lambda beat: beat.served[0].renditions[0].players == 1)
        assert served.served[0].renditions[0].players_by == {"http": 1}
        pictures(egress, 3, 10)
        egress.served(lambda beat: beat.served[0].renditions[0].frames == 10)
        egress.push(StreamClosed(STREAM, Generation(1), "it left", 0))
        movie = read_movie(read_all(browser))
    assert [sample.dts for sample in movie.of(1)] == [40 * at for at in range(2, 9)]
    assert len(movie.of(2)) > 5
    assert json.loads(movie.ends[0]) == {"reason": "it left", "is_over": True}
    egress.served(lambda beat: beat.counters["http viewers"] == 0)


def test_there_are_so_many_and_each_is_turned_away_with_words(egress: EgressProcess) -> None:
    browsers = []
    for rendition, words in (
        ("360p", ""),
        ("720p", "no rendition 720p; it has 360p, source"),
        ("source", ""),  # it waits for a first picture
        ("360p", "2 watch already (api.max_viewers)"),
    ):
        ack, browser = watch(egress, rendition)
        browsers.append(browser)
        assert (ack.adopted, words in ack.reason) == (not words, True), ack
        assert ack.is_declined == bool(words)
    egress.send(Configure(Settings(templates=(TEMPLATE,))))

    def more_may_watch() -> bool:
        ack, browser = watch(egress, stream=StreamId("live/nobody"))
        browser.close()
        return "nobody publishes" in ack.reason

    until(more_may_watch, 10, "the other settings hold")
    for one in browsers:
        one.close()
    egress.served(lambda beat: beat.counters["http viewers"] == 0)


@pytest.mark.parametrize("data", [b"\xc1", encode(Demand(STREAM, ()))])
def test_what_is_no_request_is_turned_away(egress: EgressProcess, data: bytes) -> None:
    ack, browser = hand_over(egress, data)
    browser.close()
    assert ack.is_declined
    assert ack.reason


def test_one_that_takes_nothing_is_closed(egress: EgressProcess) -> None:
    ack, browser = watch(egress)
    assert ack.adopted
    with browser:
        large = b"\x17\x01\0\0\0" + (2**20).to_bytes(4, "big") + bytes(2**20)
        for number in range(3, 20):
            head_of, _ = key_tag(40 * number)
            egress.push(*tags(number, (head_of, large), rendition="360p"))
        egress.served(lambda beat: beat.counters["http stalled"] == 1)


def test_the_end_of_the_process_is_told_and_is_no_end_of_the_stream(egress: EgressProcess) -> None:
    ack, browser = watch(egress)
    assert ack.adopted
    pictures(egress, 3, 5)
    assert browser.recv(1, socket.MSG_PEEK)
    assert egress.process is not None
    egress.process.terminate()
    with browser:
        movie = read_movie(read_all(browser))
    assert json.loads(movie.ends[0]) == {"reason": "the server is stopping", "is_over": False}
