"""common/process/unblocked.py: whoever does not read holds up nobody; what is lost is counted."""

import logging
import os
import pty
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from common.process import unblocked
from common.process.log_lines import LineFormatter
from common.process.log_output import LineHandler
from common.process.unblocked import MAX_TEXT_BYTES, Unblocked, unblock

LINE = f"{'x' * 99}\n"
MAX_WAIT_S = 2.0  # of many lines, on a busy host; without the rule it is for ever


@pytest.fixture
def ends() -> Iterator[Callable[[str], tuple[int, int]]]:
    """Make a reader and a writer of a kind."""
    with ExitStack() as stack:

        def make(kind: str) -> tuple[int, int]:
            if kind == "socket":
                ours, theirs = socket.socketpair()
                stack.callback(ours.close)
                stack.callback(theirs.close)
                return ours.fileno(), theirs.fileno()
            reader, writer = pty.openpty() if kind == "terminal" else os.pipe()
            stack.callback(os.close, reader)
            stack.callback(os.close, writer)
            return reader, writer

        yield make


@pytest.fixture(params=["pipe", "terminal", "socket", "another user's pipe"])
def pair(
    request: pytest.FixtureRequest,
    ends: Callable[[str], tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[int, int]:
    if request.param == "another user's pipe":
        monkeypatch.setattr(unblocked, "_open_again", lambda descriptor: None)
    return ends(request.param)


def fill(stream: Unblocked) -> None:
    for text in (LINE, "\n"):  # a shorter one may still fit
        for _ in range(20_000):
            if not stream.put(text):
                break
        else:
            raise AssertionError("it takes everything")


def read_all(reader: int) -> bytes:
    os.set_blocking(reader, False)
    data = b""
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        try:
            data += os.read(reader, 1 << 20)
        except BlockingIOError:
            time.sleep(0.01)
    return data


def test_what_nobody_reads_is_counted_and_the_next_lines_go_on(pair: tuple[int, int]) -> None:
    reader, writer = pair
    stream = unblock(writer)
    began = time.monotonic()
    fill(stream)
    for _ in range(500):
        stream.write(LINE)
    assert time.monotonic() - began < MAX_WAIT_S
    assert stream.lost == 500
    read_all(reader)
    assert stream.put("after\n")
    assert read_all(reader).replace(b"\r", b"").endswith(b"after\n")


def test_the_flag_is_left_alone_for_those_who_share_the_descriptor(pair: tuple[int, int]) -> None:
    _, writer = pair
    shared = os.dup(writer)
    unblock(writer)
    assert os.get_blocking(shared)
    os.close(shared)


def test_the_descriptor_itself_does_not_wait_where_it_can_be_opened_again(
    ends: Callable[[str], tuple[int, int]],
) -> None:
    _, writer = ends("pipe")
    fill(unblock(writer))
    with pytest.raises(BlockingIOError):
        os.write(writer, b"from a library in C")


def test_a_slow_reader_has_a_little_time_once_a_second(
    ends: Callable[[str], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = ends("pipe")
    stream = unblock(writer)
    fill(stream)
    os.read(reader, 1 << 20)
    assert stream.put(LINE)
    monkeypatch.setattr(unblocked, "GRACE_S", 5.0)
    stream._next_grace_s = 0.0
    fill_up = threading.Timer(0.05, os.read, (reader, 1 << 20))
    fill_up.start()
    for _ in range(700):
        assert stream.put(LINE)
    fill_up.join()


def test_a_text_is_whole_or_its_rest_comes_before_the_next(
    ends: Callable[[str], tuple[int, int]],
) -> None:
    reader, writer = ends("pipe")
    stream = unblock(writer)
    fill(stream)
    os.read(reader, 8192)
    text = "".join(f"{number}\n" for number in range(5000))
    assert stream.put(text)  # taken in part
    assert not stream.put("not before the rest\n")
    data = read_all(reader)
    assert stream.put("next\n")
    data += read_all(reader)
    assert data.endswith(f"{text}next\n".encode())


def test_a_text_has_a_bound(ends: Callable[[str], tuple[int, int]]) -> None:
    _, writer = ends("pipe")
    stream = unblock(writer)
    stream.put("x" * 10_000_000)
    assert len(stream._rest) <= MAX_TEXT_BYTES


def test_files_closed_descriptors_and_gone_readers_are_no_errors(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    with path.open("a") as file:
        stream = unblock(file.fileno())
        stream.write("after\n")
    assert path.read_text() == "before\nafter\n"
    reader, writer = os.pipe()
    stream = unblock(writer)
    os.close(reader)
    stream.write("nobody\n")
    os.close(writer)
    stream.write("nowhere\n")
    unblock(writer).write("nowhere\n")
    assert stream.lost == 2


def test_the_log_says_how_many_lines_are_lost(ends: Callable[[str], tuple[int, int]]) -> None:
    reader, writer = ends("pipe")
    stream = unblock(writer)
    handler = LineHandler(stream)
    handler.setFormatter(LineFormatter("ingest:0"))
    fill(stream)
    record = logging.LogRecord("tfarm", logging.INFO, "", 0, "line %s", ("a",), None)
    for _ in range(3):
        handler.emit(record)
    read_all(reader)
    handler.emit(record)
    handler.emit(record)
    lines = read_all(reader).decode().splitlines()
    assert [line.split(maxsplit=3)[3] for line in lines] == [
        "log lines lost count=3 reason=nobody read them",
        "line a",
        "line a",
    ]


def test_print_and_tracebacks_can_use_it(ends: Callable[[str], tuple[int, int]]) -> None:
    reader, writer = ends("pipe")
    stream = unblock(writer)
    print("\udcff printed", file=stream, flush=True)
    try:
        raise ValueError("why")
    except ValueError:
        sys.__excepthook__(*sys.exc_info())
    assert read_all(reader) == b"\\udcff printed\n"
