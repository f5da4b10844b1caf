"""Taking over the children that an earlier supervisor left running (IO: asyncio, signals).

Those that answer are adopted by their hello, which goes its usual way; the others are killed.
"""

import asyncio
import logging
import signal
from collections.abc import Sequence
from pathlib import Path

from supervisor.processes import run_dir as run_directory
from supervisor.processes.children import Children
from supervisor.processes.control import Control
from supervisor.processes.process import is_alive, kill_stranger
from supervisor.processes.run_dir import ChildRecord

log = logging.getLogger("tfarm.supervisor.processes.adoption")

ADOPT_TIMEOUT_S = 3.0  # for the hellos
CALL_AGAIN_S = 0.05
KILL_CHECKS = 40  # each after CALL_AGAIN_S: a killed process holds its port until it is gone


async def adopt_children(run_dir: Path, control: Control, children: Children) -> None:
    """Returns when every child that was left is adopted, or gone."""
    loop = asyncio.get_running_loop()
    records = [
        record
        for record in run_directory.read_children(run_dir)
        if is_alive(record.pid, record.start_ticks)
    ]
    children.left = records
    run_directory.remove_sockets(run_dir, [record.boot_id for record in records])
    deadline = loop.time() + ADOPT_TIMEOUT_S
    while (missing := _not_adopted(records, children)) and loop.time() < deadline:
        for record in missing:
            if record.address:
                control.ask_for_hello(record.address.encode())
        await asyncio.sleep(CALL_AGAIN_S)
    for record in missing:
        log.error("killing a child that does not answer child=%s", record.child)
        kill_stranger(record.pid, record.start_ticks, signal.SIGKILL)
        for _ in range(KILL_CHECKS):
            if not is_alive(record.pid, record.start_ticks):
                break
            await asyncio.sleep(CALL_AGAIN_S)
        run_directory.remove_sockets_of(run_dir, record.boot_id)


def _not_adopted(records: Sequence[ChildRecord], children: Children) -> list[ChildRecord]:
    running = set(children.pids())
    return [
        record
        for record in records
        if record.pid not in running and is_alive(record.pid, record.start_ticks)
    ]
