"""The blocking publisher and player against server sessions on loopback sockets."""

import socket
import threading
import time

import pytest

from common.errors import HandshakeError
from common.flv import amf0
from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher, RtmpRefused
from common.rtmp.chunks import encode_message
from common.rtmp.client import Ended
from common.rtmp.events import (
    ConnectRequested,
    MetadataReceived,
    PlayRequested,
    PublishRequested,
    VideoReceived,
)
from common.rtmp.session import ServerSession

META = amf0.encode("onMetaData", amf0.EcmaArray(width=640.0))


def grant(session, event):
    if isinstance(event, ConnectRequested | PublishRequested | PlayRequested):
        session.accept(event.request_id)
    return session.data_to_send()


class Server:
    """Serves one connection in a thread; `answer` gives what to send after an event."""

    def __init__(self, answer=None, raw_reply=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.events = []
        self.answer = answer or grant
        self.raw_reply = raw_reply
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def url(self, path):
        return f"rtmp://127.0.0.1:{self.listener.getsockname()[1]}/{path}"

    def serve(self):
        connection, _ = self.listener.accept()
        self.listener.close()
        with connection:
            connection.settimeout(10)
            if self.raw_reply is not None:
                connection.recv(1 << 16)
                connection.sendall(self.raw_reply)
                return
            session = ServerSession()
            while data := connection.recv(1 << 16):
                session.receive_data(data, time.monotonic())
                for event in session.events_received():
                    self.events.append(event)
                    connection.sendall(self.answer(session, event))
                session.receive_data(b"", time.monotonic())
                connection.sendall(session.data_to_send())

    def join(self):
        self.thread.join(10)
        assert not self.thread.is_alive()


def test_a_publisher_sends_and_says_goodbye():
    server = Server()
    with RtmpPublisher(server.url("live/cam")) as publisher:
        publisher.send_metadata(META)
        publisher.send_video(0, bytes(20_000))
        publisher.send_audio(5, b"\xaf")
        publisher.send_data(b"\x00\x01\x02", 6)
    server.join()
    assert [type(event).__name__ for event in server.events] == [
        "ConnectRequested",
        "PublishRequested",
        "MetadataReceived",
        "VideoReceived",
        "AudioReceived",
        "DataReceived",
        "PublishEnded",
    ]
    publisher.close()
    with pytest.raises(ConnectionError):
        publisher.send_video(1, b"")


def test_a_player_gets_media_and_the_end():
    def answer(session, event):
        data = grant(session, event)
        if isinstance(event, PlayRequested):
            size = session.out_chunk_size
            data += encode_message(5, 18, 0, 1, META, size)
            data += encode_message(6, 9, 7, 1, bytes(100_000), size)
            session.end_play(event.message_stream_id, "over")
        return data

    server = Server(answer)
    player = RtmpPlayer(server.url("live/cam/720p"))
    player.connect()
    received = list(player)
    player.close()
    server.join()
    assert received[1:] == [
        MetadataReceived(0, META),
        VideoReceived(7, bytes(100_000)),
        Ended("NetStream.Play.UnpublishNotify"),
    ]


def test_a_refusal_is_raised_with_its_code():
    def refuse(session, event):
        if isinstance(event, PublishRequested):
            session.reject(event.request_id, "NetStream.Publish.BadName", "taken")
        return grant(session, event) if isinstance(event, ConnectRequested) else b""

    server = Server(refuse)
    with pytest.raises(RtmpRefused) as refusal:
        RtmpPublisher(server.url("live/cam")).connect()
    server.join()
    assert (refusal.value.code, refusal.value.description) == ("NetStream.Publish.BadName", "taken")


def test_a_server_that_closes_has_refused_without_a_code():
    server = Server(raw_reply=b"\x03")
    with pytest.raises(RtmpRefused, match="closed"):
        RtmpPlayer(server.url("live/cam")).connect()
    server.join()


def test_a_server_that_speaks_something_else_is_an_error():
    server = Server(raw_reply=b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(HandshakeError):
        RtmpPlayer(server.url("live/cam")).connect()
    server.join()


def test_silence_is_a_timeout_after_which_one_may_go_on():
    server = Server()
    with RtmpPlayer(server.url("live/cam")) as player:
        player.next_event(5.0)
        with pytest.raises(TimeoutError):
            player.next_event(0.02)
    server.join()


def test_a_publisher_whose_stream_the_server_ended_hears_of_it():
    def throw_out(session, event):
        data = grant(session, event)
        if isinstance(event, PublishRequested):
            session.send_status(1, "error", "NetStream.Failed", "thrown out")
        return data

    server = Server(throw_out)
    publisher = RtmpPublisher(server.url("live/cam"))
    publisher.connect()
    assert publisher.next_event(5.0) == Ended("NetStream.Failed")
    with pytest.raises(ConnectionError, match=r"NetStream\.Failed"):
        publisher.send_video(0, bytes(10))
    publisher.abort()
    server.join()


def test_nobody_listening_is_an_os_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        RtmpPublisher(f"rtmp://127.0.0.1:{port}/live/cam", timeout=2.0).connect()
