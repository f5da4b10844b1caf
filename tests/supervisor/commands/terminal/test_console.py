"""What is shown is what was told."""

import io

from supervisor.commands.terminal.console import PIPE_WIDTH, terminal


def test_no_text_is_taken_for_markup() -> None:
    out = io.StringIO()
    terminal(out).print("[fd00:a:b::1]:5000 :a: [libx264 @ 0x1] no [/i]")
    assert out.getvalue() == "[fd00:a:b::1]:5000 :a: [libx264 @ 0x1] no [/i]\n"


def test_lines_in_a_pipe_are_as_wide_as_their_text() -> None:
    out = io.StringIO()
    terminal(out).print("x" * PIPE_WIDTH)
    assert out.getvalue() == "x" * PIPE_WIDTH + "\n"
