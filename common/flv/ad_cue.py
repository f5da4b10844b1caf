"""`onAdCue`: the data message by which RTMP carries SCTE-35. Pure.

Adobe Primetime's "SCTE-35 mode", as Azure Media Services and others read it: an object with `cue`,
the section in base64, `type` "scte35", `id`, `duration` and `time`, all times in seconds. The
time is of the stream's timestamps. `pre_roll_time_sec`, which YouTube's `onCuePoint` has, says how
far behind the message it is: so it holds whatever timestamps become of others on the way.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final

from common.errors import Amf0Error
from common.flv import amf0
from common.scte35.section import MAX_SECTION_BYTES, Splice

NAME: Final = "onAdCue"
SCTE35: Final = "scte35"
MAX_BODY_BYTES: Final = 8192
MAX_AHEAD_S: Final = 4 * 3600.0
_TYPES: Final = frozenset((SCTE35, "urn:scte:scte35:2013:bin"))
_PRE_ROLL: Final = "pre_roll_time_sec"


@dataclass(frozen=True, slots=True)
class AdCue:
    """What such a message says."""

    section: bytes
    time_s: float | None  # of the sender's timestamps
    pre_roll_s: float | None  # from the message to the splice


def encode(section: bytes, splice: Splice, stamp_ms: int, pre_roll_ms: int) -> bytes:
    """The message of a section that comes at `stamp_ms`."""
    entries: dict[str, amf0.Value] = {
        "type": SCTE35,
        "cue": base64.b64encode(section).decode(),
        "id": str(splice.event_id or 0),
        "duration": splice.duration_s or 0.0,
        "time": (stamp_ms + pre_roll_ms) / 1000,
        _PRE_ROLL: pre_roll_ms / 1000,
    }
    return amf0.encode(NAME, entries)


def read(body: bytes) -> AdCue | None:
    """The SCTE-35 in a data message; None: it has none that can be read. Never raises."""
    entries = _object(body)
    if entries is None or entries.get("type") not in _TYPES:
        return None
    cue = entries.get("cue")
    if not isinstance(cue, str) or len(cue) > MAX_SECTION_BYTES * 4 // 3 + 4:
        return None
    try:
        section = base64.b64decode(cue, validate=True)
    except (binascii.Error, ValueError):
        return None
    return AdCue(section, _seconds(entries.get("time")), _seconds(entries.get(_PRE_ROLL)))


def moved(body: bytes, stamp_ms: int, to_ms: int) -> bytes:
    """A message whose own time, `stamp_ms` by its sender, is `to_ms` from now on.

    Every other message comes back as it is.
    """
    if read(body) is None:
        return body
    entries = _object(body)
    assert entries is not None
    before_s = _seconds(entries.get(_PRE_ROLL))
    time_s = _seconds(entries.get("time"))
    if before_s is None and time_s is not None:
        before_s = time_s - stamp_ms / 1000
    pre_roll_s = before_s if before_s is not None and abs(before_s) <= MAX_AHEAD_S else 0.0
    times = {"time": to_ms / 1000 + pre_roll_s, _PRE_ROLL: pre_roll_s}
    try:
        return amf0.encode(NAME, {**entries, **times})
    except Amf0Error:
        return body


def _object(body: bytes) -> dict[str, amf0.Value] | None:
    if not 0 < len(body) <= MAX_BODY_BYTES:
        return None
    name = amf0.leading_string(body)
    if name is None or name[0] != NAME:
        return None
    try:
        values = amf0.decode_all(body)[1:]
    except Amf0Error:
        return None
    return next((dict(value) for value in values if isinstance(value, Mapping)), None)


def _seconds(value: object) -> float | None:
    is_number = isinstance(value, float) and isfinite(value) and abs(value) < 1e12
    return float(value) if is_number and isinstance(value, float) else None
