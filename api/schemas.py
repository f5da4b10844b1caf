"""The forms of what the API answers and takes, as JSON Schema. Pure.

Fields may be added in later versions, so objects may hold more than what is said here.
docs/status-json.md says what the fields of the status document mean.
"""

import re
from typing import Any, Final

from common.ipc.remote_status import RemoteState

Json = dict[str, Any]

TEXT: Final[Json] = {"type": "string"}
NUMBER: Final[Json] = {"type": "number"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
WHOLE: Final[Json] = {"type": "integer"}
TRUTH: Final[Json] = {"type": "boolean"}
DIGITS: Final[Json] = {"type": "string", "pattern": "^[0-9]{1,16}$"}
NAME: Final[Json] = {"type": "string", "minLength": 1, "maxLength": 256}


def nullable(schema: Json) -> Json:
    """What may be null, too."""
    return schema | {"type": [schema["type"], "null"]}


def array(items: Json) -> Json:
    return {"type": "array", "items": items}


def named(values: Json) -> Json:
    """An object whose names are data."""
    return {"type": "object", "additionalProperties": values}


def form(words: str = "", /, **fields: Json) -> Json:
    """An object that has these fields."""
    schema: Json = {"type": "object", "properties": fields, "required": list(fields)}
    return {"description": words} | schema if words else schema


def body(words: str = "", /, *, needed: tuple[str, ...] = (), **fields: Json) -> Json:
    """A request's object: these fields and no others."""
    schema: Json = {"type": "object", "properties": fields, "additionalProperties": False}
    if needed:
        schema["required"] = list(needed)
    return {"description": words} | schema if words else schema


_AGE: Final[Json] = {
    "as_of_unix": NUMBER,  # when the supervisor said so
    "is_current": TRUTH,  # false: no supervisor answers, this is what was known last
}


def listing(name: str, items: Json) -> Json:
    """The answer that lists entries."""
    return form("", **_AGE, **{name: array(items)})


def entry(name: str, item: Json) -> Json:
    """The answer that has one entry."""
    return form("", **_AGE, **{name: item})


EVENT_KINDS: Final = (
    "stream",  # what the supervisor decided about one
    "notice",  # what is wrong with its source
    "refusal",
    "ban",
    "process",
    "device",
    "farm",
)
ERROR: Final = form("Why there is no other answer.", error=TEXT, message=TEXT)
DRAIN: Final = form("How many streams are left.", message=TEXT, streams=COUNT)
DRAIN_OF_DEVICE: Final = form(
    "What is left on the device.",
    message=TEXT,
    streams=array(form("", id=TEXT, reason=TEXT, migrates_later=TRUTH)),
    sessions=COUNT,
)
DONE: Final = form("What was done.", message=TEXT)
PUSH_ADDED: Final = DONE | {"properties": {"message": TEXT, "push": TEXT}}
PUSH_RULE: Final = form(
    "A rendition of an app's streams that is sent to another server.",
    push=TEXT,  # what it is called by
    app=TEXT,
    streams=array(TEXT),  # the `id` of each; none: all of the app
    rendition=TEXT,
    address=TEXT,  # as people may see it
    is_added=TRUTH,  # by a request, and not by the configuration
)
UPLOAD: Final = form(
    "An app's recordings on their way to its bucket.",
    app=TEXT,
    bucket=TEXT,
    state=TEXT,
    reason=TEXT,
    seconds=NUMBER,
    waiting_files=COUNT,
    waiting_bytes=COUNT,
    oldest_s=NUMBER,  # how long ago the oldest of these was finished
    sent_bytes=COUNT,  # of the file on its way
    files=COUNT,
    bytes=COUNT,
    failures=COUNT,
)
HEALTH: Final = form("This process works.", status=TEXT, is_supervised=TRUTH, version=TEXT)
READINESS: Final = form(
    "Whether another publisher would be let in, and why not.", is_ready=TRUTH, reasons=array(TEXT)
)

NOTICE: Final = form(
    "What is wrong with a source.", code=TEXT, words=TEXT, since_unix=NUMBER, is_fault=TRUTH
)
QUALITY: Final = form(
    "How much the last measured keyframe is like the picture that it was made of.",
    ssim=NUMBER,
    psnr_db=NUMBER,
    at_unix=NUMBER,
)
RENDITION: Final = form(
    "One rendition of a stream.",
    name=TEXT,
    codec=TEXT,  # of its pictures; "": of the source, whose codec is the stream's
    width=COUNT,
    height=COUNT,
    fps=NUMBER,
    bitrate_bps=NUMBER,
    frames=COUNT,
    dropped=COUNT,
    players=COUNT,
    players_by_protocol=named(COUNT),
    dropped_to_players=COUNT,
    last_pts_ms=nullable(WHOLE),
    state=TEXT,
    quality=nullable(QUALITY),
    quality_floor=nullable(NUMBER),
    is_low=TRUTH,
)
RENDITION_OF_STREAM: Final = RENDITION | {
    "properties": {"stream": TEXT, **RENDITION["properties"]},
    "required": ["stream", *RENDITION["required"]],
}
LINE: Final = form(
    "How a publisher's packets come, by a protocol that counts them.",
    protocol=TEXT,
    latency_ms=COUNT,
    rtt_ms=NUMBER,
    received=COUNT,
    missed=COUNT,
    lost=COUNT,
    undecrypted=COUNT,
)
PUSH: Final = form(
    "A rendition on its way to somebody else's server.",
    rendition=TEXT,
    address=TEXT,  # without credentials
    state=TEXT,
    reason=TEXT,
    seconds=NUMBER,
    calls=COUNT,
    sent_bytes=COUNT,
    dropped=COUNT,
    rtt_ms=NUMBER,
    repeated=COUNT,
)
RECORDING: Final = form(
    "A rendition on its way to files.",
    rendition=TEXT,
    state=TEXT,
    file=TEXT,  # the last one, with its path; "": none so far
    reason=TEXT,
    seconds=NUMBER,
    bytes=COUNT,
    files=COUNT,
    dropped=COUNT,
)
STANDBY: Final = form(
    "A publisher that stands by for a stream.",
    role={"type": "string", "enum": ["main", "backup"]},
    publisher=TEXT,
    since_unix=NUMBER,
    is_ready=TRUTH,
    width=COUNT,
    height=COUNT,
    fps=NUMBER,
    bitrate_bps=NUMBER,
    codec=TEXT,
    audio=TEXT,
)
STREAM: Final = form(
    "One stream.",
    id=TEXT,  # its label: APP/ and a hash of its key, as logs have it
    app=TEXT,
    key=nullable(TEXT),  # null: it is a credential, and no token was given
    is_key_secret=TRUTH,
    is_open_to_players=TRUTH,
    state=TEXT,
    is_live=TRUTH,
    away_s=nullable(NUMBER),
    publisher=TEXT,
    role=TEXT,  # "main", "backup", or "" where a stream has one publisher
    standby=nullable(STANDBY),
    switches=COUNT,
    ingest=TEXT,
    since_unix=NUMBER,
    generation=COUNT,
    worker=nullable(TEXT),
    device=TEXT,
    reason=TEXT,
    width=COUNT,
    height=COUNT,
    fps=NUMBER,
    bitrate_bps=NUMBER,
    codec=TEXT,
    audio=TEXT,
    gop_ms=COUNT,
    bytes=COUNT,
    av_skew_ms=NUMBER,
    line=nullable(LINE),
    pushes=array(PUSH),
    recordings=array(RECORDING),
    frames=COUNT,
    frames_in=COUNT,
    frames_decoded=COUNT,
    decode_errors=COUNT,
    dropped=named(COUNT),
    dropped_by_worker=COUNT,
    dropped_by_renditions=COUNT,
    queue_ms=NUMBER,
    waiting_players=COUNT,
    notices=array(NOTICE),
    omitted=array(form("", name=TEXT, reason=TEXT)),
    renditions=array(RENDITION),
    stages_ms=named(array(NUMBER)),
)
DEVICE: Final = form(
    "One worker's device.",
    name=TEXT,
    device=TEXT,
    worker=TEXT,
    workers=COUNT,
    kind=TEXT,
    label=TEXT,
    state=TEXT,
    reason=TEXT,
    capacity=NUMBER,
    used=NUMBER,
    is_capacity_shared=TRUTH,
    memory_bytes=NUMBER,
    memory_used=NUMBER,
    engines=named(NUMBER),
    use=nullable(form("", compute=NUMBER, decode=NUMBER, encode=NUMBER, memory_bytes=NUMBER)),
    streams=COUNT,
    fps_in=NUMBER,
    fps_out=NUMBER,
    queue_ms=NUMBER,
    notes=array(TEXT),
)
CHILD: Final = form(
    "One process.",
    name=TEXT,
    kind=TEXT,
    state=TEXT,
    state_s=NUMBER,
    pid=COUNT,
    restarts=COUNT,
    reason=TEXT,
    memory_bytes=COUNT,
    cpu_percent=NUMBER,
)
REFUSAL: Final = form(
    "Refusals of one kind.",
    what=TEXT,
    reason=TEXT,
    words=TEXT,
    address=TEXT,
    at_unix=NUMBER,
    stream=TEXT,
    name=TEXT,
    count=COUNT,
)
BAN: Final = form(
    "Who is kept out.",
    target=TEXT,
    until_unix=nullable(NUMBER),
    since_unix=NUMBER,
    reason=TEXT,
    by=TEXT,
)
KICK: Final = form(
    "A stream that is kept out.", id=TEXT, app=TEXT, key=nullable(TEXT), for_s=NUMBER
)
PULL: Final = form(
    "A stream that is fetched from another server.",
    id=TEXT,
    app=TEXT,
    key=nullable(TEXT),
    is_key_secret=TRUTH,
    url=TEXT,  # as people may see it
    state={"type": "string", "enum": [state.value for state in RemoteState]},
    since_unix=NUMBER,
    reason=TEXT,
    attempts=COUNT,
    connected=COUNT,
    bytes=COUNT,
    retry_unix=NUMBER,
    is_added=TRUTH,  # by a request, and not by the configuration
)
STATUS: Final = form(
    "The farm as a whole.",
    **_AGE,
    version=TEXT,
    since_unix=NUMBER,
    listen=named(array(TEXT)),
    apps=named(array(TEXT)),
    totals=form("", streams=COUNT, players=COUNT, in_bps=NUMBER, out_bps=NUMBER),
    host=named(form("", capacity=nullable(NUMBER), used=NUMBER)),
    refused=named(COUNT),
    waiting=COUNT,
    queued=COUNT,
    closed=TEXT,
    no_room=TEXT,
    may_change=TRUTH,  # a token was given
)


PLAYER: Final = form(
    "One player.",
    id=TEXT,
    stream=TEXT,  # the stream's `id`
    rendition=TEXT,
    protocol=TEXT,
    address=TEXT,
    seconds=NUMBER,
    dropped=COUNT,
)
EVENT: Final = form(
    "Something that happened.",
    id=COUNT,  # grows, over restarts of the API, too
    at_unix=NUMBER,
    kind={"type": "string", "enum": [*EVENT_KINDS]},
    subject=TEXT,  # a stream's label, a process, a device, an address
    text=TEXT,
    is_problem=TRUTH,
)
OVERVIEW: Final = STATUS | {
    "description": "The farm with all that it has.",
    "properties": {
        **STATUS["properties"],
        "streams": array(STREAM),
        "devices": array(DEVICE),
        "supervisor": CHILD,
        "children": array(CHILD),
        "refusals": array(REFUSAL),
        "bans": array(BAN),
        "kicks": array(KICK),
        "pulls": array(PULL),
    },
    "required": [
        *STATUS["required"],
        *("streams", "devices", "supervisor", "children", "refusals", "bans", "kicks", "pulls"),
    ],
}


def why_not(value: Any, schema: Json) -> str:
    """What a value lacks, in words: "must be …"; "" where it is as the schema wants it.

    Knows the schemas of parameters and bodies here: plain values, and objects of these. A parameter
    of the path or the query is text, also where it stands for a number.
    """
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if value is None:
        return "" if "null" in kinds else "must not be null"
    match kinds[0]:
        case "string":
            return _why_no_text(value, schema)
        case "integer" | "number":
            return _why_no_number(value, schema, kinds[0])
        case "boolean":
            return "" if isinstance(value, bool) else "must be true or false"
        case "object":
            return _why_no_object(value, schema)
    raise AssertionError(f"no check for {schema}")


def _why_no_text(value: Any, schema: Json) -> str:
    if not isinstance(value, str):
        return "must be text"
    low, high = schema.get("minLength", 0), schema.get("maxLength", 1_000_000)
    if not low <= len(value) <= high:
        return f"must have {low} to {high} characters"
    if (pattern := schema.get("pattern")) and not re.search(pattern, value):
        return f"must match {pattern}"
    if (allowed := schema.get("enum")) and value not in allowed:
        return f"must be one of {', '.join(allowed)}"
    return ""


def _why_no_number(value: Any, schema: Json, kind: str) -> str:
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if kind == "integer" and not is_whole:
        return "must be a whole number"
    low, high = schema.get("minimum"), schema.get("maximum")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        return f"must be between {low} and {high}"
    return ""


def _why_no_object(value: Any, schema: Json) -> str:
    if not isinstance(value, dict):
        return "must be an object"
    fields = schema["properties"]
    for name in schema.get("required", ()):
        if name not in value:
            return f"must have {name}"
    for name, item in value.items():
        if name not in fields:
            return f"must not have {name[:64]!r}"
        if why := why_not(item, fields[name]):
            return f"has {name}, which {why}"
    return ""
