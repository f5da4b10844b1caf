"""Every state of a stream with every event: what the table says, and nothing else."""

import logging
from collections.abc import Callable
from itertools import product

import pytest

from common.config.ladder import Pipeline
from common.ipc.identity import Generation
from supervisor.farm.stream import Stream
from supervisor.farm.stream_states import NEXT, StreamEvent, StreamState, Switching, Waiting
from supervisor.placement.fleet import Allocation
from tests.kit.children import CPU0
from tests.kit.farm_rig import HD
from tests.kit.farm_streams import phase_of, stream_in

S, E = StreamState, StreamEvent
# What comes of each event, state by state, in the order of StreamState; None: it is a bug.
TABLE: dict[StreamEvent, tuple[StreamState | None, ...]] = {
    E.RESERVED: (S.RESERVED, S.RESERVED, None, S.RESERVED, S.RESERVED, None, None),
    E.PLACED: (None, S.LIVE, S.LIVE, S.LIVE, S.LIVE, S.LIVE, None),
    E.PASSED_THROUGH: (
        S.SOURCE_ONLY,
        S.SOURCE_ONLY,
        S.SOURCE_ONLY,
        None,
        None,
        S.SOURCE_ONLY,
        None,
    ),
    E.FORMAT_FITS: (None, S.LIVE, S.LIVE, None, None, S.SOURCE_ONLY, None),
    E.WORKER_LOST: (None, S.SWITCHING, S.SWITCHING, None, None, None, None),
    E.FOUND_NO_ROOM: (None, S.WAITING, S.WAITING, S.WAITING, S.WAITING, S.WAITING, None),
    E.ENDED: (None, S.ENDED, S.ENDED, S.ENDED, S.ENDED, S.ENDED, None),
}
ALL = list(product(S, E))


def happen(stream: Stream, event: StreamEvent) -> bool:
    """Let an event happen by the method that brings it."""
    on_worker = Allocation(Generation(4), stream.stream_id, CPU0, Pipeline.SOFTWARE, {}, "", False)
    nowhere = Allocation(Generation(4), stream.stream_id, None, Pipeline.PASSTHROUGH, {}, "", False)

    switching = Switching(1, 200.2, set())

    def place_with_format() -> bool:
        stream.format = HD
        return stream.place(on_worker, 200.0)

    events: dict[StreamEvent, Callable[[], bool]] = {
        E.RESERVED: lambda: stream.place(on_worker, 200.0),
        E.PLACED: place_with_format,
        E.PASSED_THROUGH: lambda: stream.place(nowhere, 200.0),
        E.FORMAT_FITS: stream.fit,
        E.WORKER_LOST: lambda: stream.lose_worker(switching),
        E.FOUND_NO_ROOM: lambda: stream.wait_anew(Generation(4), "full", 200.0),
        E.ENDED: stream.end,
    }
    return events[event]()


@pytest.mark.parametrize(("state", "event"), ALL, ids=lambda value: value.name)
def test_an_event_does_what_the_table_says_or_nothing(
    state: StreamState, event: StreamEvent, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = TABLE[event][list(S).index(state)]
    assert NEXT.get((state, event)) is wanted
    stream = stream_in(state)
    with caplog.at_level(logging.ERROR):
        assert happen(stream, event) is (wanted is not None)
    if wanted is not None:
        assert stream.state is wanted
        assert not caplog.messages
        return
    assert (stream.state, stream.generation, stream.placed_s) == (state, Generation(3), 100.0)
    (line,) = caplog.messages
    assert f"state={state.name}" in line
    assert f"what={event.name}" in line
    assert "cam" not in line, "the key is a credential"


def test_where_players_have_come_is_kept_while_a_stream_waits_and_gone_then() -> None:
    stream = stream_in(S.SWITCHING)
    stream.wait(resume_after_ms=4_000)
    stream.wait("full")
    assert stream.phase == Waiting(4_000)
    assert "full" in stream.reason
    happen(stream, E.PLACED)
    assert stream.phase == phase_of(S.LIVE)


def test_the_worker_that_was_behind_is_known_as_long_as_it_is_passed_through() -> None:
    stream = stream_in(S.LIVE)
    nowhere = Allocation(Generation(4), stream.stream_id, None, Pipeline.PASSTHROUGH, {}, "", False)
    stream.place(nowhere, 200.0, overloaded_worker=CPU0)
    assert stream.overloaded_worker == CPU0
    stream.wait()
    assert stream.overloaded_worker is None
