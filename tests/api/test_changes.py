"""Requests that change something, as the commands that they stand for."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api.changes import answer_to, change_of, read_body
from api.operations import CHANGES, OPERATIONS, ApiError, Operation
from common.ipc.command_messages import Answer
from common.ipc.kinds import API_COMMANDS
from common.process.log import key_hash, stream_label
from supervisor.commands.by_api import BY_API
from supervisor.commands.line.server import CommandServer
from supervisor.commands.table import COMMANDS
from tests.kit.status_pages import farm_document, stream_row

BY_NAME = {operation.name: operation for operation in OPERATIONS}
DOCUMENT = farm_document([stream_row("live", "cam0")]) | {
    "kicked": [{"app": "live", "key": "kicked", "for_s": 9.0}],
    "pulls": [{"app": "live", "key": "door"}],
    "bans": [{"target": "live/banned", "until_unix": None, "since_unix": 1.0}],
}
STREAM = {"app": "live", "key": "cam0"}

CASES: list[tuple[str, dict[str, str], dict[str, Any], str, dict[str, str]]] = [
    ("kickStream", STREAM, {}, "kick", {"app": "live", "key": "cam0"}),
    ("kickStream", STREAM, {"for_s": 60}, "kick", {"app": "live", "key": "cam0", "for_s": "60"}),
    (
        "kickStream",
        {"app": "live", "key": key_hash("cam0")},
        {},
        "kick",
        {"app": "live", "key": "cam0"},
    ),
    (
        "unkickStream",
        {"app": "live", "key": key_hash("kicked")},
        {},
        "kick",
        {"app": "live", "key": "kicked", "undo": "yes"},
    ),
    (
        "switchPublisher",
        STREAM,
        {"to": "backup"},
        "switch",
        {"app": "live", "key": "cam0", "to": "backup"},
    ),
    (
        "ban",
        {},
        {"target": "203.0.113.0/24"},
        "ban",
        {"target": "203.0.113.0/24", "for_s": "0", "reason": ""},
    ),
    (
        "ban",
        {},
        {"target": stream_label("live/cam0"), "for_s": 60, "reason": "flood"},
        "ban",
        {"target": "live/cam0", "for_s": "60", "reason": "flood"},
    ),
    ("unban", {"target": "203.0.113.7"}, {}, "unban", {"target": "203.0.113.7"}),
    ("unban", {"target": stream_label("live/banned")}, {}, "unban", {"target": "live/banned"}),
    ("drainDevice", {"device": "cpu:0"}, {}, "drain", {"device": "cpu:0"}),
    ("undrainDevice", {"device": "cpu:0"}, {}, "undrain", {"device": "cpu:0"}),
    ("drain", {}, {}, "drain", {}),
    ("drain", {}, {"timeout_s": None}, "drain", {}),
    ("drain", {}, {"timeout_s": 2.5}, "drain", {"timeout": "2.5"}),
    ("undrain", {}, {}, "undrain", {}),
    ("rebalance", {}, {}, "rebalance", {}),
    ("reload", {}, {}, "reload", {}),
    (
        "addPull",
        {},
        {"app": "live", "key": "door", "url": "rtsp://u:p@cam.lan/1"},
        "pull",
        {"app": "live", "key": "door", "url": "rtsp://u:p@cam.lan/1"},
    ),
    (
        "addPull",
        {},
        {"app": "live", "key": "d", "url": "rtsp://cam/1", "rtsp_transport": "udp"},
        "pull",
        {"app": "live", "key": "d", "url": "rtsp://cam/1", "rtsp_transport": "udp"},
    ),
    (
        "addPush",
        {},
        {"app": "live", "url": "srt://h:1?passphrase=0123456789", "rendition": "source"},
        "push",
        {"app": "live", "url": "srt://h:1?passphrase=0123456789", "rendition": "source"},
    ),
    ("removePush", {"push": "0a"}, {}, "unpush", {"push": "0a"}),
    ("removePull", STREAM, {}, "unpull", {"app": "live", "key": "cam0"}),
    (
        "removePull",
        {"app": "live", "key": key_hash("door")},
        {},
        "unpull",
        {"app": "live", "key": "door"},
    ),
]


@pytest.mark.parametrize(("name", "path", "body", "command", "arguments"), CASES)
def test_each_is_a_command(
    name: str, path: dict[str, str], body: dict[str, Any], command: str, arguments: dict[str, str]
) -> None:
    change = change_of(name, path, body, DOCUMENT)
    assert (change.command, dict(change.arguments)) == (command, arguments)
    assert change.command in API_COMMANDS
    operation = BY_NAME[name]
    assert change.refused in {400, *operation.failures} or not operation.failures.keys() - {503}


def test_every_operation_that_changes_something_has_one() -> None:
    assert {case[0] for case in CASES} == {operation.name for operation in CHANGES}


def test_every_command_of_the_api_is_one_of_the_supervisors() -> None:
    commands = COMMANDS | BY_API
    assert {name for name, spec in commands.items() if spec.answer} >= API_COMMANDS >= BY_API.keys()
    assert CommandServer(commands, farm=None)  # type: ignore[arg-type]  # it is asked nothing


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("ban", b"", "the body must have target"),
        ("ban", b"[]", "the body must be an object"),
        ("ban", b"{", "the body is no JSON"),
        ("ban", b"\xff\xfe", "the body is no JSON"),
        ("ban", b'{"target": "x", "for_s": NaN}', "the body is no JSON"),
        ("ban", b"[" * 60_000, "the body is no JSON"),
        ("ban", b'{"target": "x", "for_s": 1.5}', "has for_s, which must be a whole number"),
        ("kickStream", b'{"for_s": 0}', "has for_s, which must be between 1 and 86400"),
        ("kickStream", b'{"fors": 1}', "must not have 'fors'"),
        ("drain", b'{"timeout_s": -1}', "has timeout_s, which must be between 0"),
    ],
)
def test_a_body_that_is_none_is_refused_in_words(name: str, data: bytes, words: str) -> None:
    with pytest.raises(ApiError, match=words) as caught:
        read_body(BY_NAME[name], data)
    assert caught.value.status == 400


def test_a_body_may_be_left_out_where_nothing_is_needed() -> None:
    assert read_body(BY_NAME["kickStream"], b" ") == {}
    assert read_body(BY_NAME["unban"], b"") == {}


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("kickStream", Answer(1, True, "live/cam0 is being ended")),
        ("drain", Answer(1, True, "", '{"streams": 3}')),
        (
            "drainDevice",
            Answer(
                1,
                True,
                "",
                '{"streams": [{"stream": "live/cam0", "reason": "no room", "moves_later": false}],'
                ' "sessions": 1}',
            ),
        ),
    ],
)
def test_what_was_done_is_answered_as_it_is_described(name: str, answer: Answer) -> None:
    operation: Operation = BY_NAME[name]
    path = {"app": "live", "key": "cam0", "device": "cpu:0"}
    found = answer_to(change_of(name, path, {}, DOCUMENT), answer)
    assert [e.message for e in Draft202012Validator(operation.answer).iter_errors(found)] == []
    assert "cam0" not in str({**found, "message": ""})
    assert found["message"] in (
        answer.text,
        "the farm takes no new streams, and 3 streams are left",
        "cpu:0 takes no new streams, and 1 stream is left",
    )
    assert found["message"]


def test_what_was_not_done_is_said_with_its_reason() -> None:
    change = change_of("kickStream", STREAM, {}, DOCUMENT)
    with pytest.raises(ApiError, match="no such stream") as caught:
        answer_to(change, Answer(1, False, "no such stream: live/cam0"))
    assert (caught.value.status, caught.value.code) == (404, "no-such-stream")
