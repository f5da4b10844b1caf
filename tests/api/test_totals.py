"""Counters that only grow, over streams that come, go and are placed anew."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.totals import Totals
from tests.kit.status_pages import farm_document, rendition_row, stream_row


def stream(frames: int, *, key: str = "cam", since: float = 1.0, **fields: Any) -> dict[str, Any]:
    row = stream_row("live", key) | {"frames": frames, "since_unix": since, "dropped": {}}
    row["frames_decoded"] = frames
    row["renditions"] = [rendition_row("720p", 1280, 720, frames=frames)]
    return row | fields


def seen(*documents: list[dict[str, Any]]) -> Totals:
    totals = Totals()
    for streams in documents:
        totals.observe(farm_document(streams))
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
        document = farm_document()
        document["refused"] = {"full": refused}
        document["children"][0]["restarts"] = restarts
        totals.observe(document)
    assert totals.sums["refusals", "full"] == 9
    assert totals.sums["restarts", "ingest"] == 1


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
    before: dict[Any, int] = {}
    for look in looks:
        rows = [stream(count, key=key, since=since) for key, (count, since) in look.items()]
        totals.observe(farm_document(rows))
        assert all(totals.sums[name] >= count for name, count in before.items())
        before = dict(totals.sums)
