"""Snapshots: a player's connection carried over at any byte, and what is no snapshot."""

import contextlib
import dataclasses

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import EnvelopeError, UsageError
from common.flv import amf0
from common.rtmp.chunks import ChunkReader, ChunkStreamState, ReaderState
from common.rtmp.events import PlayEnded, PlayRequested
from common.rtmp.messages import encode_command, set_chunk_size, window_ack_size
from common.rtmp.session import ServerSession, SessionConfig
from common.rtmp.snapshot import MAX_SNAPSHOT_BYTES, SessionSnapshot

PLAY = encode_command(8, 1, 4096, "play", 4.0, None, "cam?key=1", -2000.0)


def codes(raw: bytes):
    reader = ChunkReader()
    reader.chunk_size = 60_000
    reader.feed(raw)
    found = []
    while (message := reader.next_message()) is not None:
        if message.type_id == 20:
            values = amf0.decode_all(message.payload)
            info = values[3] if values[0] == "onStatus" else None
            found.append(info["code"] if isinstance(info, dict) else values[0])
    return found


def hand_over(session, config=None):
    raw = session.snapshot().to_bytes()
    return ServerSession.restore(SessionSnapshot.from_bytes(raw), config or SessionConfig())


def pending(connected, before=b"", **start):
    session = connected(**start)
    session.receive_data(before + PLAY, 0.0)
    session.data_to_send()
    return session


SNAPSHOT = SessionSnapshot(
    reader=ReaderState(
        chunk_size=4096,
        streams=(
            ChunkStreamState(4, 5, 6, 7, 2048, 18, 1, b"half"),
            ChunkStreamState(8, 0, 0, None, 50, 20, 1, None),
        ),
        open_chunk=(4, 100),
        unread=b"unread",
    ),
    play=PlayRequested(2, 1, "live", "rtmp://h/live", "cam", -2.0, True),
    message_stream_ids=(1, 2),
    out_chunk_size=60_000,
    bytes_received=1 << 33,
    bytes_acknowledged=5,
    bytes_sent=6,
    peer_window=2_500_000,
    object_encoding=3.0,
    flash_version="v",
    app="live",
    tc_url="rtmp://h/live",
)


@pytest.mark.parametrize(
    "snapshot",
    [
        SNAPSHOT,
        dataclasses.replace(SNAPSHOT, peer_window=None, reader=ReaderState(128)),
        dataclasses.replace(SNAPSHOT, fourccs=frozenset({"hvc1", "*"})),
    ],
)
def test_snapshots_are_written_and_read(snapshot):
    assert SessionSnapshot.from_bytes(snapshot.to_bytes()) == snapshot


def test_what_the_peer_takes_is_taken_along(connected):
    session = pending(connected, enhanced={"fourCcList": ["hvc1", "av01"]})
    assert session.snapshot().fourccs == {"hvc1", "av01"}
    assert hand_over(session).snapshot().fourccs == {"hvc1", "av01"}
    assert pending(connected).snapshot().fourccs == frozenset()


@pytest.mark.parametrize("fourccs", [5, [5], ["12345"], {"a": 1}])
def test_fourccs_that_are_none_are_an_error(fourccs):
    packed = msgpack.unpackb(SNAPSHOT.to_bytes(), strict_map_key=False)
    packed["fourccs"] = fourccs
    with pytest.raises(EnvelopeError, match="fourccs"):
        SessionSnapshot.from_bytes(msgpack.packb(packed))


def test_a_snapshot_of_before_an_upgrade_names_no_codecs():
    packed = msgpack.unpackb(SNAPSHOT.to_bytes(), strict_map_key=False)
    del packed["fourccs"]
    assert SessionSnapshot.from_bytes(msgpack.packb(packed)) == SNAPSHOT


def test_secrets_are_not_in_its_repr():
    assert "cam" not in repr(SNAPSHOT)
    assert "unread" not in repr(SNAPSHOT).replace("unread_", "")


def test_the_play_request_is_raised_again_with_its_id(connected):
    session = pending(connected)
    (asked,) = session.events_received()
    restored = hand_over(session)
    assert restored.has_pending_play
    assert restored.events_received() == [asked]
    assert restored.bytes_received == session.bytes_received
    assert restored.out_chunk_size == session.out_chunk_size
    restored.accept(asked.request_id)
    assert codes(restored.data_to_send()) == ["NetStream.Play.Reset", "NetStream.Play.Start"]


def test_a_handover_in_the_middle_of_another_message_loses_nothing(connected):
    half = bytes.fromhex("04 000000 000800 12 01000000") + bytes(1748)
    play = encode_command(8, 1, 1748, "play", 4.0, None, "cam")
    # The other 300 bytes of the message, and a command; cut at many places.
    rest = b"\xc4" + bytes(300) + encode_command(8, 1, 1748, "closeStream", 0.0, None)
    for cut in range(0, len(rest) + 1, 9):
        session = connected()
        session.receive_data(set_chunk_size(1748) + half + play + rest[:cut], 0.0)
        assert session.has_pending_play
        restored = hand_over(session)
        restored.accept(restored.events_received()[0].request_id)
        restored.receive_data(b"", 0.0)
        restored.receive_data(rest[cut:], 0.0)
        assert restored.events_received() == [PlayEnded(1, "closeStream")]


def test_acknowledgements_go_on_where_they_were_and_wrap(connected):
    session = pending(connected, window_ack_size(4000))
    session.events_received()
    snapshot = dataclasses.replace(
        session.snapshot(), bytes_received=0xFFFFFF00, bytes_acknowledged=0xFFFFFF00
    )
    restored = ServerSession.restore(SessionSnapshot.from_bytes(snapshot.to_bytes()))
    restored.accept(snapshot.play.request_id)
    restored.data_to_send()
    restored.receive_data(bytes.fromhex("04 000000 000b00 12 01000000") + bytes(2816), 0.0)
    total = 0xFFFFFF00 + 12 + 2816
    assert total > 1 << 32
    assert restored.data_to_send() == bytes.fromhex("02 000000 000004 03 00000000") + (
        total - (1 << 32)
    ).to_bytes(4, "big")


def test_a_publish_on_a_connection_handed_over_is_refused(connected):
    restored = hand_over(pending(connected))
    (asked,) = restored.events_received()
    restored.reject(asked.request_id, "NetStream.Play.StreamNotFound", "none")
    restored.data_to_send()
    restored.receive_data(encode_command(8, 1, 4096, "publish", 5.0, None, "key", "live"), 0.0)
    assert restored.events_received() == []
    assert codes(restored.data_to_send()) == ["NetStream.Failed"]
    assert not restored.is_publishing


def test_new_streams_after_a_handover_get_free_ids(connected):
    session = connected(streams=2)
    session.receive_data(PLAY, 0.0)
    restored = hand_over(session)
    (asked,) = restored.events_received()
    restored.accept(asked.request_id)
    restored.data_to_send()
    restored.receive_data(encode_command(3, 0, 4096, "createStream", 9.0, None), 0.0)
    assert amf0.encode("_result", 9.0, None, 3.0) in restored.data_to_send()


def test_the_old_session_goes_on_if_the_handover_fails(connected):
    session = pending(connected)
    (asked,) = session.events_received()
    session.snapshot()
    session.reject(asked.request_id, "NetStream.Play.Failed", "nobody serves players")
    assert codes(session.data_to_send()) == ["NetStream.Play.Failed"]


def test_a_snapshot_is_only_for_a_quiet_pending_play(connected, publishing):
    with pytest.raises(UsageError, match="pending play"):
        connected().snapshot()
    with pytest.raises(UsageError, match="pending play"):
        publishing().snapshot()
    session = connected()
    session.receive_data(encode_command(3, 0, 4096, "createStream", 9.0, None) + PLAY, 0.0)
    with pytest.raises(UsageError, match="output"):
        session.snapshot()
    session.data_to_send()
    session.snapshot()
    (asked,) = session.events_received()
    session.accept(asked.request_id)
    with pytest.raises(UsageError, match="pending play"):
        session.snapshot()


def test_no_snapshot_while_another_stream_plays(connected):
    session = connected(streams=2)
    session.receive_data(PLAY, 0.0)
    session.accept(session.events_received()[0].request_id)
    session.receive_data(encode_command(8, 2, 4096, "play", 5.0, None, "x"), 0.0)
    session.data_to_send()
    with pytest.raises(UsageError, match="plays already"):
        session.snapshot()


def test_a_snapshot_too_long_is_not_written():
    reader = ReaderState(4096, unread=bytes(MAX_SNAPSHOT_BYTES))
    with pytest.raises(EnvelopeError, match="exceeds"):
        dataclasses.replace(SNAPSHOT, reader=reader).to_bytes()


PACKED = msgpack.unpackb(SNAPSHOT.to_bytes())

BROKEN = {
    "another version": {"version": 2},
    "no version": {"version": None},
    "a negative count": {"bytes_received": -1},
    "a count that is a flag": {"bytes_received": True},
    "text that is bytes": {"app": b"live"},
    "text too long": {"name": "x" * 100_000},
    "unread that is text": {"unread": "x"},
    "chunk size 0": {"chunk_size": 0},
    "out chunk size of 16 MiB": {"out_chunk_size": 1 << 24},
    "a window of 0": {"peer_window": 0},
    "start that is text": {"start": "x"},
    "reset that is a number": {"reset": 1},
    "streams that are a number": {"message_stream_ids": 5},
    "a stream id that is text": {"message_stream_ids": ["x", 1]},
    "a play on a stream that is not open": {"message_stream_id": 9},
    "too many chunk streams": {"chunk_streams": [[1, 0, 0, None, 0, 0, 0, None]] * 2000},
    "a chunk stream twice": {"chunk_streams": PACKED["chunk_streams"] * 2},
    "a message stream twice": {"message_stream_ids": [1, 1]},
    "an out chunk size that control messages do not fit": {"out_chunk_size": 8},
    "a chunk stream of three fields": {"chunk_streams": [[1, 2, 3]]},
    "a timestamp of 40 bits": {"chunk_streams": [[4, 1 << 40, 0, None, 0, 0, 0, None]]},
    "a partial that is text": {"chunk_streams": [[4, 0, 0, None, 9, 0, 0, "x"]]},
    "a partial that is whole": {"chunk_streams": [[4, 0, 0, None, 2, 0, 0, b"ab"]]},
    "an open chunk of no stream": {"open_chunk": [99, 1]},
    "an open chunk of no message": {"open_chunk": [8, 1]},
    "an open chunk beyond the message": {"open_chunk": [4, 2045]},
    "an empty open chunk": {"open_chunk": [4, 0]},
    "an open chunk of one number": {"open_chunk": [4]},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_broken_snapshots_are_envelope_errors(change):
    with pytest.raises(EnvelopeError):
        SessionSnapshot.from_bytes(msgpack.packb(PACKED | change))


@pytest.mark.parametrize("name", sorted(PACKED))
def test_a_missing_field_is_an_envelope_error_or_has_a_meaning(name):
    without = {key: value for key, value in PACKED.items() if key != name}
    if name in ("fourccs", "open_chunk", "peer", "peer_window", "repeats_extended"):
        SessionSnapshot.from_bytes(msgpack.packb(without))
    else:
        with pytest.raises(EnvelopeError):
            SessionSnapshot.from_bytes(msgpack.packb(without))


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x93\x01", msgpack.packb([1]), msgpack.packb(5)])
def test_what_is_no_map_is_an_envelope_error(raw):
    with pytest.raises(EnvelopeError):
        SessionSnapshot.from_bytes(raw)


def test_too_long_a_snapshot_is_not_even_unpacked():
    with pytest.raises(EnvelopeError, match="exceeds"):
        SessionSnapshot.from_bytes(bytes(MAX_SNAPSHOT_BYTES + 1))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(SNAPSHOT.to_bytes()) - 1), st.integers(0, 255))
def test_any_damage_gives_a_snapshot_or_an_envelope_error(at, byte):
    raw = bytearray(SNAPSHOT.to_bytes())
    raw[at] = byte
    with contextlib.suppress(EnvelopeError):
        ServerSession.restore(SessionSnapshot.from_bytes(bytes(raw)))
