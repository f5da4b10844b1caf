"""Captures that are asked for, and streams that are captured by themselves."""

from dataclasses import replace
from typing import Any, TypeVar

from common.ipc.capture_messages import CaptureStream, CaptureWritten
from common.ipc.identity import Generation, StreamId
from supervisor.farm.actions import Action, Send
from supervisor.farm.forwarding.captures import BURST, MAX_KNOWN, TIMEOUT_S, WINDOW_S
from supervisor.farm.recovery.lost_workers import POSITIONS_TIMEOUT_S
from tests.kit.children import CPU0, INGEST0
from tests.kit.farm_rig import HD, MakeRig, Rig

STREAM = StreamId("live/a")
T = TypeVar("T")


def of(actions: list[Action], kind: type[T]) -> list[T]:
    sent: list[Any] = [action.message for action in actions if isinstance(action, Send)]
    return [message for message in sent if isinstance(message, kind)]


def request(rig: Rig, *, headers_only: bool = False) -> tuple[int, list[CaptureStream]]:
    request_id, actions = rig.farm.captures.request("live", "a", rig.now, headers_only=headers_only)
    assert all(sent.child == INGEST0 for sent in actions)
    return request_id, of(actions, CaptureStream)


def test_a_stream_s_ingest_is_asked_and_its_answer_kept(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.publish("live/a", HD)
    request_id, sent = request(rig, headers_only=True)
    assert sent == [CaptureStream(request_id, STREAM, "asked for", True)]
    captures = rig.farm.captures
    assert captures.result(request_id, rig.now) is None
    rig.say(INGEST0, CaptureWritten(request_id, StreamId("live/b"), "another's"))
    assert captures.result(request_id, rig.now) is None
    written = CaptureWritten(request_id, STREAM, "a path", 7, 1.5)
    rig.say(INGEST0, written)
    assert captures.result(request_id, rig.now) == written


def test_what_nobody_knows_and_what_takes_too_long_is_said(make_rig: MakeRig) -> None:
    rig = make_rig()
    assert request(rig) == (0, [])
    rig.publish("live/a", HD)
    request_id, _ = request(rig)
    late = rig.farm.captures.result(request_id, rig.now + TIMEOUT_S)
    assert late is not None
    assert "does not answer" in late.error
    unknown = rig.farm.captures.result(99, rig.now)
    assert unknown is not None
    assert unknown.error
    for _ in range(MAX_KNOWN):
        request(rig)
    forgotten = rig.farm.captures.result(request_id, rig.now)
    assert forgotten is not None
    assert forgotten.error


def errors(rig: Rig, counts: list[int], step_s: float) -> list[int]:
    """After which of the heartbeats with so many errors a capture was asked for."""
    found = []
    for index, count in enumerate(counts):
        rig.now += step_s
        actions = rig.beat(CPU0, transcodes=(rig.transcode(decode_errors=count),))
        sent = of(actions, CaptureStream)
        assert all(message.request_id == 0 for message in sent)
        found += [index] * len(sent)
    return found


def test_a_burst_of_decode_errors_has_its_stream_captured(make_rig: MakeRig) -> None:
    table = [
        ([0, 0, 0], 0.25, []),
        ([0, BURST - 1, BURST - 1], 0.25, []),
        ([0, 3, BURST, BURST], 0.25, [2]),
        ([BURST * 3] * 4, 0.25, [0]),
        ([0, BURST, BURST, BURST + 5, 2 * BURST], 0.25, [1, 4]),
        (list(range(0, 60)), WINDOW_S / 5, []),  # five each window
    ]
    for counts, step_s, expected in table:
        rig = make_rig(workers=1, cores=4)
        rig.publish("live/a", HD)
        assert errors(rig, counts, step_s) == expected, counts


def test_errors_of_a_placement_that_is_over_do_not_count(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1, cores=4)
    rig.publish("live/a", HD)
    old = replace(rig.transcode(decode_errors=100), generation=Generation(0))
    assert of(rig.beat(CPU0, transcodes=(old,)), CaptureStream) == []


def test_a_stream_that_took_two_workers_down_is_captured(make_rig: MakeRig) -> None:
    rig = make_rig(workers=2, cores=4)
    rig.publish("live/a", HD)
    reasons = []
    for _ in range(2):
        worker = rig.farm.state.device_of(rig.stream())
        actions = [*rig.down(worker), *rig.tick(POSITIONS_TIMEOUT_S)]
        reasons.append([message.reason for message in of(actions, CaptureStream)])
        assert worker is not None
        rig.up(worker)
    assert reasons == [[], ["it is suspected to take workers down: killed"]]
