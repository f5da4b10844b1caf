"""Streams that an operator ended stay out for a while."""

from common.access.refusal import RefusalReason
from common.ipc.identity import StreamId
from supervisor.farm.kicks import MAX_KICKED, Kicks

CAM = StreamId("live/cam")


def test_a_kicked_stream_is_refused_for_its_time_and_says_how_long() -> None:
    kicks = Kicks()
    kicks.kick(CAM, 600.0, 100.0)
    refusal = kicks.refusal(CAM, 110.0)
    assert refusal is not None
    assert refusal.reason is RefusalReason.KICKED
    assert refusal.words == "ended by the operator; refused for 10 min more"
    assert not refusal.is_lasting, "the supervisor is asked each time"
    assert kicks.left(130.0) == {CAM: 570.0}
    assert kicks.refusal(CAM, 700.0) is None
    assert kicks.left(700.0) == {}
    assert kicks.refusal(StreamId("live/other"), 130.0) is None


def test_a_kick_can_be_taken_back_and_given_another_time() -> None:
    kicks = Kicks()
    kicks.kick(CAM, 600.0, 100.0)
    kicks.kick(CAM, 10.0, 101.0)
    assert kicks.left(101.0) == {CAM: 10.0}
    assert kicks.undo(CAM, 102.0)
    assert not kicks.undo(CAM, 102.0)
    assert kicks.refusal(CAM, 102.0) is None
    kicks.kick(CAM, 10.0, 103.0)
    assert not kicks.undo(CAM, 200.0), "it was over"


def test_there_are_never_too_many() -> None:
    kicks = Kicks()
    for index in range(MAX_KICKED + 5):
        kicks.kick(StreamId(f"live/{index}"), 600.0, 100.0)
    assert len(kicks.left(100.0)) == MAX_KICKED
    assert kicks.refusal(StreamId("live/0"), 100.0) is None
