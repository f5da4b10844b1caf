"""What this egress tells the supervisor of the streams that it serves. Pure."""

from collections.abc import Mapping, Sized

from common.ipc.control_messages import RenditionStatus, ServedStatus
from common.ipc.identity import StreamId
from egress.rtmp.fanout import Channel
from egress.streams.stream import Stream


def served(
    streams: Mapping[StreamId, Stream],
    channels: Mapping[StreamId, Mapping[str, Channel]],
    waiting: Mapping[StreamId, Sized],
    now: float,
) -> tuple[ServedStatus, ...]:
    """Every stream that has channels; each call is a sample of their rates."""
    return tuple(
        ServedStatus(
            stream_id,
            streams[stream_id].generation,
            tuple(_rendition_status(channel, now) for channel in of_stream.values()),
            len(waiting.get(stream_id, ())),
            {
                stage: times
                for channel in of_stream.values()
                for stage, times in channel.rendition.stages.told(now).items()
            },
        )
        for stream_id, of_stream in channels.items()
        if stream_id in streams
    )


def _rendition_status(channel: Channel, now: float) -> RenditionStatus:
    rendition = channel.rendition
    fps, bitrate_bps = rendition.rates.sample(now, rendition.frames, rendition.bytes)
    return RenditionStatus(
        rendition.name,
        frames=rendition.frames,
        bytes=rendition.bytes,
        fps=fps,
        bitrate_bps=bitrate_bps,
        players=channel.players,
        dropped=rendition.dropped + channel.dropped(),
        last_pts_ms=rendition.last_pts_ms,
    )
