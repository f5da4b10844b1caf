"""egress/streams/registry.py: tags that overtake the opening of their stream."""

from collections.abc import Sequence
from dataclasses import replace

from common.config.ladder import SOURCE
from common.ipc.identity import ChildId, Generation
from common.ipc.media_messages import GenerationEnd, StreamClosed
from egress.streams import registry as streams_module
from egress.streams.registry import QUEUED_S, Streams
from egress.streams.stream import StreamState
from tests.kit.children import CPU0, CPU1, INGEST0
from tests.kit.egress import (
    RTMP_FORM,
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
    assert stream is not None
    wire = b"".join(
        entry.shared(RTMP_FORM) for entry in FlushReader(stream.renditions["720p"]).take()
    )
    assert texts(wire) == ["M", "H", "v0", "v40"]
    assert stream.touched == {"720p"}
    assert streams.queued == 0


def test_tags_of_the_next_generation_are_queued_until_it_is_announced() -> None:
    streams = Streams()
    stream, _ = streams.open(stream_open(), 0.0)
    assert stream is not None
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


class From:
    """A sender of a test."""

    closed = False

    def __init__(self, child: ChildId | None) -> None:
        self.child = child
        self.worker: ChildId | None = None

    def answer(self, frames: Sequence[bytes], /) -> bool:
        return True


class Heard:
    """What the callbacks of `Streams` were told."""

    def __init__(self) -> None:
        self.senders: list[ChildId | None] = []
        self.denied: list[ChildId | None] = []
        self.streams = Streams(
            on_sender=lambda _, sender: self.senders.append(sender.child),
            on_denied=lambda _, sender: self.denied.append(sender.child),
        )


def test_a_worker_fills_no_stream_that_is_placed_on_another_one() -> None:
    heard, mine = Heard(), replace(stream_open(), worker=CPU0)
    streams = heard.streams
    for child in (CPU1, CPU0):  # ahead of the ingest that opens it
        streams.take(*rendition_open("720p"), 0.0, From(child))
        streams.take(*tags(0, key_tag(0), rendition="720p"), 0.0, From(child))
    assert streams.queued == 4
    stream, _ = streams.open(mine, 0.1, From(INGEST0))
    assert stream is not None
    assert heard.senders == [INGEST0, CPU0], "the other one hears nothing of its players"
    assert heard.denied == [CPU1, CPU1]
    assert stream.renditions["720p"].frames == 1
    for message, payloads in (
        tags(1, inter_tag(40), rendition="720p"),
        tags(1, key_tag(40), rendition=SOURCE),
        rendition_open("720p"),
        (GenerationEnd(STREAM, Generation(1), "over"), ()),
    ):
        assert streams.take(message, payloads, 0.2, From(CPU1)) == (None, ())
    assert streams.open(stream_open(generation=9), 0.2, From(CPU1)) == (None, ())
    assert streams.close(StreamClosed(STREAM, Generation(9), "gone", 0), 0.2, From(CPU1)) is None
    assert (streams.denied, stream.generation, stream.state) == (8, 1, StreamState.LIVE)
    assert stream.renditions["720p"].frames == 1
    streams.take(*tags(1, inter_tag(40), rendition="720p"), 0.3, From(CPU0))
    assert stream.renditions["720p"].frames == 2


def test_who_queues_much_drives_out_its_own() -> None:
    streams = Streams()
    streams.take(*tags(0, key_tag(0), rendition="720p"), 0.0, From(CPU0))
    for i in range(streams_module.MAX_QUEUED + 10):
        streams.take(*tags(i, key_tag(i), rendition="720p", generation=7), 0.0, From(CPU1))
    assert streams.queued == streams_module.MAX_QUEUED
    stream, _ = streams.open(stream_open(), 0.1)
    assert stream is not None
    assert stream.renditions["720p"].gop_buffer.last_dts_ms or stream.touched


def test_where_segments_are_cut_another_start_of_a_stream_is_another_stream() -> None:
    epochs: list[tuple[int, int | None]] = [(1, None), (1, 1_000), (2, 1_000), (3, None), (3, 99)]
    for for_segments in (False, True):
        streams, found = Streams(for_segments=for_segments), []
        for generation, epoch_ms in epochs:
            stream, gone = streams.open(stream_open(generation, epoch_ms=epoch_ms), 0.0)
            assert stream is streams.get(STREAM)
            assert [one.name for one in gone] == (
                ["720p", "360p", SOURCE]
                if for_segments and (generation, epoch_ms) == (3, None)
                else []
            )
            found.append(stream)
        assert len({id(stream) for stream in found}) == (2 if for_segments else 1)
        last = found[-1]
        assert last is not None
        assert last.epoch_ms == (99 if for_segments else 1_000), "time goes on where it was"
    late, _ = streams.open(stream_open(2, epoch_ms=1_000), 0.0)
    assert late is last, "it is of an ingest that is late"
