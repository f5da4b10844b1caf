"""What of a stream that is cut for HLS stands in its description for DASH. Pure.

The first period begins with stream time, wherever cutting began: so every process and every host
describes the same, and FFmpeg, which takes a period's start for 0 (`calc_cur_seg_no` of its
libavformat/dashdec.c), asks for the right numbers. `timeShiftBufferDepth` says how far back there
is something. Another period begins with each discontinuity, at the segment that all tracks have it
at. A period stays described for as long as one of its segments is listed, and an event until it is
over.
"""

import json
import math
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

from common.scte35.section import Way
from egress.cues.cue_point import CuePoint
from egress.cues.splice_point import SplicePoint
from egress.dash.mpd import Event, Period, Pictures, Presentation, Sound
from egress.hls.playlists import SOUND
from egress.hls.stream import HlsStream, TrackState
from egress.hls.tracks import PictureTrack, SoundTrack
from egress.hls.window import Window

R = TypeVar("R")


def presentation(hls: HlsStream[R], names: Sequence[str]) -> Presentation:
    """These renditions and the sound, as far as they can be played now."""
    tracks = {name: hls.tracks[name] for name in (*names, SOUND) if hls.is_there(name)}
    windows = [track.window for track in tracks.values()]
    first = min((_first(window) for window in windows), default=0)
    begin = hls.numbering.base_msn
    begins = [begin, *(msn for msn in hls.numbering.discontinuities if msn > begin)]
    periods = [
        _period(hls, tracks, first_msn, end_msn)
        for first_msn, end_msn in pairwise([*begins, None])
        if first_msn is not None and (end_msn is None or end_msn > first)
    ]
    end_s = max((_end_s(window) for window in windows), default=0.0)
    return Presentation(
        hls.gop_ms,
        hls.numbering.unix_offset_s,
        min(hls.limits.seconds, max(hls.gop_ms / 1000, _reach_s(windows))),
        max((window.target for window in windows), default=hls.limits.part_s),
        [period for period in periods if period.pictures or period.sound is not None],
        round(1000 * end_s) if hls.has_ended else None,
        hls.numbering.base_msn,
    )


def _period(
    hls: HlsStream[R], tracks: dict[str, TrackState[R]], first_msn: int, end_msn: int | None
) -> Period:
    pictures, sound = [], None
    for name, track in tracks.items():
        init_id = _init_id(track, first_msn, end_msn)
        made = track.configs.get(init_id)
        if isinstance(made, PictureTrack):
            config = made.config
            pictures.append(
                Pictures(
                    name,
                    init_id,
                    made.codec,
                    hls.peak_bps(name),
                    config.width,
                    config.height,
                    config.sample_aspect if config.sample_aspect > 0 else Fraction(1),
                    made.fps,
                )
            )
        elif isinstance(made, SoundTrack):
            rate, channels = made.config.sample_rate, made.config.channels
            language = made.config.language
            sound = Sound(name, init_id, made.codec, hls.peak_bps(name), rate, channels, language)
    splices, cues = _events(hls, tracks, first_msn, end_msn)
    return Period(first_msn, end_msn, pictures, sound, splices, cues)


def _events(
    hls: HlsStream[R], tracks: dict[str, TrackState[R]], first_msn: int, end_msn: int | None
) -> tuple[list[Event], list[Event]]:
    """A period's splices and cue points; of those before all segments, the breaks that last."""
    gop_ms, base_msn = hls.gop_ms, hls.numbering.base_msn
    begin_ms = (first_msn - base_msn) * gop_ms
    end_ms = math.inf if end_msn is None else (end_msn - base_msn) * gop_ms
    firsts = [_first(track.window) for track in tracks.values()]
    listed_ms = max(begin_ms, (min(firsts, default=0) - base_msn) * gop_ms)
    splices: list[Event] = []
    for one in hls.cues.splices.breaks:
        if one.end_ms < listed_ms:
            continue
        points = [one.begin] if one.end is None else [one.begin, one.end]
        splices += [_splice(point) for point in points if begin_ms <= point.at_ms < end_ms]
    cues = [
        Event(cue.dts_ms, _number(text := _text(cue), cue.dts_ms), b"", text, _ms(cue.duration_s))
        for cue in hls.cues.between(listed_ms / 1000, end_ms / 1000)
    ]
    return splices, cues


def _splice(point: SplicePoint) -> Event:
    number = _number(point.section.hex(), point.at_ms)
    duration_ms = _ms(point.duration_s) if point.splice.way is Way.OUT else None
    return Event(point.at_ms, number, point.section, "", duration_ms)


def _text(cue: CuePoint) -> str:
    """A cue point as JSON, without what cannot be said in it."""
    values = {
        key: value
        for key, value in cue.entries
        if not isinstance(value, float) or math.isfinite(value)
    }
    return json.dumps(values)  # ASCII, so no control character is in it


def _number(text: str, at_ms: int) -> int:
    return zlib.crc32(f"{at_ms} {text}".encode())


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)


def _init_id(track: TrackState[R], first_msn: int, end_msn: int | None) -> str:
    """What a decoder needs for a track's segments in a period; "": there are none."""
    for segment in reversed(track.window.segments):
        is_behind = end_msn is not None and segment.msn >= end_msn
        if not is_behind and segment.msn >= first_msn and segment.init_id:
            return segment.init_id
    is_current = end_msn is None and track.cutting is not None
    return track.cutting.init_id if is_current and track.cutting is not None else ""


def _media(window: Window) -> Iterator[int]:
    return (segment.msn for segment in window.segments if not segment.is_gap)


def _first(window: Window) -> int:
    """The first segment that has media."""
    return next(_media(window), 0)


def _end_s(window: Window) -> float:
    return window.segments[-1].end_s if window.segments else 0.0


def _reach_s(windows: Sequence[Window]) -> float:
    """How far back all tracks reach."""
    reach = [w.segments[-1].end_s - w.segments[0].begin_s for w in windows if w.segments]
    return min(reach, default=0.0)
