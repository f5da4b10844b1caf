"""What a server session tells its shell: requests to answer, media, and ends.

A `…Requested` event carries a `request_id` for `ServerSession.accept` or `reject`. Stream keys
are in `name`, `app` and `tc_url`: they are credentials, so they are left out of `repr`.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConnectRequested:
    """The first command of every connection."""

    request_id: int
    app: str = field(repr=False)  # as sent: a query, several parts, slashes may be in it
    tc_url: str = field(repr=False)
    flash_version: str


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """The peer wants to publish. Media that it sends already is parsed after the answer."""

    request_id: int
    message_stream_id: int
    app: str = field(repr=False)
    tc_url: str = field(repr=False)
    name: str = field(repr=False)
    publish_type: str  # "live", "record", "append"; "live" if not sent


@dataclass(frozen=True, slots=True)
class PlayRequested:
    """The peer wants to play. No further input is parsed until this is answered."""

    request_id: int
    message_stream_id: int
    app: str = field(repr=False)
    tc_url: str = field(repr=False)
    name: str = field(repr=False)
    start: float  # as sent: -2, -2000, -1, -1000, 0 all mean live here; -2 if not sent
    reset: bool


@dataclass(frozen=True, slots=True)
class MetadataReceived:
    """The publisher's onMetaData."""

    timestamp: int  # milliseconds modulo 2**32, as everywhere below
    payload: bytes  # AMF0 from the string "onMetaData" on; decodable


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Any other data message of the publisher, or an onMetaData that cannot be decoded."""

    timestamp: int
    payload: bytes  # raw; meant to be AMF0, but need not be


@dataclass(frozen=True, slots=True)
class AudioReceived:
    """One audio message."""

    timestamp: int
    payload: bytes  # an FLV audio tag body; may be empty


@dataclass(frozen=True, slots=True)
class VideoReceived:
    """One video message."""

    timestamp: int
    payload: bytes  # an FLV video tag body; may be empty


@dataclass(frozen=True, slots=True)
class PublishEnded:
    """The publisher stopped, or withdrew a publish request that was not answered yet."""

    message_stream_id: int
    how: str  # the command that did it


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """The player stopped by a command."""

    message_stream_id: int
    how: str


@dataclass(frozen=True, slots=True)
class PlayPauseRequested:
    """The player paused or resumed; it has been answered already."""

    message_stream_id: int
    paused: bool


@dataclass(frozen=True, slots=True)
class PlayReceiveChanged:
    """What the player wants to receive from now on."""

    message_stream_id: int
    audio: bool
    video: bool


Event = (
    ConnectRequested
    | PublishRequested
    | PlayRequested
    | MetadataReceived
    | DataReceived
    | AudioReceived
    | VideoReceived
    | PublishEnded
    | PlayEnded
    | PlayPauseRequested
    | PlayReceiveChanged
)
