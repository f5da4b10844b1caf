"""What two hosts of a cluster say to one another about streams, and which of it may be. Pure.

The host where a stream is played connects, and greets first. It names streams by their digests,
an HMAC of `APP/KEY` under the cluster's secret, so that no credential stands on the link or in its
log. `epoch` is the revision of the owner's key in the registry: with the owner's generation it says
which media is newer. Times are stream time in ms; what has a time of the host's clock is told by
its age, since no two hosts have one clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from common.cluster.digest import is_digest
from common.config.ladder import Template
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.errors import EnvelopeError, LinkError
from common.ipc.envelope import decode, message
from common.ipc.identity import Generation
from common.ipc.media_messages import HEADER, KEY, REPLAY, RenditionVideo
from common.link.publish_messages import (
    FromPublisher,
    LinkPublish,
    LinkPublishAnswer,
    LinkPublishCut,
    LinkPublishEnd,
    LinkPublishEnded,
    LinkPublishHeld,
    LinkPublishTimed,
    LinkUnits,
    ToPublisher,
    check_publish,
)

VERSION: Final = 2  # of the link; a host takes those of the version before it, too
OLDEST_VERSION: Final = 1
TREE_VERSION: Final = 2  # from which on a host asks others, if it is told to
MAX_RENDITIONS: Final = 32  # of one stream
MAX_STREAMS: Final = 4096  # that one host wants of another
MAX_RELAYS: Final = 64  # that a host names for another one to ask
MAX_PATH: Final = 16  # hosts that a stream came by
MAX_NAME: Final = 255  # characters of a host, a cluster, a rendition, a reason
MAX_TIME_MS: Final = 1 << 53
MAX_COMPOSITION_MS: Final = 1 << 23  # FLV has 24 bits, signed
MAX_FIGURE: Final = 1 << 40  # of sizes and rates
MAX_HOLD_MS: Final = 86_400_000
MAX_AGE_S: Final = 3600.0
_TAG_TYPES: Final = frozenset((8, 9, 18))  # FLV's: sound, pictures, script data
_FLAGS: Final = KEY | HEADER | REPLAY


@message("link-greeting")
@dataclass(frozen=True, slots=True)
class LinkGreeting:
    """Comes first, both ways. `host` is what the sender's certificate names."""

    version: int
    cluster: str
    host: str
    boot: str  # of the host's relay: another one has none of what was wanted before
    relay: str = ""  # HOST:PORT where others reach it; "": they cannot


@message("link-refused")
@dataclass(frozen=True, slots=True)
class LinkRefused:
    """Why the connection ends, for the log of the other host."""

    reason: str


@message("link-wanted")
@dataclass(frozen=True, slots=True)
class LinkWanted:
    """These renditions of a stream are watched, no others; one that is new begins with its GOP."""

    stream: str
    renditions: tuple[str, ...]


@message("link-unwanted")
@dataclass(frozen=True, slots=True)
class LinkUnwanted:
    """Nothing of the stream is watched any more."""

    stream: str


class Relay(NamedTuple):
    """A host, and where its relay is."""

    host: str
    address: str  # HOST:PORT


@message("link-instead")
@dataclass(frozen=True, slots=True)
class LinkInstead:
    """A wanted stream does not come from here: these have it. None named: ask its owner anew."""

    stream: str
    relays: tuple[Relay, ...] = ()


@message("link-opened")
@dataclass(frozen=True, slots=True)
class LinkOpened:
    """A wanted stream is here, or has another ladder.

    The template has no keys: each host lets viewers in by its own configuration.
    """

    stream: str
    epoch: int
    generation: Generation
    template: Template
    renditions: tuple[str, ...]  # the transcoded ones
    overrides: StreamOverrides = NO_OVERRIDES
    zero_unix_ms: int | None = None  # Unix time at stream time 0; None: it is to come
    path: tuple[str, ...] = ()  # the hosts that it came by, the owner first, the sender last


@message("link-closed")
@dataclass(frozen=True, slots=True)
class LinkClosed:
    """A wanted stream is over here."""

    stream: str
    epoch: int
    reason: str
    hold_ms: int  # how long its players may be kept for whoever has it next


@message("link-headers")
@dataclass(frozen=True, slots=True)
class LinkHeaders:
    """A rendition begins, or its headers change. Payloads: onMetaData, video sequence header."""

    stream: str
    epoch: int
    generation: Generation
    rendition: str
    video: RenditionVideo


class LinkTag(NamedTuple):
    """What routes one tag of `LinkTags`; as `TagHeader`, but for the age."""

    type: int
    codec: str
    dts_ms: int
    composition_ms: int
    flags: int
    age_s: float  # since the last byte of what it was made of came in


@message("link-tags")
@dataclass(slots=True)  # not frozen: one is made for every picture
class LinkTags:
    """FLV tag bodies of one rendition, or sound and data of the stream ("" as rendition), in order.

    Without tags it says that the stream is there, however silent. Nothing is numbered: what is left
    out is whole GOPs.
    """

    stream: str
    epoch: int
    generation: Generation
    rendition: str
    tags: tuple[LinkTag, ...]


@message("link-taken")
@dataclass(frozen=True, slots=True)
class LinkTaken:
    """The sender has taken this many bytes of frames with media more.

    The host that plays says so once a second, also without any.
    """

    size: int


Message = (
    LinkGreeting
    | LinkRefused
    | LinkWanted
    | LinkUnwanted
    | LinkTaken
    | LinkInstead
    | LinkOpened
    | LinkClosed
    | LinkHeaders
    | LinkTags
    | FromPublisher
    | ToPublisher
)


def read_message(envelope: bytes, payloads: Sequence[bytes]) -> Message:
    """Return the message of a frame, checked.

    Raises:
        LinkError: it cannot be read, or no end of a link may say it.
    """
    try:
        found: Message = decode(envelope)
    except EnvelopeError as error:
        raise LinkError(str(error)) from error
    check(found, payloads)
    return found


def check(message: Any, payloads: Sequence[bytes]) -> None:
    """Raise LinkError for what no end of a link may say."""
    expected = 0
    match message:
        case LinkTags():
            _check_tags(message)
            expected = len(message.tags)
        case (
            LinkUnits()
            | LinkPublish()
            | LinkPublishAnswer()
            | LinkPublishEnd()
            | LinkPublishEnded()
            | LinkPublishTimed()
            | LinkPublishHeld()
            | LinkPublishCut()
        ):
            expected = check_publish(message)
        case LinkHeaders():
            _check_name(message.rendition)
            _check_number(message.epoch, message.generation)
            _check_video(message.video)
            expected = 2
        case LinkGreeting():
            _check_name(message.cluster, message.host, message.boot, message.relay)
        case LinkRefused():
            _check_name(message.reason)
        case LinkWanted():
            _check_renditions(message.renditions, least=1)
        case LinkUnwanted():
            pass
        case LinkInstead():
            _check_count(message.relays, MAX_RELAYS, "hosts to ask instead")
            _check_name(*[text for relay in message.relays for text in relay])
        case LinkOpened():
            _check_renditions(message.renditions)
            _check_count(message.path, MAX_PATH, "hosts on the way")
            _check_name(*message.path)
            _check_number(message.epoch, message.generation, message.zero_unix_ms or 0)
            _check_template(message.template)
        case LinkClosed():
            _check_name(message.reason)
            _check_number(message.epoch)
            if not 0 <= message.hold_ms <= MAX_HOLD_MS:
                raise LinkError("a stream that is held for a time that none may have")
        case LinkTaken():
            _check_number(message.size)
        case _:
            raise LinkError(f"no message of the link: {type(message).__name__}")
    if len(payloads) != expected:
        raise LinkError(f"{len(payloads)} payloads where {expected} belong")
    stream = getattr(message, "stream", None)
    if stream is not None and not is_digest(stream):
        raise LinkError("a stream's digest is 64 hexadecimal digits")


def _check_tags(message: LinkTags) -> None:
    _check_name(message.rendition)
    _check_number(message.epoch, message.generation)
    for tag_type, codec, dts_ms, composition_ms, flags, age_s in message.tags:
        if (
            tag_type not in _TAG_TYPES
            or len(codec) > MAX_NAME
            or not -MAX_TIME_MS < dts_ms < MAX_TIME_MS
            or not -MAX_COMPOSITION_MS <= composition_ms < MAX_COMPOSITION_MS
            or not 0 <= flags <= _FLAGS
            or not 0.0 <= age_s <= MAX_AGE_S
        ):
            raise LinkError("a tag has a type, time, flag or age that none may have")


def _check_video(video: RenditionVideo) -> None:
    numbers = (video.width, video.height, video.bitrate_bps, video.fps_num, video.fps_den)
    if len(video.codec) > MAX_NAME or not all(0 <= number <= MAX_FIGURE for number in numbers):
        raise LinkError("a size or rate that no pictures have")
    if video.fps_den == 0:
        raise LinkError("a frame rate that is no number")


def _check_template(template: Template) -> None:
    _check_name(template.name, template.audio_only)
    times = (template.hold_ms, template.wait_ms, template.flush_ms, template.audio_hold_ms)
    if not all(0 <= time_ms <= MAX_HOLD_MS for time_ms in times):
        raise LinkError("a template with a time that none may have")


def _check_count(found: Sequence[object], most: int, what: str, least: int = 0) -> None:
    if not least <= len(found) <= most:
        raise LinkError(f"{len(found)} {what}, where {least} to {most} may be")


def _check_renditions(names: Sequence[str], least: int = 0) -> None:
    _check_count(names, MAX_RENDITIONS, "renditions of a stream", least)
    _check_name(*names)


def _check_name(*names: str) -> None:
    if any(len(name) > MAX_NAME for name in names):
        raise LinkError(f"a name of more than {MAX_NAME} characters")


def _check_number(*numbers: int) -> None:
    if not all(0 <= number < MAX_TIME_MS for number in numbers):
        raise LinkError("a number that is below 0, or beyond all that are used")
