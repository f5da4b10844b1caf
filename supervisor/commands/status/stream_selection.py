"""Which streams of a status document are shown, in which order, what is wrong with each. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from common.words import counted, duration

Json = Mapping[str, Any]

# How `--sort` and the key `s` of `--watch` order streams: the first of equals by name.
SORTS = ("name", "players", "bitrate", "dropped", "state")
_GLOB = re.compile(r"[*?[]")
_DIGITS = re.compile(r"(\d+)")
_URGENT = ("waiting", "switching", "held", "source only", "reserved")  # states, the worst first


@dataclass(frozen=True, slots=True)
class Selection:
    """What an operator asked to see."""

    app: str = ""
    pattern: str = ""  # a glob of APP/KEY, or a part of it
    has_problems: bool = False  # those alone
    sort: str = "name"

    @property
    def is_all(self) -> bool:
        return not (self.app or self.pattern or self.has_problems)


def name_of(stream: Json) -> str:
    return f"{stream['app']}/{stream['key']}"


def is_glob(text: str) -> bool:
    """Whether it means several streams: stream keys hold none of these characters."""
    return _GLOB.search(text) is not None


def select(streams: Sequence[Json], selection: Selection) -> list[Json]:
    """The streams that are meant, in order."""
    return sorted((s for s in streams if _is_meant(s, selection)), key=_order(selection.sort))


def _is_meant(stream: Json, selection: Selection) -> bool:
    name, pattern = name_of(stream), selection.pattern
    if selection.app and stream["app"] != selection.app:
        return False
    if is_glob(pattern) and not fnmatchcase(name, pattern):
        return False
    if pattern not in name and not is_glob(pattern):
        return False
    return not selection.has_problems or bool(problems(stream))


def _order(sort: str) -> Any:
    def by_name(stream: Json) -> tuple[list[tuple[str, int]], str]:
        """`cam2` before `cam10`."""
        name = name_of(stream)
        parts = _DIGITS.split(name)
        pairs = zip(parts[::2], [*parts[1::2], "0"], strict=True)
        return [(text, int(digits)) for text, digits in pairs], name

    def key(stream: Json) -> tuple[object, ...]:
        match sort:
            case "players":
                return (-players(stream), by_name(stream))
            case "bitrate":
                return (-stream["bitrate_bps"], by_name(stream))
            case "dropped":
                return (-dropped(stream), by_name(stream))
            case "state":
                state = stream["state"]
                rank = _URGENT.index(state) if state in _URGENT else len(_URGENT)
                return (rank, by_name(stream))
            case _:
                return (by_name(stream),)

    return key


# ---- of one stream ----------------------------------------------------------------------------


def players(stream: Json) -> int:
    return sum(rendition["players"] for rendition in stream["renditions"])


def dropped(stream: Json) -> int:
    """Pictures that were dropped anywhere on the stream's way, in all its renditions."""
    renditions = sum(r["dropped"] + r["dropped_to_players"] for r in stream["renditions"])
    return int(sum(stream["dropped"].values()) + stream["dropped_by_worker"] + renditions)


def problems(stream: Json) -> list[str]:
    """What is wrong with a stream, in words, the most important first."""
    found = []
    if not stream["is_live"]:
        away_s = stream["away_s"]
        found.append("publisher away" + (f" for {duration(away_s)}" if away_s else ""))
    if stream["state"] in ("waiting", "switching"):
        found.append(stream["reason"])
    if stream["degraded"]:
        found.append(f"degraded: {stream['degraded']}")
    found += [f"source: {n['words']}" for n in stream["notices"] if n["is_fault"]]
    if stream["dropped_by_renditions"]:
        found.append(
            counted(stream["dropped_by_renditions"], "picture", "was dropped by its renditions")
        )
    if stream["crashes"]:
        workers = counted(stream["crashes"], "worker", "has crashed")
        found.append(f"{workers} that it ran on")
    if stream["cannot_move"]:
        found.append(f"cannot move: {stream['cannot_move']}")
    return [text for text in dict.fromkeys(found) if text]
