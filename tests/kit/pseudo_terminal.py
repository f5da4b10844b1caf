"""A command on a terminal of its own, whose screen and whose typed keys a test sees."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from tests.kit.waiting import patient

DEADLINE_S = patient(20.0)
_SIZE = ("COLUMNS", "LINES")
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class PseudoTerminal:
    """Runs a command; leaving the `with` block ends it."""

    def __init__(self, command: Sequence[str], width: int = 80, height: int = 24) -> None:
        self._master, self._slave = pty.openpty()
        self.resize(width, height)
        self.modes = termios.tcgetattr(self._slave)
        self.output = ""
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=self._own,
            # whoever runs the tests may say what size its own terminal has
            env={name: value for name, value in os.environ.items() if name not in _SIZE}
            | {"TERM": "xterm-256color"},
        )

    def _own(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job's is ignored
        fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def screen(self) -> list[str]:
        """The lines of the last frame, without styles."""
        self._read(0.0)
        frames = self.output.split("\x1b[H")
        whole = [frame for frame in frames[1:] if frame.endswith("\x1b[J") or "\x1b[J" in frame]
        if not whole:
            return []
        return [_STYLE.sub("", line).rstrip() for line in whole[-1].split("\r\n")]

    def until(self, condition: Callable[[list[str]], object]) -> list[str]:
        """Wait until the screen is so; its lines."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            lines = self.screen()
            if condition(lines):
                return lines
            assert time.monotonic() < deadline, "\n".join(lines) or self.output[-4000:]
            self._read(0.05)

    def wait(self) -> int:
        """Wait until the command has ended; its exit code."""
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.output[-4000:]
            self._read(0.02)
        self._read(0.0)
        return self.process.returncode

    def unread(self) -> bytes:
        """What was typed and nobody has read: the shell would get it."""
        modes: list[Any] = termios.tcgetattr(self._slave)
        modes[3] &= ~termios.ICANON
        termios.tcsetattr(self._slave, termios.TCSANOW, modes)
        ready, _, _ = select.select([self._slave], [], [], 0.05)
        return os.read(self._slave, 4096) if ready else b""

    def modes_now(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def _read(self, timeout_s: float) -> None:
        while select.select([self._master], [], [], timeout_s)[0]:
            self.output += os.read(self._master, 65536).decode(errors="replace")
            timeout_s = 0.0
