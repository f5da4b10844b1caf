"""The limits of one app's players, by a real egress process."""

from dataclasses import replace

import pytest

from common.config.limits import StreamLimits
from common.config.settings import Settings
from common.rtmp.blocking_client import RtmpPlayer, RtmpRefused
from tests.egress.test_process import Publisher, watch
from tests.kit.egress import TEMPLATE
from tests.kit.egress_process import EgressProcess, FrontDoor

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
