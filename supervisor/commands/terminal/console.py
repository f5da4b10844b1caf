"""Where the commands show their tables (IO): rich's console, set up for what a farm has to show."""

from typing import TextIO

from rich.console import Console

PIPE_WIDTH = 200  # a pipe has none: its reader wants no lines folded for 80 columns


def terminal(file: TextIO | None = None) -> Console:
    """Stdout, or `file`. Text is shown as it is: `[fd00::1]:1935` is no markup, `:a:` no emoji."""
    width = None if Console(file=file).is_terminal else PIPE_WIDTH
    return Console(file=file, width=width, markup=False, emoji=False)
