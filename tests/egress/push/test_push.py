"""egress/push/push.py: when somebody is called, and called again."""

from typing import cast

import pytest

from common.config.pushes import PushRule
from common.ipc.identity import StreamId
from common.ipc.push_messages import PushState
from egress.push.push import CALL_S, FIRST_S, GOOD_S, MOST_S, Push
from egress.streams.rendition import Rendition


class FakeRendition:
    def __init__(self, *, has_start: bool = True) -> None:
        self.has_start = has_start


class FakeTarget:
    line = (3.0, 2)

    def __init__(self) -> None:
        self.is_sending = False
        self.ended = self.closed = ""
        self.sent_bytes, self.dropped = 100, 1

    def check(self, now: float) -> None: ...

    def close(self, reason: str) -> None:
        self.closed = self.closed or reason


class Rig:
    def __init__(self) -> None:
        self.targets: list[FakeTarget] = []
        self.rendition = FakeRendition()
        self.now = 0.0

        def call(_: Rendition) -> FakeTarget:
            self.targets.append(FakeTarget())
            return self.targets[-1]

        rule = PushRule("srt://h:9", "720p")
        self.push = Push(StreamId("live/a"), rule, "srt://h:9", call, lambda: 0.5, 0.0)

    def check(self, seconds: float = 0.0, *, is_there: bool = True) -> PushState:
        self.now += seconds
        found = cast("Rendition", self.rendition) if is_there else None
        self.push.check(found, self.now)
        return self.push.state


def test_it_waits_for_a_picture_then_calls_and_sends() -> None:
    rig = Rig()
    assert rig.check(is_there=False) is PushState.WAITING
    rig.rendition.has_start = False
    assert rig.check(1) is PushState.WAITING
    rig.rendition.has_start = True
    assert rig.check(1) is PushState.CALLING
    rig.targets[0].is_sending = True
    assert rig.check(1) is PushState.SENDING
    found = rig.push.status(rig.now + 2)
    assert (found.seconds, found.calls, found.sent_bytes, found.rtt_ms) == (2.0, 1, 100, 3.0)


def test_each_time_it_waits_twice_as_long_up_to_a_limit() -> None:
    rig = Rig()
    waits = []
    for _ in range(8):
        assert rig.check() is PushState.CALLING
        rig.targets[-1].ended = "nobody answers"
        assert rig.check() is PushState.RETRYING
        begin = rig.now
        while rig.check(0.5) is PushState.RETRYING:
            pass
        waits.append(rig.now - begin)
    assert waits == [1, 2, 4, 8, 16, MOST_S, MOST_S, MOST_S]
    assert rig.push.status(rig.now).reason == "nobody answers"
    assert rig.push.status(rig.now).sent_bytes == 100 * 9


def test_one_that_stood_for_a_while_is_called_again_soon() -> None:
    rig = Rig()
    for _ in range(3):
        rig.check(MOST_S)
        rig.targets[-1].ended = "nobody answers"
        rig.check()
    rig.check(MOST_S)
    rig.targets[-1].is_sending = True
    rig.check()
    rig.check(GOOD_S)
    rig.targets[-1].ended = "it is gone"
    assert rig.check() is PushState.RETRYING
    assert rig.check(FIRST_S) is PushState.CALLING


def test_a_call_that_is_not_answered_ends() -> None:
    rig = Rig()
    rig.check()
    assert rig.check(CALL_S) is PushState.RETRYING
    assert rig.targets[0].closed


@pytest.mark.parametrize("is_there", [False, True])
def test_a_stream_that_ends_or_begins_anew_ends_it(is_there: bool) -> None:
    rig = Rig()
    rig.check()
    rig.rendition = FakeRendition()
    assert rig.check(1, is_there=is_there) is PushState.RETRYING
    assert rig.targets[0].closed
    expected = PushState.CALLING if is_there else PushState.WAITING
    assert rig.check(2, is_there=is_there) is expected


def test_the_end_for_good_ends_the_target() -> None:
    rig = Rig()
    rig.push.close("x", 0.0)
    rig.check()
    rig.push.close("the server is stopping", 1.0)
    assert rig.targets[0].closed == "the server is stopping"
