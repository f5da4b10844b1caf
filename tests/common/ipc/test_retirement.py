"""A process that serves whom it has, and ends when nobody is left; in virtual time."""

import asyncio

import pytest

from common.ipc.retirement import EMPTY_S, Retirement
from tests.kit.virtual_time import run_virtually


@pytest.mark.parametrize(
    ("leaves", "deadline_s", "ends"),
    [
        ([], 0.0, EMPTY_S),  # nobody is there
        ([(0.0, 7.0)], 0.0, 7.0 + EMPTY_S),
        ([(0.0, 90_000.0)], 0.0, 90_000.0 + EMPTY_S),  # there is no deadline
        ([(0.0, 90_000.0)], 60.0, 60.0),
        ([(0.0, 2.0), (3.0, 9.0)], 0.0, 9.0 + EMPTY_S),  # one that was on its way
        ([(0.0, 5.0)], 60.0, 5.0 + EMPTY_S),
    ],
)
def test_it_ends_when_nobody_has_been_there_for_a_while_or_at_its_deadline(
    leaves: list[tuple[float, float]], deadline_s: float, ends: float
) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        happened: list[str] = []

        def is_empty() -> bool:
            return not any(a <= loop.time() - began < b for a, b in leaves)

        retirement = Retirement(
            lambda: happened.append("retire"), is_empty, lambda: happened.append("end"), loop.time
        )
        assert not retirement.has_begun
        task = loop.create_task(retirement.run(deadline_s))
        await asyncio.sleep(0.1)
        assert happened == ["retire"]
        assert retirement.has_begun
        await task
        assert happened == ["retire", "end"]
        assert ends <= loop.time() - began <= ends + 1.5

    run_virtually(test())
