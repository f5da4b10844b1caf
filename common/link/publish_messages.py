"""What two hosts say to one another about publishers, and which of it may be. Pure.

The host that a publisher came to connects. It numbers its publishers; a number is used once on a
connection. Here the stream's id itself crosses, since the owner lets publishers in by it: it stands
in no log and no status. What crosses of a publisher is what takeovers compare, and no secret.
Units have the stream time of the host that they come from, and their age.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, NamedTuple

from common.access.credentials import UNTOLD, Credentials
from common.access.refusal import Refusal
from common.config.ladder import SourceFormat
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.errors import LinkError
from common.ipc.envelope import message
from common.ipc.identity import StreamId
from common.ipc.unit_messages import KINDS
from common.media.gop_buffer import MAX_GOP_ENTRIES

PUBLISH_VERSION: Final = 2  # of the link, from which a host takes publishers of others
MAX_ID: Final = 1024  # characters of a stream's id, an entry, words of a refusal
MAX_KEYS: Final = 256  # that a hook may give for playing one stream
MAX_FIGURE: Final = 1 << 40  # of sizes and rates
MAX_UNITS: Final = 256  # in one message
MAX_GOP_ITEMS: Final = MAX_GOP_ENTRIES + 3  # with its headers
_MAX_TIME_MS: Final = 1 << 53
_MAX_COMPOSITION_MS: Final = 1 << 23
_MAX_FLAGS: Final = 7
_MAX_AGE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class LinkTime:
    """Where a stream's time is, as `ResumeTime` has it, by its age."""

    stream_ms: int  # that it was …
    age_s: float  # … so long ago
    end_ms: int  # what has been sent of it
    epoch_ms: int | None = None  # its Unix time 0


@message("link-publish")
@dataclass(frozen=True, slots=True)
class LinkPublish:
    """A publisher of this stream has come to the sender, who has let it in by its own rules.

    Answered by `LinkPublishAnswer`. Behind it come `gop_items` items, as units.
    """

    number: int
    stream_id: StreamId
    address: str  # HOST:PORT of the publisher
    credentials: Credentials = UNTOLD
    overrides: StreamOverrides = NO_OVERRIDES
    time: LinkTime | None = None  # it goes on with a stream whose owner is lost
    gop_items: int = 0  # what the sender has of that: headers, and all since the last keyframe
    format: SourceFormat | None = None  # of these
    replaces: int = 0  # the epoch of a claim that its owner gives up for this, or that is lost


@message("link-publish-answer")
@dataclass(frozen=True, slots=True)
class LinkPublishAnswer:
    """It may publish; or why not, in words that its client shows."""

    number: int
    refusal: Refusal | None = None
    time: LinkTime | None = None  # of a stream that has begun before


@message("link-publish-timed")
@dataclass(frozen=True, slots=True)
class LinkPublishTimed:
    """From the owner: what has this time of the sender's has that of the stream; so from there."""

    number: int
    stamp_ms: int
    stream_ms: int
    epoch_ms: int | None = None  # Unix time at stream time 0; None: it is to come


@message("link-publish-held")
@dataclass(frozen=True, slots=True)
class LinkPublishHeld:
    """From the owner: the publisher sends faster than media run; take nothing of it for so long."""

    number: int
    seconds: float


class LinkUnit(NamedTuple):
    """One item of `LinkUnits`; as `UnitItem`, but for the age."""

    kind: str
    codec: str
    stamp_ms: int
    composition_ms: int
    flags: int
    age_s: float


@message("link-units")
@dataclass(slots=True)  # not frozen: one is made for every picture
class LinkUnits:
    """What a publisher has sent, in order: configurations and units, a payload each.

    In front of a keyframe stand the configurations in force, so that one may begin there.
    """

    number: int
    items: tuple[LinkUnit, ...]


@message("link-publish-end")
@dataclass(frozen=True, slots=True)
class LinkPublishEnd:
    """The publisher has ended."""

    number: int
    reason: str
    is_meant: bool  # it said so; else its stream is held, as its template says
    goes_on: bool = False  # its stream goes on at another host, and this was the last of it here


@message("link-publish-ended")
@dataclass(frozen=True, slots=True)
class LinkPublishEnded:
    """The owner ends a publisher that it had let in; without a refusal: in order."""

    number: int
    refusal: Refusal | None
    reason: str = ""


@message("link-publish-cut")
@dataclass(frozen=True, slots=True)
class LinkPublishCut:
    """From the owner: its ingest with this publisher is gone, or none is there; ask anew."""

    number: int
    reason: str


FromPublisher = LinkPublish | LinkUnits | LinkPublishEnd
ToPublisher = (
    LinkPublishAnswer | LinkPublishTimed | LinkPublishHeld | LinkPublishCut | LinkPublishEnded
)


def check_publish(message: Any) -> int:
    """Return how many payloads belong to it. Raise LinkError for what no end of a link may say."""
    if not 0 <= message.number < _MAX_TIME_MS:
        raise LinkError("a publisher's number that is none")
    match message:
        case LinkUnits(items=items):
            _check_units(items)
            return len(items)
        case LinkPublish():
            _check_publish(message)
        case LinkPublishAnswer(refusal=refusal, time=time):
            _check_refusal(refusal)
            _check_time(time)
        case LinkPublishTimed(stamp_ms=stamp_ms, stream_ms=stream_ms, epoch_ms=epoch_ms):
            _check_times(stamp_ms, stream_ms, epoch_ms or 0)
        case LinkPublishHeld(seconds=seconds):
            if not 0.0 <= seconds <= _MAX_AGE_S:
                raise LinkError("a publisher is held for a time that is none")
        case LinkPublishEnded(refusal=refusal, reason=reason):
            _check_refusal(refusal)
            _check_text(reason)
        case LinkPublishEnd(reason=reason) | LinkPublishCut(reason=reason):
            _check_text(reason)
    return 0


def _check_units(items: Sequence[LinkUnit]) -> None:
    if len(items) > MAX_UNITS:
        raise LinkError(f"{len(items)} units, where {MAX_UNITS} are the most")
    for kind, codec, stamp_ms, composition_ms, flags, age_s in items:
        if (
            kind not in KINDS
            or len(codec) > 32
            or not -_MAX_TIME_MS < stamp_ms < _MAX_TIME_MS
            or not -_MAX_COMPOSITION_MS <= composition_ms < _MAX_COMPOSITION_MS
            or not 0 <= flags <= _MAX_FLAGS
            or not 0.0 <= age_s <= _MAX_AGE_S
        ):
            raise LinkError("a unit has a kind, codec, time, flag or age that none may have")


def _check_publish(message: LinkPublish) -> None:
    app, slash, key = message.stream_id.partition("/")
    if not (app and slash and key):
        raise LinkError("a publisher without a stream")
    who, overrides, time = message.credentials, message.overrides, message.time
    _check_text(message.stream_id, message.address, who.address, who.entry, overrides.template)
    if len(overrides.play_keys) > MAX_KEYS:
        raise LinkError(f"{len(overrides.play_keys)} keys of one stream")
    _check_text(*overrides.play_keys)
    if not 0 <= message.gop_items <= MAX_GOP_ITEMS or (message.gop_items and time is None):
        raise LinkError(f"a publisher that brings {message.gop_items} items of a stream")
    _check_time(time)
    _check_times(message.replaces)
    if message.format is not None:
        _check_format(message.format)


def _check_format(source: SourceFormat) -> None:
    numbers = (source.width, source.height, source.reference_frames, source.bits_per_pixel)
    rates = (source.sar, source.fps or Fraction(1))
    if not all(0 <= number <= MAX_FIGURE for number in numbers):
        raise LinkError("a size that no pictures have")
    if not all(
        0 < rate.numerator <= MAX_FIGURE and rate.denominator <= MAX_FIGURE for rate in rates
    ):
        raise LinkError("a rate that no pictures have")


def _check_time(time: LinkTime | None) -> None:
    if time is None:
        return
    _check_times(time.stream_ms, time.end_ms, time.epoch_ms or 0)
    if not 0.0 <= time.age_s <= _MAX_AGE_S:
        raise LinkError("a stream has a time of an age that is none")


def _check_times(*times: int) -> None:
    if not all(-_MAX_TIME_MS < each < _MAX_TIME_MS for each in times):
        raise LinkError("a stream has a time that none has")


def _check_refusal(refusal: Refusal | None) -> None:
    if refusal is not None:
        _check_text(refusal.words, refusal.detail)


def _check_text(*texts: str) -> None:
    if any(len(text) > MAX_ID for text in texts):
        raise LinkError(f"a text of more than {MAX_ID} characters")
