"""egress/http/viewer_queue.py: bounded, and whole pieces from a keyframe on, whatever it drops."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress.http import viewer_queue
from egress.http.from_units import Piece
from egress.http.responses import LAST_CHUNK, chunk, ending
from egress.http.viewer_queue import ViewerQueue
from tests.kit.mp4_reader import unchunked

INIT, OTHER = chunk(b"[init]"), chunk(b"[other]")


def piece(at_ms: int, *, key: bool = False, init: bytes = INIT, size: int = 0) -> Piece:
    body = f"({at_ms}{'K' if key else ''})".encode() + bytes(size)
    return Piece(chunk(body), init, key, at_ms, at_ms + 40, 1)


def gops(count: int, gop: int = 5, begin: int = 0) -> list[Piece]:
    return [piece(40 * at, key=at % gop == 0) for at in range(begin, begin + count)]


def drain(queue: ViewerQueue, most: int = 1 << 30) -> bytes:
    """What the socket takes."""
    got = b""
    while queue.has_queue and len(got) < most:
        data = b"".join(queue.buffers())[: most - len(got)]
        queue.sent(len(data))
        got += data
    return got


def test_it_begins_at_a_keyframe_with_the_initialisation_segment() -> None:
    queue = ViewerQueue(1_000)
    queue.begin(b"HEAD ")
    for one in [piece(0), piece(40, key=True), piece(80)]:
        queue.offer(one)
    assert drain(queue) == b"HEAD " + INIT + chunk(b"(40K)") + chunk(b"(80)")
    assert queue.dropped == 1
    assert queue.bytes == 0


def test_a_segment_comes_again_when_it_is_another() -> None:
    queue = ViewerQueue(1_000)
    for one in [
        piece(0, key=True),
        piece(40),
        piece(80, key=True, init=OTHER),
        piece(120, init=OTHER),
    ]:
        queue.offer(one)
    assert unchunked(drain(queue))[0] == b"[init](0K)(40)[other](80K)(120)"


def test_what_it_joins_with_is_no_lag() -> None:
    queue = ViewerQueue(200)
    queue.join(gops(50, gop=50))
    assert queue.lag_ms() == 0
    queue.offer(piece(2_000))
    assert (queue.lag_ms(), queue.dropped) == (40, 0)


def test_one_that_is_behind_skips_to_the_last_keyframe() -> None:
    queue = ViewerQueue(400)
    for one in gops(12):
        queue.offer(one)
    got = unchunked(drain(queue))[0]
    assert got == b"[init](400K)(440)"
    assert queue.dropped == 10


def test_without_a_keyframe_it_waits_for_the_next() -> None:
    queue = ViewerQueue(400)
    for one in gops(12, gop=100):
        queue.offer(one)
    assert drain(queue) == b""
    queue.offer(piece(480))
    queue.offer(piece(520, key=True))
    assert unchunked(drain(queue))[0] == b"[init](520K)"
    assert queue.dropped == 13


def test_what_has_begun_to_go_out_is_finished() -> None:
    queue = ViewerQueue(400)
    queue.offer(piece(0, key=True, size=1_000))
    got = drain(queue, len(INIT) + 10)
    for one in gops(20, begin=1):
        queue.offer(one)
    body = unchunked(got + drain(queue))[0]
    assert body.startswith(b"[init](0K)")
    assert b"[init](800K)" in body


def test_a_head_and_an_end_are_never_dropped() -> None:
    queue = ViewerQueue(100)
    queue.begin(b"HEAD")
    for one in gops(20, gop=100):
        queue.offer(one)
    queue.finish(ending("over", is_over=True))
    got = drain(queue)
    assert got.startswith(b"HEAD")
    assert got.endswith(LAST_CHUNK)


def test_without_chunks_there_is_the_body_alone() -> None:
    queue = ViewerQueue(1_000, is_chunked=False)
    for one in gops(2):
        queue.offer(one)
    queue.finish(b"end")
    assert drain(queue) == b"[init](0K)(40)end"


def test_it_is_bounded_in_bytes_where_times_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer_queue, "MAX_BYTES", 10_000)
    queue = ViewerQueue(1_000_000)
    for at in range(100):
        queue.offer(piece(at, key=at % 10 == 0, size=900))
        assert queue.bytes <= 10_000


def test_one_that_takes_nothing_holds_no_more_than_its_bound() -> None:
    queue = ViewerQueue(400)
    for one in gops(1_000, gop=50):
        queue.offer(one)
        assert queue.lag_ms() <= 400
    assert queue.dropped > 900


STEPS = st.lists(
    st.tuples(st.integers(1, 300), st.booleans(), st.integers(0, 400)), min_size=1, max_size=60
)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(50, 1_000))
def test_whatever_the_socket_takes_it_gets_whole_pieces_in_order(
    steps: list[tuple[int, bool, int]], queue_ms: int
) -> None:
    """Each run of pieces begins with a segment and a keyframe, and goes on without a gap."""
    queue = ViewerQueue(queue_ms)
    got, at = b"", 0
    offered: list[Piece] = []
    for step, is_key, taken in steps:
        at += step
        one = Piece(
            chunk(f"({len(offered)}{'K' if is_key else ''})".encode()),
            INIT,
            is_key,
            at,
            at + step,
            1,
        )
        offered.append(one)
        queue.offer(one)
        got += drain(queue, taken) if taken else b""
    body = unchunked(got + drain(queue))[0].decode()
    last, shown = -2, 0
    for run in body.split("[init]")[1:]:
        words = run.strip("()").split(")(") if run else []
        for place, word in enumerate(words):
            number = int(word.rstrip("K"))
            if place == 0:
                assert word.endswith("K")
                assert number > last
            else:
                assert number == last + 1
            last, shown = number, shown + 1
    assert shown + queue.dropped == len(offered)
