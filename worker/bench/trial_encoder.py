"""One encoder process of a calibration: the farm's, ordered by stdin (IO: a loop, links, pipes).

`python -P -m worker.bench.trial_encoder --run-dir DIR --index I --leader PID [--threads T] [--share
N]`, started by `trial_encoders.py`. It takes pictures from the leader alone, and answers orders by
JSON lines as `trial_processes.py` has them: its part of a trial is the CPU time that it took.
"""

import argparse
import asyncio
import json
import logging
import math
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import uvloop

from common.errors import ExitCode
from common.ipc.child import ChildProcess
from common.ipc.control_link import new_boot_id
from common.ipc.control_messages import Endpoint, Topology
from common.ipc.identity import ChildId
from common.ipc.kinds import KINDS
from common.process import time_slice
from worker.bench.capacity_search import Part
from worker.bench.trial_encoders import LEADER
from worker.bench.trial_processes import say
from worker.bench.trial_runs import counted_time
from worker.encoder.run import SWITCH_INTERVAL_S, EncoderService

KIND: Final = KINDS["encoder"]
CLOSE_S: Final = 10.0  # for the last pictures of a trial
LOOK_S: Final = 0.01


class TrialEncoder:
    """Runs an encoder service until nobody orders any more."""

    def __init__(self, process: ChildProcess, leader_pid: int, threads: int, share: int) -> None:
        self._process = process
        self._leader = Endpoint(LEADER, new_boot_id(), pid=leader_pid)
        self._threads, self._share = threads, share
        self._service: EncoderService | None = None
        self._loop = asyncio.get_running_loop()
        self._total = 1  # streams of the trial

    def build(self, process: ChildProcess) -> EncoderService:
        """Make the service, and take orders from now on."""
        self._service = EncoderService(process, self._threads, self._share)
        self._loop.call_soon(self._begin)
        return self._service

    def _begin(self) -> None:
        assert self._service is not None
        self._process.on_message(Topology((self._leader,)))
        end = self._service.hello().endpoint
        say({"ready": {"boot_id": end.boot_id, "pictures": end.pictures, "pools": end.pools}})
        threading.Thread(target=self._follow, name="orders", daemon=True).start()

    def _follow(self) -> None:
        """In a thread of its own: do as ordered."""
        for line in sys.stdin:
            say(self._obey(json.loads(line)))
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._process.stop)

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order:
            case {"open": _, "of": int(total)}:
                self._total = total
                return {"open": True}
            case {"feed": seconds, "begin": begin}:
                return {"part": asdict(self._measure(begin, seconds))}
            case _:
                self._wait_for_the_last()
                return {"closed": True}

    def _measure(self, begin: float, seconds: float) -> Part:
        """Return the CPU time that pictures take while those of the leader count."""
        warm, end = counted_time(begin, seconds, self._total)
        time.sleep(max(0.0, warm - time.monotonic()))
        cpu, wall = time.process_time(), time.monotonic()
        time.sleep(max(0.0, end - time.monotonic()))
        cores = (time.process_time() - cpu) / max(time.monotonic() - wall, 1e-6)
        return Part(units=0, missing=0, cores=cores, decode=0.0, encode=cores)

    def _wait_for_the_last(self) -> None:
        """Until the leader's streams are closed here."""
        assert self._service is not None
        until_s = time.monotonic() + CLOSE_S
        while self._service.streams and time.monotonic() < until_s:
            time.sleep(LOOK_S)


def main() -> int:
    parser = argparse.ArgumentParser(prog="worker.bench.trial_encoder", description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="for its sockets")
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--leader", type=int, required=True, help="the process that hands over")
    parser.add_argument("--threads", type=int, default=1, help="of an x264 encoder")
    parser.add_argument("--share", type=int, default=1, help="processes that the cores are for")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    time_slice.shorten()

    async def run() -> ExitCode:
        child = ChildId(KIND.name, index=arguments.index)
        process = ChildProcess(KIND, child, arguments.run_dir, orphan_timeout_s=math.inf)
        encoder = TrialEncoder(
            process, arguments.leader, max(1, arguments.threads), max(1, arguments.share)
        )
        return await process.run(encoder.build)

    return uvloop.run(run())


if __name__ == "__main__":
    sys.exit(main())
