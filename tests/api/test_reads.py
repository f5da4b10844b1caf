"""Answers to what only reads: each is as its operation describes it."""

from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api.document import published
from api.events import EventLog
from api.operations import OPERATIONS, READS, ApiError, Operation
from api.reads import Reading, answer, health, readiness
from common.access.bans import Ban
from common.access.refusal import RefusalReason
from common.access.refusals import Attempted, RefusalStatus
from common.ipc.identity import StreamId
from common.ipc.status_messages import Notice
from common.process.log import key_hash, stream_label
from tests.kit.children import INGEST0
from tests.kit.farm_rig import Rig
from tests.supervisor.commands.status.test_document import document, streaming

BY_NAME = {operation.name: operation for operation in OPERATIONS}


@pytest.fixture
def whole(rig: Rig) -> Mapping[str, Any]:
    """The document of a farm that has some of everything, as its supervisor makes it."""
    streaming(rig)
    rig.farm.state.kicks.kick(StreamId("live/kicked"), 60.0, rig.now)
    rig.farm.state.bans.add(Ban("203.0.113.7/32"), 0.0)
    notice = Notice("long-gop", "keyframes are 8.3 s apart", 1_900.0)
    refused = RefusalStatus(
        Attempted.PUBLISH, RefusalReason.DENIED, "wrong key", "192.0.2.1:5", 1_900.0
    )
    publisher = rig.publisher(notices=(notice,), dropped={"worker": 1}, stages_ms={"in": (1, 2)})
    rig.beat(INGEST0, publishers=(publisher,), refusals=(refused,))
    return document(rig)


def reading(whole: Mapping[str, Any], *, shows_keys: bool = True) -> Reading:
    log = EventLog(1_000.0)
    log.observe(published(whole, shows_keys=False))
    return Reading(published(whole, shows_keys=shows_keys), True, shows_keys, log)


@pytest.mark.parametrize("shows_keys", [True, False])
@pytest.mark.parametrize("operation", READS, ids=lambda operation: operation.name)
def test_each_answer_is_as_it_is_described(
    operation: Operation, shows_keys: bool, whole: Mapping[str, Any]
) -> None:
    (stream,) = whole["streams"]
    found = answer(
        operation.name,
        reading(whole, shows_keys=shows_keys),
        {"app": stream["app"], "key": key_hash(stream["key"]), "device": "cpu:0"},
    )
    errors = [e.message for e in Draft202012Validator(operation.answer).iter_errors(found)]
    assert errors == []
    assert found["is_current"]


def test_every_list_has_something_in_it(whole: Mapping[str, Any]) -> None:
    """So that the test above says something."""
    lists = ("streams", "renditions", "devices", "children", "refusals", "bans", "kicks", "events")
    for name in lists:
        assert answer(name, reading(whole), {})[name], name


def test_renditions_say_whose_they_are(whole: Mapping[str, Any]) -> None:
    (stream,) = whole["streams"]
    found = answer("renditions", reading(whole), {})["renditions"]
    assert {row["stream"] for row in found} == {stream_label(f"live/{stream['key']}")}
    assert [row["name"] for row in found] == [row["name"] for row in stream["renditions"]]


def test_lists_are_of_one_app_where_that_is_asked_for(whole: Mapping[str, Any]) -> None:
    for name in ("streams", "renditions"):
        assert answer(name, reading(whole), {"app": "live"})[name]
        assert answer(name, reading(whole), {"app": "tv"})[name] == []


def test_the_supervisor_is_the_first_of_the_children(whole: Mapping[str, Any]) -> None:
    found = answer("children", reading(whole), {})["children"]
    assert found[0]["name"] == "supervisor"
    assert len(found) == 1 + len(whole["children"])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("stream", {"app": "live", "key": "nobody"}), ("device", {"device": "cpu:9"})],
)
def test_what_is_not_there_is_not_found(
    name: str, parameters: dict[str, str], whole: Mapping[str, Any]
) -> None:
    with pytest.raises(ApiError) as caught:
        answer(name, reading(whole), parameters)
    assert caught.value.status == 404
    assert list(parameters.values())[-1] in caught.value.words


def test_what_was_known_last_says_that_it_is_old(whole: Mapping[str, Any]) -> None:
    old = Reading(published(whole, shows_keys=True), is_current=False)
    found = answer("status", old, {})
    assert not found["is_current"]
    assert found["as_of_unix"] == whole["now_unix"]


@pytest.mark.parametrize(
    ("document", "is_current", "reasons"),
    [
        ({"closed": "", "no_room": ""}, True, []),
        ({"closed": "the farm is drained", "no_room": ""}, True, ["the farm is drained"]),
        ({"closed": "", "no_room": "no device is up"}, True, ["no device is up"]),
        ({"closed": "", "no_room": ""}, False, ["no supervisor answers"]),
        (None, False, ["no supervisor answers"]),
    ],
)
def test_readiness(document: dict[str, Any] | None, is_current: bool, reasons: list[str]) -> None:
    assert readiness(document, is_current=is_current) == {
        "is_ready": not reasons,
        "reasons": reasons,
    }


def test_health_is_this_process_own() -> None:
    assert health(is_supervised=False, version="1")["status"] == "ok"
