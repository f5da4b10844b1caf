"""ingest/streams/epochs.py: numbers of segments go up, whatever begins anew."""

from hypothesis import given
from hypothesis import strategies as st

from common.ipc.identity import StreamId
from common.media.clock import base_number
from ingest.streams.epochs import MAX_REMEMBERED, REMEMBERED_MS, Epochs

STREAM, OTHER = StreamId("live/a"), StreamId("live/b")
NOW_MS = 1_790_000_000_123
TIMES = st.integers(0, 10**9)


def number(epoch_ms: int, gop_ms: int, at_ms: int) -> int:
    return base_number(epoch_ms, gop_ms) + at_ms // gop_ms


def test_stream_time_begins_at_the_arrival_of_the_first_media() -> None:
    assert Epochs().find(STREAM, 2_000, 0, NOW_MS) == NOW_MS
    assert Epochs().find(STREAM, 2_000, 5_000, NOW_MS) == NOW_MS - 5_000


@given(
    st.integers(250, 20_000),
    TIMES,
    st.integers(0, 10_000_000),
    st.integers(0, 10_000_000),
    TIMES,
    st.floats(0.99, 1.01),
)
def test_a_new_start_is_numbered_above_the_one_before(
    gop_ms: int, first_ms: int, lasted_ms: int, away_ms: int, next_ms: int, speed: float
) -> None:
    """However fast the publisher's clock ran, and wherever the next one's stamps begin."""
    epochs = Epochs()
    epoch_ms = epochs.find(STREAM, gop_ms, first_ms, NOW_MS)
    end_ms = first_ms + round(lasted_ms * speed)
    epochs.ended(STREAM, gop_ms, epoch_ms + end_ms)
    last = number(epoch_ms, gop_ms, end_ms)
    now_ms = NOW_MS + lasted_ms + away_ms
    again_ms = epochs.find(STREAM, gop_ms, next_ms, now_ms)
    assert number(again_ms, gop_ms, next_ms) > last
    assert again_ms == now_ms - next_ms or away_ms <= lasted_ms * 0.01 + 2 * gop_ms


def test_what_ended_long_ago_and_what_is_too_much_is_forgotten() -> None:
    epochs = Epochs()
    epochs.ended(STREAM, 2_000, NOW_MS)
    assert epochs.find(OTHER, 2_000, 0, NOW_MS) == NOW_MS, "it is another's"
    assert len(epochs) == 1
    epochs.find(OTHER, 2_000, 0, NOW_MS + REMEMBERED_MS + 2_000)
    assert len(epochs) == 0
    for index in range(MAX_REMEMBERED + 1):
        epochs.ended(StreamId(f"live/{index}"), 2_000, NOW_MS)
    assert len(epochs) == MAX_REMEMBERED
