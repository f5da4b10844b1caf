"""A strict viewer of Low-Latency HLS, without IO: it polls as a player does, and forgives nothing.

`wanted` gives requests to send, `take` gets what comes of each, at a time that is passed in; a rule
that is not kept is `Broken`. It follows all renditions at once: reloads playlists by blocking, asks
for hinted parts at the same time, takes each part and each whole segment, and asks for delta
updates where they are offered. `probes` are requests whose answers are told by the protocol.

What is held of draft-pantos-hls-rfc8216bis-22, by section ("B.1" is the low-latency server's
profile; rules about encryption, date ranges, steering and I-frame playlists concern no server that
has none of these; what only a whole presentation's end could show is not held):

- 3.1.1, 3.2: segments are fragmented MP4 behind an EXT-X-MAP; a segment and its parts have the same
  samples with the same timing.
- 4.1, 4.2: UTF-8 without BOM, control characters, white space; the type of content; attribute
  lists, each attribute once and in its form.
- 4.4.1 to 4.4.3: EXTM3U first; tags that stand once; none of the other kind of playlist; target
  duration, part target, hold-backs and skip boundary in their relations.
- 4.4.4: EXTINF of each segment, rounded at most the target; discontinuities where times or tracks
  change; tags before the first part; parts of at most the part target, and of 85 % of it at least
  but for the last, the independent and those at gaps; INDEPENDENT parts have a keyframe.
- 4.4.5: SKIP; hints have a type, and none stands behind the end; the hinted URI is the next part's;
  reports are relative and as new as the playlist.
- 4.4.6: what variants and renditions must say; names and defaults within groups; AUDIO is a group.
- 6.2.1: available when listed; only appended to and removed from at the front, otherwise unchanged;
  a segment within 1.5 target durations, a part within a part target; dates without ambiguity.
- 6.2.2: media and discontinuity sequence numbers by what was removed, never down; parts to be had
  for three target durations behind their removal, segments for their availability duration; never
  less than three target durations left; no playlist type.
- 6.2.4: CODECS has every format; renditions have one target, one SERVER-CONTROL, the same content,
  discontinuities and dates at the same times.
- 6.2.5: a delta update when asked, of the segments beyond the boundary alone; a blocked reload has
  what was asked or later, whole; a part beyond the last is the next segment's first; part without
  segment is 400, far ahead is 400 at once, 503 after three target durations.
- 6.2.6: hinted resources can be asked for, and come whole; what is neither there nor hinted is 404.
- 8: the version that tags need.
- B.1: blocking reload, dates, hints, and a report of each other rendition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from typing import NamedTuple

from tests.kit.hls_changes import (
    bare,
    check_change,
    check_dates,
    check_delta,
    check_hint,
    check_maps,
    check_reports,
    check_shared,
    merged,
    urljoin,
)
from tests.kit.hls_media import (
    Header,
    Rendered,
    check_follows,
    check_part,
    check_same,
    check_whole,
    parts_of,
    read_samples,
)
from tests.kit.hls_playlist import (
    MediaPlaylist,
    MultivariantPlaylist,
    Segment,
    hold,
    read_media,
    read_multivariant,
)

TYPES = ("application/vnd.apple.mpegurl", "audio/mpegurl")
FRAME_S = 0.05  # by which sound may begin beside its pictures: a frame of it


class What(Enum):
    """What is asked for."""

    MULTIVARIANT = "multivariant playlist"
    PLAYLIST = "playlist"
    HEADER = "initialisation segment"
    PART = "part"
    SEGMENT = "segment"
    PROBE = "probe"


class Request(NamedTuple):
    """A GET of this URL, whose answer may take its time."""

    what: What
    url: str
    rendition: str = ""  # the URL of its playlist, without directives
    number: int = 0  # the media sequence number that a reload asks for
    part: int = -1
    statuses: tuple[int, ...] = (200,)  # that a probe may get
    section: str = ""  # by which


class Response(NamedTuple):
    """What came of a request."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass
class Rendition:
    """What is known of one media playlist."""

    url: str
    playlist: MediaPlaylist | None = None
    headers: dict[str, Header] = field(default_factory=dict)  # by URL
    segments: dict[int, Segment] = field(default_factory=dict)  # all that were listed
    found: dict[int, Rendered] = field(default_factory=dict)  # by media sequence number
    bodies: dict[str, bytes] = field(default_factory=dict)  # that wait for their place, by URL
    refused: set[str] = field(default_factory=set)  # hints that will not come
    wants_delta: bool = False
    segment_at: float | None = None  # when the last one was added
    part_at: float | None = None
    listed_at: dict[int, float] = field(default_factory=dict)
    longest_s: float = 0.0  # of its playlists
    known_of_others: dict[str, tuple[int, int]] = field(default_factory=dict)
    seen_of_others: dict[str, tuple[int, int]] = field(default_factory=dict)
    gone: list[tuple[str, float]] = field(default_factory=list)  # URL, and until when it is there


class StrictClient:
    """One viewer of a multivariant playlist."""

    def __init__(self, url: str, *, slack_s: float = 0.0, waits: bool = True) -> None:
        """`slack_s`: how late may come what must come in time. `waits`: it reloads by blocking."""
        self.url = url
        self.multivariant: MultivariantPlaylist | None = None
        self.renditions: dict[str, Rendition] = {}
        self._slack_s = slack_s
        self._waits = waits
        self._asked: set[str] = set()
        self._to_ask: list[Request] = [Request(What.MULTIVARIANT, url)]

    # ---- what a driver does -------------------------------------------------------------------

    def wanted(self) -> list[Request]:
        """Requests that are to be sent now; each is given once."""
        found, self._to_ask = self._to_ask, []
        return found

    def take(self, request: Request, response: Response, now: float) -> None:
        """What came of a request. Raises Broken."""
        if request.what is What.PROBE:
            _check_probe(request, response)
            return
        one = self.renditions.get(request.rendition)
        if response.status == 404 and one is not None and _is_hint(one, request):
            one.refused.add(request.url)
            return
        if response.status == 503 and "_HLS_msn" in request.url:
            self._to_ask.append(request)
            return
        section = "6.2.6" if request.what is What.PART else "6.2.1"
        hold(response.status == 200, section, f"{request.url}: {response.status}")
        if request.what in (What.MULTIVARIANT, What.PLAYLIST):
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            hold(kind in TYPES, "4", f"{request.url} is {kind}")
        if request.what is What.MULTIVARIANT:
            self._begin(read_multivariant(response.body))
            return
        assert one is not None
        if request.what is What.PLAYLIST:
            self._update(one, request, read_media(response.body), now)
        elif request.what is What.HEADER:
            one.headers[request.url] = Header(response.body)
            self._check_codec(one, one.headers[request.url])
        else:
            one.bodies[request.url] = response.body
        self._judge(one)

    def probes(self, now: float) -> list[Request]:
        """Requests whose answers the protocol tells, for each rendition as it is now."""
        return [
            probe
            for one in self.renditions.values()
            if one.playlist is not None
            for probe in _probes(one, one.playlist, now)
        ]

    # ---- playlists ----------------------------------------------------------------------------

    def _begin(self, playlist: MultivariantPlaylist) -> None:
        self.multivariant = playlist
        for uri in playlist.renditions():
            one = Rendition(urljoin(self.url, uri))
            self.renditions[one.url] = one
            self._to_ask.append(Request(What.PLAYLIST, one.url, one.url))

    def _update(self, one: Rendition, request: Request, new: MediaPlaylist, now: float) -> None:
        old = one.playlist
        if "_HLS_skip" in request.url and old is not None:
            check_delta(old, new)
            new = merged(old, new)
        hold(new.skipped is None, "6.2.5.1", f"{one.url}: a delta update that nobody asked for")
        check_maps(new)
        check_dates(new)
        if old is not None:
            check_change(old, new)
            check_hint(one.url, old, new)
            _note_removed(one, old, new, now)
        _check_answer(request, new)
        self._check_pace(one, old, new, now)
        others = [other for other in self.renditions.values() if other is not one]
        if new.part_target is not None:
            _check_profile(new)
            if not new.is_ended:
                names = [bare(other.url) for other in others]
                check_reports(one.url, new, names, one.known_of_others)
        for other in others:
            if other.playlist is not None:
                check_shared(new, other.playlist)
        # what was known when the version before came: this one was made later
        one.known_of_others, one.seen_of_others = (
            one.seen_of_others,
            {
                bare(other.url): other.playlist.last
                for other in others
                if other.playlist is not None
            },
        )
        one.playlist = new
        one.longest_s = max(one.longest_s, new.duration)
        for segment in new.segments:
            _remember(one, segment, now)
        self._ask_media(one, new)
        if not new.is_ended:
            self._reload(one, new)

    def _check_pace(
        self, one: Rendition, old: MediaPlaylist | None, new: MediaPlaylist, now: float
    ) -> None:
        """Whether a segment and a part were added in time (6.2.1)."""
        if new.is_ended:
            return
        limits = (1.5 * new.target + self._slack_s, (new.part_target or 0.0) + self._slack_s)
        if old is None or _last_complete(new) > _last_complete(old):
            since = now - one.segment_at if one.segment_at is not None else 0.0
            hold(since <= limits[0], "6.2.1", f"{one.url}: a segment after {since:.3f} s")
            one.segment_at = now
        if new.part_target is not None and (old is None or new.last > old.last):
            since = now - one.part_at if one.part_at is not None else 0.0
            hold(since <= limits[1], "6.2.1", f"{one.url}: a part after {since:.3f} s")
            one.part_at = now

    def _reload(self, one: Rendition, new: MediaPlaylist) -> None:
        number, part = new.last
        directives: list[str] = []
        if self._waits and new.control.get("CAN-BLOCK-RELOAD") == "YES":
            if new.part_target is not None:
                part += 1  # behind the last part of a segment it is the next one's first
                directives = [f"_HLS_msn={number}", f"_HLS_part={part}"]
            else:
                number, part = number + 1, -1
                directives = [f"_HLS_msn={number}"]
        if "CAN-SKIP-UNTIL" in new.control:
            one.wants_delta = not one.wants_delta
            directives += ["_HLS_skip=YES"] if one.wants_delta else []
        url = _with_query(one.url, directives)
        self._to_ask.append(Request(What.PLAYLIST, url, one.url, number, part))

    # ---- media --------------------------------------------------------------------------------

    def _ask_media(self, one: Rendition, new: MediaPlaylist) -> None:
        for segment in new.segments:
            if segment.map_uri:
                self._ask(What.HEADER, one, segment.map_uri)
            for part in segment.parts:
                if not part.is_gap:
                    self._ask(What.PART, one, part.uri)
            if segment.uri and not segment.is_gap:
                self._ask(What.SEGMENT, one, segment.uri)
        for hint in new.hints:
            kinds = {"PART": What.PART, "MAP": What.HEADER}
            if hint["TYPE"] in kinds:
                self._ask(kinds[hint["TYPE"]], one, hint["URI"])

    def _ask(self, what: What, one: Rendition, uri: str) -> None:
        url = urljoin(one.url, uri)
        if url not in self._asked:
            self._asked.add(url)
            self._to_ask.append(Request(what, url, one.url))

    def _check_codec(self, one: Rendition, header: Header) -> None:
        """Whether CODECS names what the first initialisation segment has (6.2.4)."""
        assert self.multivariant is not None
        if len(one.headers) > 1:
            return  # a configuration that came later; nobody reads multivariant playlists again
        for variant in self.multivariant.variants:
            codecs = variant.attributes.get("CODECS")
            is_of_it = urljoin(self.url, variant.uri) == one.url or not header.is_video
            if codecs is not None and is_of_it:
                is_named = header.codec() in codecs.split(",")
                hold(is_named, "6.2.4", f"CODECS={codecs} lacks {header.codec()}")

    def _judge(self, one: Rendition) -> None:
        """Look at all media whose place and header are known by now."""
        if not one.bodies:
            return
        for number, segment in sorted(one.segments.items()):
            header = one.headers.get(urljoin(one.url, segment.map_uri))
            found = one.found.setdefault(number, Rendered())
            is_done = found.whole is not None and len(found.parts) >= parts_of(segment)
            if header is None or is_done:
                continue
            before = one.found.get(number - 1) if not segment.has_discontinuity else None
            for index, part in enumerate(segment.parts):
                body = one.bodies.pop(urljoin(one.url, part.uri), None)
                if body is not None:
                    what = f"{one.url}: part {number}.{index}"
                    samples = found.parts[index] = read_samples(header, body, what)
                    check_part(header, part, samples, what)
                    ahead = found.parts.get(index - 1) if index else before and before.whole
                    if ahead:
                        check_follows(ahead, samples, what)
            body = one.bodies.pop(urljoin(one.url, segment.uri), None) if segment.uri else None
            if body is not None:
                what = f"{one.url}: segment {number}"
                found.whole = read_samples(header, body, what)
                check_whole(header, segment, found, what)
                if before is not None and before.whole:
                    check_follows(before.whole, found.whole, what)
            check_same(segment, found, f"{one.url}: segment {number}")
            self._check_begin(one, number)

    def _check_begin(self, one: Rendition, number: int) -> None:
        """Segments of one number begin at one time in all renditions (6.2.4)."""
        begin = _begin_of(one, number)
        for other in self.renditions.values():
            theirs = _begin_of(other, number)
            if other is one or begin is None or theirs is None:
                continue
            off = abs(begin[0] - theirs[0])
            may_be = 0 if begin[1] and theirs[1] else FRAME_S
            hold(off <= may_be, "6.2.4", f"segment {number} begins {float(off)} s apart")


def _begin_of(one: Rendition, number: int) -> tuple[Fraction, bool] | None:
    """When a segment begins, and whether it is of pictures."""
    found, segment = one.found.get(number), one.segments.get(number)
    if found is None or segment is None or found.begin is None:
        return None
    if segment.parts and segment.parts[0].is_gap:
        return None
    header = one.headers[urljoin(one.url, segment.map_uri)]
    return header.seconds(found.begin), header.is_video


def _check_answer(request: Request, new: MediaPlaylist) -> None:
    """Whether a blocked reload has what was asked for, or later (6.2.5.2)."""
    if "_HLS_msn" not in request.url or new.is_ended:
        return
    if request.part >= 0:
        is_there = new.last >= (request.number, request.part)
    else:
        is_there = _last_complete(new) >= request.number
    hold(is_there, "6.2.5.2", f"{request.url} has {new.last} at last")


def _check_profile(new: MediaPlaylist) -> None:
    """What a low-latency server's playlists have (B.1), but for reports."""
    hold(new.control.get("CAN-BLOCK-RELOAD") == "YES", "B.1", "no blocking reload")
    hold(any(segment.date for segment in new.segments), "B.1", "no program date time")
    has_hint = any(hint["TYPE"] == "PART" for hint in new.hints)
    hold(has_hint or new.is_ended, "B.1", "no hint of the next part")


def _is_hint(one: Rendition, request: Request) -> bool:
    """Whether a part is not listed: it was hinted, and need not come (6.2.6)."""
    listed = [
        urljoin(one.url, part.uri) for segment in one.segments.values() for part in segment.parts
    ]
    return request.what is What.PART and request.url not in listed


def _remember(one: Rendition, segment: Segment, now: float) -> None:
    for part in segment.parts:
        url = urljoin(one.url, part.uri)
        is_there = not part.is_gap
        hold(not is_there or url not in one.refused, "6.2.6", f"{url} was refused, and is listed")
    known = one.segments.get(segment.number)
    if known is not None and len(known.parts) > len(segment.parts):
        segment = replace(segment, parts=known.parts)  # their tags are gone
    one.segments[segment.number] = segment
    if segment.uri:
        one.listed_at.setdefault(segment.number, now)


def _note_removed(one: Rendition, old: MediaPlaylist, new: MediaPlaylist, now: float) -> None:
    """Until when what is listed no longer must be there (6.2.2)."""
    listed = {part.uri for segment in new.segments for part in segment.parts}
    for segment in old.segments:
        for part in segment.parts:
            if part.uri not in listed and not part.is_gap:
                one.gone.append((urljoin(one.url, part.uri), now + 3 * new.target))
        if segment.uri and segment.number < new.first and not segment.is_gap:
            until = one.listed_at[segment.number] + segment.duration + one.longest_s
            one.gone.append((urljoin(one.url, segment.uri), until))


def _last_complete(playlist: MediaPlaylist) -> int:
    return playlist.complete[-1].number if playlist.complete else -1


def _with_query(url: str, directives: Sequence[str]) -> str:
    if not directives:
        return url
    return url + ("&" if "?" in url else "?") + "&".join(directives)


# ---- probes -----------------------------------------------------------------------------------


def _probes(one: Rendition, playlist: MediaPlaylist, now: float) -> list[Request]:
    number, part = playlist.last

    def probe(section: str, statuses: tuple[int, ...], *directives: str) -> Request:
        url = _with_query(one.url, directives)
        return Request(What.PROBE, url, one.url, statuses=statuses, section=section)

    found = [
        probe("6.2.5.2", (200,), f"_HLS_msn={playlist.first}"),  # no longer the last: the whole
        probe("6.2.5.2", (200,), f"_HLS_msn={max(0, playlist.first - 1)}"),  # or removed
    ]
    if playlist.is_ended:
        found.append(probe("6.2.5.2", (200,), f"_HLS_msn={number + 100}"))
    elif playlist.control.get("CAN-BLOCK-RELOAD") == "YES":
        found += [
            probe("6.2.5.2", (400,), "_HLS_part=0"),
            probe("6.2.5.2", (400,), f"_HLS_msn={number + 100}"),
            probe("6.2.5.2", (400,), f"_HLS_msn={number + 100}", "_HLS_part=0"),
            # far behind the last part; or the next segment's first
            probe("6.2.5.2", (200, 400), f"_HLS_msn={number}", f"_HLS_part={part + 1_000}"),
        ]
    if "CAN-SKIP-UNTIL" not in playlist.control or playlist.is_ended:
        found.append(probe("6.2.5.1", (200,), "_HLS_skip=YES"))
    for url, until in one.gone:
        if now < until:
            found.append(Request(What.PROBE, url, one.url, section="6.2.2"))
    return found


def _check_probe(request: Request, response: Response) -> None:
    hold(
        response.status in request.statuses,
        request.section, f"{request.url}: {response.status}, not {request.statuses}",
    )  # fmt: skip
    if response.status == 200 and request.section != "6.2.2":
        hold(read_media(response.body).skipped is None, request.section, "a delta update")
