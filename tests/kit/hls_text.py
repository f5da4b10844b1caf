"""Reads a media playlist of HLS line by line, as strictly as a server's own tests want it."""

import re
from dataclasses import dataclass, field
from itertools import pairwise

_PART = re.compile(r'#EXT-X-PART:DURATION=([\d.]+),URI="(\d+)\.(\d+)\.m4s.?"(,INDEPENDENT=YES)?')


@dataclass
class TextSegment:
    msn: int
    seconds: float | None = None  # None: it is not complete
    is_gap: bool = False
    parts: list[float] = field(default_factory=list)


@dataclass
class TextPlaylist:
    """What a media playlist says."""

    head: str  # what may never change
    first_msn: int
    discontinuities_before: int
    target_duration: int
    part_target: float
    segments: list[TextSegment]
    discontinuities: set[int]
    hint: tuple[int, int] | None
    has_ended: bool

    @property
    def last_msn(self) -> int:
        return self.segments[-1].msn if self.segments else -1

    def check(self) -> None:
        """Assert what holds for every playlist by itself."""
        for segment in self.segments[:-1]:
            assert segment.seconds is not None
        for before, after in pairwise(self.segments):
            assert after.msn == before.msn + 1
        for segment in self.segments:
            if segment.seconds is not None:
                assert segment.seconds > 0
                assert round(segment.seconds) <= self.target_duration
            for seconds in segment.parts:
                assert seconds <= self.part_target
        if self.has_ended:
            assert self.hint is None
        else:
            last = self.segments[-1]
            is_whole = last.seconds is not None
            assert self.hint == ((last.msn + 1, 0) if is_whole else (last.msn, len(last.parts)))


def read_media(text: str) -> TextPlaylist:  # noqa: C901 # long: a branch for each tag
    """Read one; a line that is not known is an AssertionError."""
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    found = TextPlaylist("", 0, 0, 0, 0.0, [], set(), None, False)
    segments, head = found.segments, []
    has_gap = is_begun = False
    for line in lines[1:]:
        tag, _, value = line.partition(":")
        begins = TextSegment(found.first_msn + len(segments))
        if tag in ("#EXT-X-VERSION", "#EXT-X-SERVER-CONTROL"):
            head.append(line)
        elif tag == "#EXT-X-TARGETDURATION":
            head.append(line)
            found.target_duration = int(value)
        elif tag == "#EXT-X-PART-INF":
            head.append(line)
            found.part_target = float(value.removeprefix("PART-TARGET="))
        elif tag == "#EXT-X-MEDIA-SEQUENCE":
            found.first_msn = int(value)
        elif tag == "#EXT-X-DISCONTINUITY-SEQUENCE":
            found.discontinuities_before = int(value)
        elif tag == "#EXT-X-DISCONTINUITY":
            found.discontinuities.add(begins.msn)
        elif tag == "#EXT-X-GAP":
            has_gap = True
        elif tag == "#EXT-X-PART":
            matched = _PART.fullmatch(line)
            assert matched, line
            if not is_begun:
                segments.append(begins)
                is_begun = True
            assert (int(matched[2]), int(matched[3])) == (segments[-1].msn, len(segments[-1].parts))
            segments[-1].parts.append(float(matched[1]))
        elif tag == "#EXTINF":
            if not is_begun:
                segments.append(begins)
            segments[-1].seconds = float(value.rstrip(","))
            segments[-1].is_gap, has_gap, is_begun = has_gap, False, False
        elif tag == "#EXT-X-PRELOAD-HINT":
            matched = re.fullmatch(r'TYPE=PART,URI="(\d+)\.(\d+)\.m4s.?"', value)
            assert matched, line
            found.hint = int(matched[1]), int(matched[2])
        elif tag == "#EXT-X-ENDLIST":
            found.has_ended = True
        elif line.startswith("#"):
            known = ("#EXT-X-MAP", "#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-RENDITION-REPORT")
            assert tag in (*known, "#EXT-X-SKIP"), line
        else:
            assert line.startswith(f"{segments[-1].msn}.m4s"), line
    found.head = "\n".join(head)
    return found
