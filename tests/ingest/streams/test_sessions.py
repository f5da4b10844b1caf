"""ingest/streams/sessions.py: what is told of sessions; with a question: test_entrance.py."""

from dataclasses import replace
from typing import Any

import pytest

from common.config.hooks import HookEvent
from common.config.settings import Settings
from common.ipc.hook_messages import HookNotice
from common.ipc.identity import StreamId
from common.ipc.status_messages import Notice
from ingest.streams.admission import PublishAttempt
from ingest.streams.sessions import Sessions
from tests.kit.hook_events import HOOKS
from tests.kit.ingest_ports import TEMPLATE
from tests.kit.registry_rig import FakeConnection

STREAM = StreamId("live/cam")
FOUND = (Notice("long-gop", "keyframes are 8.3 s apart", 1.0),)


def settings(**hooks: Any) -> Settings:
    return Settings(templates=(replace(TEMPLATE, name="live", hooks=replace(HOOKS, **hooks)),))


def sessions() -> tuple[Sessions, list[Any]]:
    told: list[Any] = []
    return Sessions(lambda message, _=(): told.append(message), lambda: 1_900.0), told


def test_a_session_that_no_hook_let_in_is_told_too_with_what_the_doctor_finds() -> None:
    found, told = sessions()
    peer = FakeConnection(received_bytes=700)
    found.begin(peer, STREAM, 10.0)
    found.end(peer, settings(), "left", FOUND, 14.5)
    (notice,) = told
    assert isinstance(notice, HookNotice)
    assert (notice.subject.stream, notice.subject.address) == (STREAM, peer.peer)
    assert (notice.seconds, notice.bytes, notice.reason) == (4.5, 700, "left")
    assert notice.findings == FOUND
    found.end(peer, settings(), "left", FOUND, 14.5)
    assert len(told) == 1


@pytest.mark.parametrize("hooks", [{"url": ""}, {"events": (HookEvent.ON_PUBLISH,)}])
def test_where_the_hook_wants_no_ends_none_are_told(hooks: dict[str, Any]) -> None:
    found, told = sessions()
    peer = FakeConnection()
    found.begin(peer, STREAM, 10.0)
    found.end(peer, settings(**hooks), "left", (), 14.5)
    found.begin(peer, StreamId("gone/cam"), 10.0)
    found.end(peer, settings(), "left", (), 14.5)
    assert told == []
    assert len(found) == 0


def test_one_that_was_let_in_and_did_not_come_takes_no_memory() -> None:
    found, _ = sessions()
    peer = FakeConnection()
    subject = found.subject(peer, PublishAttempt(7, "live", "cam", query={"a": "b"}), settings())
    assert subject.query == {"a": "b"}
    found.answered(peer, subject, STREAM)
    assert len(found) == 1
    found.forget(peer)
    assert len(found) == 0
