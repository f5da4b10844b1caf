"""What data and aggregate messages hold; how a session passes it on is in test_session_messages."""

import pytest

from common.errors import ChunkError
from common.flv import amf0
from common.rtmp.chunks import Message
from common.rtmp.data_events import aggregate_events, data_event
from common.rtmp.events import AudioReceived, DataReceived, MetadataReceived, VideoReceived
from common.rtmp.messages import MessageType

META = amf0.encode("onMetaData", amf0.EcmaArray(width=640.0))
SET = amf0.encode("@setDataFrame")


@pytest.mark.parametrize("prefix", [b"", SET])
def test_metadata_is_told_with_or_without_the_word_to_keep_it(prefix):
    assert data_event(7, prefix + META) == MetadataReceived(7, META)


@pytest.mark.parametrize("length", range(len(amf0.encode("onMetaData")) + 1, len(META)))
def test_metadata_whose_object_is_cut_is_data(length):
    assert data_event(7, META[:length]) == DataReceived(7, META[:length])


def test_other_data_passes_as_it_is_but_for_the_word_to_keep_it():
    cue = amf0.encode("onCuePoint", {})
    assert data_event(7, SET + cue) == DataReceived(7, cue)
    assert data_event(7, b"\x00\x01") == DataReceived(7, b"\x00\x01")


def aggregate(*tags: tuple[int, bytes]) -> Message:
    body = b"".join(
        bytes((type_id,)) + len(data).to_bytes(3, "big") + bytes(7) + data + bytes(4)
        for type_id, data in tags
    )
    return Message(MessageType.AGGREGATE, 500, 1, 4, body)


def test_an_aggregate_gives_its_media_and_leaves_out_the_rest():
    message = aggregate((9, b"\x27"), (20, b""), (8, b"\xaf"), (18, SET + META))
    assert aggregate_events(message) == [
        VideoReceived(500, b"\x27"),
        AudioReceived(500, b"\xaf"),
        MetadataReceived(500, META),
    ]


def test_a_malformed_aggregate_gives_nothing():
    with pytest.raises(ChunkError):
        aggregate_events(aggregate((9, b"\x27"), (22, b"")))


def test_metadata_that_may_not_be_read_is_data():
    assert data_event(7, META, lambda size: size < len(META)) == DataReceived(7, META)
    assert data_event(7, META, lambda size: size <= len(META)) == MetadataReceived(7, META)
    parts = aggregate((18, META))
    assert aggregate_events(parts, lambda _: False) == [DataReceived(500, META)]
