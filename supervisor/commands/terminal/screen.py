"""Where the commands show their lines (IO): how wide it is, whether it has colours."""

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from io import TextIOWrapper

from supervisor.commands.terminal.layout import Line, render

PIPE_WIDTH = 200  # a pipe has none: its reader wants no lines folded for 80 columns


@dataclass(frozen=True, slots=True)
class Screen:
    """Stdout, as it is now."""

    width: int
    height: int | None  # None: no terminal
    is_coloured: bool


def look() -> Screen:
    """How stdout is now; $COLUMNS holds for pipes too, and $NO_COLOR for terminals.

    What its encoding has no sign for is written as `?` from then on.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    is_terminal = sys.stdout.isatty()
    size = shutil.get_terminal_size((PIPE_WIDTH, 24))
    is_coloured = (
        is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
    return Screen(max(1, size.columns), size.lines if is_terminal else None, is_coloured)


def abandon_output() -> None:
    """The reader of stdout has enough: Python's own flush at the end must not fail for that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(lines: Iterable[Line], screen: Screen) -> None:
    """Write lines to stdout, and have them there when this returns."""
    text = "".join(render(line, is_coloured=screen.is_coloured) + "\n" for line in lines)
    sys.stdout.write(text)
    sys.stdout.flush()
