"""The last events of the farm, with their reasons: what changed between two documents. Pure.

Documents come when somebody asks, so an event is seen at the next look; what the supervisor keeps
itself, its decisions and refusals, has the time at which it was. Names are labels: no key is here.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from api.schemas import Json

MAX_EVENTS: Final = 500
_WANTED: Final = frozenset({"kicked", "banned"})  # refusals that the operator asked for
_UP: Final = frozenset({"ready", "starting", "retiring"})


class EventLog:
    """Events in order, each with a number that grows, over restarts of this process, too."""

    def __init__(self, now_unix: float) -> None:
        self._number = int(now_unix * 1000)
        self._events: deque[Json] = deque(maxlen=MAX_EVENTS)
        self._before: Mapping[str, Any] | None = None
        self._last_decision = 0

    def after(self, number: int, limit: int = MAX_EVENTS) -> Sequence[Json]:
        """The newest events behind one that is known, at most `limit`, in order."""
        found = [event for event in self._events if event["id"] > number]
        return found[-limit:] if limit else []

    def observe(self, document: Mapping[str, Any]) -> None:
        """Take a newer document, as `document.published` gives it without keys."""
        before, self._before = self._before, document
        is_new = before is None or before["since_unix"] != document["since_unix"]
        found = list(self._decisions(document, is_new=is_new))
        if before is not None:
            found += _changes(before, document)
        for event in sorted(found, key=lambda event: event["at_unix"]):
            self._number += 1
            self._events.append({"id": self._number, **event})

    def _decisions(self, document: Mapping[str, Any], *, is_new: bool) -> Iterator[Json]:
        """Those that were not there before; a new supervisor numbers its own from the first on."""
        if is_new:
            self._last_decision = 0
        for decision in document["decisions"]:
            number = decision.get("number", 0)
            if number > self._last_decision:
                self._last_decision = number
                yield _event(decision["at_unix"], "stream", decision["id"], decision["text"])


def _event(at_unix: float, kind: str, subject: str, text: str, *, is_problem: bool = False) -> Json:
    return {
        "at_unix": at_unix,
        "kind": kind,
        "subject": subject,
        "text": text,
        "is_problem": is_problem,
    }


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Json]:
    at_unix = now["now_unix"]
    yield from _of_farm(before, now)
    yield from _of_children(before, now)
    yield from _of_devices(before, now)
    yield from _of_notices(before, now)
    known = {_refusal_key(entry): entry["count"] for entry in before["refusals"]}
    for entry in now["refusals"]:
        more = entry["count"] - known.get(_refusal_key(entry), 0)
        if more > 0:
            who = entry["stream"] or entry["address"]
            times = f" ({more} times)" if more > 1 else ""
            text = f"refused to {entry['what']}: {entry['words']}{times}"
            is_problem = entry["reason"] not in _WANTED
            yield _event(entry["at_unix"], "refusal", who, text, is_problem=is_problem)
    banned = {ban["target"] for ban in before["bans"]}
    for ban in now["bans"]:
        if ban["target"] not in banned:
            why = f": {ban['reason']}" if ban["reason"] else ""
            yield _event(ban["since_unix"], "ban", ban["target"], f"banned by {ban['by']}{why}")
    for target in banned - {ban["target"] for ban in now["bans"]}:
        yield _event(at_unix, "ban", target, "not banned any more")


def _of_farm(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Json]:
    at_unix = now["now_unix"]
    if before["since_unix"] != now["since_unix"]:
        text = "a new supervisor has taken the farm over"
        yield _event(now["since_unix"], "farm", "supervisor", text, is_problem=True)
    if before["closed"] != now["closed"]:
        text = f"takes no streams: {now['closed']}" if now["closed"] else "takes streams again"
        yield _event(at_unix, "farm", "farm", text)


def _of_children(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Json]:
    known = {child["name"]: child for child in before["children"]}
    for child in now["children"]:
        old = known.get(child["name"])
        at_unix = now["now_unix"] - child["state_s"]
        name, why = child["name"], child["reason"] or "unknown"
        if old is None:
            yield _event(at_unix, "process", name, "started")
        elif child["restarts"] > old["restarts"]:
            yield _event(at_unix, "process", name, f"ended: {why}; started again", is_problem=True)
        elif child["state"] != old["state"] and child["state"] not in _UP:
            text = f"{child['state']}: {why}"
            yield _event(at_unix, "process", name, text, is_problem=True)


def _of_devices(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Json]:
    known = {device["name"]: device["state"] for device in before["devices"]}
    for device in now["devices"]:
        state = device["state"]
        if known.get(device["name"], state) != state:
            text = f"{state}: {device['reason']}" if device["reason"] else state
            is_problem = state in ("down", "lost", "overloaded")
            yield _event(now["now_unix"], "device", device["name"], text, is_problem=is_problem)


def _of_notices(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Json]:
    known = {(s["id"], notice["code"]) for s in before["streams"] for notice in s["notices"]}
    for stream in now["streams"]:
        for notice in stream["notices"]:
            if (stream["id"], notice["code"]) not in known:
                at_unix, words = notice["since_unix"], notice["words"]
                is_problem = notice["is_fault"]
                yield _event(at_unix, "notice", stream["id"], words, is_problem=is_problem)


def _refusal_key(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return entry["what"], entry["reason"], entry["stream"] or entry["address"].rpartition(":")[0]
