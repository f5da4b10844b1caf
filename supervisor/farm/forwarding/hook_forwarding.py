"""Passes events on between those who let peers in and the hooks child. Pure.

Where that child is not there, questions are answered at once, without an answer of the hook; what
ended meanwhile is kept for it, up to a bound. Only ingests and egresses ask, and only the hooks
child answers: a worker that a stranger has taken over lets nobody in.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from common.config.hooks import HookEvent
from common.ipc.hook_messages import HookAnswer, HookNotice, HookQuestion, HookVerdict
from common.ipc.identity import ChildId
from common.ipc.kinds import admits, records, uploads
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState

HOOKS = "hooks"
# Which kinds tell of files, by event.
OF_FILES: Final[Mapping[HookEvent, Callable[[str], bool]]] = {
    HookEvent.RECORDED: records,
    HookEvent.UPLOADED: uploads,
}
MAX_KEPT = 2_000  # notices
ABSENT = "the hooks process is not running"


class HookForwarding:
    """The way between the two."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._kept: deque[HookNotice] = deque(maxlen=MAX_KEPT)

    @property
    def handlers(self) -> dict[type, Callable[[ChildId, Any, float], list[Action]]]:
        """Which messages are passed on here."""
        return {
            HookQuestion: self.on_question,
            HookAnswer: self.on_answer,
            HookNotice: self.on_notice,
        }

    def child_up(self, child: ChildId) -> list[Action]:
        """A child is there: if it is the hooks child, it gets what was kept for it."""
        if child.kind != HOOKS:
            return []
        actions: list[Action] = [Send(child, notice) for notice in self._kept]
        self._kept.clear()
        return actions

    def on_question(self, child: ChildId, question: HookQuestion, _: float) -> list[Action]:
        """A child asks."""
        if not admits(child.kind):
            return []
        hooks = self._hooks_child()
        if hooks is not None:
            return [Send(hooks, replace(question, child=child))]
        verdict = HookVerdict(None, detail=ABSENT)
        return [Send(child, HookAnswer(child, question.request_id, verdict))]

    def on_answer(self, child: ChildId, answer: HookAnswer, _: float) -> list[Action]:
        """The hooks child answers; who asked may be gone."""
        if child.kind != HOOKS or answer.child not in self._state.children:
            return []
        return [Send(answer.child, answer)]

    def on_notice(self, child: ChildId, notice: HookNotice, _: float) -> list[Action]:
        """A child reports an end. Who has files is told of no hooks: that is looked up here."""
        if notice.event in OF_FILES:
            if not OF_FILES[notice.event](child.kind) or not self._is_wanted(notice):
                return []
        elif not admits(child.kind) or notice.event is HookEvent.QUALITY:  # the supervisor tells
            return []
        return self._pass_on(notice)

    def tell(self, notices: Iterable[HookNotice]) -> list[Action]:
        """Tell the apps' hooks what the supervisor itself finds, if they take it."""
        return [
            action
            for notice in notices
            if self._is_wanted(notice)
            for action in self._pass_on(notice)
        ]

    def _is_wanted(self, notice: HookNotice) -> bool:
        template = self._state.settings.template(notice.subject.app)
        return template is not None and template.hooks.takes(notice.event)

    def _pass_on(self, notice: HookNotice) -> list[Action]:
        hooks = self._hooks_child()
        if hooks is not None:
            return [Send(hooks, notice)]
        self._kept.append(notice)
        return []

    def _hooks_child(self) -> ChildId | None:
        return next(reversed(self._state.of_kind(HOOKS)), None)  # a successor before who goes
