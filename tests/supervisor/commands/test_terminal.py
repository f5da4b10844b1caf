"""What is shown is what was told."""

import io

from supervisor.commands.status_table import latency_tables, tables
from supervisor.commands.terminal import PIPE_WIDTH, terminal
from tests.kit.farm_rig import Rig
from tests.supervisor.commands.test_status_document import streaming


def test_no_address_and_no_reason_is_taken_for_markup(rig: Rig) -> None:
    found = streaming(rig)
    found["streams"][0]["publisher"] = "[fd00:a:b::1]:5000"
    found["decisions"] = [
        {"at_unix": 0.0, "app": "live", "key": "a", "text": "lost cpu:0: [libx264 @ 0x1] no [/i]"}
    ]
    out = io.StringIO()
    terminal(out).print(tables(found, 2_000.0))
    terminal(out).print(latency_tables(found))
    assert "from [fd00:a:b::1]:5000" in out.getvalue()
    assert "[libx264 @ 0x1] no [/i]" in out.getvalue()


def test_lines_in_a_pipe_are_as_wide_as_their_text() -> None:
    out = io.StringIO()
    terminal(out).print("x" * PIPE_WIDTH)
    assert out.getvalue() == "x" * PIPE_WIDTH + "\n"
