"""What this egress reports to the supervisor of the streams that it serves. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from common.ipc.identity import StreamId
from common.ipc.status_messages import RenditionStatus, ServedStatus
from egress.output import Audience, Output
from egress.streams.rendition import Rendition
from egress.streams.stream import Stream
from egress.streams.waiting import WaitingViewers


def served(
    streams: Mapping[StreamId, Stream],
    outputs: Sequence[Output],
    waiting: WaitingViewers,
    now: float,
) -> tuple[ServedStatus, ...]:
    """The status of every stream."""
    return tuple(
        _stream_status(stream, outputs, waiting.count(stream_id), now)
        for stream_id, stream in streams.items()
    )


def _stream_status(
    stream: Stream, outputs: Sequence[Output], waiting: int, now: float
) -> ServedStatus:
    audiences = [(output.protocol, output.audience(stream.stream_id)) for output in outputs]
    return ServedStatus(
        stream.stream_id,
        stream.generation,
        tuple(
            _rendition_status(
                rendition, [(by, found[name]) for by, found in audiences if name in found], now
            )
            for name, rendition in stream.renditions.items()
        ),
        waiting,
        {
            stage: times
            for rendition in stream.renditions.values()
            for stage, times in rendition.stages.reported(now).items()
        },
    )


def _rendition_status(
    rendition: Rendition, audiences: Sequence[tuple[str, Audience]], now: float
) -> RenditionStatus:
    return RenditionStatus(
        rendition.name,
        frames=rendition.frames,
        bytes=rendition.bytes,
        fps=rendition.throughput.frames_per_second(now),
        bitrate_bps=rendition.throughput.bits_per_second(now),
        players=sum(audience.players for _, audience in audiences),
        dropped=rendition.dropped + sum(audience.dropped for _, audience in audiences),
        last_pts_ms=rendition.last_pts_ms,
        sent_bytes=rendition.sent_bytes + sum(audience.sent_bytes for _, audience in audiences),
        players_by=_players_by(audiences),
    )


def _players_by(audiences: Sequence[tuple[str, Audience]]) -> dict[str, int]:
    """Count the players by protocol."""
    found: Counter[str] = Counter()
    for protocol, audience in audiences:
        found[protocol] += audience.players - sum(audience.others.values())
        found.update(audience.others)
    return {protocol: count for protocol, count in found.items() if count}
