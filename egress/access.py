"""Whether a play request is granted, and what it asks for. Pure.

Keys are compared as SHA-256 digests in constant time, each with all of them. No text that comes
from here holds a key.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from common.config.ladder import SOURCE, Template
from common.config.settings import Settings
from common.errors import AddressError
from common.ipc.identity import StreamId, stream_id
from common.rtmp.address import Address, parse_play
from egress.rtmp.player_queue import Start
from egress.streams.stream import Stream, StreamState

PLAY_FAILED = "NetStream.Play.Failed"
NOT_FOUND = "NetStream.Play.StreamNotFound"


@dataclass(frozen=True, slots=True)
class PlayRefused:
    """The answer to a request that cannot be granted."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class PlayWanted:
    """A request that is granted as soon as its stream and rendition are there."""

    stream_id: StreamId = field(repr=False)
    rendition: str
    start: Start
    wait_ms: int


def judge(settings: Settings, app: str, tc_url: str, name: str) -> PlayWanted | PlayRefused:
    """What a play request asks for, or why not."""
    try:
        address = parse_play(app, tc_url, name)
    except AddressError as error:
        return PlayRefused(NOT_FOUND, str(error))
    template = settings.template(address.app)
    if template is None:
        return PlayRefused(NOT_FOUND, f"there is no app {address.app}")
    if not may_play(template, address):
        return PlayRefused(PLAY_FAILED, "the play key is wrong or missing (?key=...)")
    rendition = address.rendition or SOURCE
    names = template.rendition_names()
    if rendition not in names:
        return PlayRefused(
            NOT_FOUND, f"there is no rendition {rendition}; there are {', '.join(names)}"
        )
    start = Start.LIVE if address.query.get("start") == Start.LIVE.value else Start.GOP
    return PlayWanted(stream_id(address.app, address.key), rendition, start, template.wait_ms)


def may_play(template: Template, address: Address) -> bool:
    """Whether the key in the query is one of the template's, if it has any."""
    if not template.play_keys:
        return True
    digest = hashlib.sha256(address.query.get("key", "").encode()).hexdigest()
    found = False
    for key in template.play_keys:
        found |= hmac.compare_digest(digest.encode(), key.lower().encode())
    return found


def look_up(stream: Stream | None, wanted: PlayWanted) -> PlayRefused | bool:
    """Whether the rendition can be played now; False: not yet."""
    if stream is None or stream.state in (StreamState.ENDING, StreamState.ENDED):
        return False
    rendition = stream.renditions.get(wanted.rendition)
    if rendition is None:
        return PlayRefused(NOT_FOUND, _left_out(wanted.rendition, stream.transcoded))
    return rendition.has_start


def not_there(stream: Stream | None, wanted: PlayWanted) -> PlayRefused:
    """The refusal for a request that has waited long enough."""
    if stream is None:
        return PlayRefused(NOT_FOUND, "nobody publishes this stream, or it has no video")
    return PlayRefused(NOT_FOUND, f"the rendition {wanted.rendition} has no picture yet")


def _left_out(rendition: str, renditions: Sequence[str]) -> str:
    there = ", ".join((*renditions, SOURCE))
    return f"this stream has no {rendition}: it would be larger than the source; there are {there}"
