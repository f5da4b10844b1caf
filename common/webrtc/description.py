"""An answer's text: which sections are taken, and how this end is reached. Pure.

- Sections that are taken are bundled, with RTCP on the same port; all others are refused by port 0,
  in their places (RFC 3264 6).
- This end is ICE-lite with one address for all, and the passive one in DTLS where it may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from common.webrtc.offer import Media, Offer

# Of candidates: type preference 126, local preference by the order, component 1 (RFC 8445 5.1.2.1).
_HOST_PRIORITY: Final = 126 << 24 | 255


@dataclass(frozen=True, slots=True)
class End:
    """This end of a session."""

    ufrag: str
    password: str = field(repr=False)
    fingerprint: str  # the algorithm and the digest
    addresses: Sequence[tuple[str, int]]
    session: int  # a number of the description's


@dataclass(frozen=True, slots=True)
class Section:
    """A section that is taken."""

    media: Media
    direction: str  # as this end has it
    payload_types: Sequence[int]
    lines: Sequence[str]  # what it says of its media


def write(offer: Offer, taken: Sequence[Section], end: End) -> str:
    """The answer's text."""
    by_media = {id(section.media): section for section in taken}
    together = [media.mid for media in offer.media if media.mid and id(media) in by_media]
    lines = [
        "v=0",
        f"o=- {end.session} 0 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        *([f"a=group:BUNDLE {' '.join(together)}"] if together else []),
        "a=msid-semantic: WMS *",
    ]
    for media in offer.media:
        section = by_media.get(id(media))
        lines += _taken(offer, section, end) if section is not None else _refused(media)
    return "\r\n".join(lines) + "\r\n"


def _refused(media: Media) -> list[str]:
    formats = media.formats or "0"
    lines = [f"m={media.kind} 0 {media.protocol} {formats}", "c=IN IP4 0.0.0.0", "a=inactive"]
    return [*lines, f"a=mid:{media.mid}"] if media.mid else lines


def _taken(offer: Offer, section: Section, end: End) -> list[str]:
    media = section.media
    return [
        f"m={media.kind} 9 {media.protocol} {' '.join(map(str, section.payload_types))}",
        "c=IN IP4 0.0.0.0",
        *([f"a=mid:{media.mid}"] if media.mid else []),
        f"a={section.direction}",
        "a=rtcp-mux",
        f"a=ice-ufrag:{end.ufrag}",
        f"a=ice-pwd:{end.password}",
        f"a=fingerprint:{end.fingerprint}",
        f"a=setup:{'active' if offer.is_passive else 'passive'}",
        *section.lines,
        *[_candidate(at, address) for at, address in enumerate(end.addresses)],
        "a=end-of-candidates",
    ]


def _candidate(at: int, address: tuple[str, int]) -> str:
    host, port = address
    priority = _HOST_PRIORITY | (65_535 - at) << 8
    return f"a=candidate:{at + 1} 1 udp {priority} {host} {port} typ host"
