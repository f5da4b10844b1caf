"""egress/relay/play.py: whose stream is played, and whether it goes on at another host"""

from dataclasses import replace

import pytest

from common.ipc.cluster_messages import StreamOwner
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.relay_messages import RemotePlay
from egress.relay.play import Play
from egress.relay.played_stream import PlayedStream
from tests.kit.host_link import STREAM, opened

ID = StreamId("live/cam")


@pytest.mark.parametrize(
    ("played", "comes", "goes_on"),
    [(1, 1, True), (1, 2, False), (None, 1, False), (None, None, False), (1, None, False)],
)
def test_a_stream_goes_on_where_its_time_has_the_same_zero(
    played: int | None, comes: int | None, goes_on: bool
) -> None:
    play = Play(RemotePlay(ID, Generation(1), ()))
    assert not play.goes_on(opened())
    play.stream = PlayedStream(ID, Generation(1), ChildId("relay"))
    play.stream.opened(replace(opened(), zero_unix_ms=played))
    assert play.is_open
    assert not play.is_by_way
    assert play.goes_on(replace(opened(), zero_unix_ms=comes)) is goes_on


def test_another_farm_of_a_host_is_another_owner() -> None:
    play = Play(RemotePlay(ID, Generation(1), ()))
    owner = StreamOwner(STREAM, ID, "host-a", "10.0.0.1:1936", 7, farm="one")
    assert not play.owner_is(owner)
    play.owner = owner
    assert play.owner_is(replace(owner, epoch=9))
    assert not play.owner_is(replace(owner, farm="two"))
