"""What `tfarm status --watch` shows of a page, and what keys do to that. Pure.

A view and a key give a view; a page and a view give as many lines as the terminal has. Totals,
devices, processes and refusals stay where they are, and the streams between them scroll, as long
as enough of them is seen; else all of it scrolls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from supervisor.commands.status.stream_selection import SORTS, Selection
from supervisor.commands.status.table import Page
from supervisor.commands.terminal import keyboard
from supervisor.commands.terminal.layout import Line, Span, fit, shorten

MIN_STREAMS = 6  # lines of them that are worth to be scrolled alone
MAX_TYPED = 128
HELP = "q quit  j k ↑ ↓ PgUp PgDn scroll  / filter  s sort  v renditions  p problems  l latency"


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at."""

    selection: Selection = field(default_factory=Selection)
    renditions: bool | None = None  # None: where there is room
    has_latency: bool = False
    scroll: int = 0  # lines
    typed: str | None = None  # a filter that is being typed
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to scroll."""

    lines: int = 0
    room: int = 1  # so many of them are seen at a time

    @property
    def last(self) -> int:
        return max(0, self.lines - self.room)


def press(view: View, key: str, extent: Extent) -> View:
    """The view after a key."""
    if key == keyboard.CTRL_C:
        return replace(view, is_over=True)
    if view.typed is not None:
        return _type(view, view.typed, key)
    step = {
        keyboard.UP: -1,
        "k": -1,
        keyboard.DOWN: 1,
        "j": 1,
        keyboard.ENTER: 1,
        keyboard.PAGE_UP: -extent.room,
        "b": -extent.room,
        keyboard.PAGE_DOWN: extent.room,
        " ": extent.room,
        "f": extent.room,
        keyboard.HOME: -extent.lines,
        "g": -extent.lines,
        keyboard.END: extent.lines,
        "G": extent.lines,
    }.get(key)
    if step is not None:
        begin = min(view.scroll, extent.last)
        return replace(view, scroll=max(0, min(extent.last, begin + step)))
    return _command(view, key)


def _command(view: View, key: str) -> View:
    selection = view.selection
    match key:
        case "q":
            return replace(view, is_over=True)
        case "/":
            return replace(view, typed=selection.pattern)
        case keyboard.ESCAPE:
            return replace(view, selection=Selection(sort=selection.sort), scroll=0)
        case "s":
            sort = SORTS[(SORTS.index(selection.sort) + 1) % len(SORTS)]
            return replace(view, selection=replace(selection, sort=sort), scroll=0)
        case "p":
            selection = replace(selection, has_problems=not selection.has_problems)
            return replace(view, selection=selection, scroll=0)
        case "v":
            return replace(view, renditions=not view.renditions, scroll=0)
        case "l":
            return replace(view, has_latency=not view.has_latency, scroll=0)
        case _:
            return view


def _type(view: View, typed: str, key: str) -> View:
    match key:
        case keyboard.ENTER:
            selection = replace(view.selection, pattern=typed)
            return replace(view, selection=selection, typed=None, scroll=0)
        case keyboard.ESCAPE:
            return replace(view, typed=None)
        case keyboard.BACKSPACE:
            return replace(view, typed=typed[:-1])
        case _ if len(key) == 1 and len(typed) < MAX_TYPED:
            return replace(view, typed=typed + key)
        case _:
            return view


def frame(
    page: Page, view: View, width: int, height: int, trouble: str = ""
) -> tuple[list[Line], Extent]:
    """As many lines as the terminal has, and how much there is to scroll.

    `trouble` says why the page is an old one.
    """
    height = max(1, height)
    top = [(Span(shorten(trouble, width), "red"),)] if trouble else []
    room = height - 1 - len(top)  # without the last line, which is the footer
    above, below = [*page.top, *page.titles], page.bottom
    if len(above) + len(page.streams) + len(below) > room:
        below = page.brief
    seen = room - len(above) - len(below)
    if seen < min(MIN_STREAMS, len(page.streams)):
        scrolled: Sequence[Line] = page.lines
        above, below, seen = [], [], max(0, room)
    else:
        scrolled = page.streams
    extent = Extent(len(scrolled), max(1, seen))
    begin = min(view.scroll, extent.last)
    middle = list(scrolled[begin : begin + seen])
    lines = [*top, *above, *middle, *below][: height - 1]
    lines += [()] * (height - 1 - len(lines))
    footer = _footer(view, extent, begin, width)
    return [*fit_each(lines, width), footer], extent


def fit_each(lines: Sequence[Line], width: int) -> list[Line]:
    """One line for each, whatever the page was made for."""
    return [(fit([line], width) or [()])[0] for line in lines]


def _footer(view: View, extent: Extent, begin: int, width: int) -> Line:
    if view.typed is not None:
        words = f"/{view.typed}█  Enter shows these streams, Esc goes back"
        return (Span(shorten(words, width), "bold"),)
    if extent.lines > extent.room:
        end = min(extent.lines, begin + extent.room)
        return (Span(shorten(f"lines {begin + 1}-{end} of {extent.lines}  {HELP}", width), "dim"),)
    return (Span(shorten(HELP, width), "dim"),)
