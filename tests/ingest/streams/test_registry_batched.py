"""ingest/streams/registry.py: whose publishers are read lazily, and when."""

import pytest

from common.ipc.media_messages import SHARED
from ingest.streams.publisher import IMMEDIATE_S
from tests.kit.ingest_ports import STREAM, picture
from tests.kit.registry_rig import RegistryRig


def test_what_nobody_plays_is_read_lazily_until_somebody_does() -> None:
    around = RegistryRig()
    peer = around.live()
    around.tick(100.0 + IMMEDIATE_S - 0.1)
    assert not peer.is_batched, "renditions and first players are not kept waiting"
    around.tick(100.0 + IMMEDIATE_S + 0.1)
    around.tick(100.0 + IMMEDIATE_S + 0.2)
    assert peer.is_batched
    (egress,) = around.peers.running
    egress.watched = {"360p", SHARED}
    around.streams.on_first_player(STREAM)
    assert not peer.is_batched
    around.tick(104.0)
    assert not peer.is_batched
    egress.watched = set()
    around.tick(104.1)
    around.tick(104.2)
    assert peer.is_batched


@pytest.mark.parametrize(("megabits", "reads"), [(1, 10), (8, 20)])
def test_less_lies_unread_for_longer(megabits: int, reads: int) -> None:
    around = RegistryRig()
    peer = around.live()
    before = 0
    for number in range(1, 81):
        at_s = 100.0 + number / 10
        body = picture(number * 100, size=megabits * 1_000_000 // 80)
        around.media(peer, [body], at_s)
        around.tick(at_s)
        if number == 60:
            before = peer.read_batching
    assert peer.read_batching - before == reads


def test_one_that_is_played_just_before_its_turn_is_read_promptly() -> None:
    around = RegistryRig()
    peer = around.live()
    around.streams.tick(104.0)
    assert len(around.streams.read_batching) == 1
    around.streams.on_first_player(STREAM)
    assert len(around.streams.read_batching) == 0
    assert not around.streams.read_batching.read(1.0, 1)
    assert not peer.is_batched


def test_of_many_that_nobody_plays_each_tick_reads_half_and_no_more_than_asked() -> None:
    around = RegistryRig()
    peers = [around.live(path=f"live/cam{number}") for number in range(6)]
    around.streams.tick(104.0)
    assert len(around.streams.read_batching) == 3
    assert around.streams.read_batching.read(1.0, 2) == 2
    assert around.streams.read_batching.read(1.0, 2) == 1
    around.tick(104.1)
    assert [peer.read_batching for peer in peers] == [1] * 6
