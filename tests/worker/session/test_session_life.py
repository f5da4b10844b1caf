"""A session's life as a table: every state meets every event."""

import logging

import pytest

from tests.kit.session_driver import DEADLINE_S, Driver, SourceSpec, make_source, template
from tests.kit.waiting import until
from worker.session.session import TRANSITIONS, LifeEvent, SessionState


@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("event", LifeEvent)
def test_what_is_not_in_the_table_is_a_bug_and_changes_nothing(
    state: SessionState, event: LifeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    with Driver(make_source(SourceSpec(frames=1)), template()) as driver:
        driver.finish()
        until(lambda: driver.session.state is SessionState.CLOSED, DEADLINE_S, "it is closed")
        driver.session._state = state
        with caplog.at_level(logging.ERROR, "tfarm.worker.session.session"):
            driver.session._move(event)
        after, driver.session._state = driver.session._state, SessionState.CLOSED
    is_bug = (state, event) not in TRANSITIONS
    assert after is TRANSITIONS.get((state, event), state)
    assert sum("bug:" in line for line in caplog.messages) == is_bug
    if is_bug:
        assert f"step={event.value} state={state.value}" in caplog.text


def test_a_session_only_goes_forward() -> None:
    order = list(SessionState)
    for (before, _), after in TRANSITIONS.items():
        assert order.index(before) <= order.index(after)
    assert (SessionState.CLOSED, LifeEvent.OPENED) not in TRANSITIONS
