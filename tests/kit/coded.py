"""A coded picture or frame of sound, for tests that look at what was made or sent."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CodedUnit:
    """One access unit, in AVCC where a stream was made for a test; times in ms."""

    dts_ms: int
    pts_ms: int
    is_key: bool
    data: bytes
