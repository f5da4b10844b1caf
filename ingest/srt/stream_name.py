"""What a caller's streamid asks for. Pure.

The form is that of SRT's access-control text, `#!::r=APP/KEY,m=publish,s=SECRET`, and the shorter
`publish:APP/KEY[:SECRET]` of other servers; to watch, `m=request` and `request:`, and a rendition
may stand behind the key. A query may stand behind the key, as in other
addresses; so may single fields beside `r`: `key=`, `token=`, `secret=`. The stream key is a
credential: no refusal shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.stream_address import problem_of, query_fields, take_backup_mark

MAX_CHARS: Final = 512  # that SRT carries
HOW: Final = (
    "publish with streamid=publish:APP/KEY (#!::m=publish,r=APP/KEY), "
    "watch with streamid=request:APP/KEY/RENDITION (#!::m=request,r=APP/KEY/RENDITION)"
)
_STANDARD: Final = "#!::"
_ESCAPED: Final = "%23!::"
_PUBLISH: Final = frozenset(("publish", "bidirectional"))
_PLAY: Final = frozenset(("request", "read", "play"))
_OWN: Final = frozenset(("r", "m", "t", "h", "s", "secret"))  # of the standard's fields
_FEEDBACK: Final = "#feedbackplay"  # that some apps on phones put behind it


@dataclass(frozen=True, slots=True)
class PublishWish:
    """The stream that a caller wants to publish."""

    app: str
    key: str = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def stream(self) -> str:
        return f"{self.app}/{self.key}"


@dataclass(frozen=True, slots=True)
class PlayWish:
    """What a caller wants to watch."""

    app: str
    key: str = field(repr=False)
    rendition: str = ""  # "": the source
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def stream(self) -> str:
        return f"{self.app}/{self.key}"


def wish_of(streamid: str) -> PublishWish | PlayWish | Refusal:
    """Read a streamid; a refusal says what is wrong with it."""
    text = streamid.removesuffix(_FEEDBACK)
    if not text:
        return _bad(f"no streamid: {HOW}")
    if len(text) > MAX_CHARS:
        return _bad(f"a streamid of {len(text)} characters")
    if text.startswith(_ESCAPED):  # FFmpeg before 7 leaves it so, as shells and URLs have it
        text = _STANDARD + text.removeprefix(_ESCAPED)
    if text.startswith(_STANDARD):
        mode, resource, query = _standard(text.removeprefix(_STANDARD))
    else:
        mode, resource, query = _short(text)
    if mode not in _PUBLISH | _PLAY:
        return _bad(f"the streamid's mode is unknown: {HOW}")
    path, _, own_query = resource.partition("?")
    query = {**query_fields(own_query), **query}
    parts = path.strip("/").split("/")
    if len(parts) != 2 and not (mode in _PLAY and len(parts) == 3):
        return _bad(f"the streamid names no APP/KEY: {HOW}")
    if mode not in _PLAY:
        query |= take_backup_mark(parts)
    problem = problem_of(parts)
    if problem:
        return _bad(problem)
    if mode in _PLAY:
        return PlayWish(parts[0], parts[1], parts[2] if len(parts) == 3 else "", query)
    return PublishWish(parts[0], parts[1], query)


def _standard(text: str) -> tuple[str, str, dict[str, str]]:
    """The fields of the access-control text: mode, resource, and what else is for the rules."""
    fields: dict[str, str] = {}
    for item in text.split(","):
        name, _, value = item.partition("=")
        fields.setdefault(name.strip(), unquote(value))
    query = {name: value for name, value in fields.items() if name and name not in _OWN}
    secret = fields.get("s") or fields.get("secret")
    if secret:
        query.setdefault("key", secret)
    if fields.get("t", "stream") != "stream":
        return "", "", {}
    return fields.get("m", "request"), fields.get("r", ""), query


def _short(text: str) -> tuple[str, str, dict[str, str]]:
    """`publish:APP/KEY`, with a secret or with a user and a secret behind it; or `APP/KEY`."""
    mode, colon, rest = text.partition(":")
    if not colon or "/" in mode:
        return "publish", text, {}
    resource, *more = rest.split(":")
    query = {"key": more[-1]} if more and more[-1] else {}
    if len(more) > 1 and more[0]:
        query["u"] = more[0]
    return mode, resource, query


def _bad(words: str) -> Refusal:
    return Refusal(RefusalReason.NOT_FOUND, words, cause=Cause.BAD_ADDRESS)
