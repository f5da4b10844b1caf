"""The cue points and splices of a stream as date ranges of its HLS playlists. Pure.

Section numbers are of draft-pantos-hls-rfc8216bis: a date range is `EXT-X-DATERANGE` (4.4.5.1), and
its attributes of a name of our own begin with `X-`. A splice has its section as `SCTE35-OUT`, `-IN`
or `-CMD` (4.4.5.1.1); the end of a break is told by another tag of the same ID, which adds to the
first and changes nothing of it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Final

from egress.cues.cue_point import CuePoint, CueValue, cue_point
from egress.cues.splice_point import splice_point
from egress.cues.splices import Break, Splices

MAX_CUES: Final = 32  # of a stream: the oldest give way
MAX_VALUE_CHARS: Final = 1024  # longer texts are left out
_CLASS: Final = "onCuePoint"
SPLICE_CLASS: Final = "urn:scte:scte35:2014:bin"
_PREFIX: Final = "X-CUE-"
_NO_NAME: Final = re.compile(r"[^A-Z0-9-]+")
_NO_TEXT: Final = re.compile(r"[\x00-\x1f\x7f\"\u2028\u2029\x85]")  # 4.2: no line ends, no quotes


class CuePoints:
    """What a stream's tracks are told of, each once although it comes with every rendition."""

    def __init__(self) -> None:
        self._cues: list[CuePoint] = []
        self.splices = Splices()

    def hear(self, body: bytes, dts_ms: int) -> None:
        """Take a data message, whatever it says."""
        cue = cue_point(body, dts_ms)
        if cue is not None:
            self.add(cue)
        elif (splice := splice_point(body, dts_ms)) is not None:
            self.splices.add(splice)

    def add(self, cue: CuePoint) -> None:
        """Keep a cue point, unless it is there."""
        if cue not in self._cues:
            self._cues.append(cue)
            self._cues.sort(key=lambda one: one.dts_ms)
            del self._cues[:-MAX_CUES]

    def lines(self, from_s: float, unix_offset_s: float) -> list[str]:
        """The tags of those from a stream time on; 4.4.5.1: earlier ones may be left out."""
        return [
            *date_ranges(self._cues, from_s, unix_offset_s),
            *splice_ranges(self.splices.breaks, from_s, unix_offset_s),
        ]

    def between(self, begin_s: float, end_s: float) -> list[CuePoint]:
        """The cue points of a part of stream time."""
        return [cue for cue in self._cues if begin_s * 1000 <= cue.dts_ms < end_s * 1000]


def date_ranges(cues: Iterable[CuePoint], from_s: float, unix_offset_s: float) -> Iterator[str]:
    """A tag for each cue point from `from_s` of stream time on. The same cue has the same ID."""
    before: dict[int, int] = {}
    for cue in cues:
        unix_ms = round(cue.dts_ms + unix_offset_s * 1000)
        count = before[unix_ms] = before.get(unix_ms, 0) + 1
        if cue.dts_ms < from_s * 1000:
            continue
        attributes = {
            "ID": f'"cue-{unix_ms}-{count}"',
            "CLASS": f'"{_CLASS}"',
            "START-DATE": f'"{_date(unix_ms)}"',
        }
        if cue.duration_s is not None:
            attributes["PLANNED-DURATION"] = f"{cue.duration_s:.3f}"
        for key, value in cue.entries:
            name = _PREFIX + _NO_NAME.sub("-", key.upper()).strip("-")
            text = _value(value)
            if text and name != _PREFIX:
                attributes.setdefault(name, text)
        yield _tag(attributes)


def splice_ranges(breaks: Iterable[Break], from_s: float, unix_offset_s: float) -> Iterator[str]:
    """The tags of those breaks that are not over at `from_s` of stream time."""
    for one in breaks:
        if one.end_ms < from_s * 1000:
            continue
        begin_ms = round(one.begin_ms + unix_offset_s * 1000)
        splice = one.begin.splice
        attributes = {
            "ID": f'"splice-{one.name}-{begin_ms}"',
            "CLASS": f'"{SPLICE_CLASS}"',
            "START-DATE": f'"{_date(begin_ms)}"',
        }
        if one.begin.duration_s is not None:
            attributes["PLANNED-DURATION"] = f"{one.begin.duration_s:.3f}"
        yield _tag({**attributes, f"SCTE35-{splice.way.value}": f"0x{one.begin.section.hex()}"})
        if one.end is not None:
            del attributes["CLASS"]
            attributes.pop("PLANNED-DURATION", None)
            attributes["DURATION"] = f"{(one.end_ms - one.begin_ms) / 1000:.3f}"
            yield _tag({**attributes, "SCTE35-IN": f"0x{one.end.section.hex()}"})


def _tag(attributes: Mapping[str, str]) -> str:
    return "#EXT-X-DATERANGE:" + ",".join(f"{name}={text}" for name, text in attributes.items())


def _date(unix_ms: int) -> str:
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _value(value: CueValue) -> str:
    """A quoted text or a number (4.2); "": it cannot be said."""
    if isinstance(value, bool):
        return '"YES"' if value else '"NO"'
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".") if isfinite(value) else ""
    return f'"{_NO_TEXT.sub("", value)}"' if len(value) <= MAX_VALUE_CHARS else ""
