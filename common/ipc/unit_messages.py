"""Messages between an ingest and a child that speaks a publisher's protocol for it. Pure values.

Such a child (a peer here) has the publisher's connection, takes the protocol off, and brings what
is in it to an ingest, which judges, places and serves it as it does its own publishers. One link
(`Endpoint.units`) carries all publishers of a peer, which numbers them. Payload frames (untouched
bytes) follow the envelope where a class says so.

Stamps are the publisher's own times in ms, which may begin anywhere and go on without end: the
ingest makes stream time of them. `received_s` is the host's CLOCK_MONOTONIC.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from common.access.credentials import Credentials
from common.access.refusal import Refusal
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.errors import EnvelopeError
from common.ipc.control_messages import GopTransfer
from common.ipc.envelope import message
from common.ipc.status_messages import LineFigures
from common.media.clock import ClockReference, ResumeTime

MAX_NAME: Final = 255  # characters of an app, a key, an address, an encoder's name, a reason
MAX_FIELDS: Final = 64  # of a query
MAX_FIELD: Final = 4096  # characters of one
MAX_ITEMS: Final = 512  # in one message
MAX_ITEM_BYTES: Final = 16 * 1024 * 1024
MAX_NUMBER: Final = 1 << 53
MAX_COMPOSITION_MS: Final = 1 << 23

# The kinds of `UnitItem`, and what its payload is.
METADATA: Final = "metadata"  # the body of onMetaData
VIDEO_CONFIG: Final = "video-config"  # the codec's configuration record
AUDIO_CONFIG: Final = "audio-config"  # likewise; empty for codecs that have none
VIDEO: Final = "video"  # a unit's data as `common.media.units` has them
AUDIO: Final = "audio"  # likewise
DATA: Final = "data"  # a data message; of the codec `SCTE35` a section of that
LOST: Final = "lost"  # why pictures are missing here, in ASCII: those behind may refer to them
KINDS: Final = frozenset((METADATA, VIDEO_CONFIG, AUDIO_CONFIG, VIDEO, AUDIO, DATA, LOST))

SCTE35: Final = "scte35"  # its splice is `composition_ms` behind it

KEY: Final = 1  # flag of a picture: the publisher says that it is a keyframe


@dataclass(frozen=True, slots=True)
class Judged:
    """What another host's ingest has found of a publisher, by the same configuration."""

    credentials: Credentials
    overrides: StreamOverrides = NO_OVERRIDES
    # The epoch of a claim of the stream: its owner gives it up for this, or cannot be reached.
    replaces: int = 0
    host: str = ""  # that one's name


@message("publish-ask")
@dataclass(frozen=True, slots=True)
class PublishAsk:
    """Peer → ingest: somebody wants to publish. Answered by accepted or refused.

    Payloads: one for each item of `gop`.
    """

    number: int  # of the publisher, by the peer, which uses it once on a link
    app: str
    key: str = field(repr=False)  # a credential, as what stands in the query
    peer: str  # the publisher's own address, HOST:PORT, as bans, limits and logs know it
    protocol: str  # for people: "srt"
    query: dict[str, str] = field(default_factory=dict, repr=False)
    encoder: str = ""  # that it says it is, for people
    # It was let in by another host's ingest: no rule and no hook is asked again. Of `relay` alone.
    judged: Judged | None = None
    # It goes on with a stream whose owner is lost, if that is not here yet.
    resume: ResumeTime | None = None
    gop: GopTransfer | None = None  # what it has of that, until its next keyframe
    # The configuration orders that it be fetched: no rule and no hook is asked. Of `pull` alone,
    # for streams that the ingest's own configuration names; it takes the stream from nobody.
    is_ordered: bool = False


@message("publish-check")
@dataclass(frozen=True, slots=True)
class PublishCheck:
    """Peer → ingest: would this one be refused at once? Nothing is held by it, no hook is asked."""

    number: int  # of the question, by the peer
    app: str
    key: str = field(repr=False)
    peer: str
    protocol: str
    query: dict[str, str] = field(default_factory=dict, repr=False)
    encoder: str = ""


@message("publish-checked")
@dataclass(frozen=True, slots=True)
class PublishChecked:
    """Ingest → peer: the answer. None: not by what is known before it is let in."""

    number: int
    refusal: Refusal | None = None


@message("publish-accepted")
@dataclass(frozen=True, slots=True)
class PublishAccepted:
    """Ingest → peer: it may send.

    Of a stream that has begun before, its clock, and what of it has been sent.
    """

    number: int
    reference: ClockReference | None = None
    end_ms: int | None = None


@message("publish-refused")
@dataclass(frozen=True, slots=True)
class PublishRefused:
    """Ingest → peer: it may not publish, or not any more; the number means nothing from now on."""

    number: int
    refusal: Refusal


@message("publish-finished")
@dataclass(frozen=True, slots=True)
class PublishFinished:
    """Ingest → peer: its stream ends in order; the number means nothing from now on."""

    number: int
    reason: str


@message("publish-cut-off")
@dataclass(frozen=True, slots=True)
class PublishCutOff:
    """Relay → ingest: the host that a publisher was for cannot be reached (any more).

    The number means nothing from now on.
    """

    number: int
    reason: str


@message("publish-timed")
@dataclass(frozen=True, slots=True)
class PublishTimed:
    """Ingest → peer: what has this stamp has this stream time, and so on from there.

    Comes of a publisher's first unit, when its times are set anew, and when it is known which Unix
    time the stream's time begins at.
    """

    number: int
    stamp_ms: int
    stream_ms: int
    epoch_ms: int | None = None  # that Unix time


@message("publish-held-back")
@dataclass(frozen=True, slots=True)
class PublishHeldBack:
    """Ingest → peer: it sends faster than media run; read nothing from it for so long."""

    number: int
    seconds: float


@message("publish-over")
@dataclass(frozen=True, slots=True)
class PublishOver:
    """Peer → ingest: the publisher is gone; `is_meant`: it said that it stops."""

    number: int
    reason: str
    is_meant: bool = False
    goes_on: bool = False  # its stream goes on at another host, and this was the last of it here


@message("publish-line")
@dataclass(frozen=True, slots=True)
class PublishLine:
    """Peer → ingest, every few seconds: how a publisher's packets come, for status."""

    number: int
    line: LineFigures


class UnitItem(NamedTuple):
    """What one payload of `Units` is."""

    kind: str
    codec: str = ""  # of `VideoCodec` or `AudioCodec`, of video and audio
    stamp_ms: int = 0  # DTS by the publisher's clock
    composition_ms: int = 0  # PTS - DTS
    flags: int = 0  # KEY
    received_s: float = 0.0  # when its last byte came in


@message("units")
@dataclass(slots=True)  # not frozen: one is made for every read of every publisher
class Units:
    """Peer → ingest: what one read brought, in the order of arrival. Payloads: one an item."""

    number: int
    items: tuple[UnitItem, ...]


def check(value: Any, payloads: Sequence[bytes]) -> None:
    """Look whether a peer may send that.

    Raises:
        EnvelopeError: it may not; with what is wrong.
    """
    match value:
        case Units():
            _check_units(value, payloads)
        case PublishAsk():
            _check_wish(value)
            _check_resume(value, payloads)
        case PublishCheck():
            _check_wish(value)
        case PublishOver():
            _check_name("reason", value.reason)
        case PublishLine():
            _check_name("protocol", value.line.protocol)
            if not math.isfinite(value.line.rtt_ms):
                raise EnvelopeError("a round trip that is no number")
        case _:
            raise EnvelopeError(f"{type(value).__name__} is not for an ingest")
    if not 0 <= value.number < MAX_NUMBER:
        raise EnvelopeError("a publisher's number out of range")


def _check_units(value: Units, payloads: Sequence[bytes]) -> None:
    if len(value.items) != len(payloads):
        raise EnvelopeError(f"{len(payloads)} payloads for {len(value.items)} units")
    if len(payloads) > MAX_ITEMS:
        raise EnvelopeError(f"{len(payloads)} units exceed {MAX_ITEMS}")
    for item, payload in zip(value.items, payloads, strict=True):
        if item.kind not in KINDS:
            raise EnvelopeError(f"no unit: {item.kind[:40]!r}")
        if len(payload) > MAX_ITEM_BYTES:
            raise EnvelopeError(f"a unit of {len(payload)} bytes exceeds {MAX_ITEM_BYTES}")
        if not (
            abs(item.stamp_ms) < MAX_NUMBER
            and abs(item.composition_ms) < MAX_COMPOSITION_MS
            and math.isfinite(item.received_s)
        ):
            raise EnvelopeError("a unit's time out of range")


def _check_wish(value: PublishAsk | PublishCheck) -> None:
    for what in ("app", "key", "peer", "protocol", "encoder"):
        _check_name(what, getattr(value, what))
    if len(value.query) > MAX_FIELDS or any(
        len(text) > MAX_FIELD for item in value.query.items() for text in item
    ):
        raise EnvelopeError("a query that is too long")


def _check_resume(value: PublishAsk, payloads: Sequence[bytes]) -> None:
    resume = value.resume
    if resume is not None and not (
        abs(resume.reference.stream_ms) < MAX_NUMBER
        and math.isfinite(resume.reference.monotonic_s)
        and abs(resume.end_ms) < MAX_NUMBER
        and abs(resume.epoch_ms or 0) < MAX_NUMBER
    ):
        raise EnvelopeError("a stream's time out of range")
    expected = len(value.gop.items) if value.gop is not None else 0
    if len(payloads) != expected or (expected and resume is None):
        raise EnvelopeError(f"{len(payloads)} payloads for a request with {expected} units")


def _check_name(what: str, text: str) -> None:
    if len(text) > MAX_NAME:
        raise EnvelopeError(f"{what} of {len(text)} characters exceeds {MAX_NAME}")
