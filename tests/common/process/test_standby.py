"""common/process/standby.py: a process that waits until it is told what to be."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from common.process.standby import OPTION, order

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from common.process.standby import wait_for_order
wait_for_order(["colorsys"])
print(sys.argv[1:], "colorsys" in sys.modules, repr(sys.stdin.read()), flush=True)
"""


def run(said: bytes, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        input=said,
        capture_output=True,
        timeout=30,
        cwd=ROOT,
    )


def test_a_child_of_its_own_begins_at_once() -> None:
    done = run(b"", "--index", "0")
    assert done.stdout == b"['--index', '0'] False ''\n"


def test_one_that_waits_begins_with_the_command_line_that_it_is_told() -> None:
    said = order(["--index", "1", "--listen", "[::1]:1935", 'odd "\n\u00e4"'])
    done = run(said + b"no command line", OPTION)
    expected = ["--index", "1", "--listen", "[::1]:1935", 'odd "\n\u00e4"']
    assert done.stdout.decode() == f"{expected} True ''\n"


def test_one_that_nobody_needs_ends_without_a_word() -> None:
    for said in (b"", order(["--index"])[:-1]):
        done = run(said, OPTION)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_one_whose_modules_are_being_replaced_just_now_ends_without_a_word() -> None:
    program = PROGRAM.replace("colorsys", "no_such_module")
    command = [sys.executable, "-c", program, OPTION]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=30, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


@given(st.lists(st.text()))
def test_a_command_line_is_one_line(arguments: Sequence[str]) -> None:
    assert order(arguments).count(b"\n") == 1
