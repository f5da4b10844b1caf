"""A publisher's cue point, out of its data message. Pure.

`onCuePoint` has an object (FLV 10.1, "onCuePoint"): Flash's has name, time, type and parameters,
YouTube's type, cue_point_start, break_duration_sec and more. So whatever it has is kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final

from common.errors import Amf0Error
from common.flv.amf0 import decode_all, leading_string

NAME: Final = "onCuePoint"
MAX_BODY_BYTES: Final = 8192
MAX_ENTRIES: Final = 32
_DURATION: Final = "break_duration_sec"

CueValue = str | float | bool


@dataclass(frozen=True, slots=True)
class CuePoint:
    """One cue point."""

    dts_ms: int  # stream time
    entries: tuple[tuple[str, CueValue], ...]  # those inside others are named OUTER-INNER

    @property
    def duration_s(self) -> float | None:
        """How long the break lasts that it begins; None: it does not say."""
        value = dict(self.entries).get(_DURATION)
        is_number = isinstance(value, float) and isfinite(value) and value >= 0
        return float(value) if is_number and value is not None else None


def cue_point(body: bytes, dts_ms: int) -> CuePoint | None:
    """The cue point in a data message; None for another message, or one that cannot be read."""
    if not 0 < len(body) <= MAX_BODY_BYTES:
        return None
    try:
        name = leading_string(body)
        if name is None or name[0] != NAME:
            return None
        values = decode_all(body)[1:]
    except Amf0Error:
        return None
    entries: list[tuple[str, CueValue]] = []
    for value in values:
        if isinstance(value, Mapping):
            entries += _scalars(value)
    return CuePoint(dts_ms, tuple(entries[:MAX_ENTRIES]))


def _scalars(value: Mapping[str, object]) -> Iterator[tuple[str, CueValue]]:
    """An object's texts, numbers and booleans, and those of the objects in it."""
    for key, entry in value.items():
        if isinstance(entry, bool | float | str):
            yield key, entry
        elif isinstance(entry, Mapping):
            for inner, scalar in entry.items():
                if isinstance(scalar, bool | float | str):
                    yield f"{key}-{inner}", scalar
