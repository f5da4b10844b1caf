"""A view and a key give a view; a page and a view give a screen."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.commands.status.stream_selection import Selection
from supervisor.commands.status.table import Page, Shown, page
from supervisor.commands.status.view import MAX_TYPED, Extent, View, frame, press
from supervisor.commands.terminal.layout import line_cells, plain
from tests.kit.status_pages import farm_document, stream_row

HUNDRED = Extent(lines=100, room=10)
TYPING = View(typed="cam")
FILTERED = Selection(pattern="cam", has_problems=True, sort="players")


@pytest.mark.parametrize(
    ("view", "key", "after"),
    [
        (View(), "q", View(is_over=True)),
        (View(), "ctrl-c", View(is_over=True)),
        (View(), "j", View(scroll=1)),
        (View(), "down", View(scroll=1)),
        (View(), "k", View()),
        (View(scroll=5), "up", View(scroll=4)),
        (View(), "page down", View(scroll=10)),
        (View(scroll=85), " ", View(scroll=90)),
        (View(scroll=5), "page up", View()),
        (View(scroll=5), "home", View()),
        (View(scroll=5), "G", View(scroll=90)),
        (View(scroll=95), "k", View(scroll=89)),  # it was that far when there was more
        (View(), "x", View()),
        (View(scroll=5), "s", View(selection=Selection(sort="players"))),
        (View(selection=Selection(sort="state")), "s", View()),
        (View(scroll=5), "p", View(selection=Selection(has_problems=True))),
        (View(), "v", View(renditions=True)),
        (View(renditions=True), "v", View(renditions=False)),
        (View(), "l", View(has_latency=True)),
        (View(), "/", View(typed="")),
        (View(selection=FILTERED), "/", View(selection=FILTERED, typed="cam")),
        (View(selection=FILTERED), "escape", View(selection=Selection(sort="players"))),
        (TYPING, "q", View(typed="camq")),
        (TYPING, "backspace", View(typed="ca")),
        (View(typed=""), "backspace", View(typed="")),
        (TYPING, "up", TYPING),
        (TYPING, "escape", View()),
        (TYPING, "enter", View(selection=Selection(pattern="cam"))),
        (replace(TYPING, scroll=7), "enter", View(selection=Selection(pattern="cam"))),
        (TYPING, "ctrl-c", replace(TYPING, is_over=True)),
        (View(typed="x" * MAX_TYPED), "y", View(typed="x" * MAX_TYPED)),
    ],
)
def test_keys(view: View, key: str, after: View) -> None:
    assert press(view, key, HUNDRED) == after


def farm_page(streams: int, width: int, height: int) -> Page:
    found = farm_document([stream_row(key=f"cam{i}", index=i) for i in range(streams)])
    return page(found, 2_000.0, width, Shown(height=height))


def seen(made: Page, view: View, width: int, height: int) -> list[str]:
    return list(map(plain, frame(made, view, width, height)[0]))


def test_what_fits_is_all_there() -> None:
    lines = seen(farm_page(1, 160, 50), View(), 160, 50)
    assert any(line.startswith("  720p") for line in lines)
    assert any(line.startswith("worker:cpu:1") for line in lines)
    assert lines[-1].startswith("q quit")


def test_in_a_low_terminal_processes_are_in_brief_and_streams_scroll() -> None:
    lines = seen(farm_page(60, 80, 24), View(scroll=3), 80, 24)
    assert lines[0].startswith("tfarm ")
    assert any(line.startswith("Processes: 5 ready; 250 MiB; CPU 62 %") for line in lines)
    assert next(line for line in lines if line.startswith("live/")).split()[0] == "live/cam3"
    assert lines[-1].startswith("lines 4-")


def test_in_a_very_low_one_all_of_it_scrolls() -> None:
    made = farm_page(60, 80, 12)
    assert seen(made, View(), 80, 12)[0].startswith("tfarm ")
    last = seen(made, View(scroll=1000), 80, 12)
    assert any(line.startswith("worker:cpu:1") for line in last)


def test_why_a_page_is_old_stands_at_the_top() -> None:
    made = farm_page(60, 80, 24)
    lines, _ = frame(made, View(), 80, 24, "farm not answering, since 12:00:00: nothing listens")
    assert len(lines) == 24
    assert plain(lines[0]).startswith("farm not answering, since 12:00:00")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 30),
    st.integers(20, 200),
    st.integers(1, 60),
    st.integers(0, 500),
    st.none() | st.text("abc é漢", max_size=130),
    st.sampled_from(["", "farm not answering, since 12:00:00: " + "x" * 100]),
)
def test_a_frame_is_as_large_as_the_terminal(
    streams: int, width: int, height: int, scroll: int, typed: str | None, trouble: str
) -> None:
    made = farm_page(streams, width, height)
    lines, extent = frame(made, View(scroll=scroll, typed=typed), width, height, trouble)
    assert len(lines) == height
    assert max(map(line_cells, lines)) <= width
    after = press(View(scroll=scroll), "G", extent)
    assert after.scroll == extent.last


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.integers(24, 50))
def test_every_line_is_reached_by_scrolling(streams: int, height: int) -> None:
    made = farm_page(streams, 80, height)
    view, found = View(), set()
    for _ in range(100):
        lines, extent = frame(made, view, 80, height)
        found |= set(map(plain, lines))
        view = press(view, "j", extent)
    assert {plain(line) for line in made.streams} <= found
