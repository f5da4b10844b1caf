"""A worker that hangs, and ones that only look like it."""

from typing import Any

from common.control_messages import TranscodeStatus
from common.identity import ChildName, Generation, StreamId
from supervisor.hang_watch import HangWatch

WORKER = ChildName("worker:cpu:0")


def status(frames_in: int, frames_out: int = 0, **fields: Any) -> TranscodeStatus:
    values: dict[str, Any] = {"queue_ms": 0.0, "decode_errors": 0, "renditions": ()}
    values |= fields
    return TranscodeStatus(StreamId("live/a"), Generation(1), frames_in, frames_out, **values)


def verdicts(*steps: TranscodeStatus) -> list[bool]:
    """Each a second after the one before; a timeout of 2 s."""
    watch = HangWatch()
    return [
        watch.observe(WORKER, [step], float(second), 2.0) is not None
        for second, step in enumerate(steps)
    ]


def test_frames_in_and_none_out_for_the_timeout_is_a_hang() -> None:
    assert verdicts(status(30), status(60), status(90)) == [False, False, True]


def test_a_stream_that_flows_is_no_hang() -> None:
    steps = [status(30 * i, 30 * i) for i in range(1, 6)]
    assert not any(verdicts(*steps))


def test_a_silent_publisher_is_no_hang() -> None:
    assert not any(verdicts(*[status(30, 25)] * 10))


def test_a_slow_stream_inside_the_decoders_delay_is_no_hang() -> None:
    assert not any(verdicts(*[status(i) for i in range(1, 20)]))


def test_errors_and_drops_show_that_the_worker_lives() -> None:
    steps = [status(30 * i, decode_errors=i) for i in range(6)]
    assert not any(verdicts(*steps))
    steps = [status(30 * i, dropped=i) for i in range(6)]
    assert not any(verdicts(*steps))


def test_a_new_generation_starts_from_nothing() -> None:
    watch = HangWatch()
    watch.observe(WORKER, [status(30)], 0.0, 2.0)
    other = TranscodeStatus(StreamId("live/a"), Generation(2), 300, 0, 0.0, 0, ())
    assert watch.observe(WORKER, [other], 5.0, 2.0) is None
