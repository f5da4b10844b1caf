"""What the media behind an HLS playlist must be: CMAF of one track that says what its tags say.

Section numbers are of draft-pantos-hls-rfc8216bis-22, as in `hls_playlist.py`.
"""

import struct
from dataclasses import dataclass, field
from fractions import Fraction

from tests.kit.hls_playlist import Part, Segment, hold
from tests.kit.mp4_reader import Movie, Sample, boxes, read_movie

ROUNDING_S = 0.002  # of durations in a playlist
FROZEN_S = 0.3  # a picture that lasts longer stands for those that do not come


@dataclass
class Rendered:
    """One segment of a rendition as far as its bytes are known."""

    parts: dict[int, list[Sample]] = field(default_factory=dict)  # by part index
    whole: list[Sample] | None = None

    @property
    def begin(self) -> int | None:
        """Its first sample's decode time, in the track's timescale."""
        if self.whole:
            return self.whole[0].dts
        return self.parts[0][0].dts if self.parts.get(0) else None


class Header:
    """An initialisation segment."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        movie = _movie(body, "an initialisation segment")
        hold(not movie.samples, "3.1.1", "an initialisation segment with samples")
        hold(len(movie.timescales) == 1, "3.1.1", "it is of one track here")
        ((self.track, self.timescale),) = movie.timescales.items()
        self.entry = movie.entries[self.track]

    @property
    def is_video(self) -> bool:
        return self.track == 1

    def codec(self) -> str:
        """The RFC 6381 name by the sample entry."""
        if self.entry.kind == b"avc1":
            record = next(box for box in boxes(self.entry.content[78:]) if box.kind == b"avcC")
            return "avc1." + record.content[1:4].hex()
        if self.entry.kind == b"mp4a":
            (esds,) = boxes(self.entry.content[28:])
            at = esds.content.index(b"\x05\x80\x80\x80")
            return f"mp4a.40.{esds.content[at + 5] >> 3}"
        return self.entry.kind.decode()

    def seconds(self, units: int) -> Fraction:
        return Fraction(units, self.timescale)


def read_samples(header: Header, body: bytes, what: str) -> list[Sample]:
    """The samples of a part or a segment, which must have some."""
    movie = _movie(header.body + body, what)
    hold(bool(movie.samples), "3.1.1", f"{what} has no samples")
    hold(
        {sample.track for sample in movie.samples} == {header.track},
        "4.4.4.3", f"{what} has other tracks than its EXT-X-MAP",
    )  # fmt: skip
    return movie.samples


def check_part(header: Header, part: Part, samples: list[Sample], what: str) -> None:
    """Whether a part is what its tag says."""
    check_duration(header, part.duration, samples, "4.4.4.9", what)
    has_key = any(sample.is_key for sample in samples)
    hold(has_key or not part.is_independent, "4.4.4.9", f"{what}: INDEPENDENT without a keyframe")


def check_duration(
    header: Header,
    told: float,
    samples: list[Sample],
    section: str,
    what: str,
    absent: float = 0.0,
) -> None:
    """Whether samples last as long as is told; a picture may stand over a gap behind them.

    `absent`: how much of it is told to be a gap.
    """
    lasts = float(header.seconds(sum(sample.duration for sample in samples)))
    last = float(header.seconds(samples[-1].duration))
    is_told = told - absent - ROUNDING_S <= lasts <= told + ROUNDING_S
    stands_still = last > FROZEN_S and lasts - last < told < lasts
    hold(is_told or stands_still, section, f"{what} lasts {lasts:.4f}, told {told}")


def check_whole(header: Header, segment: Segment, found: Rendered, what: str) -> None:
    """Whether a segment is as long as is told, and begins with a keyframe."""
    assert found.whole is not None
    absent = sum(part.duration for part in segment.parts if part.is_gap)
    check_duration(header, segment.duration, found.whole, "4.4.4.1", what, absent)
    hold(found.whole[0].is_key, "4.4.2.1", f"{what} does not begin with a keyframe")


def parts_of(segment: Segment) -> int:
    """How many of its parts can be had."""
    return sum(not part.is_gap for part in segment.parts)


def check_same(segment: Segment, found: Rendered, what: str) -> None:
    """Whether a segment has its parts' samples (3.2), as soon as all of them have come."""
    told = sum(part.duration for part in segment.parts)  # less: some were never seen
    is_known = len(found.parts) == parts_of(segment) > 0 and told > segment.duration - 0.01
    if found.whole is not None and is_known:
        parts = [sample for index in sorted(found.parts) for sample in found.parts[index]]
        hold(parts == found.whole, "3.2", f"{what} has other samples than its parts")


def check_follows(before: list[Sample], after: list[Sample], what: str) -> None:
    """Whether samples begin where those before them end; otherwise it is a discontinuity."""
    end = before[-1].dts + before[-1].duration
    hold(after[0].dts == end, "4.4.4.3", f"{what} begins at {after[0].dts}, {end} was the end")


def _movie(body: bytes, what: str) -> Movie:
    try:
        return read_movie(body)
    except (AssertionError, struct.error, StopIteration, ValueError) as error:
        hold(False, "3.1.1", f"{what} cannot be read: {error}")
        raise
