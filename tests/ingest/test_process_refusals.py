"""A real ingest process refuses and expels publishers, and says why."""

import contextlib
import socket
from dataclasses import replace

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import (
    Configure,
    EndStream,
    PublishEnd,
    PublishRequest,
    Refused,
)
from common.ipc.media_messages import (
    StreamClosed,
    StreamOpen,
    StreamStart,
)
from common.rtmp.blocking_client import RtmpPublisher
from common.rtmp.client import Ended
from tests.kit.ingest_ports import picture, sound_header
from tests.kit.ingest_process import (
    SETTINGS,
    TEMPLATE,
    FarmAround,
    is_refused,
    refusal,
    send_gop,
    send_until_closed,
    source_times,
    stream_id,
)
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("path", "code", "word"),
    [
        ("nope/cam", "NetConnection.Connect.InvalidApp", "nope"),
        ("live", "NetStream.Publish.BadName", "stream key"),
        ("live/" + "k" * 3000, "NetStream.Publish.BadName", "longer"),
        ("locked/cam", "NetStream.Publish.Denied", "missing"),
        ("locked/cam?key=wrong", "NetStream.Publish.Denied", "wrong"),
    ],
)
def test_what_cannot_be_published_is_told_and_logged(
    farm: FarmAround, path: str, code: str, word: str
) -> None:
    told = refusal(farm.url(path))
    assert told.code == code
    assert word in told.description
    farm.wait_log("refused")
    assert not farm.of(PublishRequest)


def test_the_right_key_opens(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url("locked/cam?key=sesame"), 30) as publisher:
        send_gop(publisher)
        farm.wait(lambda: farm.last(StreamOpen), "the stream")


def test_the_same_key_twice_is_refused_and_the_first_goes_on(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 30) as first:
        send_gop(first)
        assert refusal(farm.url()).code == "NetStream.Publish.BadName"
        first.send_video(200, picture(200).payload)
        farm.wait(lambda: 200 in source_times(farm), "the next picture")


def test_a_farm_that_is_full_says_so(farm: FarmAround) -> None:
    farm.answer = lambda ask: (
        Refused(ask.request_id, ask.stream_id, Refusal(RefusalReason.DENIED, "no room"))
        if isinstance(ask, PublishRequest)
        else None
    )
    told = refusal(farm.url())
    assert (told.code, told.description) == ("NetStream.Publish.Denied", "no room")


def test_a_supervisor_that_does_not_answer_is_not_waited_for(farm: FarmAround) -> None:
    farm.answer = lambda _: None
    told = refusal(farm.url())
    assert told.code == "NetStream.Failed"


def test_another_codec_is_closed_with_its_name_and_refused_before_start_the_next_time(
    farm: FarmAround,
) -> None:
    with RtmpPublisher(farm.url(), 30) as publisher, pytest.raises(ConnectionError):
        send_until_closed(publisher, b"\x90vvc1" + bytes(50))
    farm.wait_log("VVC")
    told = refusal(farm.url())
    assert told.code == "NetStream.Publish.Rejected"
    assert "VVC" in told.description


def test_no_video_in_time_and_silence_close_a_publisher(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 30) as publisher:
        publisher.send_audio(0, sound_header().payload)
        farm.wait_log("no video within 1.5 s")
        farm.wait(lambda: farm.last(PublishEnd), "the end")
    with RtmpPublisher(farm.url(), 30) as publisher:
        send_gop(publisher)
        farm.wait_log("no media for 2 s")
        farm.wait(lambda: farm.last(StreamClosed), "the hold")


def test_a_kicked_publisher_is_told_and_kept_out(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 30) as publisher:
        send_gop(publisher)
        farm.wait(lambda: farm.last(StreamStart), "the stream")
        farm.send(EndStream(stream_id(), Refusal(RefusalReason.DENIED, "kicked", is_lasting=True)))
        farm.wait(lambda: farm.last(PublishEnd), "the end")
        told = publisher.next_event()
        assert isinstance(told, Ended)
        assert told.code == "NetStream.Publish.Denied"
    assert refusal(farm.url()).description == "kicked"


def test_new_settings_hold_for_new_publishers(farm: FarmAround) -> None:
    farm.wait(lambda: farm.port, "the port")
    until(lambda: not is_refused(farm.url()), 5, "the first templates")
    farm.send(Configure(replace(SETTINGS, templates=(replace(TEMPLATE, name="other"),))))
    until(lambda: is_refused(farm.url()), 5, "the new templates")
    with RtmpPublisher(farm.url("other/cam"), 30):
        pass


def test_an_address_that_is_not_exempt_gets_its_share_and_others_theirs() -> None:
    limits = replace(SETTINGS.ingest, max_connections_per_address=3, max_publishes_per_address=1)
    with FarmAround(replace(SETTINGS, ingest=limits)) as farm, contextlib.ExitStack() as stack:

        def call(source: str) -> socket.socket:
            where = ("127.0.0.1", farm.port)
            return stack.enter_context(socket.create_connection(where, 5, (source, 0)))

        held = [call("127.0.0.2") for _ in range(3)]
        over = call("127.0.0.2")
        assert over.recv(1) == b"", "closed without a word"
        farm.wait_log("max_connections_per_address = 3")
        other = call("127.0.0.3")
        other.settimeout(0.2)
        with pytest.raises(TimeoutError):
            other.recv(1)
        held.pop().close()
        farm.wait(lambda: _stays_open(call("127.0.0.2")), "its share again")


def _stays_open(peer: socket.socket) -> bool:
    peer.settimeout(0.2)
    try:
        return peer.recv(1) != b""
    except TimeoutError:
        return True
