"""Players by name, and one of them ended."""

from collections.abc import Iterable
from typing import Any, cast

from common.ipc.api_messages import MAX_PLAYERS, PlayersWanted
from common.ipc.control_messages import Endpoint
from common.ipc.identity import BootId, ChildId, StreamId
from egress.output import Output, ViewerStatus
from egress.player_list import player_list

API, EGRESS = ChildId("api"), ChildId("egress", index=1)
HERE = Endpoint(EGRESS, BootId("0123456789abcdef"))
A, B = StreamId("live/a"), StreamId("live/b")


class OneOutput:
    """Players as they are given, and who was ended."""

    def __init__(self, *viewers: ViewerStatus) -> None:
        self._viewers = viewers
        self.ended: list[tuple[int, str]] = []

    def viewers(self) -> Iterable[ViewerStatus]:
        return self._viewers

    def end_viewer(self, number: int, reason: str) -> None:
        self.ended.append((number, reason))


def viewer(number: int, stream: StreamId = A) -> ViewerStatus:
    return ViewerStatus(number, stream, "720p", "rtmp", "192.0.2.1:5", 9.96, 3)


def listed(wanted: PlayersWanted, *outputs: Any) -> Any:
    return player_list(wanted, HERE, cast(list[Output], outputs), "ended by the operator")


def test_all_of_one_stream_or_of_every_one() -> None:
    outputs = OneOutput(viewer(1), viewer(2, B)), OneOutput(viewer(1))
    of_all = listed(PlayersWanted(7, API, StreamId("")), *outputs)
    assert [player.id for player in of_all.players] == [
        "1-01234567-0-1",
        "1-01234567-0-2",
        "1-01234567-1-1",
    ]
    of_one = listed(PlayersWanted(7, API, B), *outputs)
    assert [(p.stream_id, p.seconds, p.dropped) for p in of_one.players] == [(B, 10.0, 3)]
    assert (of_one.request_id, of_one.asker, of_one.egress) == (7, API, EGRESS)
    assert [output.ended for output in outputs] == [[], []]


def test_one_is_ended_by_its_id_and_named_alone() -> None:
    outputs = OneOutput(viewer(1), viewer(2)), OneOutput(viewer(2))
    found = listed(PlayersWanted(7, API, StreamId(""), ends="1-01234567-1-2"), *outputs)
    assert [player.id for player in found.players] == ["1-01234567-1-2"]
    assert [output.ended for output in outputs] == [[], [(2, "ended by the operator")]]


def test_an_id_of_another_incarnation_ends_nobody() -> None:
    output = OneOutput(viewer(1))
    found = listed(PlayersWanted(7, API, StreamId(""), ends="1-89abcdef-0-1"), output)
    assert (found.players, output.ended) == ((), [])


def test_the_list_is_bounded_and_says_how_many_there_are() -> None:
    output = OneOutput(*map(viewer, range(MAX_PLAYERS + 5)))
    found = listed(PlayersWanted(7, API, A), output)
    assert (len(found.players), found.total) == (MAX_PLAYERS, MAX_PLAYERS + 5)
