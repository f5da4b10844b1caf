"""hooks/dispatch.py: order, deadlines, retries and bounds of what is sent to hooks."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ipc.hook_messages import HookNotice, HookQuestion, HookVerdict
from hooks.answers import Answered, no_answer
from hooks.dispatch import (
    LATE,
    MAX_OF_STREAM,
    MAX_OPEN,
    NO_HOOK,
    NO_ROOM,
    Action,
    Deliver,
    Dispatcher,
    Lost,
    Reply,
)
from tests.kit.hook_events import HOOKS, notice, question

YES = Answered(HookVerdict(True))


class Hook:
    """A dispatcher, and what it has sent and answered."""

    def __init__(self, **changes: object) -> None:
        self.dispatcher = Dispatcher()
        self.hooks = replace(HOOKS, **changes)  # type: ignore[arg-type] # by name
        self.dispatcher.configure({"live": self.hooks})
        self.now = 100.0
        self.open: list[Deliver] = []
        self.sent: list[Deliver] = []
        self.replies: list[Reply] = []
        self.lost: list[Lost] = []

    def take(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Deliver():
                    self.open.append(action)
                    self.sent.append(action)
                case Reply():
                    self.replies.append(action)
                case Lost():
                    self.lost.append(action)

    def ask(self, *questions: HookQuestion) -> None:
        for one in questions:
            self.take(self.dispatcher.ask(one, self.now, 1_900.0))

    def report(self, *notices: HookNotice) -> None:
        for one in notices:
            self.take(self.dispatcher.report(one, self.now))

    def answer(self, answer: Answered = YES) -> None:
        self.take(self.dispatcher.answered(self.open.pop(0).number, answer, self.now))

    def deliver(self, failure: str = "") -> None:
        self.take(self.dispatcher.delivered(self.open.pop(0).number, failure, self.now))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.dispatcher.tick(self.now))

    @property
    def names(self) -> list[str]:
        """The sessions of what was sent."""
        return [one.event.subject.session for one in self.sent]


def test_events_of_a_stream_are_sent_one_after_the_other_with_their_numbers() -> None:
    hook = Hook()
    hook.ask(question(1), question(2))
    hook.report(notice(3))
    assert hook.names == ["s1"]
    hook.answer()
    assert hook.names == ["s1", "s2"]
    hook.answer(Answered(HookVerdict(False, "no")))
    hook.deliver()
    assert hook.names == ["s1", "s2", "s3"]
    assert [one.sequence for one in hook.sent] == [1, 2, 3]
    assert [reply.answer.verdict.is_allowed for reply in hook.replies] == [True, False]
    assert [reply.answer.request_id for reply in hook.replies] == [1, 2]
    hook.ask(question(4))
    assert hook.sent[-1].sequence == 4, "they go on"


def test_streams_do_not_wait_for_one_another() -> None:
    hook = Hook()
    hook.ask(question(1, "a"), question(2, "a"), question(3, "b"))
    assert hook.names == ["s1", "s3"]
    assert [one.sequence for one in hook.sent] == [1, 1]


def test_a_question_that_waits_too_long_is_answered_without_being_sent() -> None:
    hook = Hook()
    hook.ask(question(1))
    hook.now += 1.0
    hook.ask(question(2))
    hook.pass_time(1.9)
    assert hook.replies == []
    hook.pass_time(1.2)
    (reply,) = hook.replies
    assert (reply.answer.request_id, reply.answer.verdict.detail) == (2, LATE)
    hook.answer(no_answer("it hangs"))
    assert hook.replies[-1].answer.verdict.is_allowed is None
    assert hook.names == ["s1"]
    assert len(hook.dispatcher) == 0


def test_what_is_sent_late_has_less_time() -> None:
    hook = Hook()
    hook.ask(question(1), question(2))
    hook.now += 2.0
    hook.answer()
    assert [one.timeout_s for one in hook.sent] == [3.0, 1.0]


def test_a_notice_is_sent_again_later_each_time_and_given_up_in_the_end() -> None:
    hook = Hook(retry_s=20.0)
    hook.report(notice(1))
    hook.deliver("HTTP 500")
    hook.pass_time(0.9)
    assert len(hook.sent) == 1
    hook.pass_time(0.2)
    assert len(hook.sent) == 2
    for wait_s in (2.0, 4.0, 8.0):
        hook.deliver("HTTP 500")
        hook.pass_time(wait_s - 0.1)
        assert hook.open == []
        hook.pass_time(0.2)
        assert len(hook.open) == 1
    hook.deliver("HTTP 500")
    (lost,) = hook.lost
    assert lost.why == "HTTP 500"
    assert len(hook.dispatcher) == 0
    assert {one.sequence for one in hook.sent} == {1}, "it is the same event"


def test_behind_a_notice_that_is_not_taken_notices_wait_and_questions_do_not() -> None:
    hook = Hook()
    hook.report(notice(1))
    hook.deliver("HTTP 500")
    hook.report(notice(2))
    hook.ask(question(3))
    assert hook.names == ["s1", "s3"]
    hook.answer()
    hook.pass_time(1.1)
    hook.deliver()
    hook.deliver()
    assert hook.names == ["s1", "s3", "s1", "s2"]


def test_several_at_a_time_begin_in_order_and_a_notice_waits_for_what_is_before_it() -> None:
    hook = Hook(parallel=3)
    hook.ask(question(1), question(2))
    hook.report(notice(3))
    hook.ask(question(4))
    assert hook.names == ["s1", "s2"]
    hook.answer()
    assert hook.names == ["s1", "s2"]
    hook.answer()
    assert hook.names == ["s1", "s2", "s3", "s4"]


def test_of_one_app_so_many_are_open_and_those_of_others_are_none_of_its() -> None:
    hook = Hook()
    hook.dispatcher.configure({"live": hook.hooks, "tv": hook.hooks})
    hook.ask(*(question(number, f"cam{number}") for number in range(MAX_OPEN + 5)))
    assert len(hook.open) == MAX_OPEN
    other = question(9_999)
    hook.ask(replace(other, subject=replace(other.subject, app="tv")))
    assert len(hook.open) == MAX_OPEN + 1
    hook.answer()
    assert hook.names[-1] == f"s{MAX_OPEN}", "who waited longest is next"
    while hook.open:
        hook.answer()
    assert len(hook.replies) == MAX_OPEN + 6
    assert len(hook.dispatcher) == 0


def test_what_finds_no_room_is_answered_at_once_and_a_notice_is_counted_as_lost() -> None:
    hook = Hook()
    hook.ask(*(question(number) for number in range(MAX_OF_STREAM)))
    hook.ask(question(9_999))
    assert hook.replies[-1].answer.verdict.detail == NO_ROOM
    hook.report(notice(1))
    assert hook.lost[-1].why == NO_ROOM
    assert hook.dispatcher.counts["notices lost"] == 1
    hook.ask(question(1, "other"))
    assert hook.names[-1] == "s1", "another stream has room"


@pytest.mark.parametrize(("cache_s", "own", "asks"), [(0, None, 2), (5, None, 1), (0, 5, 1)])
def test_an_answer_is_good_for_its_time(cache_s: float, own: float | None, asks: int) -> None:
    hook = Hook(cache_s=cache_s)
    hook.ask(question(1))
    hook.answer(Answered(HookVerdict(True), own))
    hook.ask(question(2))
    assert len(hook.sent) == asks
    hook.pass_time(6.0)
    hook.ask(question(3))
    assert len(hook.sent) <= asks + 1


def test_that_there_is_no_answer_is_not_remembered() -> None:
    hook = Hook(cache_s=60.0)
    hook.ask(question(1))
    hook.answer(no_answer("down"))
    hook.ask(question(2))
    assert len(hook.sent) == 2


def test_an_app_without_a_hook_any_more_sends_nothing() -> None:
    hook = Hook()
    hook.ask(question(1), question(2))
    hook.report(notice(3))
    hook.dispatcher.configure({})
    hook.pass_time(0.1)
    assert hook.replies[-1].answer.verdict.detail == NO_HOOK
    assert hook.lost[-1].why == NO_HOOK
    hook.ask(question(4))
    hook.answer()
    assert len(hook.replies) == 3
    assert len(hook.dispatcher) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.sampled_from("abc")),
            st.tuples(st.just("report"), st.sampled_from("abc")),
            st.tuples(st.just("answer"), st.sampled_from(["", "HTTP 500"])),
            st.tuples(st.just("pass"), st.sampled_from(["0.3", "1", "9"])),
        ),
        max_size=60,
    ),
    st.integers(1, 3),
)
def test_every_question_is_answered_once_and_events_are_sent_in_order(steps, parallel) -> None:
    hook, number = Hook(parallel=parallel, retry_s=5.0), 0
    for step, what in steps:
        if step in ("ask", "report"):
            number += 1
            hook.ask(question(number, what)) if step == "ask" else hook.report(notice(number, what))
        elif step == "pass":
            hook.pass_time(float(what))
        elif hook.open:
            is_question = isinstance(hook.open[0].event, HookQuestion)
            hook.answer() if is_question else hook.deliver(what)
        for key in "abc":
            assert sum(one.event.subject.key == key for one in hook.open) <= parallel
    for _ in range(200):
        while hook.open:
            is_question = isinstance(hook.open[0].event, HookQuestion)
            hook.answer() if is_question else hook.deliver()
        hook.pass_time(1.0)
    asked = sum(step == "ask" for step, _ in steps)
    answered = [reply.answer.request_id for reply in hook.replies]
    assert len(answered) == len(set(answered)) == asked
    assert len(hook.dispatcher) == 0
    for key in "abc":
        firsts: dict[int, None] = {}
        for one in hook.sent:
            if one.event.subject.key == key and isinstance(one.event, HookNotice):
                firsts.setdefault(one.sequence, None)
        assert list(firsts) == sorted(firsts), "notices in order"
        if parallel == 1:
            asks = [
                one.sequence
                for one in hook.sent
                if one.event.subject.key == key and isinstance(one.event, HookQuestion)
            ]
            assert asks == sorted(asks)
