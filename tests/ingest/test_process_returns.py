"""A real ingest process whose publishers return, and whose workers and egresses change."""

import signal
import socket
import struct

import pytest

from common.config.ladder import SOURCE
from common.ipc.control_messages import (
    PublishEnd,
    PublishRequest,
    SourceFormatReport,
)
from common.ipc.media_messages import (
    KEY,
    REPLAY,
    RenditionOpen,
    StreamClosed,
    StreamOpen,
    StreamStart,
    Tags,
)
from common.rtmp.blocking_client import RtmpPublisher
from tests.kit.ingest_ports import picture
from tests.kit.ingest_process import (
    TEMPLATE,
    FarmAround,
    is_refused,
    placed,
    refusal,
    send_gop,
    source_times,
)
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e


def test_a_publisher_that_drops_returns_into_its_stream(farm: FarmAround) -> None:
    first = RtmpPublisher(farm.url(), 30)
    first.connect()
    send_gop(first)
    farm.wait(lambda: len(farm.units()) == 5, "units")
    first.abort()
    held = farm.wait(lambda: farm.last(StreamClosed), "the hold")
    assert held.hold_ms == TEMPLATE.hold_ms
    with RtmpPublisher(farm.url(), 30) as second:
        send_gop(second)
        farm.wait(lambda: len(farm.units()) == 10, "more units")
    units = farm.units()
    assert [unit.number for unit in units] == list(range(10))
    times = [unit.dts_ms for unit in units]
    assert times == sorted(set(times))
    assert len(farm.of(PublishRequest)) == 1


def test_a_reset_seen_together_with_the_last_bytes_loses_the_publisher_in_the_end(
    farm: FarmAround,
) -> None:
    """libuv stops watching a socket whose reset it saw, however much of it was read by then."""
    with RtmpPublisher(farm.url(), 30) as publisher:
        send_gop(publisher)
        farm.wait(lambda: len(farm.units()) == 5, "units")
        assert farm.process is not None
        farm.process.send_signal(signal.SIGSTOP)
        publisher.send_video(200, picture(200).payload)
        linger = struct.pack("ii", 1, 0)
        publisher._open_socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        publisher.abort()
        farm.process.send_signal(signal.SIGCONT)
        held = farm.wait(lambda: farm.last(StreamClosed), "the hold")
    assert "reset" in held.reason
    farm.wait(lambda: len(farm.units()) == 6, "what had arrived before the reset")


def test_a_held_stream_ends_when_its_publisher_stays_away(farm: FarmAround) -> None:
    publisher = RtmpPublisher(farm.url(), 30)
    publisher.connect()
    send_gop(publisher)
    farm.wait(lambda: len(farm.units()) == 5, "units")
    publisher.abort()
    farm.wait(lambda: farm.last(PublishEnd), "the end")
    farm.wait(lambda: len(farm.of(StreamClosed)) == 2, "both closes")
    assert [message.hold_ms for message in farm.of(StreamClosed)] == [TEMPLATE.hold_ms, 0]


def test_a_silent_publisher_makes_way_for_a_new_one(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 30) as half_open:
        send_gop(half_open)
        assert refusal(farm.url()).code == "NetStream.Publish.BadName"
        until(lambda: not is_refused(farm.url()), what="the takeover")


def test_a_new_placement_gets_the_last_gop_and_egress_hears_of_it_first(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 30) as publisher:
        send_gop(publisher)
        farm.wait(lambda: len(farm.units()) == 5, "units")
        ask = farm.of(SourceFormatReport)[0]
        farm.send(placed(ask, 2, request_id=0, resume_after_ms=80))
        farm.wait(lambda: len(farm.units()) == 10, "the replay")
        publisher.send_video(200, picture(200).payload)
        farm.wait(lambda: len(farm.units()) == 11, "the next unit")
    starts = farm.of(StreamStart)
    assert [(s.generation, s.resume_after_ms) for s in starts] == [(1, None), (2, 80)]
    again = [u for u in farm.units() if u.generation == 2]
    assert [(u.number, u.replay) for u in again] == [
        *((number, True) for number in range(5)),
        (5, False),
    ]
    opened = dict.fromkeys(m.generation for m in farm.of(StreamOpen))  # said again every 5 s
    assert list(opened) == [1, 2]


def test_a_new_egress_gets_headers_and_the_last_gop(farm: FarmAround) -> None:
    with RtmpPublisher(farm.url(), 30) as publisher:
        send_gop(publisher)
        farm.wait(lambda: len(source_times(farm)) == 5, "tags")
        before = len(farm.received)
        farm.egress_boot = 2
        farm.set_topology()
        farm.wait(lambda: len(source_times(farm)) == 10, "the replay")
        publisher.send_video(200, picture(200).payload)
        farm.wait(lambda: 200 in source_times(farm), "the next picture")
    late = [entry.message for entry in farm.received[before:] if entry.at == "egress"]
    assert [type(message) for message in late[:2]] == [StreamOpen, RenditionOpen]
    flags = [
        entry.flags
        for message in late
        if isinstance(message, Tags) and message.rendition == SOURCE
        for entry in message.tags
    ]
    assert flags == [KEY | REPLAY, REPLAY, REPLAY, REPLAY, REPLAY, 0]
