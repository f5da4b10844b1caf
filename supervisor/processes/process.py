"""One child process (IO): started by exec, or adopted; watched by pidfd, signalled by pidfd.

A child is never forked from Python code and never imported: `subprocess` execs it in a session of
its own, with the supervisor's stderr. An adopted one is no child in the kernel's eyes, so its exit
status stays unknown; that it ends is seen all the same. Where the kernel has no pidfd
(before Linux 5.3) the process is looked at twice a second.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

from common.ipc.control_link import start_ticks

OnExit = Callable[[int | None], None]

POLL_S = 0.5


class Process:
    """A running process. `on_exit` is called once, from the loop, with its code if known."""

    def __init__(
        self, pid: int, ticks: int, popen: "subprocess.Popen[bytes] | None", on_exit: OnExit
    ) -> None:
        """Use `spawn` or `adopt`."""
        self.pid = pid
        self.start_ticks = ticks
        self._popen = popen
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._pidfd: int | None = None
        self._poll: asyncio.TimerHandle | None = None
        self._is_over = False
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._loop.call_soon(self._look)
        except OSError:
            self._look()
        else:
            self._loop.add_reader(self._pidfd, self._look)
            if popen is None and start_ticks(pid) != ticks:
                # the pid was reused between the hello and the pidfd: that one is not ours
                self._loop.call_soon(self._finish, None)

    @classmethod
    def spawn(cls, argv: Sequence[str], environ: Mapping[str, str], on_exit: OnExit) -> "Process":
        """Start a process. Raises OSError."""
        popen = subprocess.Popen(
            list(argv),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return cls.watch(popen, on_exit)

    @classmethod
    def watch(cls, popen: "subprocess.Popen[bytes]", on_exit: OnExit) -> "Process":
        """Watch a child that has just been started."""
        return cls(popen.pid, start_ticks(popen.pid), popen, on_exit)

    @classmethod
    def adopt(cls, pid: int, ticks: int, on_exit: OnExit) -> "Process":
        """Watch a process that someone else started."""
        return cls(pid, ticks, None, on_exit)

    def send_signal(self, number: int) -> None:
        """Signal it; nothing when it is gone."""
        if self._is_over:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)
            elif start_ticks(self.pid) == self.start_ticks:
                os.kill(self.pid, number)

    def forget(self) -> None:
        """Stop watching it."""
        self._is_over = True
        if self._poll is not None:
            self._poll.cancel()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._popen is not None and self._popen.returncode is None:
            # it goes on without us, on purpose: no warning about that from Popen
            self._popen.returncode = 0

    def _look(self) -> None:
        """See if it is gone."""
        if self._is_over:
            return
        if self._popen is not None:
            code = self._popen.poll()
            if code is not None:
                self._finish(code)
                return
        elif self._pidfd is not None or start_ticks(self.pid) != self.start_ticks:
            self._finish(_status_of(self.pid))
            return
        if self._pidfd is None:
            self._poll = self._loop.call_later(POLL_S, self._look)

    def _finish(self, code: int | None) -> None:
        if not self._is_over:
            self.forget()
            self._on_exit(code)


def _status_of(pid: int) -> int | None:
    """Return the exit code of an adopted process that has ended.

    It is known of one that this very process started, before it became another version by exec.
    """
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except OSError:
        return None
    return os.waitstatus_to_exitcode(status) if ended else None


def reap() -> None:
    """Take the exit statuses of children that ended before this program began, by exec."""
    with contextlib.suppress(OSError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def is_alive(pid: int, ticks: int) -> bool:
    """Tell if this very process runs (and is no zombie)."""
    if ticks == 0 or start_ticks(pid) != ticks:
        return False
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def kill_stranger(pid: int, ticks: int, number: int) -> bool:
    """Signal a process that is not ours to watch, if it still is the one that was meant."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if start_ticks(pid) != ticks:
            return False
        signal.pidfd_send_signal(pidfd, number)
        return True
    except OSError:
        return False
    finally:
        os.close(pidfd)
