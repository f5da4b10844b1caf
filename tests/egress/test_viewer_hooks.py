"""egress/viewer_hooks.py: viewers that wait for a hook, and what is told of those that played."""

from dataclasses import replace
from typing import Any

import pytest

from common.config.hooks import HookEvent
from common.config.settings import Settings
from common.ipc.hook_messages import HookNotice, HookQuestion, HookVerdict
from common.ipc.hook_questions import GIVEN_UP, UNSENT
from common.ipc.identity import StreamId
from egress.viewer_hooks import ViewerHooks
from tests.kit.egress import TEMPLATE
from tests.kit.hook_events import HOOKS, VIEWER

STREAM = StreamId("live/cam1")
YES = HookVerdict(True)


class Rig:
    def __init__(self, **hooks: Any) -> None:
        self.sent: list[Any] = []
        self.verdicts: list[HookVerdict] = []
        self.now = 10.0
        self.is_sent = True
        self.hooks = ViewerHooks(self._send, lambda: self.now, lambda: 1_900.0)
        template = replace(TEMPLATE, hooks=replace(HOOKS, **hooks))
        self.hooks.configure(Settings(templates=(template,)))

    def _send(self, message: object) -> bool:
        self.sent.append(message)
        return self.is_sent

    def ask(self, viewer: str) -> None:
        self.hooks.ask(viewer, VIEWER, self.verdicts.append)


def test_the_verdict_comes_to_the_viewer_that_asked() -> None:
    rig = Rig()
    rig.ask("a")
    (asked,) = rig.sent
    assert isinstance(asked, HookQuestion)
    assert asked.subject == VIEWER
    rig.hooks.answered(asked.request_id, YES)
    rig.hooks.answered(asked.request_id, YES)
    assert rig.verdicts == [YES]


def test_a_viewer_that_leaves_hears_nothing_and_takes_no_memory() -> None:
    rig = Rig()
    rig.ask("a")
    rig.hooks.forget("a")
    rig.hooks.answered(1, YES)
    assert rig.verdicts == []
    rig.ask("b")
    rig.hooks.answered(2, HookVerdict(False))
    rig.hooks.forget("b")
    assert len(rig.hooks) == 0


def test_a_viewer_that_has_waited_for_long_enough_gets_that_verdict_and_no_other() -> None:
    rig = Rig()
    rig.ask("a")
    rig.hooks.give_up("a")
    rig.hooks.give_up("b")
    rig.hooks.answered(1, YES)
    assert rig.verdicts == [GIVEN_UP]


def test_without_a_supervisor_it_is_known_at_once() -> None:
    rig = Rig()
    rig.is_sent = False
    rig.ask("a")
    assert rig.verdicts == [UNSENT]


def test_what_was_played_is_told_with_the_session_of_its_question() -> None:
    rig = Rig()
    rig.ask("a")
    rig.hooks.answered(1, YES)
    rig.hooks.begin("a", StreamId("live/cam7"), "720p", VIEWER.address, 4_000)
    rig.now += 12.5
    assert rig.hooks.is_playing("a")
    rig.hooks.end("a", 10_000, "the player left")
    rig.hooks.end("a", 10_000, "the player left")
    told = rig.sent[1:]
    subject = replace(VIEWER, key="cam7")
    assert told == [HookNotice(HookEvent.ON_STOP, subject, 1_900.0, 12.5, 6_000, "the player left")]
    assert len(rig.hooks) == 0


def test_who_was_let_in_without_a_question_has_a_session_too() -> None:
    rig = Rig()
    for viewer in ("a", "b"):
        rig.hooks.begin(viewer, STREAM, "480p", "192.0.2.1:5", 0)
        rig.hooks.end(viewer, 0, "x")
    first, second = rig.sent
    assert (first.subject.rendition, first.subject.address) == ("480p", "192.0.2.1:5")
    assert first.subject.session
    assert first.subject.session != second.subject.session


@pytest.mark.parametrize("hooks", [{"url": ""}, {"events": (HookEvent.ON_PLAY,)}])
def test_where_the_hook_wants_no_ends_none_are_told(hooks: dict[str, Any]) -> None:
    rig = Rig(**hooks)
    rig.hooks.begin("a", STREAM, "480p", "192.0.2.1:5", 0)
    assert not rig.hooks.is_playing("a")
    rig.hooks.end("a", 0, "x")
    assert rig.sent == []
