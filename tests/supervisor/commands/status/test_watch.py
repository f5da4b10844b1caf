"""`tfarm status --watch`, on a terminal and in a pipe."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.kit.farm import TFARM
from tests.kit.pseudo_terminal import PseudoTerminal
from tests.kit.status_pages import farm_document, stream_row
from tests.kit.status_stub import StatusStub
from tests.kit.waiting import patient

pytestmark = pytest.mark.e2e


@pytest.fixture
def stub() -> Iterator[StatusStub]:
    document = farm_document([stream_row(key=f"cam{i}", index=i) for i in range(60)])
    with (
        TemporaryDirectory(prefix="tf-", dir="/tmp") as name,
        StatusStub(Path(name), document) as s,
    ):
        yield s


def command(stub: StatusStub, *options: str) -> list[str]:
    return [TFARM, "status", "--watch", *options, "--run-dir", str(stub.run_dir)]


def streams(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if line.startswith("live/")]


def test_the_streams_scroll_between_totals_and_processes_and_q_leaves_no_trace(
    stub: StatusStub,
) -> None:
    with PseudoTerminal(command(stub), 80, 24) as terminal:
        lines = terminal.until(lambda lines: "live/cam0" in streams(lines))
        assert len(lines) == 24
        assert all(len(line) <= 80 for line in lines)
        assert lines[0].startswith("tfarm 0.1.0 rtmp://127.0.0.1:1935")
        assert any(line.startswith("Processes: 5 ready") for line in lines)
        seen = len(streams(lines))
        assert seen >= 6
        terminal.type("j")
        terminal.until(lambda lines: streams(lines)[0] == "live/cam1")
        terminal.type("\x1b[B\x1b[B\x1b[A")
        terminal.until(lambda lines: streams(lines)[0] == "live/cam2")
        terminal.type("\x1b[6~")
        lines = terminal.until(lambda lines: streams(lines)[0] == f"live/cam{2 + seen}")
        assert any(line.startswith("Processes: 5 ready") for line in lines), "where it was"
        terminal.type("G")
        terminal.until(lambda lines: streams(lines)[-1] == "live/cam59")
        terminal.type("g/cam5")
        terminal.until(lambda lines: lines[-1].startswith("/cam5"))
        terminal.type("\r")
        lines = terminal.until(lambda lines: "Streams: 11 of 60" in lines)
        assert streams(lines)[:2] == ["live/cam5", "live/cam50"]
        terminal.type("s")
        terminal.until(lambda lines: "Streams: 11 of 60, by players" in lines)
        terminal.resize(160, 50)
        terminal.signal(signal.SIGWINCH)
        terminal.until(lambda lines: len(lines) == 50)
        terminal.type("qclear\n")
        assert terminal.wait() == 0
        assert terminal.output.endswith("\x1b[?25h\x1b[?1049l")
        assert terminal.modes_now() == terminal.modes
        assert terminal.unread() == b""


@pytest.mark.parametrize(
    ("end", "code"), [("\x03", 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_however_it_ends_the_terminal_is_as_before(
    stub: StatusStub, end: str | signal.Signals, code: int
) -> None:
    with PseudoTerminal(command(stub)) as terminal:
        terminal.until(streams)
        if isinstance(end, str):
            terminal.type(end)
        else:
            terminal.signal(end)
        assert terminal.wait() == code
        assert terminal.output.endswith("\x1b[?25h\x1b[?1049l")
        assert terminal.modes_now() == terminal.modes


def test_a_supervisor_that_is_replaced_is_waited_for_and_q_works_meanwhile(
    stub: StatusStub,
) -> None:
    with PseudoTerminal(command(stub)) as terminal:
        terminal.until(streams)
        stub.stop()
        lines = terminal.until(lambda lines: lines[0].startswith("farm not answering, since "))
        assert streams(lines), "what was last known is still there"
        stub.document = farm_document([stream_row(key="new")])
        stub.start()
        terminal.until(lambda lines: streams(lines) == ["live/new"])
        assert terminal.screen()[0].startswith("tfarm 0.1.0")
        stub.stop()
        terminal.until(lambda lines: lines[0].startswith("farm not answering, since "))
        terminal.type("q")
        assert terminal.wait() == 0


def pipe(stub: StatusStub, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(stub, *options),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "80"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's
    )


def test_in_a_pipe_it_prints_blocks_of_plain_text_and_ends_with_its_reader(
    stub: StatusStub,
) -> None:
    stub.document = farm_document([stream_row()])
    with pipe(stub) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        titles = 0
        while titles < 3:
            line = process.stdout.readline()
            assert "\x1b" not in line
            titles += line.startswith("tfarm 0.1.0")
        process.stdout.close()
        assert process.wait(patient(10)) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("option", ["-v", "--json"])
def test_a_reader_that_has_enough_of_one_look_is_no_failure(stub: StatusStub, option: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments = [TFARM, "status", option, "--run-dir", str(stub.run_dir)]
    answer = subprocess.run(
        arguments, stdout=writer, stderr=subprocess.PIPE, timeout=80, check=False
    )
    os.close(writer)
    assert (answer.returncode, answer.stderr) == (0, b"")


def test_json_is_a_document_a_line_also_while_the_supervisor_is_replaced(
    stub: StatusStub,
) -> None:
    stub.document = farm_document()
    with pipe(stub, "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found: list[dict[str, Any]] = [json.loads(process.stdout.readline())]
        stub.stop()
        assert process.stderr.readline().startswith("tfarm: farm not answering, since ")
        stub.start()
        found.append(json.loads(process.stdout.readline()))
        assert [document["version"] for document in found] == ["0.1.0"] * 2
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_file_is_written_as_it_goes(stub: StatusStub, tmp_path: Path) -> None:
    stub.document = farm_document()
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(command(stub), stdin=subprocess.DEVNULL, stdout=out)
    try:
        deadline = time.monotonic() + patient(20)
        while (tmp_path / "out").read_text().count("tfarm 0.1.0") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(10)


def test_a_terminal_without_unicode_gets_question_marks(stub: StatusStub) -> None:
    row = stream_row()
    row["notices"] = [{"code": "x", "words": "漢", "since_unix": 0.0, "is_fault": True}]
    stub.document = farm_document([row])
    arguments = [TFARM, "status", "-v", "--run-dir", str(stub.run_dir)]
    environ = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    shown = subprocess.run(arguments, capture_output=True, timeout=80, check=True, env=environ)
    assert b"source: ?" in shown.stdout


def test_keys_of_peers_do_not_steer_the_terminal(stub: StatusStub) -> None:
    row = stream_row()
    row["notices"] = [
        {"code": "x", "words": "\x1b]0;owned\x07\x1b[2J", "since_unix": 0.0, "is_fault": True}
    ]
    stub.document = farm_document([row])
    arguments = [TFARM, "status", "-v", "--run-dir", str(stub.run_dir)]
    shown = subprocess.run(arguments, capture_output=True, text=True, timeout=80, check=True)
    assert r"\x1b]0;owned\x07\x1b[2J" in shown.stdout
    assert "\x1b" not in shown.stdout
