"""An SDP offer, read as far as its answer needs (RFC 8866, RFC 8829, RFC 9725). Pure.

Candidates are not read: the peer's address is the one that its binding requests come from. All
that goes into the answer is checked here; what an offer may hold of anything is bounded.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from common.errors import OfferUnfit, SdpError

MAX_BYTES: Final = 64 * 1024
MAX_LINES: Final = 3_000
MAX_MEDIA: Final = 16
MAX_CODECS: Final = 128  # payload types have seven bits
PROTOCOLS: Final = frozenset(("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"))
DIRECTIONS: Final = ("sendrecv", "recvonly", "sendonly", "inactive")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,32}")
_UFRAG: Final = re.compile(r"[A-Za-z0-9+/=-]{4,256}")
_PASSWORD: Final = re.compile(r"[A-Za-z0-9+/=-]{22,256}")
_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){19,63}")


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type."""

    payload_type: int
    name: str  # in capitals
    clock: int = 0
    channels: int = 1
    parameters: Mapping[str, str] = field(default_factory=dict)
    feedback: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Media:
    """One section of the offer, of pictures, sound or something else."""

    kind: str
    protocol: str
    formats: str  # as it came: for the section's refusal
    mid: str
    may_receive: bool  # it is not refused, and its direction lets something be sent to it
    may_send: bool  # likewise, and lets something come
    is_muxed: bool  # RTCP comes on the same port
    codecs: tuple[Codec, ...]

    def named(self, name: str) -> list[Codec]:
        """Its payload types of one codec, in the order of preference."""
        return [codec for codec in self.codecs if codec.name == name]


@dataclass(frozen=True, slots=True)
class Offer:
    """A whole offer."""

    media: tuple[Media, ...]
    ufrag: str
    password: str = field(repr=False)
    fingerprints: tuple[tuple[str, str], ...]  # algorithm and digest
    is_passive: bool  # it leaves the begin of DTLS to us


@dataclass(slots=True)
class _Section:
    """The lines of a section, by their attribute."""

    head: str
    attributes: dict[str, list[str]] = field(default_factory=dict)

    def first(self, name: str) -> str | None:
        values = self.attributes.get(name)
        return values[0] if values else None


def parse(sdp: str) -> Offer:
    """Read an offer. Raises SdpError; OfferUnfit where it can be read and nothing can come of it.

    Whether it has a codec that fits is the answer's to say.
    """
    session, sections = _split(sdp)
    media = tuple([_media(section) for section in sections])
    if not media:
        raise OfferUnfit("the offer has no media: it must have video")
    wanted = [
        one
        for one, found in zip(sections, media, strict=True)
        if found.may_receive or found.may_send
    ]
    for name, pattern in (("ice-ufrag", _UFRAG), ("ice-pwd", _PASSWORD)):
        value = _shared(name, session, wanted or sections)
        if not pattern.fullmatch(value):
            raise SdpError(f"the offer has no {name}, or none that ICE allows")
    digests = _fingerprints((session, *(wanted or sections)))
    if not digests:
        raise SdpError("the offer has no fingerprint of a certificate: WebRTC needs DTLS")
    return Offer(
        media,
        _shared("ice-ufrag", session, wanted or sections),
        _shared("ice-pwd", session, wanted or sections),
        digests,
        _shared("setup", session, wanted or sections) == "passive",
    )


def _split(sdp: str) -> tuple[_Section, list[_Section]]:
    if len(sdp) > MAX_BYTES:
        raise SdpError(f"an offer of {len(sdp)} bytes, {MAX_BYTES} are allowed")
    lines = sdp.splitlines()
    if len(lines) > MAX_LINES:
        raise SdpError(f"an offer of {len(lines)} lines, {MAX_LINES} are allowed")
    if not lines or lines[0].strip() != "v=0":
        raise SdpError("no session description: it begins with v=0")
    current = session = _Section("")
    sections: list[_Section] = []
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if not equals:
            continue
        if name == "m":
            current = _Section(value)
            sections.append(current)
        elif name == "a":
            key, _, rest = value.partition(":")
            current.attributes.setdefault(key, []).append(rest)
    if len(sections) > MAX_MEDIA:
        raise SdpError(f"an offer of {len(sections)} media, {MAX_MEDIA} are allowed")
    return session, sections


def _media(section: _Section) -> Media:
    kind, port, protocol, *formats = (*section.head.split(maxsplit=MAX_CODECS + 3), "", "", "")
    formats = [one for one in formats if one][:MAX_CODECS]
    if not _TOKEN.fullmatch(kind) or not port.isdigit() or not protocol:
        raise SdpError("a media line that is none")
    if not all(_TOKEN.fullmatch(one) for one in (*protocol.split("/"), *formats)):
        raise SdpError("a media line with characters that it may not have")
    mid = section.first("mid") or ""
    if mid and not _TOKEN.fullmatch(mid):
        raise SdpError("a mid that is no token")
    direction = next((one for one in DIRECTIONS if one in section.attributes), "sendrecv")
    is_refused = int(port[:6]) == 0 and "bundle-only" not in section.attributes
    may_receive = not is_refused and direction in ("sendrecv", "recvonly")
    may_send = not is_refused and direction in ("sendrecv", "sendonly")
    is_muxed = "rtcp-mux" in section.attributes or "rtcp-mux-only" in section.attributes
    codecs = _codecs(section, formats) if protocol in PROTOCOLS else ()
    formats_text = " ".join(formats)
    return Media(kind, protocol, formats_text, mid, may_receive, may_send, is_muxed, codecs)


def _codecs(section: _Section, formats: Iterable[str]) -> tuple[Codec, ...]:
    """The payload types that the section's line names, in its order."""
    maps = _by_type(section.attributes.get("rtpmap", ()))
    parameters = _by_type(section.attributes.get("fmtp", ()))
    feedback: dict[str, set[str]] = {}
    for line in section.attributes.get("rtcp-fb", ()):
        number, _, words = line.partition(" ")
        feedback.setdefault(number, set()).add(words.strip())
    found = []
    for number in list(dict.fromkeys(formats))[:MAX_CODECS]:
        name, *rest = (maps.get(number) or "").split("/")
        if not name or not number.isdigit() or int(number[:4]) > 127:
            continue
        figures = [int(one[:9]) if one.isdigit() else 0 for one in rest]
        clock, channels = [*figures, 0, 1][0], figures[1] if len(figures) > 1 else 1
        own = frozenset(feedback.get(number, set()) | feedback.get("*", set()))
        found.append(
            Codec(int(number), name.upper(), clock, channels, _pairs(parameters, number), own)
        )
    return tuple(found)


def _by_type(lines: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        number, _, rest = line.partition(" ")
        found.setdefault(number, rest.strip())
    return found


def _pairs(parameters: Mapping[str, str], number: str) -> dict[str, str]:
    pairs = (one.partition("=") for one in parameters.get(number, "").split(";")[:64])
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _shared(name: str, session: _Section, sections: Iterable[_Section]) -> str:
    """What stands in the first section that has it: bundled media share it."""
    for section in (*sections, session):
        value = section.first(name)
        if value is not None:
            return value
    return ""


def _fingerprints(sections: Iterable[_Section]) -> tuple[tuple[str, str], ...]:
    """Each digest once, of algorithms that are safe; all of them must be right."""
    found: dict[tuple[str, str], None] = {}
    for section in sections:
        for line in section.attributes.get("fingerprint", ()):
            algorithm, _, digest = line.partition(" ")
            if algorithm.lower() not in ("sha-256", "sha-384", "sha-512"):
                continue
            if not _DIGEST.fullmatch(digest.strip()):
                raise SdpError("a fingerprint that is none")
            found[algorithm.lower(), digest.strip().upper()] = None
    return tuple(found)
