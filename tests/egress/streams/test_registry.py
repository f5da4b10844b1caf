"""egress/streams/registry.py: tags that overtake the opening of their stream."""

from common.ipc.identity import Generation
from common.ipc.media_messages import StreamClosed
from egress.streams import registry as streams_module
from egress.streams.registry import QUEUED_S, Streams
from tests.kit.egress import (
    STREAM,
    FlushReader,
    inter_tag,
    key_tag,
    rendition_open,
    stream_open,
    tags,
    texts,
)


def test_tags_before_their_stream_are_queued_and_taken_when_it_opens() -> None:
    streams = Streams()
    for message, payloads in (
        rendition_open("720p"),
        tags(0, key_tag(0), rendition="720p"),
        tags(1, inter_tag(40), rendition="720p"),
    ):
        assert streams.take(message, payloads, 0.0) == (None, ())
    stream, _ = streams.open(stream_open(), 0.5)
    wire = b"".join(entry.shared(1) for entry in FlushReader(stream.renditions["720p"]).take())
    assert texts(wire) == ["M", "H", "v0", "v40"]
    assert stream.touched == {"720p"}
    assert streams.queued == 0


def test_tags_of_the_next_generation_are_queued_until_it_is_announced() -> None:
    streams = Streams()
    stream, _ = streams.open(stream_open(), 0.0)
    for message, payloads in (
        rendition_open("720p", generation=2),
        tags(0, key_tag(0), generation=2, rendition="720p"),
    ):
        streams.take(message, payloads, 0.0)
    assert streams.queued == 2
    streams.open(stream_open(generation=2), 0.1)
    assert stream.renditions["720p"].frames == 1


def test_what_is_queued_is_dropped_after_a_while() -> None:
    streams = Streams()
    streams.take(*tags(0, key_tag(0)), 0.0)
    streams.expire(QUEUED_S - 0.1)
    assert streams.queued == 1
    streams.expire(QUEUED_S)
    assert streams.queued == 0
    assert streams.unplaced == 1


def test_the_queue_is_bounded() -> None:
    streams = Streams()
    for i in range(streams_module.MAX_QUEUED + 10):
        streams.take(*tags(i, key_tag(i)), 0.0)
    assert streams.queued == streams_module.MAX_QUEUED
    assert streams.unplaced == 10


def test_an_unknown_streams_end_is_nothing() -> None:
    message = StreamClosed(STREAM, Generation(1), "gone", 0)
    assert Streams().close(message, 0.0) is None


def test_a_removed_stream_opens_nothing_by_late_tags() -> None:
    streams = Streams()
    streams.open(stream_open(), 0.0)
    streams.remove(STREAM)
    stream, _ = streams.take(*tags(0, key_tag(0)), 0.0)
    assert stream is None
    assert streams.get(STREAM) is None
