"""hooks/answer_cache.py: which questions are the same, and for how long."""

from dataclasses import replace

import pytest

from common.config.hooks import HookEvent
from common.ipc.hook_messages import HookQuestion, HookVerdict
from hooks.answer_cache import AnswerCache
from tests.kit.hook_events import question

YES = HookVerdict(True)


def changed(**fields: object) -> HookQuestion:
    asked = question()
    return replace(asked, subject=replace(asked.subject, **fields))  # type: ignore[arg-type] # by name


def test_an_answer_is_good_for_its_time() -> None:
    cache = AnswerCache()
    cache.keep(question(), YES, 10.0)
    assert cache.get(question(2), 9.9) == YES
    assert cache.get(question(), 10.0) is None
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("asked", "is_same"),
    [
        (changed(address="203.0.113.7:9"), True),
        (changed(session="other"), True),
        (changed(address="203.0.113.8:5000"), False),
        (changed(key="cam2"), False),
        (changed(app="tv"), False),
        (changed(rendition="480p"), False),
        (changed(query={"user": "b"}), False),
        (replace(question(), event=HookEvent.ON_PUBLISH), False),
    ],
)
def test_a_question_is_the_same_for_the_same_viewer_stream_rendition_and_query(
    asked: HookQuestion, is_same: bool
) -> None:
    cache = AnswerCache()
    cache.keep(question(), YES, 10.0)
    assert (cache.get(asked, 0.0) is not None) == is_same


def test_memory_is_bounded_and_a_new_configuration_asks_anew() -> None:
    cache = AnswerCache(most=3)
    for number in range(9):
        cache.keep(question(key=f"cam{number}"), YES, 10.0)
    assert len(cache) == 3
    assert cache.get(question(key="cam8"), 0.0) == YES
    assert cache.get(question(key="cam5"), 0.0) is None
    cache.clear()
    assert len(cache) == 0
