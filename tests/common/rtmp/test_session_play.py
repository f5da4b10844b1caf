"""The server session facing players: play, its controls, its end."""

import pytest

from common.errors import ChunkError, UsageError
from common.flv import amf0
from common.rtmp.chunks import ChunkReader
from common.rtmp.events import PlayEnded, PlayPauseRequested, PlayReceiveChanged, PlayRequested
from common.rtmp.messages import encode_command
from common.rtmp.session import SessionConfig


def command(*values, stream=1, csid=8):
    return encode_command(csid, stream, 4096, *values)


def sent(session):
    """What the session says, as command values or the payload of anything else."""
    reader = ChunkReader()
    reader.chunk_size = session.out_chunk_size
    reader.feed(session.data_to_send())
    messages = []
    while (message := reader.next_message()) is not None:
        messages.append(message)
    return [
        amf0.decode_all(m.payload) if m.type_id in (18, 20) else m.payload.hex() for m in messages
    ]


def codes(session):
    return [
        message[3]["code"] if message[0] == "onStatus" else message[0]
        for message in sent(session)
        if isinstance(message, list)
    ]


def play(session, *arguments, accept=True):
    session.receive_data(command("play", 4.0, None, *arguments), 0.0)
    (event,) = session.events_received()
    if accept:
        session.accept(event.request_id)
    return event


PLAYED = [
    (("cam", -2000.0), -2000.0, True),  # FFmpeg
    (("cam", -2.0), -2.0, True),  # GStreamer
    (("cam", -1000.0, -1.0, True), -1000.0, True),
    (("cam", 0.0, -1.0, False), 0.0, False),
    (("cam", 0.0, -1.0, 0.0), 0.0, False),
    (("cam", 0.0, -1.0, 1.0), 0.0, True),
    (("cam",), -2.0, True),
]


@pytest.mark.parametrize(("arguments", "start", "reset"), PLAYED)
def test_a_play_request_says_all_that_was_sent(connected, arguments, start, reset):
    session = connected()
    event = play(session, *arguments, accept=False)
    assert event == PlayRequested(2, 1, "live", "rtmp://host/live", "cam", start, reset)
    session.accept(event.request_id)
    begin, *statuses, access = sent(session)
    assert begin == "000000000001"
    wanted = ["NetStream.Play.Reset"] * reset + ["NetStream.Play.Start"]
    assert [status[3]["code"] for status in statuses] == wanted
    assert access == ["|RtmpSampleAccess", True, True]


def test_nothing_is_parsed_behind_a_play_until_it_is_answered(connected):
    session = connected()
    session.receive_data(
        command("play", 4.0, None, "cam") + command("getStreamLength", 5.0, None, "cam"), 0.0
    )
    assert session.has_pending_play
    session.receive_data(command("closeStream", 0.0, None), 0.0)
    assert session.data_to_send() == b""
    (request,) = session.events_received()
    session.accept(request.request_id)
    assert not session.has_pending_play
    assert session.events_received() == []
    sent(session)
    session.receive_data(b"", 0.0)
    assert sent(session) == [["_result", 5.0, None, 0.0]]
    assert session.events_received() == [PlayEnded(1, "closeStream")]


def test_what_waits_behind_a_play_is_bounded(connected):
    session = connected(SessionConfig(max_unread_bytes=1000))
    play(session, "cam", accept=False)
    session.receive_data(bytes(1000), 0.0)
    with pytest.raises(ChunkError, match="1000 bytes"):
        session.receive_data(bytes(1), 0.0)


@pytest.mark.parametrize(
    "code", ["NetStream.Play.StreamNotFound", "NetStream.Play.Failed", "NetStream.Failed"]
)
def test_a_refused_play_may_be_tried_again(connected, code):
    session = connected()
    event = play(session, "cam", accept=False)
    session.reject(event.request_id, code, "no such stream")
    (status,) = sent(session)
    assert status[3] == {"level": "error", "code": code, "description": "no such stream"}
    play(session, "cam2")
    assert "NetStream.Play.Start" in codes(session)


def test_stream_length_is_unknown(connected):
    session = connected()
    session.receive_data(command("getStreamLength", 3.0, None, "cam", csid=8, stream=0), 0.0)
    assert sent(session) == [["_result", 3.0, None, 0.0]]


def test_pause_is_answered_without_an_end_of_stream(connected):
    session = connected()
    play(session, "cam")
    sent(session)
    session.receive_data(command("pause", 0.0, None, True, 1000.0), 0.0)
    assert [s[3]["code"] for s in sent(session)] == ["NetStream.Pause.Notify"]
    session.receive_data(command("pauseraw", 0.0, None, False, 1000.0), 0.0)
    begin, status = sent(session)
    assert begin == "000000000001"
    assert status[3]["code"] == "NetStream.Unpause.Notify"
    assert session.events_received() == [
        PlayPauseRequested(1, True),
        PlayPauseRequested(1, False),
    ]


def test_seek_is_always_answered(connected):
    session = connected()
    play(session, "cam")
    sent(session)
    session.receive_data(command("seek", 0.0, None, 5000.0), 0.0)
    assert codes(session) == ["NetStream.Seek.Notify"]
    assert session.events_received() == []


def test_receive_audio_and_video_are_remembered_together(connected):
    session = connected()
    play(session, "cam")
    sent(session)
    session.receive_data(command("receiveVideo", 0.0, None, False), 0.0)
    session.receive_data(command("receiveAudio", 0.0, None, False), 0.0)
    assert sent(session) == []
    session.receive_data(command("receiveVideo", 0.0, None, True), 0.0)
    assert codes(session) == ["NetStream.Seek.Notify", "NetStream.Play.Start"]
    assert session.events_received() == [
        PlayReceiveChanged(1, audio=True, video=False),
        PlayReceiveChanged(1, audio=False, video=False),
        PlayReceiveChanged(1, audio=False, video=True),
    ]


@pytest.mark.parametrize("name", ["pause", "seek", "receiveAudio", "receiveVideo"])
def test_player_controls_without_a_play_do_nothing(connected, name):
    session = connected()
    session.receive_data(command(name, 0.0, None, True), 0.0)
    assert sent(session) == []
    assert session.events_received() == []


@pytest.mark.parametrize(
    ("goodbye", "how"),
    [
        (command("deleteStream", 0.0, None, 1.0, stream=0), "deleteStream"),
        (command("deleteStream", 0.0, None, stream=0), "deleteStream"),
        (command("closeStream", 0.0, None), "closeStream"),
        (command("play", 0.0, None, False), "play"),
    ],
)
def test_every_goodbye_ends_a_play_once(connected, goodbye, how):
    session = connected()
    play(session, "cam")
    session.receive_data(goodbye + command("deleteStream", 0.0, None, 1.0), 0.0)
    assert session.events_received() == [PlayEnded(1, how)]


def test_a_second_play_on_the_stream_replaces_the_first(connected):
    session = connected()
    play(session, "cam")
    session.receive_data(command("receiveAudio", 0.0, None, False), 0.0)
    session.receive_data(command("play", 5.0, None, "cam2"), 0.0)
    _, ended, request = session.events_received()
    assert ended == PlayEnded(1, "play")
    assert request.name == "cam2"
    session.accept(request.request_id)
    session.receive_data(command("receiveVideo", 0.0, None, True), 0.0)
    assert session.events_received() == [PlayReceiveChanged(1, audio=True, video=True)]


def test_the_end_of_a_play_is_told_once(connected):
    session = connected()
    play(session, "cam")
    sent(session)
    session.end_play(1, "publisher left")
    notify, end, stop = sent(session)
    assert notify[3]["code"] == "NetStream.Play.UnpublishNotify"
    assert notify[3]["description"] == "publisher left"
    assert end == "000100000001"
    assert stop[3]["code"] == "NetStream.Play.Stop"
    with pytest.raises(UsageError):
        session.end_play(1, "again")
    session.receive_data(command("deleteStream", 0.0, None, 1.0), 0.0)
    assert session.events_received() == []


def test_media_from_a_player_goes_nowhere(connected):
    session = connected()
    play(session, "cam")
    session.receive_data(bytes.fromhex("04 000000 000001 08 01000000 af"), 0.0)
    assert session.events_received() == []
