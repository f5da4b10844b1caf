"""egress/status.py: what the supervisor hears of each stream and rendition."""

from common.config.ladder import SOURCE
from egress import status
from egress.rtmp.fanout import Channel
from egress.streams.registry import Streams
from tests.kit.egress import (
    STREAM,
    MemorySink,
    inter_tag,
    key_tag,
    rendition_open,
    stream_open,
    tags,
)


def test_a_stream_is_told_with_its_renditions_players_and_who_waits() -> None:
    streams = Streams()
    stream, _ = streams.open(stream_open(generation=3), 0.0)
    streams.take(*rendition_open(SOURCE, generation=3), 0.0)
    streams.take(*tags(0, key_tag(0), inter_tag(40), generation=3), 0.0)
    channels = {STREAM: {n: Channel(STREAM, r) for n, r in stream.renditions.items()}}
    channels[STREAM][SOURCE].flush(0.0)
    MemorySink().join(channels[STREAM][SOURCE])

    [told] = status.served(streams.by_id, channels, {STREAM: {"a", "b"}}, 1.0)
    assert (told.stream_id, told.generation, told.waiting_players) == (STREAM, 3, 2)
    [source] = [r for r in told.renditions if r.name == SOURCE]
    assert (source.frames, source.players, source.last_pts_ms) == (2, 1, 40)
    assert (source.fps, source.bitrate_bps) == (0.0, 0.0), "rates need two samples"

    streams.take(*tags(2, inter_tag(80), inter_tag(120), generation=3), 1.0)
    [told] = status.served(streams.by_id, channels, {}, 2.0)
    [source] = [r for r in told.renditions if r.name == SOURCE]
    assert source.fps == 2.0
    assert source.bitrate_bps > 0
    assert told.waiting_players == 0


def test_a_stream_that_is_gone_is_not_told() -> None:
    streams = Streams()
    streams.open(stream_open(), 0.0)
    streams.remove(STREAM)
    assert status.served(streams.by_id, {STREAM: {}}, {}, 0.0) == ()
