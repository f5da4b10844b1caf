"""Durations on the command line. Pure."""

import re

_DURATION = re.compile(r"(\d{1,6})\s*(s|m|min|h|d)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> int | None:
    """The seconds of `30s`, `10m`, `2h` or `7d`; None: it is no duration."""
    found = _DURATION.fullmatch(text.strip())
    return int(found[1]) * _SECONDS[found[2]] if found is not None else None
