"""A worker that hangs, and ones that only look like it."""

from typing import Any

import pytest

from common.ipc.identity import Generation, StreamId
from common.ipc.status_messages import TranscodeStatus
from supervisor.farm.recovery.hang import Hang, find_hang
from tests.kit.children import CPU0

WORKER = CPU0


def status(stream: str = "live/a", **fields: Any) -> TranscodeStatus:
    values: dict[str, Any] = {"frames_in": 0, "frames_out": 0, "queue_ms": 0.0, "decode_errors": 0}
    values |= fields
    return TranscodeStatus(StreamId(stream), Generation(1), renditions=(), **values)


def test_work_that_waits_for_the_timeout_is_a_hang_of_its_stream() -> None:
    calm, stuck = status("live/a", stalled_s=0.25), status("live/b", stalled_s=1.5)
    assert find_hang(WORKER, [calm, stuck], 1.6) is None
    hang = find_hang(WORKER, [calm, stuck], 1.5)
    assert isinstance(hang, Hang)
    assert hang.stream_id == "live/b"
    assert "hangs" in hang.reason


@pytest.mark.parametrize(
    "harmless",
    [
        status(frames_in=500, dropped=470),  # fell behind, and waits for a keyframe
        status(frames_in=500, decode_errors=470),
        status(frames_in=30),
    ],
)
def test_units_in_and_no_frames_out_alone_are_no_hang(harmless: TranscodeStatus) -> None:
    assert find_hang(WORKER, [harmless], 1.5) is None
    assert find_hang(WORKER, [], 1.5) is None
