"""What an egress that is no home asks for, and how often."""

from collections.abc import Callable

from common.ipc.identity import StreamId
from egress.streams.wanted import KEEP_S, MAX_STREAMS, REPEAT_S, WantedStreams

CAM, OTHER = StreamId("live/cam"), StreamId("live/other")
Asked = list[tuple[StreamId, tuple[str, ...]]]


def wanted() -> tuple[WantedStreams, Callable[[], Asked]]:
    """Make one; the call gives what was asked for since the last call."""
    asked: Asked = []

    def take() -> Asked:
        found = asked[:]
        asked.clear()
        return found

    return WantedStreams(lambda stream_id, names: asked.append((stream_id, names))), take


def test_what_is_new_is_asked_for_at_once_and_by_all_its_names() -> None:
    streams, asked = wanted()
    streams.want(CAM, ("720p",), 0.0)
    assert asked() == [(CAM, ("720p",))]
    streams.want(CAM, ("720p",), 1.0)
    assert asked() == []
    streams.want(CAM, ("240p",), 1.0)
    assert asked() == [(CAM, ("240p", "720p"))]
    streams.want(OTHER, (), 1.0)
    assert asked() == [(OTHER, ())]


def test_all_has_every_name_and_stays_all_as_long_as_somebody_says_so() -> None:
    streams, asked = wanted()
    streams.want(CAM, ("720p",), 0.0)
    streams.want(CAM, (), 1.0)
    assert asked() == [(CAM, ("720p",)), (CAM, ())]
    streams.want(CAM, ("240p",), 6.5)
    assert asked() == [], "it comes already"
    streams.repeat(6.9)
    assert asked() == [(CAM, ())]
    streams.repeat(7.0)  # the last word for all was at 1.0
    streams.repeat(10.0)
    assert asked() == [(CAM, ("240p",))]


def test_what_is_watched_is_asked_for_every_few_seconds_and_else_no_more() -> None:
    streams, asked = wanted()
    for now in range(20):
        streams.want(CAM, ("720p",), now)
        streams.repeat(now)
    assert len(asked()) == 1 + 19 // REPEAT_S
    streams.repeat(19 + KEEP_S - 0.1)
    assert len(asked()) == 1
    for later in range(3):
        streams.repeat(19 + KEEP_S + later * REPEAT_S)
    assert asked() == []
    assert not len(streams)
    streams.want(CAM, ("720p",), 40.0)
    assert asked() == [(CAM, ("720p",))], "somebody watches again"


def test_a_new_supervisor_is_asked_at_once() -> None:
    streams, asked = wanted()
    streams.want(CAM, ("720p",), 0.0)
    asked()
    streams.on_new_supervisor(0.5)
    assert asked() == [(CAM, ("720p",))]


def test_names_of_streams_are_bounded_the_oldest_goes() -> None:
    streams, asked = wanted()
    for number in range(MAX_STREAMS + 1):
        streams.want(StreamId(f"live/{number}"), (), 0.0)
    assert len(streams) == MAX_STREAMS
    asked()
    streams.repeat(REPEAT_S)
    assert StreamId("live/0") not in dict(asked())
