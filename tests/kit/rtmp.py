"""A client's end of an RTMP session, for tests that speak to one without a socket."""

from common.flv import amf0
from common.rtmp.chunks import ChunkReader, encode_delta
from common.rtmp.events import (
    ConnectRequested,
    PublishRequested,
)
from common.rtmp.messages import (
    encode_command,
)
from common.rtmp.session import ServerSession


class Wire:
    """A client's end: shell of a session that accepts everything, and reader of its replies."""

    def __init__(self, session=None):
        self.session = session or ServerSession()
        self.reader = ChunkReader()
        if session is not None:
            self.reader.chunk_size = session.out_chunk_size
        self.events = []
        self.messages = []

    def send(self, data, now=0.0, accept=True):
        self.session.receive_data(data, now)
        while events := self.session.events_received():
            for event in events:
                self.events.append(event)
                if accept and isinstance(event, ConnectRequested | PublishRequested):
                    self.session.accept(event.request_id)
            self.session.receive_data(b"", now)
        self.read(self.session.data_to_send())

    def read(self, data):
        self.reader.feed(data)
        while (message := self.reader.next_message()) is not None:
            self.messages.append(message)

    def replies(self):
        """What came since the last call: command values, or (type, payload)."""
        messages, self.messages = self.messages, []
        return [
            amf0.decode_all(m.payload) if m.type_id in (18, 20) else (m.type_id, m.payload.hex())
            for m in messages
        ]

    def codes(self):
        return [r[3]["code"] for r in self.replies() if r[0] == "onStatus"]


def handshake(wire):
    wire.session.receive_data(bytes((3,)) + bytes(1536), 0.0)
    reply = wire.session.data_to_send()
    assert len(reply) == 3073
    wire.send(reply[1:1537])


def command(*values, csid=3, stream=0, size=128):
    return encode_command(csid, stream, size, *values)


def type1_command(*values):
    """OBS: after connect, commands on chunk stream 3 have type 1 headers."""
    return encode_delta(3, 20, 0, amf0.encode(*values), 4096)


CONNECT = {
    "app": "live",
    "type": "nonprivate",
    "flashVer": "FMLE/3.0 (compatible; FMSc/1.0)",
    "swfUrl": "rtmp://host/live",
    "tcUrl": "rtmp://host/live",
}


CONNECTED_TYPES = [(5, "002625a0"), (6, "002625a002")]


def assert_connected(wire):
    window, bandwidth, result = wire.replies()
    assert [window, bandwidth] == CONNECTED_TYPES
    assert result[:2] == ["_result", 1.0]
    assert wire.reader.chunk_size == 60_000
