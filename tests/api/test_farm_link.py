"""What the API knows of the farm, and how often it asks, in virtual time."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from api.answers import SPACING_S
from api.farm_link import FRESH_S, SILENT_S, FarmLink, SupervisorAway
from common.ipc.command_messages import Answer, Command
from tests.kit.virtual_time import run_virtually

ANSWERED_AFTER_S = 0.1


class Supervisor:
    """One that answers with the number of the question, a moment later, while it `is_there`."""

    def __init__(self) -> None:
        self.link = FarmLink(self._take, lambda: 0.0 if self.is_there else SILENT_S, time.monotonic)
        self.is_there = True
        self.answers = True
        self.asked_s: list[float] = []

    def _take(self, command: Command) -> bool:
        self.asked_s.append(time.monotonic())
        answer = Answer(command.request_id, True, json=json.dumps({"n": len(self.asked_s)}))
        if self.answers:
            loop = asyncio.get_running_loop()
            loop.call_later(ANSWERED_AFTER_S, self.link.on_answer, answer)
        return True

    async def known(self) -> int:
        return int((await self.link.status()).document["n"])

    async def of_now(self, spacing_s: float = 0.0) -> int:
        return int((await self.link.status_of_now(spacing_s=spacing_s)).document["n"])


def play(scenario: Callable[[Supervisor], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await scenario(Supervisor())

    run_virtually(main())


def test_it_is_asked_once_a_second_whoever_reads() -> None:
    async def scenario(farm: Supervisor) -> None:
        assert await asyncio.gather(*(farm.known() for _ in range(5))) == [1] * 5
        await asyncio.sleep(FRESH_S / 2)
        assert await farm.known() == 1
        await asyncio.sleep(FRESH_S)
        assert await farm.known() == 2

    play(scenario)


def test_a_status_of_now_was_asked_for_after_the_call() -> None:
    async def scenario(farm: Supervisor) -> None:
        assert await farm.known() == 1
        assert await farm.of_now() == 2
        assert await farm.known() == 2

    play(scenario)


def test_a_question_under_way_is_of_before_the_call() -> None:
    async def scenario(farm: Supervisor) -> None:
        reading = asyncio.create_task(farm.known())
        await asyncio.sleep(ANSWERED_AFTER_S / 2)
        assert await farm.of_now() == 2
        assert await reading == 1

    play(scenario)


def test_who_needs_one_of_now_has_it_asked_as_seldom_as_is_said() -> None:
    async def scenario(farm: Supervisor) -> None:
        async def insist() -> None:
            while time.monotonic() < end_s:
                await farm.of_now(SPACING_S)

        end_s = time.monotonic() + 10
        await asyncio.gather(*(insist() for _ in range(50)))
        steps = [b - a for a, b in zip(farm.asked_s, farm.asked_s[1:], strict=False)]
        assert len(steps) > 30
        assert min(steps) >= SPACING_S - 1e-6

    play(scenario)


def expire(link: FarmLink) -> None:
    link.expire()


def replace(link: FarmLink) -> None:
    link.on_new_supervisor()


@pytest.mark.parametrize("change", [expire, replace])
def test_after_a_change_nobody_reads_what_was_asked_for_before(
    change: Callable[[FarmLink], None],
) -> None:
    async def scenario(farm: Supervisor) -> None:
        await farm.known()
        await asyncio.sleep(FRESH_S * 2)
        reading = asyncio.create_task(farm.known())
        await asyncio.sleep(ANSWERED_AFTER_S / 2)
        change(farm.link)
        assert await farm.known() == 3
        await reading

    play(scenario)


def without_a_supervisor(farm: Supervisor) -> None:
    farm.is_there = False


def without_an_answer(farm: Supervisor) -> None:
    farm.answers = False


@pytest.mark.parametrize("fault", [without_a_supervisor, without_an_answer])
@pytest.mark.parametrize("ask", [FarmLink.status, partial(FarmLink.status_of_now, spacing_s=0.0)])
def test_without_an_answer_what_was_known_is_given_after_one_question(
    fault: Callable[[Supervisor], None], ask: Callable[[FarmLink], Awaitable[Any]]
) -> None:
    async def scenario(farm: Supervisor) -> None:
        await farm.known()
        fault(farm)
        await asyncio.sleep(60)
        known = await ask(farm.link)
        assert (known.document, known.is_current) == ({"n": 1}, False)
        assert len(farm.asked_s) <= 2

    play(scenario)


def test_where_nothing_was_ever_known_that_is_said() -> None:
    async def scenario(farm: Supervisor) -> None:
        farm.is_there = False
        with pytest.raises(SupervisorAway, match="nothing is known yet"):
            await farm.link.status_of_now(spacing_s=0.0)
        assert farm.asked_s == []

    play(scenario)
