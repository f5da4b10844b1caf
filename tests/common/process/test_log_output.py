"""common/process/log_output.py: where a process sends its log, in a process of its own."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.common.process.test_log_lines import entries

PROGRAM = """
import logging, sys
from common.process.log_lines import LogFormat
from common.process.log_output import set_up
set_up("ingest:0", "INFO", LogFormat(sys.argv[1]), sys.argv[2])
log = logging.getLogger("tfarm.x")
for number in range(int(sys.argv[3])):
    log.warning("publish refused stream=%s reason=%s", "live/1", number)
    log.debug("not said")
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.settimeout(5)
        yield listener


def run(
    log_format: str, path: Path, count: int = 1, *, environ: dict[str, str] | None = None
) -> str:
    """Run the program; what it wrote to stderr."""
    command = [sys.executable, "-c", PROGRAM, log_format, str(path / "socket"), str(count)]
    variables = {**os.environ, **(environ or {})}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return done.stderr


def test_the_journal_gets_the_fields_and_stderr_nothing(
    journal: socket.socket, tmp_path: Path
) -> None:
    assert run("journal", tmp_path) == ""
    entry = entries(journal.recv(65_536))
    assert entry["TFARM_STREAM"] == "live/1"
    assert entry["PRIORITY"] == "4"


def test_where_stderr_is_the_journal_its_socket_is_taken(
    journal: socket.socket, tmp_path: Path
) -> None:
    with (tmp_path / "stderr").open("w+b") as stderr:
        found = os.fstat(stderr.fileno())
        stream = f"{found.st_dev}:{found.st_ino}"
        subprocess.run(
            [sys.executable, "-c", PROGRAM, "auto", str(tmp_path / "socket"), "1"],
            env={**os.environ, "JOURNAL_STREAM": stream},
            stderr=stderr,
            check=True,
        )
        stderr.seek(0)
        assert stderr.read() == b""
    assert entries(journal.recv(65_536))["TFARM_EVENT"] == "publish refused"


def test_without_a_journal_lines_go_to_stderr_with_their_priority(tmp_path: Path) -> None:
    said = run("journal", tmp_path)
    assert said == "<4>WARNING ingest:0   publish refused stream=live/1 reason=0\n"


def test_a_journal_that_takes_no_more_stops_nothing_and_what_is_lost_is_counted(
    journal: socket.socket, tmp_path: Path
) -> None:
    assert run("journal", tmp_path, 5000) == ""  # nobody reads: it ends all the same
    journal.setblocking(False)
    taken = 0
    while True:
        try:
            entries(journal.recv(65_536))
        except BlockingIOError:
            break
        taken += 1
    assert 0 < taken < 5000


@pytest.mark.parametrize("count", [1, 3])
def test_json_is_a_line_an_event(tmp_path: Path, count: int) -> None:
    lines = run("json", tmp_path, count).splitlines()
    assert [json.loads(line)["reason"] for line in lines] == list(range(count))


def test_text_is_what_a_terminal_gets(tmp_path: Path) -> None:
    said = run("auto", tmp_path, environ={"JOURNAL_STREAM": "1:2"})
    assert said.endswith("WARNING ingest:0   publish refused stream=live/1 reason=0\n")
