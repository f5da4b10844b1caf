"""supervisor/farm/forwarding/hook_forwarding.py: events on their way through the supervisor."""

from dataclasses import replace

import pytest

from common.ipc.hook_messages import HookAnswer, HookVerdict
from common.ipc.identity import ChildId
from supervisor.farm.actions import Send
from supervisor.farm.forwarding.hook_forwarding import ABSENT, MAX_KEPT, HookForwarding
from tests.kit.children import CPU0, EGRESS0, INGEST0
from tests.kit.farm_rig import Rig
from tests.kit.hook_events import notice, question

HOOKS0 = ChildId("hooks")


@pytest.fixture
def forwarding(rig: Rig) -> HookForwarding:
    return HookForwarding(rig.farm.state)


def test_a_question_goes_to_the_hooks_child_and_its_answer_back(
    rig: Rig, forwarding: HookForwarding
) -> None:
    rig.up(HOOKS0)
    asked = replace(question(), child=None)
    assert forwarding.on_question(EGRESS0, asked, 0.0) == [
        Send(HOOKS0, replace(asked, child=EGRESS0))
    ]
    answer = HookAnswer(EGRESS0, 1, HookVerdict(True))
    assert forwarding.on_answer(HOOKS0, answer, 0.0) == [Send(EGRESS0, answer)]
    gone = replace(answer, child=ChildId("egress", index=7))
    assert forwarding.on_answer(HOOKS0, gone, 0.0) == []


def test_without_the_child_there_is_no_answer_and_notices_are_kept(
    rig: Rig, forwarding: HookForwarding
) -> None:
    (sent,) = forwarding.on_question(INGEST0, question(), 0.0)
    assert isinstance(sent, Send)
    assert sent.message == HookAnswer(INGEST0, 1, HookVerdict(None, detail=ABSENT))
    for number in range(MAX_KEPT + 3):
        assert forwarding.on_notice(EGRESS0, notice(number), 0.0) == []
    rig.up(HOOKS0)
    kept = forwarding.child_up(HOOKS0)
    assert len(kept) == MAX_KEPT
    assert kept[0] == Send(HOOKS0, notice(3)), "the oldest made way"
    assert forwarding.child_up(HOOKS0) == []
    assert forwarding.on_notice(EGRESS0, notice(1), 0.0) == [Send(HOOKS0, notice(1))]


def test_a_worker_neither_asks_nor_answers_nor_tells(rig: Rig, forwarding: HookForwarding) -> None:
    """A stranger's bitstream may have taken it over."""
    rig.up(HOOKS0)
    assert forwarding.on_question(CPU0, question(), 0.0) == []
    assert forwarding.on_notice(CPU0, notice(), 0.0) == []
    for child in (CPU0, INGEST0, EGRESS0):
        assert forwarding.on_answer(child, HookAnswer(EGRESS0, 1, HookVerdict(True)), 0.0) == []
    assert forwarding.on_question(HOOKS0, question(), 0.0) == []
