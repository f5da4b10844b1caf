"""The server session against libavformat's own RTMP client: the one of ffmpeg, ffplay, VLC, mpv.

PyAV keeps the interpreter locked while it writes, so it runs in a process of its own.
"""

import contextlib
import socket
import subprocess
import sys
import threading
import time

import pytest

from common.rtmp.chunks import encode_message
from common.rtmp.events import (
    AudioReceived,
    ConnectRequested,
    MetadataReceived,
    PlayRequested,
    PublishEnded,
    PublishRequested,
    VideoReceived,
)
from common.rtmp.session import ServerSession, SessionConfig
from common.rtmp.snapshot import SessionSnapshot

FRAMES = 50

PUBLISH = f"""
import sys, av, numpy
av.logging.restore_default_callback()  # libav's own log goes to stderr
start = int(sys.argv[2])
output = av.open(sys.argv[1], "w", format="flv")
video = output.add_stream("libx264", rate=25)
video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
audio = output.add_stream("aac", rate=44100, layout="stereo")
for i in range({FRAMES}):
    picture = numpy.full((240, 320, 3), 5 * i, numpy.uint8)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame.pts = 25 * start + i
    output.mux(video.encode(frame))
    silence = numpy.zeros((2, 1764), numpy.float32)
    sound = av.AudioFrame.from_ndarray(silence, format="fltp", layout="stereo")
    sound.sample_rate, sound.pts = 44100, 44100 * start + 1764 * i
    output.mux(audio.encode(sound))
output.mux(video.encode())
output.mux(audio.encode())
output.close()
"""

PLAY = """
import sys, av
av.logging.restore_default_callback()
source = av.open(sys.argv[1], options={"err_detect": "explode"})
video, audio = source.streams.video[0], source.streams.audio[0]
frames = {"video": 0, "audio": 0}
for frame in source.decode(video, audio):
    frames["video" if isinstance(frame, av.VideoFrame) else "audio"] += 1
print(video.width, video.height, frames["video"], frames["audio"])
"""

MEDIA = (MetadataReceived, AudioReceived, VideoReceived)
KINDS = {MetadataReceived: (5, 18), AudioReceived: (7, 8), VideoReceived: (6, 9)}


class Server:
    """Takes one publisher, then plays what it sent to whoever asks, over a snapshot."""

    def __init__(self, config=None):
        self.config = config or SessionConfig()
        self.events = []
        self.media = []
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtmp://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self):
        """One connection, until its peer closes."""
        connection, _ = self.listener.accept()
        connection.settimeout(20)
        with connection:
            session = ServerSession(self.config)
            while data := self.read(connection):
                session.receive_data(data, time.monotonic())
                events = session.events_received()
                self.send(connection, session.data_to_send())
                for event in events:
                    self.events.append(event)
                    session = self.answer(connection, session, event)
                    self.send(connection, session.data_to_send())

    # Clients close with input unread, which resets the connection.

    def read(self, connection):
        try:
            return connection.recv(1 << 16)
        except ConnectionError:
            return b""

    def send(self, connection, data):
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)

    def answer(self, connection, session, event):
        match event:
            case ConnectRequested() | PublishRequested():
                session.accept(event.request_id)
            case PlayRequested(message_stream_id=stream_id):
                session = ServerSession.restore(
                    SessionSnapshot.from_bytes(session.snapshot().to_bytes()), self.config
                )
                assert session.events_received() == [event]
                session.accept(event.request_id)
                session.receive_data(b"", time.monotonic())
                self.send(connection, session.data_to_send())
                for medium in self.media:
                    csid, type_id = KINDS[type(medium)]
                    self.send(
                        connection,
                        encode_message(
                            csid,
                            type_id,
                            medium.timestamp,
                            stream_id,
                            medium.payload,
                            session.out_chunk_size,
                        ),
                    )
                session.end_play(stream_id, "over")
            case _:
                pass
        return session

    def run(self, script, *arguments):
        """Runs a client against one connection; returns what it printed, and the events."""
        self.events = []
        thread = threading.Thread(target=self.serve)
        thread.start()
        result = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        thread.join(20)
        assert not thread.is_alive()
        return result, self.events


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("start_s", "chunk_size"),
    [(0, 60_000), (20_000, 128)],  # the second: extended timestamps, on continuation chunks too
)
def test_libavformat_publishes_and_plays(start_s, chunk_size):
    server = Server(SessionConfig(chunk_size=chunk_size))
    with server.listener:
        result, events = server.run(PUBLISH, f"{server.url}/live/cam1?key=secret", str(start_s))
        assert result.returncode == 0, result.stderr
        connect, publish, *media, ended = events
        assert (connect.app, connect.flash_version[:4]) == ("live", "FMLE")
        assert (publish.name, publish.publish_type) == ("cam1?key=secret", "live")
        assert {type(medium) for medium in media} == set(MEDIA)
        assert ended == PublishEnded(1, "FCUnpublish")
        # Sequence header, the frames, end of sequence.
        assert sum(isinstance(medium, VideoReceived) for medium in media) == FRAMES + 2

        times = [medium.timestamp for medium in media if isinstance(medium, VideoReceived)]
        assert max(times) > start_s * 1000 + (FRAMES - 5) * 40  # decoding times

        server.media = media
        result, events = server.run(PLAY, f"{server.url}/live/cam1/720p")
        assert result.returncode == 0, result.stderr
        width, height, video_frames, audio_frames = map(int, result.stdout.split())
        assert (width, height, video_frames) == (320, 240, FRAMES)
        assert audio_frames >= 80
        assert (events[1].app, events[1].name) == ("live/cam1", "720p")


REFUSALS = [
    (PUBLISH, ConnectRequested, "NetConnection.Connect.InvalidApp"),
    (PUBLISH, PublishRequested, "NetStream.Publish.BadName"),
    (PUBLISH, PublishRequested, "NetStream.Publish.Denied"),
    (PLAY, ConnectRequested, "NetConnection.Connect.Rejected"),
    (PLAY, PlayRequested, "NetStream.Play.StreamNotFound"),
    (PLAY, PlayRequested, "NetStream.Play.Failed"),
]


@pytest.mark.e2e
@pytest.mark.parametrize(("script", "request_type", "code"), REFUSALS)
def test_libavformat_ends_on_every_refusal(script, request_type, code):
    class Refusing(Server):
        def answer(self, connection, session, event):
            if isinstance(event, request_type):
                session.reject(event.request_id, code, "not here")
                return session
            return super().answer(connection, session, event)

    server = Refusing()
    with server.listener:
        result, events = server.run(script, f"{server.url}/live/cam1", "0")
    assert result.returncode == 1
    assert "Server error: not here" in result.stderr
    assert isinstance(events[-1], request_type)
