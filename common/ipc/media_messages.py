"""Messages of the two media planes: ingest → worker, and ingest or worker → egress. Pure values.

All are in band: what a receiver must know about a stream comes before the media it is about, on the
same socket, with the stream's generation. Payload frames (untouched bytes) follow the envelope
where a class says so. Times are stream time in ms (docs/architecture.md) unless named
`_s`, which is the host's CLOCK_MONOTONIC in seconds.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from common.config.ladder import Template
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.ipc.envelope import message
from common.ipc.identity import ChildId, Generation, StreamId
from common.media.clock import ClockReference
from common.media.units import VideoCodec

SHARED = ""  # the rendition name of what crosses once a stream: audio, data messages

# Flags of a tag in `Tags`.
KEY = 1  # a player can start here (IDR on transcoded renditions)
HEADER = 2  # a sequence header: kept for joiners, never dropped; its time says nothing
REPLAY = 4  # from a GOP buffer: fills a new one, not counted as live

UNTOLD_WORKER = ChildId("")  # of an ingest that does not say


# ---- ingest → worker --------------------------------------------------------------------------


@message("stream-start")
@dataclass(frozen=True, slots=True)
class StreamStart:
    """Opens a stream in a worker. Payload: the codec's configuration record.

    Followed by the access units since the last IDR (`replay`), then by the live ones.
    """

    stream_id: StreamId
    generation: Generation
    template: Template
    codec: VideoCodec
    reference: ClockReference
    resume_after_ms: int | None = None  # frames up to this PTS: decode, don't encode; then an IDR
    splice_ms: int | None = None  # with a drain: frames below this PTS belong to the old generation
    wanted: tuple[str, ...] | None = None  # as in `RenditionsWanted`; None: all


@message("renditions-wanted")
@dataclass(frozen=True, slots=True)
class RenditionsWanted:
    """Which renditions are made from here on: the others have no encoder and cost nothing.

    None of them: what the decoder has is given out, and only a keyframe comes now and then, to be
    looked at, each with one of these behind it. Where some are wanted after that, the units come
    anew from a keyframe on, as `replay`, and those up to `after_ms` are decoded and not encoded.
    """

    stream_id: StreamId
    generation: Generation
    renditions: tuple[str, ...]
    after_ms: int | None = None


@message("video-header")
@dataclass(frozen=True, slots=True)
class VideoHeader:
    """New parameter sets from the next unit on. Payload: the codec's configuration record."""

    stream_id: StreamId
    generation: Generation
    codec: VideoCodec


@message("access-unit")
@dataclass(slots=True)  # not frozen: one is made for every picture, here and at the other end
class AccessUnit:
    """One access unit. Payload: its data as `common.media.units` has them (H.264: AVCC)."""

    stream_id: StreamId
    generation: Generation
    number: int  # counts up by one; a gap means units were dropped: wait for an IDR
    codec: VideoCodec
    track: int
    dts_ms: int
    composition_ms: int  # PTS - DTS
    is_key: bool
    received_s: float  # when its last byte came in
    replay: bool = False


@message("stream-splice")
@dataclass(frozen=True, slots=True)
class StreamSplice:
    """In a drain, to the old worker: frames from this PTS on belong to the next generation."""

    stream_id: StreamId
    generation: Generation
    splice_ms: int


@message("stream-pause")
@dataclass(frozen=True, slots=True)
class StreamPause:
    """No pictures come for now: keep some coming, the last one again, until the next unit.

    The publisher is away, or a worker began within a GOP of which ingest has the keyframe alone.
    They follow stream time by the host's clock. The next unit is a keyframe, of that publisher or
    another, perhaps behind a `VideoHeader`; its picture is an IDR. `may_go_on`: the publisher is
    there and silent, and the next unit may be the one that follows the last.
    """

    stream_id: StreamId
    generation: Generation
    reference: ClockReference
    may_go_on: bool = False


@message("stream-end")
@dataclass(frozen=True, slots=True)
class StreamEnd:
    """No more units: encode what is left, send `GenerationEnd` to egress, give all back."""

    stream_id: StreamId
    generation: Generation
    reason: str


# ---- ingest → egress --------------------------------------------------------------------------


@message("stream-open")
@dataclass(frozen=True, slots=True)
class StreamOpen:
    """A stream exists, or has a publisher again, or has a new placement.

    A `generation` above the one known is a new placement: `splice_ms` None switches to it at once,
    else at that PTS. GOP buffers, players and their order of time stay.
    """

    stream_id: StreamId
    generation: Generation
    template: Template
    renditions: tuple[str, ...]  # the transcoded renditions to expect; known before their first tag
    splice_ms: int | None = None
    overrides: StreamOverrides = NO_OVERRIDES  # of what its app has
    worker: ChildId | None = UNTOLD_WORKER  # that alone may send these; None: nobody does
    # Unix time at which stream time was 0, for the numbers of segments. None: before its first
    # media, in front of which it is said by another of these.
    epoch_ms: int | None = None
    # Of `renditions` those that are a publisher's own tracks: ingest sends them, and what a worker
    # makes of them goes to nobody.
    passed: tuple[str, ...] = ()


@message("stream-closed")
@dataclass(frozen=True, slots=True)
class StreamClosed:
    """The publisher is gone. `hold_ms` 0: end the players; else keep them that long."""

    stream_id: StreamId
    generation: Generation
    reason: str
    hold_ms: int


# ---- worker or ingest → egress ----------------------------------------------------------------


class RenditionVideo(NamedTuple):
    """What the pictures of a rendition are, for whoever serves it."""

    codec: str  # of `VideoCodec`
    width: int
    height: int
    bitrate_bps: int = 0  # 0: not known, of the source
    fps_num: int = 0  # frames per second; 0: not known
    fps_den: int = 1

    @property
    def fps(self) -> Fraction | None:
        """Frames per second, if they are known."""
        return Fraction(self.fps_num, self.fps_den) if self.fps_num else None


@message("rendition-open")
@dataclass(frozen=True, slots=True)
class RenditionOpen:
    """A rendition begins, or its headers change.

    Payloads: the onMetaData data message body (string "onMetaData" + ECMA array), then the video
    sequence header tag body. Either may be empty.
    """

    stream_id: StreamId
    generation: Generation
    rendition: str
    first_number: int  # of the next tag
    video: RenditionVideo
    worker: ChildId | None = None  # for which an encoder process sends it
    # Nobody plays it: a worker's is not made before another of these, and nothing of the source
    # comes before the next keyframe.
    is_resting: bool = False


class TagHeader(NamedTuple):
    """What routes one tag of `Tags`, so that nobody reads its body for that."""

    type: int  # FLV's tag type: 8 audio, 9 video, 18 script data
    codec: str  # of `VideoCodec` or `AudioCodec`; "" for script data
    dts_ms: int
    composition_ms: int  # PTS - DTS
    flags: int  # KEY, HEADER, REPLAY
    received_s: float  # when the last byte of what it was made of came in


@message("tags")
@dataclass(slots=True)  # not frozen: one is made for every picture of a rendition
class Tags:
    """FLV tag bodies of one rendition (or SHARED), in order. Payloads: one body a tag.

    `numbers` run per rendition and generation and count up by one: a gap means that tags were
    dropped, so nothing goes out until the next KEY tag. Without tags it is a sign of life.
    """

    stream_id: StreamId
    generation: Generation
    rendition: str
    first_number: int
    tags: tuple[TagHeader, ...]
    sent_s: float = 0.0  # when it was given to the link; 0: a replay


@message("demand")
@dataclass(frozen=True, slots=True)
class Demand:
    """The egress's answer on a link: what of a stream somebody plays there or waits for.

    Tags of all else may come later, in fewer messages.
    """

    stream_id: StreamId
    renditions: tuple[str, ...]  # all of them; none: nobody plays it


@message("acknowledgement")
@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The listener's answer on every link: its process has taken this much more."""

    messages: int  # of ZeroMQ, each with the messages of one turn
    size: int  # bytes of their frames


@message("generation-end")
@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """A worker has sent the last tag of this generation."""

    stream_id: StreamId
    generation: Generation
    reason: str
