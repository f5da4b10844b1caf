"""Reads HLS playlists and forgives nothing: what rfc8216bis forbids is `Broken`, with its section.

Section numbers are of draft-pantos-hls-rfc8216bis-22. What one playlist alone can show is held
here; what becomes of it over time, and beside others, by `hls_client.py`, which lists the rules.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple


class Broken(AssertionError):
    """A server does not keep to the protocol."""

    def __init__(self, section: str, words: str) -> None:
        super().__init__(f"{section}: {words}")
        self.section = section


def hold(is_kept: bool, section: str, words: str) -> None:
    """Raise what a rule's section and these words say, unless it is kept."""
    if not is_kept:
        raise Broken(section, words)


class Part(NamedTuple):
    """A partial segment, as its tag says."""

    uri: str
    duration: float
    is_independent: bool
    is_gap: bool


@dataclass
class Segment:
    """A media segment; the last one of a playlist may have parts and no URI yet."""

    number: int  # media sequence number
    discontinuities: int  # its discontinuity sequence number
    uri: str = ""
    duration: float = 0.0
    parts: list[Part] = field(default_factory=list)
    has_discontinuity: bool = False
    map_uri: str = ""
    date: datetime | None = None
    is_gap: bool = False

    @property
    def is_open(self) -> bool:
        return not self.uri


@dataclass
class MediaPlaylist:
    """What a media playlist says."""

    version: int
    target: int  # s
    first: int  # media sequence number of the first segment, skipped ones included
    part_target: float | None
    control: Mapping[str, str]
    discontinuities: int  # discontinuity sequence number of the playlist
    segments: list[Segment]  # without those that were skipped; the open one too
    skipped: int | None
    hints: list[Mapping[str, str]]
    reports: list[Mapping[str, str]]
    is_independent: bool
    is_ended: bool
    kind: str  # EVENT or VOD; empty: live

    @property
    def complete(self) -> list[Segment]:
        return [segment for segment in self.segments if not segment.is_open]

    @property
    def last(self) -> tuple[int, int]:
        """Media sequence number and part index of what was added last; (…, -1): no part of it."""
        newest = self.segments[-1]
        return newest.number, len(newest.parts) - 1

    @property
    def duration(self) -> float:
        return sum(segment.duration for segment in self.complete)


@dataclass
class Variant:
    """A variant stream."""

    uri: str
    attributes: Mapping[str, str]


@dataclass
class MultivariantPlaylist:
    """What a multivariant playlist says."""

    variants: list[Variant]
    media: list[Mapping[str, str]]

    def renditions(self) -> list[str]:
        """The URIs of all media playlists, each once."""
        uris = [variant.uri for variant in self.variants]
        uris += [one["URI"] for one in self.media if "URI" in one]
        return list(dict.fromkeys(uris))


# ---- lines ------------------------------------------------------------------------------------

_ATTRIBUTE: Final = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(,|$)')
_INTEGER: Final = re.compile(r"\d{1,20}$")
_DECIMAL: Final = re.compile(r"\d+(\.\d+)?$")
_SIGNED: Final = re.compile(r"-?\d+(\.\d+)?$")
_ENUM: Final = re.compile(r'[^",\s]+$')
_STRING: Final = re.compile(r'"[^"\r\n]*"$')
_RESOLUTION: Final = re.compile(r"\d+x\d+$")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)$")

# Of each attribute that is looked at, its form (4.2).
_FORMS: Final = {
    **dict.fromkeys(("BANDWIDTH", "AVERAGE-BANDWIDTH", "SKIPPED-SEGMENTS"), _INTEGER),
    **dict.fromkeys(("LAST-MSN", "LAST-PART", "BYTERANGE-START", "BYTERANGE-LENGTH"), _INTEGER),
    **dict.fromkeys(("DURATION", "PART-TARGET", "HOLD-BACK", "PART-HOLD-BACK"), _DECIMAL),
    **dict.fromkeys(("CAN-SKIP-UNTIL", "FRAME-RATE"), _DECIMAL),
    "TIME-OFFSET": _SIGNED,
    **dict.fromkeys(("URI", "CODECS", "AUDIO", "GROUP-ID", "NAME", "CHANNELS"), _STRING),
    **dict.fromkeys(("TYPE", "INDEPENDENT", "GAP", "CAN-BLOCK-RELOAD", "DEFAULT"), _ENUM),
    **dict.fromkeys(("AUTOSELECT", "CAN-SKIP-DATERANGES", "PRECISE"), _ENUM),
    "RESOLUTION": _RESOLUTION,
}
_YES_ALONE: Final = {"INDEPENDENT", "GAP", "CAN-BLOCK-RELOAD", "CAN-SKIP-DATERANGES"}

MULTIVARIANT_TAGS: Final = {
    *("EXT-X-MEDIA", "EXT-X-STREAM-INF", "EXT-X-I-FRAME-STREAM-INF", "EXT-X-SESSION-DATA"),
    *("EXT-X-SESSION-KEY", "EXT-X-CONTENT-STEERING"),
}
PLAYLIST_TAGS: Final = {
    *("EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE"),
    *("EXT-X-ENDLIST", "EXT-X-PLAYLIST-TYPE", "EXT-X-PART-INF", "EXT-X-SERVER-CONTROL"),
}
SEGMENT_TAGS: Final = {
    *("EXTINF", "EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME", "EXT-X-GAP"),
    *("EXT-X-BITRATE", "EXT-X-PART", "EXT-X-KEY", "EXT-X-BYTERANGE"),
}
METADATA_TAGS: Final = {
    *("EXT-X-SKIP", "EXT-X-PRELOAD-HINT", "EXT-X-RENDITION-REPORT", "EXT-X-DATERANGE"),
}
BOTH_TAGS: Final = {
    "EXTM3U", "EXT-X-VERSION", "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-START", "EXT-X-DEFINE",
}  # fmt: skip
# The version that a tag needs (8); EXTINF with a fraction needs 3.
_NEEDS: Final = {"EXT-X-BYTERANGE": 4, "EXT-X-MAP": 6, "EXT-X-DEFINE": 8, "EXT-X-SKIP": 9}


def attributes(text: str) -> dict[str, str]:
    """An attribute list (4.2); quoted strings without their quotes."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _ATTRIBUTE.match(text, at)
        hold(match is not None, "4.2", f"no attribute: {text[at:]!r}")
        assert match is not None
        name, value, end = match.groups()
        hold(name not in found, "4.2", f"{name} twice")
        form = _FORMS.get(name)
        hold(form is None or form.match(value) is not None, "4.2", f"{name} is {value}")
        hold(name not in _YES_ALONE or value == "YES", "4.2", f"{name} is {value}")
        found[name] = value.strip('"')
        at = match.end()
        hold(end == "" or at < len(text), "4.2", "a comma at the end")
    return found


def _lines(body: bytes) -> Iterator[tuple[str, str]]:
    """Tags with what is behind their colon, and ("", URI) for lines that are URIs."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Broken("4.1", "it is not UTF-8") from None
    hold(not text.startswith("\ufeff"), "4.1", "a byte order mark")
    hold(not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]", text), "4.1", "control characters")
    lines = text.replace("\r\n", "\n").split("\n")
    hold(lines[0] == "#EXTM3U", "4.4.1.1", f"it begins with {lines[0]!r}")
    for line in lines:
        hold(line == line.strip(), "4.1", f"white space around {line!r}")
        if line.startswith("#EXT"):
            name, _, rest = line[1:].partition(":")
            yield name, rest
        elif line and not line.startswith("#"):
            hold(" " not in line, "4.1", f"white space in {line!r}")
            yield "", line


def _checked(body: bytes, is_multivariant: bool) -> list[tuple[str, str]]:
    """All lines, once it is clear that they may stand in one playlist."""
    lines = list(_lines(body))
    names = [name for name, _ in lines]
    for name in BOTH_TAGS - {"EXT-X-DEFINE"} | PLAYLIST_TAGS:
        section = "4.4.2" if name in BOTH_TAGS else "4.4.3"
        hold(names.count(name) <= 1, section, f"{name} {names.count(name)} times")
    hold(names.count("EXT-X-SKIP") <= 1, "4.4.5", "EXT-X-SKIP more than once")
    media = PLAYLIST_TAGS | SEGMENT_TAGS | METADATA_TAGS
    for name in names:
        if is_multivariant:
            hold(name not in media, "4.4.3", f"{name} in a multivariant playlist")
        else:
            hold(name not in MULTIVARIANT_TAGS, "4.4.6", f"{name} in a media playlist")
    version = int(dict(lines).get("EXT-X-VERSION", "1"))
    needed = max([_NEEDS.get(name, 1) for name in names])
    if any(name == "EXTINF" and "." in rest for name, rest in lines):
        needed = max(needed, 3)
    if any(name == "EXT-X-DEFINE" and "QUERYPARAM" in rest for name, rest in lines):
        needed = max(needed, 11)
    hold(version >= needed, "8", f"version {version}, where {needed} is needed")
    return lines


# ---- multivariant playlists -------------------------------------------------------------------


def read_multivariant(body: bytes) -> MultivariantPlaylist:
    """Read a multivariant playlist (4.4.6)."""
    variants: list[Variant] = []
    media: list[Mapping[str, str]] = []
    waiting: Mapping[str, str] | None = None
    for name, rest in _checked(body, is_multivariant=True):
        hold(waiting is None or name == "", "4.4.6.2", "EXT-X-STREAM-INF without its URI line")
        if name == "EXT-X-STREAM-INF":
            waiting = attributes(rest)
            hold("BANDWIDTH" in waiting, "4.4.6.2", "a variant without BANDWIDTH")
        elif name == "EXT-X-MEDIA":
            media.append(_rendition(attributes(rest)))
        elif name == "":
            hold(waiting is not None, "4.4.6.2", f"{rest} belongs to no tag")
            assert waiting is not None
            variants.append(Variant(rest, waiting))
            waiting = None
    hold(waiting is None, "4.4.6.2", "EXT-X-STREAM-INF without its URI line")
    hold(bool(variants), "4.4.6", "no variants")
    groups = {(one["TYPE"], one["GROUP-ID"]) for one in media}
    for variant in variants:
        group = variant.attributes.get("AUDIO")
        hold(
            group is None or ("AUDIO", group) in groups,
            "4.4.6.2", f"AUDIO={group} is no group",
        )  # fmt: skip
    names = [(one["TYPE"], one["GROUP-ID"], one["NAME"]) for one in media]
    hold(len(names) == len(set(names)), "4.4.6.1.1", "two renditions of a group share a name")
    defaults = [one["GROUP-ID"] for one in media if one.get("DEFAULT") == "YES"]
    hold(len(defaults) == len(set(defaults)), "4.4.6.1.1", "two defaults in a group")
    return MultivariantPlaylist(variants, media)


def _rendition(found: Mapping[str, str]) -> Mapping[str, str]:
    for name in ("TYPE", "GROUP-ID", "NAME"):
        hold(name in found, "4.4.6.1", f"a rendition without {name}")
    hold(
        found.get("DEFAULT") != "YES" or found.get("AUTOSELECT", "YES") == "YES",
        "4.4.6.1", "DEFAULT=YES with AUTOSELECT=NO",
    )  # fmt: skip
    hold("CHANNELS" not in found or found["TYPE"] == "AUDIO", "4.4.6.1", "CHANNELS of no sound")
    return found


# ---- media playlists --------------------------------------------------------------------------


def read_media(body: bytes) -> MediaPlaylist:
    """Read a media playlist (4.4.3 to 4.4.5)."""
    lines = _checked(body, is_multivariant=False)
    said = dict(lines)
    hold("EXT-X-TARGETDURATION" in said, "4.4.3.1", "no target duration")
    target = said["EXT-X-TARGETDURATION"]
    hold(_INTEGER.match(target) is not None and int(target) >= 1, "4.4.3.1", f"target {target}")
    control = attributes(said.get("EXT-X-SERVER-CONTROL", ""))
    part_target: float | None = None
    if "EXT-X-PART-INF" in said:
        part_inf = attributes(said["EXT-X-PART-INF"])
        hold("PART-TARGET" in part_inf, "4.4.3.7", "no PART-TARGET")
        part_target = float(part_inf["PART-TARGET"])
    reader = _SegmentReader(said)
    for name, rest in lines:
        reader.take(name, rest)
    playlist = MediaPlaylist(
        int(said.get("EXT-X-VERSION", "1")),
        int(target),
        reader.first,
        part_target,
        control,
        int(said.get("EXT-X-DISCONTINUITY-SEQUENCE", "0")),
        reader.end(),
        reader.skipped,
        [attributes(rest) for name, rest in lines if name == "EXT-X-PRELOAD-HINT"],
        [attributes(rest) for name, rest in lines if name == "EXT-X-RENDITION-REPORT"],
        "EXT-X-INDEPENDENT-SEGMENTS" in said,
        "EXT-X-ENDLIST" in said,
        said.get("EXT-X-PLAYLIST-TYPE", ""),
    )
    _check_control(playlist)
    _check_segments(playlist)
    _check_metadata(playlist)
    return playlist


class _SegmentReader:
    """Segment tags and URIs, in their order."""

    def __init__(self, said: Mapping[str, str]) -> None:
        for name in ("EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE"):
            value = said.get(name, "0")
            hold(_INTEGER.match(value) is not None, "4.4.3", f"{name} is {value}")
        self.first = int(said.get("EXT-X-MEDIA-SEQUENCE", "0"))
        self.skipped: int | None = None
        self._discontinuities = int(said.get("EXT-X-DISCONTINUITY-SEQUENCE", "0"))
        self._segments: list[Segment] = []
        self._map = ""
        self._has_begun = False  # whether anything of a segment has come
        self._next = self._begin()

    def _begin(self) -> Segment:
        number = self.first + (self.skipped or 0) + len(self._segments)
        return Segment(number, self._discontinuities, map_uri=self._map)

    def take(self, name: str, rest: str) -> None:
        segment = self._next
        if name in ("EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE"):
            section = "4.4.3.2" if name == "EXT-X-MEDIA-SEQUENCE" else "4.4.3.3"
            hold(not self._has_begun, section, f"{name} behind a segment")
        if name in SEGMENT_TAGS or name in ("", "EXT-X-SKIP"):
            self._has_begun = True
        if name in ("EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME"):
            hold(not segment.parts, "4.4.4.9", f"{name} behind a part of its segment")
        match name:
            case "EXT-X-SKIP":
                found = attributes(rest)
                hold("SKIPPED-SEGMENTS" in found, "4.4.5.2", "no SKIPPED-SEGMENTS")
                hold(not self._segments, "4.4.5.2", "EXT-X-SKIP behind segments")
                self.skipped = int(found["SKIPPED-SEGMENTS"])
                self._next = self._begin()
            case "EXT-X-DISCONTINUITY":
                self._discontinuities += 1
                segment.discontinuities, segment.has_discontinuity = self._discontinuities, True
            case "EXT-X-MAP":
                found = attributes(rest)
                hold(bool(found.get("URI")), "4.4.4.5", "EXT-X-MAP without URI")
                self._map = segment.map_uri = found["URI"]
            case "EXT-X-PROGRAM-DATE-TIME":
                hold(_DATE.match(rest) is not None, "4.4.4.6", f"the date {rest}")
                segment.date = datetime.fromisoformat(rest)
            case "EXT-X-GAP":
                segment.is_gap = True
            case "EXT-X-PART":
                segment.parts.append(_part(attributes(rest)))
            case "EXTINF":
                duration, comma, _ = rest.partition(",")
                hold(bool(comma), "4.4.4.1", f"EXTINF:{rest} has no comma")
                hold(_DECIMAL.match(duration) is not None, "4.4.4.1", f"EXTINF:{rest}")
                segment.duration = float(duration)
            case "":
                hold(segment.duration > 0, "4.4.4.1", f"{rest} has no EXTINF")
                segment.uri = rest
                self._segments.append(segment)
                self._next = self._begin()
            case _:
                pass

    def end(self) -> list[Segment]:
        if self._next.parts:
            self._segments.append(self._next)
        hold(bool(self._segments), "6.2.1", "no segments and no parts")
        return self._segments


def _part(found: Mapping[str, str]) -> Part:
    hold("URI" in found and "DURATION" in found, "4.4.4.9", f"a part with {sorted(found)} alone")
    return Part(
        found["URI"], float(found["DURATION"]), found.get("INDEPENDENT") == "YES",
        found.get("GAP") == "YES",
    )  # fmt: skip


def _check_control(playlist: MediaPlaylist) -> None:
    """Target durations and hold-backs (4.4.3.8)."""
    control, target = playlist.control, playlist.target
    skip = float(control.get("CAN-SKIP-UNTIL", 6 * target))
    hold(skip >= 6 * target, "4.4.3.8", f"CAN-SKIP-UNTIL={skip} at a target of {target}")
    hold(
        "CAN-SKIP-DATERANGES" not in control or "CAN-SKIP-UNTIL" in control,
        "4.4.3.8", "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL",
    )  # fmt: skip
    back = float(control.get("HOLD-BACK", 3 * target))
    hold(back >= 3 * target, "4.4.3.8", f"HOLD-BACK={back} at a target of {target}")
    if playlist.part_target is not None:
        hold("PART-HOLD-BACK" in control, "4.4.3.8", "EXT-X-PART-INF and no PART-HOLD-BACK")
        back = float(control["PART-HOLD-BACK"])
        hold(back >= 2 * playlist.part_target, "4.4.3.8", f"PART-HOLD-BACK={back}")


def _check_segments(playlist: MediaPlaylist) -> None:
    """Durations, and what each segment needs."""
    parts = [part for segment in playlist.segments for part in segment.parts]
    hold(not parts or playlist.part_target is not None, "4.4.3.7", "parts and no EXT-X-PART-INF")
    for segment in playlist.segments:
        what = f"segment {segment.number}"
        rounded = int(segment.duration + 0.5)
        hold(rounded <= playlist.target, "4.4.3.1", f"{what} lasts {segment.duration}")
        for index, part in enumerate(segment.parts):
            is_last = index == len(segment.parts) - 1  # of an open one it may be
            is_before_gap = index + 1 < len(segment.parts) and segment.parts[index + 1].is_gap
            _check_part(playlist, part, is_last or is_before_gap, f"part {index} of {what}")
        if segment.parts and not segment.is_open:
            total = sum(part.duration for part in segment.parts)
            off = abs(total - segment.duration)
            hold(off <= 0.001 * (len(segment.parts) + 1), "3.2", f"{what}: its parts last {total}")


def _check_part(playlist: MediaPlaylist, part: Part, may_be_short: bool, what: str) -> None:
    longest = playlist.part_target or 0.0
    # durations are rounded to what a playlist writes of them
    hold(part.duration <= longest + 1e-9, "4.4.4.9", f"{what} lasts {part.duration}")
    may_be_short = may_be_short or part.is_independent or part.is_gap
    is_long = part.duration >= 0.85 * longest - 1e-9
    hold(may_be_short or is_long, "4.4.4.9", f"{what} lasts {part.duration}: under 85 %")


def _check_metadata(playlist: MediaPlaylist) -> None:
    """Hints and reports (4.4.5.3, 4.4.5.4)."""
    for hint in playlist.hints:
        hold("URI" in hint and "TYPE" in hint, "4.4.5.3", f"a hint with {sorted(hint)} alone")
        hold(not playlist.is_ended, "4.4.5.3", "a hint behind the end")
    for report in playlist.reports:
        uri = report.get("URI", "")
        hold(bool(uri), "4.4.5.4", "a report without URI")
        hold("://" not in uri, "4.4.5.4", f"{uri} is not relative")
