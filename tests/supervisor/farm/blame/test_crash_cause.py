"""Who may be the cause of a worker's death, of the streams that it had."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ipc.identity import StreamId
from supervisor.farm.blame.crash_cause import NEWCOMER_S, Aboard, possible_causes

NOW = 1000.0
OLD_S, NEW_S = NOW - NEWCOMER_S, NOW - 1


def aboard(key: str, began_s: float, mib: float = 50) -> Aboard:
    return Aboard(StreamId(f"live/{key}"), began_s, mib * 1024**2)


@pytest.mark.parametrize(
    ("streams", "memory", "blamed"),
    [
        ([], False, ""),
        ([aboard("a", OLD_S)], False, "a"),
        ([aboard("a", OLD_S), aboard("b", OLD_S)], False, "ab"),
        ([aboard("a", OLD_S), aboard("b", NEW_S)], False, "b"),
        ([aboard("a", OLD_S), aboard("b", NEW_S), aboard("c", NEW_S)], False, "bc"),
        ([aboard("a", NEW_S), aboard("b", NEW_S)], False, "ab"),
        ([aboard("a", OLD_S), aboard("b", OLD_S, 500)], True, "b"),
        ([aboard("a", OLD_S), aboard("b", OLD_S, 100)], True, "ab"),
        ([aboard("a", OLD_S, 500), aboard("b", NEW_S), aboard("c", NEW_S, 300)], True, "c"),
        ([aboard("a", OLD_S, 0)], True, "a"),  # nothing is known of its memory
    ],
)
def test_newcomers_are_blamed_before_those_that_ran_for_long(
    streams: list[Aboard], memory: bool, blamed: str
) -> None:
    found = possible_causes(streams, NOW, took_too_much_memory=memory)
    assert found == {StreamId(f"live/{key}") for key in blamed}


STREAMS = st.lists(
    st.builds(aboard, st.text("abcdef", min_size=1), st.floats(900, NOW), st.floats(1, 4000)),
    unique_by=lambda one: one.stream_id,
)


@given(STREAMS, st.booleans())
def test_somebody_is_blamed_whatever_the_order_and_nobody_old_beside_a_newcomer(
    streams: list[Aboard], memory: bool
) -> None:
    found = possible_causes(streams, NOW, took_too_much_memory=memory)
    assert found == possible_causes(streams[::-1], NOW, took_too_much_memory=memory)
    assert bool(found) == bool(streams)
    newcomers = {one.stream_id for one in streams if NOW - one.began_s < NEWCOMER_S}
    assert not newcomers or found <= newcomers


@given(STREAMS, st.booleans(), st.text("abcdefgh", min_size=1))
def test_the_one_whose_thread_it_was_is_blamed_alone_if_it_was_there(
    streams: list[Aboard], memory: bool, key: str
) -> None:
    crashed_in = StreamId(f"live/{key}")
    found = possible_causes(streams, NOW, took_too_much_memory=memory, crashed_in=crashed_in)
    if crashed_in in {one.stream_id for one in streams}:
        assert found == {crashed_in}
    else:
        assert found == possible_causes(streams, NOW, took_too_much_memory=memory)
