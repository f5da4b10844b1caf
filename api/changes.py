"""What changes something: requests made into the commands of `tfarm`, and their answers. Pure.

The supervisor does what is asked and says in words what was done, as on the command line.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.document import real_name, real_target
from api.operations import ApiError, Operation
from api.schemas import Json, why_not
from common.ipc.command_messages import Answer
from common.process.log import stream_label
from common.words import counted


@dataclass(frozen=True, slots=True)
class Change:
    """A command for the supervisor."""

    command: str
    arguments: Mapping[str, str]
    # What a "no" means: the status of the answer.
    refused: int = 409
    code: str = "refused"


Path = Mapping[str, str]
Body = Mapping[str, Any]
Document = Mapping[str, Any]


def read_body(operation: Operation, data: bytes) -> Json:
    """The object in a request's body, checked; nothing at all is an empty one. Raises ApiError."""
    if operation.body is None:
        return {}
    try:
        found = json.loads(data, parse_constant=_no_number) if data.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "bad-request", "the body is no JSON") from error
    if why := why_not(found, operation.body):
        raise ApiError(400, "bad-request", f"the body {why}")
    return dict(found)


def change_of(name: str, path: Path, body: Body, document: Document) -> Change:
    """The command that an operation stands for; `document` is the status as the farm gave it."""
    return _CHANGES[name](path, body, document)


def answer_to(change: Change, answer: Answer) -> Json:
    """What is answered. Raises ApiError where nothing was done."""
    if not answer.ok:
        raise ApiError(change.refused, change.code, answer.text)
    found: Json = json.loads(answer.json) if answer.json else {}
    if isinstance(left := found.get("streams"), list):
        found["streams"] = [
            {
                "id": stream_label(entry["stream"]),
                "reason": entry["reason"],
                "migrates_later": entry["moves_later"],
            }
            for entry in left
        ]
    return {"message": answer.text or _what_is_left(change, found)} | found


def _what_is_left(change: Change, found: Json) -> str:
    """A drain in words, which the command line says itself."""
    if change.command != "drain":
        return ""
    device = change.arguments.get("device", "")
    left = found.get("sessions", 0) if device else found.get("streams", 0)
    where = f"{device} takes" if device else "the farm takes"
    return f"{where} no new streams, and {counted(left, 'stream', 'is left')}"


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


_NO_STREAM: Final = (404, "no-such-stream")
_NO_DEVICE: Final = (404, "no-such-device")


def _kick(path: Path, body: Body, document: Document) -> Change:
    app, key = real_name(document, path["app"], path["key"])
    arguments = {"app": app, "key": key}
    if "for_s" in body:
        arguments["for_s"] = str(int(body["for_s"]))
    return Change("kick", arguments, *_NO_STREAM)


def _unkick(path: Path, _: Body, document: Document) -> Change:
    app, key = real_name(document, path["app"], path["key"])
    return Change("kick", {"app": app, "key": key, "undo": "yes"}, *_NO_STREAM)


def _switch(path: Path, body: Body, document: Document) -> Change:
    app, key = real_name(document, path["app"], path["key"])
    return Change("switch", {"app": app, "key": key, "to": body["to"]}, 409, "not-switched")


def _ban(_: Path, body: Body, document: Document) -> Change:
    arguments = {
        "target": real_target(document, body["target"]),
        "for_s": str(int(body.get("for_s", 0))),
        "reason": body.get("reason", ""),
    }
    return Change("ban", arguments, 400, "bad-request")


def _unban(path: Path, _: Body, document: Document) -> Change:
    target = real_target(document, path["target"])
    return Change("unban", {"target": target}, 404, "not-banned")


def _drain_device(path: Path, _: Body, document: Document) -> Change:
    return Change("drain", {"device": path["device"]}, *_NO_DEVICE)


def _undrain_device(path: Path, _: Body, document: Document) -> Change:
    return Change("undrain", {"device": path["device"]}, *_NO_DEVICE)


def _drain(_: Path, body: Body, document: Document) -> Change:
    timeout_s = body.get("timeout_s")
    return Change("drain", {} if timeout_s is None else {"timeout": str(timeout_s)})


def _pull(_: Path, body: Body, __: Document) -> Change:
    return Change("pull", dict(body))


def _unpull(path: Path, _: Body, document: Document) -> Change:
    app, key = real_name(document, path["app"], path["key"])
    return Change("unpull", {"app": app, "key": key}, 404, "not-pulled")


def _push(_: Path, body: Body, __: Document) -> Change:
    return Change("push", dict(body))


def _unpush(path: Path, _: Body, __: Document) -> Change:
    return Change("unpush", {"push": path["push"]}, 404, "not-pushed")


_CHANGES: Final[dict[str, Callable[[Path, Body, Document], Change]]] = {
    "kickStream": _kick,
    "unkickStream": _unkick,
    "switchPublisher": _switch,
    "ban": _ban,
    "unban": _unban,
    "drainDevice": _drain_device,
    "undrainDevice": _undrain_device,
    "drain": _drain,
    "undrain": lambda path, body, document: Change("undrain", {}),
    "rebalance": lambda path, body, document: Change("rebalance", {}),
    "addPull": _pull,
    "removePull": _unpull,
    "addPush": _push,
    "removePush": _unpush,
    "reload": lambda path, body, document: Change("reload", {}),
}
