"""What a server may make of an HLS playlist from one version to the next, and beside others.

Section numbers are of draft-pantos-hls-rfc8216bis-22; what is not allowed is `Broken`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from urllib import parse

from tests.kit.hls_playlist import MediaPlaylist, Part, Segment, hold

urljoin = lru_cache(4096)(parse.urljoin)  # the same ones again and again
DATE_DRIFT_S = 0.05  # between dates and durations; sub-second overlaps are allowed


def check_change(old: MediaPlaylist, new: MediaPlaylist) -> None:
    """Lines are appended, and removed at the front; nothing else changes (6.2.1, 6.2.2)."""
    hold(new.target == old.target, "6.2.1", f"target {old.target} became {new.target}")
    hold(new.part_target == old.part_target, "6.2.1", f"part target {new.part_target}")
    hold(new.control == old.control, "6.2.1", f"SERVER-CONTROL became {new.control}")
    hold(new.is_ended or not old.is_ended, "6.2.1", "the end is no end any more")
    hold(new.first >= old.first, "6.2.2", f"media sequence {old.first} became {new.first}")
    hold(
        new.discontinuities >= old.discontinuities,
        "6.2.2", f"discontinuity sequence {old.discontinuities} became {new.discontinuities}",
    )  # fmt: skip
    hold(new.first == old.first or not new.kind, "6.2.2", f"{new.kind}, and segments left")
    if new.first > old.first and not new.is_ended:
        hold(
            new.duration >= 3 * new.target,
            "6.2.2", f"{new.duration} s are left at a target of {new.target}",
        )  # fmt: skip
    hold(
        new.last >= old.last or new.is_ended, "6.2.1", f"the end went from {old.last} to {new.last}"
    )
    now = {segment.number: segment for segment in new.segments}
    have_begun_to_stay = False  # parts of one segment stay: none behind it may be removed
    for segment in old.segments:
        if segment.number < new.first:
            continue
        same = now.get(segment.number)
        hold(same is not None, "6.2.2", f"segment {segment.number} left out of turn")
        assert same is not None
        _check_same(segment, same)
        removed = _removed(segment, same)
        hold(
            not removed or not have_begun_to_stay,
            "6.2.2", f"parts of segment {segment.number} left out of turn",
        )  # fmt: skip
        have_begun_to_stay = have_begun_to_stay or len(segment.parts) > removed


def _check_same(old: Segment, new: Segment) -> None:
    what = f"6.2.1: segment {old.number}"
    hold(old.is_open or new.uri == old.uri, "6.2.1", f"{what} became {new.uri}")
    hold(old.is_open or new.duration == old.duration, "6.2.1", f"{what} lasts {new.duration}")
    hold(new.map_uri == old.map_uri, "6.2.1", f"{what} is of {new.map_uri}, was of {old.map_uri}")
    hold(new.date == old.date, "6.2.1", f"{what} begins at {new.date}, began at {old.date}")
    hold(new.discontinuities == old.discontinuities, "6.2.2", f"{what}: {new.discontinuities}")
    hold(new.has_discontinuity == old.has_discontinuity, "6.2.1", f"{what}: a discontinuity")


def _removed(old: Segment, new: Segment) -> int:
    """How many parts at its begin a segment has lost."""
    for removed in range(len(old.parts) + 1):
        left = old.parts[removed:]
        if new.parts[: len(left)] == left and (not removed or len(new.parts) == len(left)):
            return removed
    hold(False, "6.2.1", f"parts of segment {old.number} became others")
    raise AssertionError


def new_parts(old: MediaPlaylist, new: MediaPlaylist) -> list[tuple[Segment, Part]]:
    """The parts that the older version did not have yet."""
    known = {segment.number: len(segment.parts) for segment in old.segments}
    last = old.segments[-1].number
    return [
        (segment, part)
        for segment in new.segments
        if segment.number >= last
        for part in segment.parts[known.get(segment.number, 0) :]
    ]


def check_hint(url: str, old: MediaPlaylist, new: MediaPlaylist) -> None:
    """What was hinted is what came (4.4.5.3), unless all is different now (6.2.6)."""
    hinted = [urljoin(url, hint["URI"]) for hint in old.hints if hint["TYPE"] == "PART"]
    added = new_parts(old, new)
    if hinted and added:
        segment, part = added[0]
        came = urljoin(url, part.uri)
        known = [part.uri for one in old.segments for part in one.parts]
        is_given_up = segment.number > old.last[0] and old.hints[0]["URI"] not in known
        hold(
            came == hinted[0] or segment.has_discontinuity or is_given_up,
            "4.4.5.3", f"{hinted[0]} was hinted, {came} came",
        )  # fmt: skip


def check_delta(old: MediaPlaylist, new: MediaPlaylist) -> None:
    """Whether all segments beyond the skip boundary are skipped, and no others (6.2.5.1)."""
    boundary = float(new.control["CAN-SKIP-UNTIL"])
    known = {segment.number: segment.duration for segment in old.segments}
    known.update({segment.number: segment.duration for segment in new.complete})
    left, at_least, at_most = 0.0, 0, 0
    for number in sorted((n for n in known if n >= new.first), reverse=True):
        at_least += left > boundary  # all of it is further away
        left += known[number]
        at_most += left > boundary
    skipped = new.skipped or 0
    hold(
        at_least <= skipped <= at_most,
        "6.2.5.1", f"{skipped} segments are skipped, not {at_least} to {at_most}",
    )  # fmt: skip


def merged(old: MediaPlaylist, new: MediaPlaylist) -> MediaPlaylist:
    """The whole playlist of a delta update, by the version before (6.3.7)."""
    if not new.skipped:
        return replace(new, skipped=None)
    numbers = range(new.first, new.first + new.skipped)
    known = {segment.number: segment for segment in old.segments}
    skipped = [known[number] for number in numbers if number in known]
    hold(len(skipped) == new.skipped, "6.2.5.1", "segments are skipped that were never listed")
    before = skipped[-1]
    shift = before.discontinuities - new.discontinuities  # tags in what is skipped count (4.4.5.2)
    behind = [
        replace(
            segment,
            discontinuities=segment.discontinuities + shift,
            map_uri=segment.map_uri or before.map_uri,
        )
        for segment in new.segments
    ]
    return replace(new, segments=[*skipped, *behind], skipped=None)


def check_maps(playlist: MediaPlaylist) -> None:
    for segment in playlist.segments:
        hold(
            bool(segment.map_uri) or segment.is_gap,
            "3.1.1",
            f"segment {segment.number} has no EXT-X-MAP",
        )


def check_dates(playlist: MediaPlaylist) -> None:
    """Each date follows from the one before it and the durations between (6.2.1)."""
    expected = None
    for segment in playlist.segments:
        if segment.date is not None and expected is not None and not segment.has_discontinuity:
            off = segment.date.timestamp() - expected
            hold(abs(off) <= DATE_DRIFT_S, "6.2.1", f"the date of {segment.number} is {off} s off")
        if segment.date is not None:
            expected = segment.date.timestamp() + segment.duration
        elif expected is not None:
            expected += segment.duration


def check_shared(one: MediaPlaylist, other: MediaPlaylist) -> None:
    """What all renditions of a presentation share (6.2.4)."""
    hold(one.target == other.target, "6.2.4", f"targets {one.target} and {other.target}")
    hold(one.control == other.control, "6.2.4", f"{dict(one.control)}, {dict(other.control)}")
    theirs = {segment.number: segment for segment in other.segments}
    for segment in one.segments:
        same = theirs.get(segment.number)
        if same is None:
            continue
        hold(
            same.discontinuities == segment.discontinuities,
            "6.2.4", f"{segment.number}: {same.discontinuities}, {segment.discontinuities}",
        )  # fmt: skip
        if same.date is not None and segment.date is not None:
            off = abs((same.date - segment.date).total_seconds())
            hold(off <= DATE_DRIFT_S, "6.2.4", f"dates of {segment.number} differ by {off} s")


def check_reports(
    url: str, playlist: MediaPlaylist, others: Iterable[str], known: Mapping[str, tuple[int, int]]
) -> None:
    """A report of each other rendition (B.1), not older than what was `known` (4.4.5.4).

    `others` and the names of `known` are URLs without queries.
    """
    number, part = playlist.last
    reported = {}
    for report in playlist.reports:
        told = int(report.get("LAST-MSN", number)), int(report.get("LAST-PART", max(part, 0)))
        reported[bare(urljoin(url, report["URI"]))] = told
    missing = sorted(other for other in others if other not in reported)
    hold(not missing, "B.1", f"no report of {missing}")
    for other, last in known.items():
        told = reported[other]
        hold(told >= last, "4.4.5.4", f"{other} is reported at {told}, was at {last}")


def bare(url: str) -> str:
    """An address without its query."""
    return url.partition("?")[0]
