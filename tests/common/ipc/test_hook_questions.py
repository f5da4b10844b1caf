"""common/ipc/hook_questions.py: who waits for a hook's answer, and what it brings."""

from dataclasses import replace

import pytest

from common.access.refusal import Cause, Refusal, RefusalReason
from common.config.hooks import HookEvent, OnError
from common.ipc.hook_messages import HookVerdict
from common.ipc.hook_questions import (
    MARGIN_S,
    MAX_PENDING,
    NO_ANSWER,
    TOO_MANY,
    UNSENT,
    HookQuestions,
    refusal_by,
)
from tests.kit.hook_events import HOOKS, VIEWER

ALLOW = replace(HOOKS, on_error=OnError.ALLOW)
NO = Refusal(RefusalReason.DENIED, "pay first", cause=Cause.HOOK_DENIED)
DOWN = Refusal(RefusalReason.UNAVAILABLE, NO_ANSWER, detail="down", cause=Cause.HOOK_FAILED)


@pytest.mark.parametrize(
    ("verdict", "deny", "allow"),
    [
        (HookVerdict(True), None, None),
        (HookVerdict(False, "pay first"), NO, NO),
        (HookVerdict(None, detail="down"), DOWN, None),
    ],
)
def test_on_error_says_what_holds_without_an_answer_and_nothing_else(
    verdict: HookVerdict, deny: Refusal | None, allow: Refusal | None
) -> None:
    assert refusal_by(verdict, HOOKS) == deny
    assert refusal_by(verdict, ALLOW) == allow


class Asking:
    def __init__(self, *, is_sent: bool = True) -> None:
        self.sent: list[object] = []
        self.is_sent = is_sent
        self.questions: HookQuestions[str] = HookQuestions(self._send)

    def _send(self, message: object) -> bool:
        self.sent.append(message)
        return self.is_sent

    def ask(self, name: str, now: float = 0.0) -> HookVerdict | None:
        return self.questions.ask(name, HookEvent.ON_PLAY, VIEWER, HOOKS, now)


def test_an_answer_comes_to_who_asked_and_once() -> None:
    asking = Asking()
    assert asking.ask("a") is None
    assert asking.ask("b") is None
    assert asking.questions.answered(2) == "b"
    assert asking.questions.answered(2) is None
    assert asking.questions.answered(99) is None
    assert len(asking.questions) == 1


def test_who_gets_no_answer_gives_up_behind_the_hooks_own_deadline() -> None:
    asking = Asking()
    asking.ask("a", 10.0)
    asking.ask("b", 11.0)
    assert asking.questions.overdue(10.0 + HOOKS.deadline_s) == []
    assert asking.questions.overdue(10.0 + HOOKS.deadline_s + MARGIN_S) == ["a"]
    assert asking.questions.answered(1) is None


def test_who_leaves_is_forgotten() -> None:
    asking = Asking()
    asking.ask("a")
    asking.ask("b")
    assert asking.questions.forget(lambda name: name == "a") == ["a"]
    assert asking.questions.answered(1) is None
    assert asking.questions.answered(2) == "b"


def test_without_a_supervisor_and_without_room_it_is_known_at_once() -> None:
    assert Asking(is_sent=False).ask("a") == UNSENT
    asking = Asking()
    for number in range(MAX_PENDING):
        asking.ask(str(number))
    assert asking.ask("one more") == TOO_MANY
    assert len(asking.sent) == MAX_PENDING
