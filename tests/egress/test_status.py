"""egress/status.py: what the supervisor hears of each stream and rendition."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

from common.config.ladder import SOURCE
from common.ipc.identity import StreamId
from egress import status
from egress.fanout.channel import Channels
from egress.output import Audience, Output
from egress.streams.registry import Streams
from egress.streams.waiting import WaitingViewers
from tests.kit.egress import (
    STREAM,
    MemorySink,
    inter_tag,
    key_tag,
    rendition_open,
    stream_open,
    tags,
)


class OtherOutput:
    """Has one viewer of the source."""

    protocol = "file"

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        return {SOURCE: Audience(1, 7)} if stream_id == STREAM else {}


def rtmp(channels: Channels) -> Output:
    """These channels as an output."""
    return cast(
        Output,
        SimpleNamespace(protocol="rtmp", audience=lambda stream: channels.audience(stream, "rtmp")),
    )


def test_a_stream_is_told_with_its_renditions_players_and_who_waits() -> None:
    streams = Streams()
    stream, _ = streams.open(stream_open(generation=3), 0.0)
    assert stream is not None
    streams.take(*rendition_open(SOURCE, generation=3), 0.0)
    streams.take(*tags(0, key_tag(0), inter_tag(40), generation=3), 0.0)
    stream.renditions[SOURCE].flush()
    channels, waiting = Channels(), WaitingViewers()
    MemorySink().join(channels.get(stream.renditions[SOURCE]))
    waiting.add(STREAM, SOURCE, "a", lambda: None)
    waiting.add(STREAM, "720p", "b", lambda: None)
    outputs = [rtmp(channels)]

    [told] = status.served(streams.by_id, outputs, waiting, 1.0)
    assert (told.stream_id, told.generation, told.waiting_players) == (STREAM, 3, 2)
    [source] = [r for r in told.renditions if r.name == SOURCE]
    assert (source.frames, source.players, source.last_pts_ms) == (2, 1, 40)
    assert source.fps == 2.0, "two in the first second"

    streams.take(*tags(2, inter_tag(80), inter_tag(120), generation=3), 1.0)
    [told] = status.served(streams.by_id, outputs, WaitingViewers(), 2.0)
    [source] = [r for r in told.renditions if r.name == SOURCE]
    assert source.fps == 2.0
    assert source.bitrate_bps > 0
    assert told.waiting_players == 0


def test_viewers_of_all_outputs_are_counted_together() -> None:
    streams, channels = Streams(), Channels()
    stream, _ = streams.open(stream_open(), 0.0)
    assert stream is not None
    MemorySink().join(channels.get(stream.renditions[SOURCE]))
    outputs = [rtmp(channels), cast(Output, OtherOutput())]
    [told] = status.served(streams.by_id, outputs, WaitingViewers(), 1.0)
    counted = {r.name: (r.players, r.dropped) for r in told.renditions}
    assert counted == {SOURCE: (2, 7), "720p": (0, 0), "360p": (0, 0)}


def test_drops_of_players_who_left_are_still_counted_when_nobody_plays_any_more() -> None:
    streams, channels = Streams(), Channels()
    stream, _ = streams.open(stream_open(), 0.0)
    assert stream is not None
    rendition = stream.renditions[SOURCE]
    channel = channels.get(rendition)
    sink = MemorySink()
    sink.join(channel)
    sink.player.dropped, sink.player.sent_bytes = 5, 7_000
    channel.remove(sink)
    assert channels.audience(STREAM, "rtmp") == {}
    [told] = status.served(streams.by_id, [rtmp(channels)], WaitingViewers(), 1.0)
    assert [r.dropped for r in told.renditions if r.name == SOURCE] == [5]
    assert [r.sent_bytes for r in told.renditions if r.name == SOURCE] == [7_000]
    assert not rendition.is_subscribed


def test_a_stream_that_is_gone_is_not_told() -> None:
    streams = Streams()
    streams.open(stream_open(), 0.0)
    streams.remove(STREAM)
    assert status.served(streams.by_id, (), WaitingViewers(), 0.0) == ()
