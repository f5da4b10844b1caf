"""Playlists as text: multivariant ones, and those of a track. Pure.

Section numbers are of draft-pantos-hls-rfc8216bis. Every URI is relative and ends with `QUERY`, for
which `for_viewer` puts what a viewer's requests carry: so a text is made once for all viewers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil
from typing import Final

from common.config.conflicts import SOUND_FOLDER
from egress.cues.date_ranges import CuePoints
from egress.hls.window import Segment, Window

QUERY: Final = "\0"
CONTENT_TYPE: Final = "application/vnd.apple.mpegurl"
SOUND: Final = SOUND_FOLDER  # beside the renditions' folders
_CAPTIONS: Final = "captions"
_LONGER_S: Final = 0.00002  # per part
_VERSION: Final = 9  # EXT-X-SKIP needs it (8)
_HOLD_BACK_PARTS: Final = 3  # 4.4.3.8: it should be; Apple's authoring specification asks for it
_LEAST_HOLD_BACK_PARTS: Final = 2  # 4.4.3.8
_LISTED_TARGETS: Final = 3  # 6.2.2: parts further from the end need not be listed
_SKIP_TARGETS: Final = 6  # 4.4.3.8: at least
_LONG_WINDOW_S: Final = 60.0  # from here on updates may leave out what is known


@dataclass(frozen=True, slots=True)
class Report:
    """How far another playlist of the stream is (4.4.5.4)."""

    name: str
    last_msn: int
    last_part: int  # -1: the segment is complete


@dataclass(frozen=True, slots=True)
class Variant:
    """One rendition in a multivariant playlist (4.4.6.2)."""

    name: str
    codecs: Sequence[str]
    width: int  # 0: sound alone
    height: int
    fps: Fraction | None
    peak_bps: int  # sound included
    average_bps: int


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound of all renditions (4.4.6.1)."""

    channels: int
    language: str = ""


def for_viewer(text: str, query: str) -> str:
    """The text with a viewer's own query, without "?", in every URI."""
    return text.replace(QUERY, f"?{query}" if query else "")


def multivariant(
    variants: Sequence[Variant],
    sound: Sound | None,
    *,
    is_independent: bool,
    has_captions: bool = False,
    folder: str = "",
) -> str:
    """The playlist of all renditions. `is_independent`: each segment begins with a keyframe.

    It says that there are captions (CEA-608) or that there are none: else shaka-player 5.2 looks
    for them in segments, and fails where it chooses one that has parts alone.
    """
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{_VERSION}"]
    if is_independent:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    if sound is not None:
        language = f',LANGUAGE="{sound.language}"' if sound.language else ""
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{SOUND}",NAME="{SOUND}"{language},DEFAULT=YES,'
            f'AUTOSELECT=YES,CHANNELS="{sound.channels}",URI="{folder}{SOUND}/index.m3u8{QUERY}"'
        )
    captions = "NONE"
    if has_captions:
        captions = f'"{_CAPTIONS}"'
        lines.append(
            f'#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="{_CAPTIONS}",NAME="CC1",INSTREAM-ID="CC1",'
            "DEFAULT=NO,AUTOSELECT=YES"
        )
    for one in variants:
        rate = f",FRAME-RATE={float(one.fps):.3f}" if one.fps is not None else ""
        group = f',AUDIO="{SOUND}"' if sound is not None else ""
        size = f",RESOLUTION={one.width}x{one.height}" if one.width else ""
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={one.peak_bps},AVERAGE-BANDWIDTH={one.average_bps},"
            f'CODECS="{",".join(one.codecs)}"{size}{rate}{group},'
            f"CLOSED-CAPTIONS={captions}"
        )
        lines.append(f"{folder}{one.name}/index.m3u8{QUERY}")
    return "\n".join((*lines, ""))


def hold_back_s(targets_s: Sequence[float], before_s: float = 0.0) -> float:
    """How far from the end players keep, by the part targets of all tracks of a stream.

    It is the same in all their playlists (6.2.4) and stays what it was before (6.2.1), as long as
    it is allowed.
    """
    longest_s = max((target_s + _LONGER_S for target_s in targets_s), default=0.0)
    return max(before_s or _HOLD_BACK_PARTS * longest_s, _LEAST_HOLD_BACK_PARTS * longest_s)


def media(
    window: Window,
    unix_offset_s: float,
    hold_back_s: float,
    reports: Sequence[Report] = (),
    cues: CuePoints | None = None,
    *,
    skips: bool = False,
) -> str:
    """The playlist of one track. `unix_offset_s`: from stream time to Unix time.

    `skips`: the viewer has an earlier one, and takes an update of it where that is allowed.
    """
    segments = list(window.segments)
    first_msn = segments[0].msn if segments else 0
    target, whole = window.target, window.target_duration
    control = f"CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={_up(hold_back_s)}"
    can_skip = window.limits.seconds >= _LONG_WINDOW_S
    if can_skip:
        control += f",CAN-SKIP-UNTIL={_SKIP_TARGETS * whole}.0"
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION}",
        f"#EXT-X-TARGETDURATION:{whole}",
        f"#EXT-X-SERVER-CONTROL:{control}",
        f"#EXT-X-PART-INF:PART-TARGET={_reported(target)}",
        f"#EXT-X-MEDIA-SEQUENCE:{first_msn}",
    ]
    discontinuities = window.discontinuities.before(first_msn)
    if discontinuities:
        lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}")
    end_s = segments[-1].end_s if segments else 0.0
    skipped = 0
    if skips and can_skip:
        known_s = end_s - _SKIP_TARGETS * whole
        skipped = sum(segment.end_s <= known_s for segment in segments)
        if skipped:
            lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
    init_id = ""
    for segment in segments[:skipped]:
        init_id = segment.init_id or init_id
    parts_from_s = end_s - _LISTED_TARGETS * whole
    for segment in segments[skipped:]:
        init_id = _list_segment(lines, segment, window, init_id, unix_offset_s, parts_from_s)
    if cues is not None and segments:
        lines += cues.lines(segments[0].begin_s, unix_offset_s)
    if window.has_ended:
        lines.append("#EXT-X-ENDLIST")
    else:
        msn, index = window.next_part
        lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{msn}.{index}.m4s{QUERY}"')
    for report in reports:
        part = f",LAST-PART={report.last_part}" if report.last_part >= 0 else ""
        uri = f"../{report.name}/index.m3u8{QUERY}"
        lines.append(f'#EXT-X-RENDITION-REPORT:URI="{uri}",LAST-MSN={report.last_msn}{part}')
    return "\n".join((*lines, ""))


def report(name: str, window: Window) -> Report:
    """How far a track is, for the playlists of the others."""
    segments = window.segments
    if not segments:
        return Report(name, 0, -1)
    return Report(name, segments[-1].msn, len(segments[-1].parts) - 1)


def _list_segment(
    lines: list[str],
    segment: Segment,
    window: Window,
    init_id: str,
    unix_offset_s: float,
    parts_from_s: float,
) -> str:
    """Append one segment; returns the initialisation segment that is in force behind it."""
    if segment.msn in window.discontinuities:
        lines.append("#EXT-X-DISCONTINUITY")
    wanted = segment.init_id or init_id or window.first_init_id  # a gap is of its neighbours' kind
    if wanted and wanted != init_id:
        init_id = wanted
        lines.append(f'#EXT-X-MAP:URI="init-{init_id}.mp4{QUERY}"')
    lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.begin_s + unix_offset_s)}")
    if segment.is_gap:
        lines.append("#EXT-X-GAP")
    elif segment.end_s > parts_from_s or not segment.is_complete:
        for index, part in enumerate(segment.parts):
            what = ",INDEPENDENT=YES" if part.is_independent else ",GAP=YES" if part.is_gap else ""
            uri = f"{segment.msn}.{index}.m4s{QUERY}"
            lines.append(f'#EXT-X-PART:DURATION={_reported(part.seconds)},URI="{uri}"{what}')
    if segment.is_complete:
        lines.append(f"#EXTINF:{segment.seconds:.5f},")
        lines.append(f"{segment.msn}.m4s{QUERY}")
    return init_id


def _reported(seconds: float) -> str:
    """The duration of a part, or the longest one: a little more than it is.

    By the sums of these shaka-player 5.2 computes where a part stands. Where that is in front of
    its media time by a millisecond, and of as much it is unsure itself (it adds 1 ms to a negative
    timestampOffset), it resets the decoder, and all of a segment but its first part is lost.
    """
    return _up(seconds + _LONGER_S)


def _up(seconds: float) -> str:
    """Seconds with five decimals, rounded up: parts last no longer than their target."""
    return f"{ceil(seconds * 100_000 - 1e-6) / 100_000:.5f}"


def _date(unix_s: float) -> str:
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
