"""`tfarm status --watch` (IO): asks the farm each second, and shows it as long as somebody looks.

On a terminal it has the whole screen and takes keys (`view.py`); in a pipe or a file each
look is a block of lines, or with --json a line. A farm that does not answer is waited for: its
supervisor may be replaced meanwhile. A library such as Textual would do the keys and the scrolling
too, for 0.4 s more at each start and 24 MiB more; these 250 lines do them with what Python has.
"""

import contextlib
import json
import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from common.errors import TfarmError
from supervisor.commands.line.client import for_terminal
from supervisor.commands.line.client import status as ask_status
from supervisor.commands.status.latency_table import latency_lines
from supervisor.commands.status.stream_page import NoSuchStream, named, part_of
from supervisor.commands.status.table import Page, Shown, page
from supervisor.commands.status.view import Extent, View, frame, press
from supervisor.commands.terminal.keyboard import Keyboard
from supervisor.commands.terminal.layout import Line, Span, render
from supervisor.commands.terminal.screen import Screen, look, show

EVERY_S = 1.0
ESCAPE_S = 0.05  # after an ESC: what follows belongs to it

_ENTER = "\x1b[?1049h\x1b[?25l"  # another screen, without a cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"


@dataclass(frozen=True, slots=True)
class Look:
    """What the farm answered last."""

    document: Any
    trouble: str = ""  # why that was not just now


class Farm:
    """The farm, asked again and again."""

    def __init__(self, run_dir: Path) -> None:
        """Ask for the first time. Raises NotRunning, CommandFailed."""
        self._run_dir = run_dir
        self._silent_unix = 0.0
        self.look = Look(ask_status(run_dir))

    def ask(self) -> Look:
        """Ask once more; takes up to some seconds when nobody answers."""
        try:
            self.look = Look(ask_status(self._run_dir))
            self._silent_unix = 0.0
        except TfarmError as error:
            self._silent_unix = self._silent_unix or time.time()
            since = f"{datetime.fromtimestamp(self._silent_unix):%H:%M:%S}"
            trouble = f"farm not answering, since {since}: {error}"
            self.look = replace(self.look, trouble=trouble)
        return self.look


def watch(run_dir: Path, view: View, *, as_json: bool) -> None:
    """Show the farm until the viewer leaves. Raises as `Farm`, and BrokenPipeError."""
    farm = Farm(run_dir)
    if sys.stdout.isatty() and not as_json:
        _watch_on_terminal(farm, view)
        return
    _watch_in_pipe(farm, view, as_json=as_json)


# ---- a pipe or a file -------------------------------------------------------------------------


def _watch_in_pipe(farm: Farm, view: View, *, as_json: bool) -> None:
    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)  # its end is reported without being asked for
    due_s = time.monotonic()
    while True:
        if as_json:
            _write_json(farm.look, view.selection.pattern)
        else:
            screen = look()
            show([*_lines(farm.look, view, screen), ()], screen)
        due_s = max(due_s + EVERY_S, time.monotonic())
        while (left_s := due_s - time.monotonic()) > 0:
            if reader.poll(left_s * 1000):
                raise BrokenPipeError
        farm.ask()


def _write_json(seen: Look, name: str) -> None:
    try:
        found = named(seen.document, name)
    except NoSuchStream as error:
        seen = replace(seen, trouble=str(error))
        found = None
    if seen.trouble:
        print(f"tfarm: {seen.trouble}", file=sys.stderr, flush=True)
    else:
        document = seen.document if found is None else part_of(seen.document, found)
        print(json.dumps(document), flush=True)


def _lines(seen: Look, view: View, screen: Screen) -> list[Line]:
    if seen.trouble:
        return [(Span(seen.trouble),)]
    return _page(seen, view, screen).lines


def _page(seen: Look, view: View, screen: Screen) -> Page:
    document = for_terminal(seen.document)
    if view.has_latency:
        return Page([], [], latency_lines(document, screen.width, view.selection))
    shown = Shown(view.selection, view.renditions, screen.height)
    return page(document, time.time(), screen.width, shown)


# ---- a terminal -------------------------------------------------------------------------------


class _Asker(threading.Thread):
    """Asks beside the keys: a farm that hangs must not hold up `q`."""

    def __init__(self, farm: Farm, wake: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._farm = farm
        self._wake = wake

    def run(self) -> None:
        while True:
            time.sleep(EVERY_S)
            self._farm.ask()
            self._wake()


def _watch_on_terminal(farm: Farm, view: View) -> None:
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(awake, False)

    def wake_up() -> None:
        with contextlib.suppress(BlockingIOError):  # it is awake
            os.write(wake, b"\0")

    keys = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    with _full_screen(keys, wake_up):
        _Asker(farm, wake_up).start()
        _show_until_left(farm, view, keys, awake)


def _show_until_left(farm: Farm, view: View, keys: int | None, awake: int) -> None:
    keyboard = Keyboard()
    sources = [awake] if keys is None else [awake, keys]
    while not view.is_over:
        screen = look()
        seen = farm.look
        extent = _draw(_page(seen, view, screen), view, screen, seen.trouble)
        ready, _, _ = select.select(sources, [], [], ESCAPE_S if keyboard.is_waiting else None)
        pressed = [] if ready else keyboard.flush()
        if awake in ready:
            os.read(awake, 4096)
        if keys in ready and keys is not None:
            data = os.read(keys, 4096)
            if not data:
                return  # the terminal is gone
            pressed = keyboard.feed(data)
        for key in pressed:
            view = press(view, key, extent)


def _draw(made: Page, view: View, screen: Screen, trouble: str) -> Extent:
    lines, extent = frame(made, view, screen.width, screen.height or 24, trouble)
    drawn = "\x1b[K\r\n".join(render(line, is_coloured=screen.is_coloured) for line in lines)
    sys.stdout.write(f"\x1b[H{drawn}\x1b[K\x1b[J")
    sys.stdout.flush()
    return extent


@contextlib.contextmanager
def _full_screen(keys: int | None, wake_up: Callable[[], None]) -> Iterator[None]:
    """Take the screen and its keys, and give them back as they were, whatever ends it."""
    before = termios.tcgetattr(keys) if keys is not None else None

    def take() -> None:
        if keys is not None:
            tty.setcbreak(keys)  # Ctrl-C and Ctrl-Z are signals as before
        sys.stdout.write(_ENTER)
        sys.stdout.flush()

    def give_back() -> None:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        if keys is not None and before is not None:
            termios.tcsetattr(keys, termios.TCSAFLUSH, before)  # what was typed is for nobody else

    def on_stop(_number: int, _frame: object) -> None:
        give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # stands still here until it is continued
        signal.signal(signal.SIGTSTP, on_stop)
        take()
        wake_up()

    def on_end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    handlers: dict[int, Any] = {
        signal.SIGWINCH: lambda _number, _frame: wake_up(),
        signal.SIGTSTP: on_stop,
        signal.SIGTERM: on_end,
        signal.SIGHUP: on_end,
    }
    earlier = {number: signal.signal(number, on) for number, on in handlers.items()}
    try:
        take()
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
            give_back()
