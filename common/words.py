"""Words for people in the terminal and the log: counts, durations, strange text. Pure."""

import math
import re

_BACKSLASHED = re.compile(r"[^ -~\n]")


def counted(count: int, noun: str, verb: str = "") -> str:
    """`1 stream`, `2 streams`; with the verb `is left`: `1 stream is left`, `2 streams are left`.

    `verb` is in the singular: `is`, `was`, `has` or one that ends in `s`, and what follows it.
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    words = f"{count} {noun if count == 1 else plural}"
    if not verb:
        return words
    first, space, rest = verb.partition(" ")
    if count != 1:
        first = {"is": "are", "was": "were", "has": "have"}.get(first) or first.removesuffix("s")
    return f"{words} {first}{space}{rest}"


def duration(seconds: float) -> str:
    """Round a duration for people: `3 s`, `12 min`, `5 h 20 min`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def time_left(seconds: float) -> str:
    """Write how long something still lasts, rounded up: of 5 min that have just begun, 5 min."""
    unit_s = 60 if seconds > 60 else 1
    return duration(max(1, math.ceil(seconds / unit_s)) * unit_s)


def printable(text: str) -> str:
    r"""Write what would steer a terminal as escapes: `\x1b[2J`, `\u202e`; lines stay lines.

    Stream keys, apps, user agents and tcUrls come from peers. ECMA-48 has control characters in
    C0 and C1; Unicode's formats can turn the direction of what follows.
    """
    if text.isascii() and text.isprintable():
        return text
    return _BACKSLASHED.sub(_escape, text)


def _escape(match: "re.Match[str]") -> str:
    character = match.group()
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
