"""What can be asked of the API: one table, of which the routes and the description come. Pure.

To add an operation: an entry here, and what answers it, in `reads.py` or `changes.py`.
`openapi.py` describes the table, `server.py` serves it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from api import schemas
from api.access import Access
from api.schemas import Json
from common.access.bans import MAX_BAN_S, MAX_KICK_S, MAX_REASON_CHARS
from common.config.remote_url import MAX_URL_CHARS
from common.config.settings import RtspTransport

PREFIX: Final = "/api/v1"
JSON: Final = "application/json"
MAX_BODY_BYTES: Final = 64 * 1024


class ApiError(Exception):
    """A request that is not answered with what it asks for."""

    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.code = code
        self.words = words

    def document(self) -> Json:
        return {"error": self.code, "message": self.words}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One that stands in the path or behind the question mark."""

    name: str
    schema: Json
    words: str
    is_needed: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked."""

    name: str  # `operationId`; what answers it is found by it
    method: str
    path: str  # as OpenAPI writes it
    words: str
    access: Access
    answer: Json  # the schema of what comes with 200
    in_path: tuple[Parameter, ...] = ()
    query: tuple[Parameter, ...] = ()
    body: Json | None = None  # the schema of a JSON object; every key may be left out
    failures: Mapping[int, str] = field(default_factory=dict)  # beside those of its access
    content_type: str = JSON  # of the answer


_STREAM: Final = (
    Parameter("app", schemas.NAME, "the app of the stream"),
    Parameter("key", schemas.NAME, "its key, or the label of that: what follows the slash in `id`"),
)
_APP: Final = Parameter("app", schemas.NAME, "of this app alone")
_DEVICE: Final = Parameter("device", schemas.NAME, "its `name`; a GPU's also by PCI id")
_NO_SUCH: Final = "nothing has this name"
_NO_SUPERVISOR: Final = {503: "no supervisor answers; try again in a second"}


def _read(name: str, path: str, words: str, answer: Json, **more: Any) -> Operation:
    failures = _NO_SUPERVISOR | more.pop("failures", {})
    return Operation(
        name, "GET", PREFIX + path, words, Access.READ, answer, failures=failures, **more
    )


def _change(name: str, method: str, path: str, words: str, **more: Any) -> Operation:
    failures = _NO_SUPERVISOR | more.pop("failures", {})
    answer = more.pop("answer", schemas.DONE)
    return Operation(
        name, method, PREFIX + path, words, Access.CHANGE, answer, failures=failures, **more
    )


PROBES: Final = (
    Operation(
        "healthz",
        "GET",
        "/healthz",
        "Whether this process works; it does, if it answers.",
        Access.OPEN,
        schemas.HEALTH,
    ),
    Operation(
        "readyz",
        "GET",
        "/readyz",
        "Whether another publisher would be let in.",
        Access.OPEN,
        schemas.READINESS,
        failures={503: "none would: the farm drains, is full, or has no supervisor"},
    ),
)

PAGE: Final = Operation(
    "page", "GET", "/", "The page.", Access.OPEN, schemas.TEXT, content_type="text/html"
)

METRICS: Final = Operation(
    "metrics",
    "GET",
    "/metrics",
    "The farm's figures as Prometheus reads them: docs/metrics.md.",
    Access.READ,
    schemas.TEXT,
    failures=_NO_SUPERVISOR,
    content_type="text/plain",
)

READS: Final = (
    _read("status", "/status", "The farm as a whole.", schemas.STATUS),
    _read("overview", "/overview", "All of it at once, as the page shows it.", schemas.OVERVIEW),
    _read(
        "events",
        "/events",
        "The last events with their reasons, oldest first.",
        schemas.listing("events", schemas.EVENT),
        query=(
            Parameter("after", schemas.DIGITS, "the `id` of an event: those behind it"),
            Parameter("limit", schemas.DIGITS, "so many at most, the newest"),
        ),
    ),
    _read(
        "streams",
        "/streams",
        "All streams.",
        schemas.listing("streams", schemas.STREAM),
        query=(_APP,),
    ),
    _read(
        "stream",
        "/streams/{app}/{key}",
        "One stream.",
        schemas.entry("stream", schemas.STREAM),
        in_path=_STREAM,
        failures={404: _NO_SUCH},
    ),
    _read(
        "renditions",
        "/renditions",
        "The renditions of all streams, `source` among them.",
        schemas.listing("renditions", schemas.RENDITION_OF_STREAM),
        query=(_APP,),
    ),
    _read("devices", "/devices", "All devices.", schemas.listing("devices", schemas.DEVICE)),
    _read(
        "device",
        "/devices/{device}",
        "One device.",
        schemas.entry("device", schemas.DEVICE),
        in_path=(_DEVICE,),
        failures={404: _NO_SUCH},
    ),
    _read(
        "children",
        "/children",
        "The processes, the supervisor first.",
        schemas.listing("children", schemas.CHILD),
    ),
    _read(
        "refusals",
        "/refusals",
        "Who was refused lately, and why.",
        schemas.listing("refusals", schemas.REFUSAL),
    ),
    _read(
        "pulls",
        "/pulls",
        "Streams that are fetched from other servers.",
        schemas.listing("pulls", schemas.PULL),
    ),
    _read(
        "pushes",
        "/pushes",
        "What is sent to other servers, by the configuration and by requests.",
        schemas.listing("pushes", schemas.PUSH_RULE),
    ),
    _read(
        "uploads",
        "/uploads",
        "Recordings on their way to buckets.",
        schemas.listing("uploads", schemas.UPLOAD),
    ),
    _read("bans", "/bans", "Who is kept out.", schemas.listing("bans", schemas.BAN)),
    _read(
        "kicks",
        "/kicks",
        "Streams that are kept out for a while.",
        schemas.listing("kicks", schemas.KICK),
    ),
)

_FOR_S: Final = {"type": "integer", "minimum": 1}
SNAPSHOT: Final = _read(
    "snapshot",
    "/streams/{app}/{key}/snapshot.jpg",
    "A small picture of a keyframe that was decoded just now.",
    {"type": "string", "contentEncoding": "binary"},
    in_path=_STREAM,
    content_type="image/jpeg",
    failures={404: _NO_SUCH, 503: "there is no picture, or no supervisor answers"},
)
LIVE: Final = _read(
    "live",
    "/streams/{app}/{key}/live.mp4",
    "A rendition as it comes: fragmented MP4 (H.264, AAC) from the last keyframe on, until the "
    "stream ends or the viewer leaves.",
    {"type": "string", "contentEncoding": "binary"},
    in_path=_STREAM,
    query=(
        Parameter("rendition", schemas.NAME, "its name; without one, `source`"),
        Parameter("sound", {"type": "string", "enum": ["yes", "no"]}, "no: pictures alone"),
    ),
    content_type="video/mp4",
    failures={404: _NO_SUCH, 503: "it cannot be sent just now, or no supervisor answers"},
)
PLAYERS: Final = _read(
    "players",
    "/players",
    "The players, of one stream perhaps.",
    schemas.listing("players", schemas.PLAYER),
    query=(Parameter("stream", schemas.NAME, "APP/KEY, or the stream's `id`"),),
    failures={404: _NO_SUCH},
)
KICK_PLAYER: Final = _change(
    "kickPlayer",
    "POST",
    "/players/{player}/kick",
    "End a player; it may come again.",
    in_path=(Parameter("player", schemas.NAME, "its `id`"),),
    body=schemas.body(),
    failures={404: "it does not play any more"},
)

CHANGES: Final = (
    _change(
        "kickStream",
        "POST",
        "/streams/{app}/{key}/kick",
        "End a stream, and keep its publisher out for a while.",
        in_path=_STREAM,
        body=schemas.body(for_s=_FOR_S | {"maximum": MAX_KICK_S}),
        failures={404: _NO_SUCH},
    ),
    _change(
        "unkickStream",
        "DELETE",
        "/streams/{app}/{key}/kick",
        "Let a stream in again that was kicked, or that took workers down.",
        in_path=_STREAM,
        failures={404: "it is not kept out"},
    ),
    _change(
        "switchPublisher",
        "POST",
        "/streams/{app}/{key}/publisher",
        "Have a stream be of its main or backup publisher, or of either by the rules.",
        in_path=_STREAM,
        body=schemas.body(
            needed=("to",), to={"type": "string", "enum": ["main", "backup", "auto"]}
        ),
        failures={404: _NO_SUCH, 409: "that publisher is not there, or the app takes no backup"},
    ),
    _change(
        "ban",
        "POST",
        "/bans",
        "Keep an address, a network or a stream out, and cut it off.",
        body=schemas.body(
            needed=("target",),
            target=schemas.NAME,
            for_s={"type": "integer", "minimum": 0, "maximum": MAX_BAN_S},
            reason={"type": "string", "maxLength": MAX_REASON_CHARS},
        ),
    ),
    _change(
        "unban",
        "DELETE",
        "/bans",
        "Let it in again.",
        query=(Parameter("target", schemas.NAME, "as in the list of bans", is_needed=True),),
        failures={404: "it is not banned"},
    ),
    _change(
        "addPull",
        "POST",
        "/pulls",
        "Fetch a stream from another server, beside those of the configuration.",
        body=schemas.body(
            needed=("app", "key", "url"),
            app=schemas.NAME,
            key=schemas.NAME,
            url={"type": "string", "minLength": 1, "maxLength": MAX_URL_CHARS},
            rtsp_transport={"type": "string", "enum": [way.value for way in RtspTransport]},
        ),
        failures={409: "it is wrong, not allowed, or the stream is pulled already"},
    ),
    _change(
        "removePull",
        "DELETE",
        "/pulls/{app}/{key}",
        "Fetch a stream no more that was added by a request.",
        in_path=_STREAM,
        failures={404: "no request added it"},
    ),
    _change(
        "addPush",
        "POST",
        "/pushes",
        "Send a rendition of an app's streams to another server, beside the app's own pushes.",
        body=schemas.body(
            needed=("app", "url", "rendition"),
            app=schemas.NAME,
            url={"type": "string", "minLength": 1, "maxLength": MAX_URL_CHARS},
            rendition=schemas.NAME,
            key=schemas.NAME,
        ),
        answer=schemas.PUSH_ADDED,
        failures={409: "it is wrong, not allowed, or there already"},
    ),
    _change(
        "removePush",
        "DELETE",
        "/pushes/{push}",
        "End a push that a request added.",
        in_path=(Parameter("push", schemas.NAME, "what the answer to `addPush` called it"),),
        failures={404: "no request added it"},
    ),
    _change(
        "drainDevice",
        "POST",
        "/devices/{device}/drain",
        "Move all streams off a device; asked again, it answers what is left.",
        in_path=(_DEVICE,),
        body=schemas.body(),
        answer=schemas.DRAIN_OF_DEVICE,
        failures={404: _NO_SUCH},
    ),
    _change(
        "undrainDevice",
        "POST",
        "/devices/{device}/undrain",
        "Let a device take streams again.",
        in_path=(_DEVICE,),
        body=schemas.body(),
        failures={404: _NO_SUCH},
    ),
    _change(
        "drain",
        "POST",
        "/drain",
        "Take no new streams; asked again, it answers how many are left.",
        body=schemas.body(
            timeout_s=schemas.nullable({"type": "number", "minimum": 0, "maximum": 31_536_000})
        ),
        answer=schemas.DRAIN,
    ),
    _change(
        "undrain", "POST", "/undrain", "Take streams again, on all devices.", body=schemas.body()
    ),
    _change(
        "rebalance",
        "POST",
        "/rebalance",
        "Even out the load of the devices by moving streams.",
        body=schemas.body(),
    ),
    _change(
        "reload",
        "POST",
        "/reload",
        "Read the configuration again; the answer says which keys changed.",
        body=schemas.body(),
        failures={409: "the configuration has faults, or there is none; nothing was changed"},
    ),
)

DESCRIPTION: Final = Operation(
    "openapi",
    "GET",
    f"{PREFIX}/openapi.json",
    "This description.",
    Access.OPEN,
    {"type": "object"},
)

OPERATIONS: Final = (
    *PROBES,
    PAGE,
    METRICS,
    *READS,
    SNAPSHOT,
    LIVE,
    PLAYERS,
    *CHANGES,
    KICK_PLAYER,
    DESCRIPTION,
)


def read_query(operation: Operation, given: Mapping[str, list[str]]) -> dict[str, str]:
    """The query's parameters, checked. Raises ApiError."""
    known = {parameter.name: parameter for parameter in operation.query}
    found: dict[str, str] = {}
    for name, values in given.items():
        parameter = known.get(name)
        if parameter is None:
            raise ApiError(400, "bad-request", f"there is no parameter {name[:64]!r} here")
        if len(values) > 1:
            raise ApiError(400, "bad-request", f"{name} is there twice")
        found[name] = values[0]
        if why := schemas.why_not(values[0], parameter.schema):
            raise ApiError(400, "bad-request", f"{name} {why}")
    for parameter in operation.query:
        if parameter.is_needed and parameter.name not in found:
            raise ApiError(400, "bad-request", f"{parameter.name} is missing")
    return found


def read_path(operation: Operation, given: Mapping[str, str]) -> dict[str, str]:
    """The path's parameters, checked. Raises ApiError."""
    for parameter in operation.in_path:
        if why := schemas.why_not(given[parameter.name], parameter.schema):
            raise ApiError(400, "bad-request", f"{parameter.name} {why}")
    return dict(given)
