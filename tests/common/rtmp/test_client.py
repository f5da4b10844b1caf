"""The client session: URLs as FFmpeg splits them, and back to back with the server session."""

import contextlib
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import HandshakeError, ProtocolError, UsageError
from common.flv import amf0
from common.rtmp import replies
from common.rtmp.chunks import encode_message
from common.rtmp.client import (
    Address,
    ClientSession,
    Ended,
    Playing,
    Published,
    Refused,
    split_url,
)
from common.rtmp.events import (
    AudioReceived,
    ConnectRequested,
    DataReceived,
    Event,
    MetadataReceived,
    PlayEnded,
    PlayRequested,
    PublishEnded,
    PublishRequested,
    VideoReceived,
)
from common.rtmp.messages import UserControl, encode_command, user_control
from common.rtmp.session import ServerSession, SessionConfig

META = amf0.encode("onMetaData", amf0.EcmaArray(width=640.0))

URLS = [
    ("rtmp://h/live/cam1", "live", "cam1", "rtmp://h/live"),
    ("rtmp://h:1936/live/cam1/720p", "live/cam1", "720p", "rtmp://h:1936/live/cam1"),
    ("rtmp://h/a/b/c/d", "a/b", "c/d", "rtmp://h/a/b"),
    ("rtmp://h/live", "live", "", "rtmp://h/live"),
    ("rtmp://h/live/", "live", "", "rtmp://h/live"),
    ("rtmp://h", "", "", "rtmp://h/"),
    ("rtmp://h/live/cam?key=x", "live", "cam?key=x", "rtmp://h/live"),
    ("rtmp://h/live?key=x/cam", "live?key=x", "cam", "rtmp://h/live?key=x"),
    ("rtmp://h/live/cam.flv", "live", "cam", "rtmp://h/live"),
    ("rtmp://h/live/cam.mp4", "live", "mp4:cam.mp4", "rtmp://h/live"),
    ("rtmp://h/live/mp4:a/b", "live", "mp4:a/b", "rtmp://h/live"),
    ("rtmp://u:p@h/live/cam", "live", "cam", "rtmp://h/live"),
]


@pytest.mark.parametrize(("url", "app", "name", "tc_url"), URLS)
def test_urls_are_split_as_ffmpeg_splits_them(url, app, name, tc_url):
    port = 1936 if ":1936" in url else 1935
    assert split_url(url) == Address("h", port, app, name, tc_url)


@pytest.mark.parametrize("url", ["http://h/live/x", "rtmp:///live/x", "live/x", ""])
def test_other_urls_are_refused(url):
    with pytest.raises(ValueError, match="rtmp://"):
        split_url(url)


class Pair:
    """A client and a server with a wire between them that cuts everything at random."""

    def __init__(self, url, mode, *, config=None, chunk_size=4096, seed=1, refuse=None):
        self.client = ClientSession(url, mode, chunk_size)
        self.server = ServerSession(config or SessionConfig())
        self.client_events = []
        self.server_events = []
        self.refuse = refuse or {}
        self.rng = random.Random(seed)
        self.client.start()
        self.run()

    def run(self):
        """Carries bytes both ways until neither has anything to say."""
        busy = True
        while busy:
            busy = False
            for piece in self.cut(self.client.data_to_send()):
                busy = True
                self.server.receive_data(piece, 0.0)
                self.answer()
            for piece in self.cut(self.server.data_to_send()):
                busy = True
                self.client.receive_data(piece, 0.0)
                self.client_events += self.client.events_received()

    def cut(self, data):
        while data:
            size = self.rng.choice([1, 7, 100, 5000, 100_000])
            yield data[:size]
            data = data[size:]

    def answer(self):
        while events := self.server.events_received():
            self.server_events += events
            for event in events:
                if isinstance(event, ConnectRequested | PublishRequested | PlayRequested):
                    code = self.refuse.get(type(event))
                    if code is None:
                        self.server.accept(event.request_id)
                    else:
                        self.server.reject(event.request_id, code, "why not")
            self.server.receive_data(b"", 0.0)


@pytest.mark.parametrize("chunk_size", [1, 128, 4096, 70_000])
@pytest.mark.parametrize("seed", range(3))
def test_a_publisher_publishes(chunk_size, seed):
    pair = Pair("rtmp://h/live/cam?key=1", "publish", chunk_size=chunk_size, seed=seed)
    assert pair.client_events == [Published()]
    assert [type(e) for e in pair.server_events] == [ConnectRequested, PublishRequested]
    assert pair.server_events[1].name == "cam?key=1"
    client = pair.client
    client.send_metadata(META)
    sent: list[Event] = [MetadataReceived(0, META)]
    for i, time in enumerate([0, 0, 33, 66, 60, 0xFFFFFFF0, 0x0F, 0x01000000, 0x03000000]):
        video, audio = bytes((i,)) * (900 * i), bytes((i,)) * 200
        client.send_video(time, video)
        client.send_audio(time, audio)
        sent += [VideoReceived(time, video), AudioReceived(time, audio)]
    client.send_data(b"\x00\x01", 77)
    sent.append(DataReceived(77, b"\x00\x01"))
    pair.run()
    assert pair.server_events[2:] == sent
    client.close()
    pair.run()
    assert pair.server_events[-1] == PublishEnded(1, "FCUnpublish")
    assert pair.client_events == [Published()]


@pytest.mark.parametrize("server_chunk_size", [128, 60_000])
def test_a_player_plays_until_the_end(server_chunk_size):
    config = SessionConfig(chunk_size=server_chunk_size)
    pair = Pair("rtmp://h/live/cam1/720p", "play", config=config)
    assert pair.client_events == [
        Playing(),
        DataReceived(0, amf0.encode("|RtmpSampleAccess", True, True)),
    ]
    request = pair.server_events[1]
    assert (request.app, request.name, request.start) == ("live/cam1", "720p", -2000.0)
    size = pair.server.out_chunk_size
    media = (
        encode_message(5, 18, 0, 1, META, size)
        + encode_message(6, 9, 40, 1, bytes(3000), size)
        + encode_message(7, 8, 41, 1, b"\xaf", size)
    )
    for piece in pair.cut(media):
        pair.client.receive_data(piece, 0.0)
    assert pair.client.events_received() == [
        MetadataReceived(0, META),
        VideoReceived(40, bytes(3000)),
        AudioReceived(41, b"\xaf"),
    ]
    pair.server.end_play(1, "publisher left")
    pair.run()
    assert pair.client_events[2:] == [Ended("NetStream.Play.UnpublishNotify")]
    pair.client.close()
    pair.run()
    assert pair.server_events[2:] == []


def test_a_player_says_goodbye():
    pair = Pair("rtmp://h/live/cam1/720p", "play")
    pair.client.close()
    pair.run()
    assert pair.server_events[-1] == PlayEnded(1, "deleteStream")
    pair.client.close()
    assert pair.client.data_to_send() == b""


REFUSALS = [
    ("publish", ConnectRequested, "NetConnection.Connect.InvalidApp"),
    ("publish", ConnectRequested, "NetConnection.Connect.Rejected"),
    ("publish", PublishRequested, "NetStream.Publish.BadName"),
    ("publish", PublishRequested, "NetStream.Publish.Denied"),
    ("publish", PublishRequested, "NetStream.Publish.Rejected"),
    ("publish", PublishRequested, "NetStream.Failed"),
    ("play", ConnectRequested, "NetConnection.Connect.Rejected"),
    ("play", PlayRequested, "NetStream.Play.StreamNotFound"),
    ("play", PlayRequested, "NetStream.Play.Failed"),
]


@pytest.mark.parametrize(("mode", "request_type", "code"), REFUSALS)
def test_refusals_arrive_with_code_and_description(mode, request_type, code):
    pair = Pair("rtmp://h/live/cam", mode, refuse={request_type: code})
    assert pair.client_events == [Refused(code, "why not")]
    with pytest.raises(UsageError):
        pair.client.send_video(0, b"")
    pair.client.close()
    assert pair.client.data_to_send() == b""


def test_a_publisher_that_is_thrown_out_hears_of_it():
    pair = Pair("rtmp://h/live/cam", "publish")
    pair.server.send_status(1, "error", "NetStream.Publish.Failed", "no video")
    pair.run()
    assert pair.client_events == [Published(), Ended("NetStream.Publish.Failed")]


def test_pings_are_answered_both_ways():
    pair = Pair("rtmp://h/live/cam", "publish")
    for _ in range(2):  # the first one is an acknowledgement
        pair.server.show_life(5.0)
    pair.client.receive_data(pair.server.data_to_send(), 0.0)
    assert pair.client.data_to_send() == user_control(UserControl.PING_RESPONSE, 5000)


def test_both_sides_acknowledge_what_they_receive():
    config = SessionConfig(window_ack_size=10_000, ack_every=10_000)
    pair = Pair("rtmp://h/live/cam", "play", config=config)
    pair.client.receive_data(encode_message(6, 9, 0, 1, bytes(9000), 60_000), 0.0)
    raw = pair.client.data_to_send()
    assert raw[:12] == bytes.fromhex("02 000000 000004 03 00000000")


@pytest.mark.parametrize(
    ("called", "reply"),
    [
        # A warning at most: the courtesies before createStream.
        ("releaseStream", replies.error(128, 2.0, "NetConnection.Call.Failed", "no")),
        ("FCPublish", replies.error(128, 3.0, "NetConnection.Call.Failed", "no")),
    ],
)
def test_errors_for_courtesies_refuse_nothing(called, reply):
    client = ClientSession("rtmp://h/live/cam", "publish")
    client.start()
    client.receive_data(bytes((3,)) + bytes(3072), 0.0)
    client.receive_data(replies.result(128, 1.0, None, None), 0.0)
    client.receive_data(reply, 0.0)
    assert client.events_received() == []
    client.receive_data(replies.result(128, 4.0, None, 1.0), 0.0)
    assert b"publish" in client.data_to_send()


def test_a_create_stream_without_an_id_is_a_protocol_error():
    client = ClientSession("rtmp://h/live/cam", "play")
    client.start()
    client.receive_data(bytes((3,)) + bytes(3072), 0.0)
    client.receive_data(replies.result(128, 1.0, None, None), 0.0)
    with pytest.raises(ProtocolError):
        client.receive_data(replies.result(128, 2.0, None, None), 0.0)


def test_a_server_that_does_not_speak_rtmp_is_a_handshake_error():
    client = ClientSession("rtmp://h/live/cam", "play")
    client.start()
    with pytest.raises(HandshakeError):
        client.receive_data(b"HTTP/1.1 400 Bad Request\r\n", 0.0)


def test_a_client_starts_once_and_sends_only_while_publishing():
    client = ClientSession("rtmp://h/live/cam", "publish")
    client.start()
    with pytest.raises(UsageError):
        client.start()
    with pytest.raises(UsageError):
        client.send_audio(0, b"")
    pair = Pair("rtmp://h/live/cam/720p", "play")
    with pytest.raises(UsageError):
        pair.client.send_video(0, b"")


def wire_of_a_publisher() -> list[bytes]:
    """All that a client of ours sends, in pieces that wait for an answer each."""
    recorded = []
    client = ClientSession("rtmp://h/live/cam", "publish", random=bytes)
    server = ServerSession(SessionConfig(random=bytes))
    client.start()
    while data := client.data_to_send():
        recorded.append(data)
        server.receive_data(data, 0.0)
        for event in server.events_received():
            if isinstance(event, ConnectRequested | PublishRequested):
                server.accept(event.request_id)
        client.receive_data(server.data_to_send(), 0.0)
    assert client.events_received() == [Published()]
    client.send_metadata(META)
    client.send_video(0, bytes(5000))
    client.close()
    return [*recorded, client.data_to_send()]


PIECES = wire_of_a_publisher()
WIRE = b"".join(PIECES)
EDGES = list(itertools.accumulate(map(len, PIECES), initial=0))


def serve(raw, cuts):
    """Feeds a server, granting everything; returns all events."""
    server = ServerSession()
    events = []
    edges = sorted(min(edge, len(raw)) for edge in [*EDGES, *cuts, len(raw)])
    for a, b in itertools.pairwise(edges):
        server.receive_data(raw[a:b], 0.0)
        for event in server.events_received():
            events.append(event)
            if isinstance(event, ConnectRequested | PublishRequested | PlayRequested):
                server.accept(event.request_id)
        server.data_to_send()
    return events


damage = st.tuples(st.integers(0, len(WIRE) - 1), st.binary(max_size=4))


@settings(max_examples=150, deadline=None)
@given(st.lists(damage, max_size=3), st.lists(st.integers(0, len(WIRE)), max_size=4))
def test_any_damage_gives_events_or_a_protocol_error(damages, cuts):
    raw = bytearray(WIRE)
    for at, replacement in damages:
        raw[at : at + len(replacement)] = replacement
    with contextlib.suppress(ProtocolError):
        serve(bytes(raw), cuts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_bytes_after_the_handshake_give_events_or_a_protocol_error(pieces):
    for session in (ServerSession(), ClientSession("rtmp://h/live/cam", "play")):
        with contextlib.suppress(ProtocolError):
            session.receive_data(b"\x03" + bytes(3072), 0.0)
            for piece in pieces:
                session.receive_data(piece, 0.0)


def test_a_publisher_cut_off_anywhere_breaks_no_rule():
    whole = serve(WIRE, [])
    assert [type(event).__name__ for event in whole] == [
        "ConnectRequested",
        "PublishRequested",
        "MetadataReceived",
        "VideoReceived",
        "PublishEnded",
    ]
    for size in range(0, len(WIRE), 7):
        events = serve(WIRE[:size], [size // 2])
        assert events == whole[: len(events)]


def test_input_may_come_in_a_buffer_that_is_used_again():
    buffer = bytearray(1000)
    server = ServerSession()
    events = []
    for piece in PIECES:
        for at in range(0, len(piece), len(buffer)):
            part = piece[at : at + len(buffer)]
            buffer[: len(part)] = part
            server.receive_data(memoryview(buffer)[: len(part)], 0.0)
            buffer[:] = bytes(len(buffer))
            for event in server.events_received():
                events.append(event)
                if isinstance(event, ConnectRequested | PublishRequested):
                    server.accept(event.request_id)
    assert events == serve(WIRE, [])


def test_the_client_obeys_a_connect_that_has_more_values():
    client = ClientSession("rtmp://h/live/cam", "play")
    client.start()
    client.receive_data(bytes((3,)) + bytes(3072), 0.0)
    client.data_to_send()
    client.receive_data(encode_command(3, 0, 128, "_result", 1, {}, {}, 5, "more"), 0.0)
    assert b"createStream" in client.data_to_send()
