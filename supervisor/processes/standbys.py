"""Processes that wait to be the next child of a kind (IO: processes).

What they do is in `common/process/standby.py`. There is one for each command that begins a child
whose absence is noticed. It is started when such a child is up, so that it takes no time from a
start, and replaced when it was used.
"""

import asyncio
import contextlib
import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.process.standby import OPTION, order
from supervisor.processes.launch import without_credentials

log = logging.getLogger("tfarm.supervisor.processes.standbys")

FIRST_S = 3.0  # from the first child's start to that of the one that waits
AGAIN_S = 0.2  # from that of one which was needed
END_S = 2.0  # for one that was killed


@dataclass(frozen=True, slots=True)
class StandbyKey:
    """What a process ahead of its time is started with, and what it can therefore become."""

    program: tuple[str, ...]
    environ: tuple[tuple[str, str], ...]  # over the supervisor's own

    @classmethod
    def of(cls, program: Sequence[str], environ: Mapping[str, str]) -> "StandbyKey":
        """Return the one of a command that begins with this program."""
        return cls(tuple(program), tuple(sorted(environ.items())))


class Standbys:
    """Those of one supervisor, on the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[StandbyKey, list[subprocess.Popen[bytes]]] = {}  # the oldest first
        self._due: dict[StandbyKey, asyncio.TimerHandle] = {}
        self._known: set[StandbyKey] = set()  # one has waited before
        self._is_closed = False

    def prepare(self, program: Sequence[str], environ: Mapping[str, str], count: int = 1) -> None:
        """Have so many wait soon; called when a child that they can be is up."""
        key = StandbyKey.of(program, environ)
        if self._is_closed or key in self._due or len(self._alive(key)) >= count:
            return
        # a farm that starts has better things to do
        delay_s = AGAIN_S if key in self._known else FIRST_S
        self._known.add(key)
        self._due[key] = self._loop.call_later(delay_s, self._start, key, count)

    def take(
        self, command: Sequence[str], program: Sequence[str], environ: Mapping[str, str]
    ) -> "subprocess.Popen[bytes] | None":
        """Have one that waits run this command, which begins with its program; None: none."""
        for popen in tuple(waiting := self._waiting.get(StandbyKey.of(program, environ), [])):
            waiting.remove(popen)
            assert popen.stdin is not None
            try:
                popen.stdin.write(order(command[len(program) :]))
                popen.stdin.close()
            except OSError:  # it has ended, or is about to
                self._end(popen)
            else:
                return popen
        return None

    def close(self) -> None:
        """End all that wait."""
        self._is_closed = True
        for timer in self._due.values():
            timer.cancel()
        for waiting in self._waiting.values():
            for popen in waiting:
                self._end(popen)
        self._due.clear()
        self._waiting.clear()

    def _alive(self, key: StandbyKey) -> "list[subprocess.Popen[bytes]]":
        """Return those that still wait; others are forgotten."""
        for popen in tuple(waiting := self._waiting.setdefault(key, [])):
            if popen.poll() is not None:
                waiting.remove(popen)
                self._end(popen)
        return waiting

    def _start(self, key: StandbyKey, count: int) -> None:
        del self._due[key]
        try:
            popen = subprocess.Popen(
                [*key.program, OPTION],
                env=without_credentials(os.environ) | dict(key.environ),
                stdin=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            program, reason = " ".join(key.program), error.strerror
            log.warning("no process waits program=%s reason=%s", program, reason)
            return
        self._alive(key).append(popen)
        self.prepare(key.program, dict(key.environ), count)

    @staticmethod
    def _end(popen: "subprocess.Popen[bytes]") -> None:
        if popen.stdin is not None:
            popen.stdin.close()
        popen.kill()  # it has nothing to lose
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(END_S)
