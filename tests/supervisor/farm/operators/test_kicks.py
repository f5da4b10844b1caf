"""Streams that an operator ended stay out for a while."""

import pytest

from common.access.credentials import UNTOLD, Credentials
from common.access.keys import OWN
from common.access.refusal import RefusalReason
from common.ipc.identity import StreamId
from supervisor.farm.operators.kicks import MAX_KICKED, Kicks

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


HOME = Credentials("203.0.113.7", "")


@pytest.mark.parametrize(
    ("owner", "newcomer", "what"),
    [
        (HOME, HOME, "this address is refused"),
        (HOME, Credentials("203.0.113.8", ""), ""),
        (HOME, Credentials("203.0.113.7", "a"), ""),
        (Credentials("203.0.113.7", "a"), Credentials("203.0.113.7", "a"), "this address and key"),
        (Credentials("203.0.113.7", "a"), Credentials("203.0.113.7", "b"), ""),
        (Credentials("203.0.113.7", "a"), Credentials("203.0.113.8", "a"), ""),
        (Credentials("203.0.113.7", OWN), Credentials("203.0.113.7", OWN), ""),
        (UNTOLD, UNTOLD, ""),
    ],
)
def test_who_was_kicked_does_not_come_back_under_another_name(
    owner: Credentials, newcomer: Credentials, what: str
) -> None:
    kicks = Kicks()
    kicks.kick(CAM, 60.0, 100.0, owner)
    refusal = kicks.refusal(StreamId("live/other"), 110.0, newcomer)
    assert bool(refusal) is bool(what)
    if refusal is not None:
        assert what in refusal.words
        assert refusal.words.endswith("refused for 50 s more")
    assert kicks.refusal(CAM, 110.0, newcomer), "the stream itself is for nobody"
    assert kicks.refusal(StreamId("live/other"), 160.0, newcomer) is None
    kicks.kick(CAM, 60.0, 160.0)
    assert bool(kicks.refusal(StreamId("live/other"), 161.0, newcomer)) is False
    kicks.kick(CAM, 60.0, 170.0, owner)
    kicks.undo(CAM, 171.0)
    assert kicks.refusal(StreamId("live/other"), 171.0, newcomer) is None
