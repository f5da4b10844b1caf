"""ingest/rtmp/player_handover.py: how long a player is held for an egress that may yet come."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from common.access.refusal import Refusal
from common.ipc.control_messages import Endpoint
from common.ipc.identity import BootId
from common.ipc.socket_handover import ADOPTED
from common.rtmp.events import PlayRequested
from ingest.rtmp.connection import Connection
from ingest.rtmp.player_handover import DECLINED_WAIT_S, Players, handovers_of
from tests.kit.children import CPU0, EGRESS0, EGRESS1
from tests.kit.virtual_time import run_virtually
from tests.kit.waiting import until_async

OLD = EGRESS0
OTHER = EGRESS1


class Player:
    """What `Players` uses of a connection, and what became of it."""

    peer = "127.0.0.1:1"
    fd = 0

    def __init__(self) -> None:
        self.refusals: list[str] = []

    def snapshot(self) -> bytes:
        assert not self.refusals, "what was refused has no request"
        return b"a session"

    def close(self, reason: str) -> None:
        raise AssertionError(reason)

    def given_away(self) -> None:
        self.refusals.append("given away")

    def refuse_play(self, request_id: int, refusal: Refusal) -> None:
        self.refusals.append(refusal.words)


def run(scenario: Callable[[Players, Player], Awaitable[None]]) -> None:
    async def main() -> None:
        tasks: set[asyncio.Task[None]] = set()
        players = Players(lambda task: tasks.add(asyncio.ensure_future(task)))
        async with asyncio.timeout(10):
            await scenario(players, Player())
            players.close("the test is over")
            await asyncio.gather(*tasks)

    run_virtually(main())


def take(players: Players, player: Player) -> None:
    request = PlayRequested(1, 1, "live", "rtmp://h/live", "cam", -2.0, True)
    players.take(cast(Connection, player), request)


def dead(path: Path) -> str:
    """Where an egress was."""
    return f"unix://{path / 'gone'}"


def test_a_player_caught_by_a_dying_egress_is_held_for_its_successor(tmp_path: Path) -> None:
    async def scenario(players: Players, player: Player) -> None:
        players.follow([(OLD, dead(tmp_path))])
        take(players, player)
        await asyncio.sleep(DECLINED_WAIT_S / 4)  # it was tried, and its end is not announced yet
        players.follow([])
        await asyncio.sleep(2 * DECLINED_WAIT_S)
        assert player.refusals == []
        assert len(players) == 1

    run(scenario)


def test_one_whose_second_egress_goes_before_its_answer_is_held_as_well(tmp_path: Path) -> None:
    async def scenario(players: Players, player: Player) -> None:
        path = tmp_path / "silent"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
            silent.bind(str(path))
            silent.listen()
            players.follow([(OLD, dead(tmp_path)), (OTHER, f"unix://{path}")])
            take(players, player)
            await asyncio.sleep(2 * DECLINED_WAIT_S)
            players.follow([(OLD, dead(tmp_path))])
            await asyncio.sleep(DECLINED_WAIT_S / 4)
            players.follow([])
            await asyncio.sleep(2 * DECLINED_WAIT_S)
        assert player.refusals == []

    run(scenario)


def test_one_that_comes_as_the_process_ends_is_refused_once() -> None:
    async def scenario(players: Players, player: Player) -> None:
        take(players, player)
        players.close("the server is stopping")
        await asyncio.sleep(0)
        assert player.refusals == ["the server is stopping"]

    run(scenario)


def test_one_that_every_egress_declines_is_refused_soon(tmp_path: Path) -> None:
    async def scenario(players: Players, player: Player) -> None:
        players.follow([(OLD, dead(tmp_path))])
        take(players, player)
        await until_async(lambda: player.refusals)
        assert player.refusals == ["No such file or directory"]

    run(scenario)


def test_who_retires_is_given_no_player_and_keeps_one_that_is_on_its_way(tmp_path: Path) -> None:
    async def scenario(players: Players, player: Player) -> None:
        path = tmp_path / "retiring"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as egress:
            egress.bind(str(path))
            egress.listen()
            old = OLD, f"unix://{path}"
            players.follow([old])
            take(players, player)
            await asyncio.sleep(DECLINED_WAIT_S)
            players.follow([old, (OTHER, dead(tmp_path))], {OLD})
            await asyncio.sleep(DECLINED_WAIT_S)
            assert player.refusals == [], "it may have the player: nobody else is asked"
            link, _ = egress.accept()
            with link:
                link.send(ADOPTED)
                await asyncio.sleep(DECLINED_WAIT_S)
            assert (player.refusals, players.handed_over) == (["given away"], 1)
            egress.setblocking(False)
            take(players, Player())
            await asyncio.sleep(DECLINED_WAIT_S)
            with pytest.raises(BlockingIOError):
                egress.accept()

    run(scenario)


def test_players_go_to_those_children_that_have_a_socket_for_them() -> None:
    boot = BootId("1" * 16)
    worker = Endpoint(CPU0, boot, media="ipc://m")
    egress = Endpoint(EGRESS0, boot, tags="ipc://t", handover="unix://h")
    assert handovers_of([worker, egress]) == ((EGRESS0, "unix://h"),)
    assert handovers_of([]) == ()
