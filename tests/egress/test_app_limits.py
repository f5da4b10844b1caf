"""The limits of an app's players, and of a stream's, by a real egress process."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from common.config.limits import StreamLimits
from common.config.overrides import StreamOverrides
from common.config.settings import Settings
from common.rtmp.blocking_client import RtmpPlayer, RtmpRefused
from tests.kit.egress import TEMPLATE
from tests.kit.egress_process import EgressProcess, FrontDoor
from tests.kit.egress_publisher import Publisher, watch
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e


def test_more_players_than_the_app_allows_are_refused_with_the_keys_name() -> None:
    live = replace(TEMPLATE, limits=StreamLimits(players=1))
    with (
        EgressProcess(Settings(templates=(live,))) as egress,
        FrontDoor(egress.endpoint.handover) as door,
    ):
        publisher = Publisher(egress)
        publisher.frames(1)
        url = door.url("live/cam1")
        with RtmpPlayer(url), pytest.raises(RtmpRefused, match="max_players"), RtmpPlayer(url):
            pass
        with RtmpPlayer(url) as player:
            watch(player, "v0")
        publisher.close()


class ForTwo(Publisher):
    overrides = StreamOverrides(limits=StreamLimits(players=2))


def refusal_of(player: RtmpPlayer) -> str:
    """Have it play; how it is refused, "": it is not, and stays."""
    try:
        player.connect()
    except RtmpRefused as refused:
        return refused.description
    return ""


def test_a_hooks_limit_holds_for_who_waited_before_it_was_said_and_for_who_comes_later() -> None:
    patient = replace(TEMPLATE, wait_ms=10_000)
    with (
        EgressProcess(Settings(templates=(patient,))) as egress,
        FrontDoor(egress.endpoint.handover) as door,
        ThreadPoolExecutor(3) as threads,
    ):
        url = door.url("live/cam1")
        waiting = [RtmpPlayer(url) for _ in range(3)]
        told = [threads.submit(refusal_of, player) for player in waiting]
        until(lambda: len(door.acks) == 3, 10, "egress has all of them")
        publisher = ForTwo(egress)
        publisher.frames(1)
        words = "this stream has the 2 players that it takes (max_players); try again later"
        assert sorted(future.result(15) for future in told) == ["", "", words]
        assert refusal_of(RtmpPlayer(url)) == words
        let_in = [
            player for player, future in zip(waiting, told, strict=True) if not future.result()
        ]
        let_in[0].close()
        with contextlib.closing(RtmpPlayer(url)) as another:
            until(lambda: refusal_of(another) == "", 5, "the place of who left is free")
        let_in[1].close()
        publisher.close()
