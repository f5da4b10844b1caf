"""Counters that only grow, over streams that come, go and are placed anew."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.totals import KEPT_LOOKS, LATER_S, SUM, Totals
from common.ipc.figures import ChildFigures, Delays, FarmFigures
from tests.kit.farm_figures import figures_of
from tests.kit.status_pages import farm_document, rendition_row, stream_row


def stream(frames: int, *, key: str = "cam", since: float = 1.0, **fields: Any) -> dict[str, Any]:
    row = stream_row("live", key) | {"frames": frames, "since_unix": since, "dropped": {}}
    row["frames_decoded"] = frames
    row["renditions"] = [rendition_row("720p", 1280, 720, frames=frames)]
    return row | fields


def look(streams: Sequence[dict[str, Any]] = (), **changes: Any) -> FarmFigures:
    return figures_of(farm_document(streams) | changes)


def seen(*documents: list[dict[str, Any]]) -> Totals:
    totals = Totals()
    for streams in documents:
        totals.observe(look(streams))
    return totals


def test_what_a_stream_counts_is_its_apps() -> None:
    found = seen([stream(10), stream(5, key="other")], [stream(30), stream(6, key="other")])
    assert found.sums["frames_received", "live"] == 36
    assert found.sums["frames_decoded", "live"] == 36
    assert found.sums["frames_encoded", "live", "720p"] == 36


def test_a_stream_that_ends_leaves_what_it_counted() -> None:
    assert seen([stream(10)], [], []).sums["frames_received", "live"] == 10


def test_another_publisher_of_the_same_stream_counts_from_0() -> None:
    found = seen([stream(10)], [stream(12, since=2.0)])
    assert found.sums["frames_received", "live"] == 22


def test_a_stream_on_another_worker_counts_from_0_there_and_goes_on_at_ingest() -> None:
    moved = stream(12, generation=2, worker="worker:cpu:1")
    found = seen([stream(10)], [moved])
    assert found.sums["frames_received", "live"] == 12
    assert found.sums["frames_decoded", "live"] == 22


def test_a_count_that_begins_anew_is_no_step_back() -> None:
    """A new supervisor, or a child that was started again, without a name for it in the page."""
    totals = Totals()
    for refused, restarts in ((5, 1), (7, 1), (2, 0)):
        causes = [{"what": "play", "reason": "full", "cause": "", "count": refused}]
        document = farm_document() | {"refused_causes": causes}
        document["children"][0]["restarts"] = restarts
        totals.observe(figures_of(document))
    assert totals.sums["refusals", "play", "full", ""] == 9
    assert totals.sums["child_restarts", "ingest"] == 1


def test_a_source_that_is_missing_for_a_while_goes_on_where_it_was() -> None:
    """As all of them are while a supervisor is replaced and its children say hello."""
    totals = seen([stream(10)], [], [], [stream(12)])
    assert totals.sums["frames_received", "live"] == 12


def test_a_source_that_is_gone_for_long_is_forgotten() -> None:
    totals = Totals()
    for number in range(3 * KEPT_LOOKS):
        totals.observe(look([stream(10, key=f"cam{number}", since=float(number))]))
    assert totals.sums["frames_received", "live"] == 30 * KEPT_LOOKS
    known = totals._last, totals._missing, totals._missing_before
    assert sum(map(len, known)) < 7 * KEPT_LOOKS


@pytest.mark.parametrize(("later_s", "first"), [(0.0, 10), (LATER_S, 10), (LATER_S + 1, 0)])
def test_a_process_that_is_younger_than_its_farm_begins_at_0(later_s: float, first: int) -> None:
    """It was started again: what it sees first was counted before, and would be a peak."""
    totals = Totals(farm_document()["since_unix"] + later_s)
    totals.observe(look([stream(10)]))
    assert totals.sums["frames_received", "live"] == first
    totals.observe(look([stream(15), stream(5, key="new")]))
    assert totals.sums["frames_received", "live"] == first + 10


def delays(counts: Sequence[int], seconds: float, since: str = "b1") -> FarmFigures:
    worker = ChildFigures(
        "worker:cpu:0",
        "worker",
        since,
        True,
        0,
        1,
        0.0,
        {},
        [Delays("encode", "720p", counts, seconds)],
    )
    return look()._replace(children=[worker])


def test_delays_are_summed_over_processes_that_come_and_go() -> None:
    totals = Totals()
    for figures in (delays([1, 2], 0.5), delays([3, 2], 0.75), delays([0, 1], 0.25, "b2")):
        totals.observe(figures)
    found = {total[3]: n for total, n in totals.sums.items() if total[0] == "stage_delay"}
    assert found == {"0": 3, "1": 3, SUM: 1.0}


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b"]),
            st.tuples(st.integers(0, 50), st.sampled_from([1.0, 2.0])),
        ),
        max_size=8,
    )
)
def test_no_total_ever_sinks(looks: list[dict[str, tuple[int, float]]]) -> None:
    totals = Totals()
    before: dict[Any, float] = {}
    for one in looks:
        rows = [stream(count, key=key, since=since) for key, (count, since) in one.items()]
        totals.observe(figures_of(farm_document(rows)))
        assert all(totals.sums[name] >= count for name, count in before.items())
        before = dict(totals.sums)
