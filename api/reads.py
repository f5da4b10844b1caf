"""Answers to what only reads: of the status document as it is published. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.document import find_stream
from api.events import MAX_EVENTS, EventLog
from api.operations import ApiError
from api.schemas import Json
from common.ipc.api_messages import PlayerStatus
from common.process.log import stream_label


@dataclass(frozen=True, slots=True)
class Reading:
    """The farm as one reader sees it."""

    published: Mapping[str, Any]  # of `document.published`
    is_current: bool  # False: no supervisor answers, it is what was known last
    may_change: bool = False
    events: EventLog | None = None

    def age(self) -> Json:
        return {"as_of_unix": self.published["now_unix"], "is_current": self.is_current}


Parameters = Mapping[str, str]


def answer(name: str, reading: Reading, parameters: Parameters) -> Json:
    """The document that an operation gives. Raises ApiError."""
    return reading.age() | _ANSWERS[name](reading, parameters)


def health(*, is_supervised: bool, version: str) -> Json:
    """This process works; whether its supervisor does is no reason to end it."""
    return {"status": "ok", "is_supervised": is_supervised, "version": version}


def readiness(document: Mapping[str, Any] | None, *, is_current: bool) -> Json:
    """Whether another publisher would be let in, and why not."""
    if document is None or not is_current:
        reasons = ["no supervisor answers"]
    else:
        reasons = [why for why in (document["closed"], document.get("no_room", "")) if why]
    return {"is_ready": not reasons, "reasons": reasons}


def player(found: PlayerStatus) -> Json:
    """One player, whose stream is named by its label."""
    return {
        "id": found.id,
        "stream": stream_label(found.stream_id),
        "rendition": found.rendition,
        "protocol": found.protocol,
        "address": found.address,
        "seconds": found.seconds,
        "dropped": found.dropped,
    }


# The lists of the status document that have paths of their own.
_LISTS: Final = {
    "streams",
    "devices",
    "children",
    "supervisor",
    "refusals",
    "decisions",
    "bans",
    "kicked",
    "pulls",
    "push_rules",
    "uploads",
    "now_unix",
}


def _status(reading: Reading, _: Parameters) -> Json:
    found = {name: value for name, value in reading.published.items() if name not in _LISTS}
    found["totals"] = found["totals"] | {"streams": len(reading.published["streams"])}
    return found | {"may_change": reading.may_change}


def _overview(reading: Reading, parameters: Parameters) -> Json:
    names = ("streams", "devices", "supervisor", "children", "refusals", "bans", "pulls")
    lists = {name: reading.published[name] for name in names}
    return _status(reading, parameters) | lists | {"kicks": reading.published["kicked"]}


def _events(reading: Reading, parameters: Parameters) -> Json:
    log = reading.events
    after, limit = int(parameters.get("after", 0)), int(parameters.get("limit", MAX_EVENTS))
    return {"events": list(log.after(after, limit)) if log is not None else []}


def _streams(reading: Reading, parameters: Parameters) -> Json:
    return {"streams": list(_of_app(reading, parameters))}


def _of_app(reading: Reading, parameters: Parameters) -> list[Json]:
    app = parameters.get("app")
    return [s for s in reading.published["streams"] if app is None or s["app"] == app]


def _stream(reading: Reading, parameters: Parameters) -> Json:
    app, key = parameters["app"], parameters["key"]
    found = find_stream(reading.published, app, key)
    if found is None:
        raise ApiError(404, "no-such-stream", f"there is no stream {app}/{key}")
    return {"stream": found}


def _renditions(reading: Reading, parameters: Parameters) -> Json:
    return {
        "renditions": [
            {"stream": stream["id"], **rendition}
            for stream in _of_app(reading, parameters)
            for rendition in stream["renditions"]
        ]
    }


def _device(reading: Reading, parameters: Parameters) -> Json:
    name = parameters["device"].lower()
    for device in reading.published["devices"]:
        if name in {str(device.get(field, "")).lower() for field in ("name", "pci_id", "worker")}:
            return {"device": device}
    raise ApiError(404, "no-such-device", f"there is no device {parameters['device']}")


def _children(reading: Reading, _: Parameters) -> Json:
    return {"children": [reading.published["supervisor"], *reading.published["children"]]}


def _part(of: str, name: str = "") -> Callable[[Reading, Parameters], Json]:
    """A list as the document has it, under a name of its own."""
    return lambda reading, _: {name or of: reading.published[of]}


_ANSWERS: Final[dict[str, Callable[[Reading, Parameters], Json]]] = {
    "status": _status,
    "overview": _overview,
    "events": _events,
    "streams": _streams,
    "stream": _stream,
    "renditions": _renditions,
    "devices": _part("devices"),
    "device": _device,
    "children": _children,
    "refusals": _part("refusals"),
    "bans": _part("bans"),
    "pulls": _part("pulls"),
    "pushes": lambda reading, _: {"pushes": reading.published.get("push_rules", [])},
    "uploads": lambda reading, _: {"uploads": reading.published.get("uploads", [])},
    "kicks": _part("kicked", "kicks"),
}
