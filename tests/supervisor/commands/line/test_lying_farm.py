"""Commands at a run directory that is not to be believed, or whose farm lies."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import pytest
import zmq
from typer.testing import CliRunner, Result

from common.ipc.command_messages import Answer, Command
from common.ipc.control_link import control_address
from common.ipc.control_messages import SupervisorBeat
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId
from supervisor.commands.line import client
from supervisor.commands.line.cli import app
from supervisor.commands.line.client import CommandFailed, NotRunning, ask, understanding
from supervisor.processes.run_dir import served_by
from tests.kit.needs import needs_root
from tests.kit.status_pages import farm_document, stream_row
from tests.kit.waiting import patient

is_two_users = needs_root("it is another user, too")
MALLORY = 12345
CLEAR = "\x1b[2J\x9b31m\u202e"

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("status", "-v"),
    ("status", "--latency"),
    ("status", "live/cam1"),
    ("kick", "live/cam1"),
    ("drain", "cpu:0"),
    ("undrain", "cpu:0"),
    ("rebalance",),
    ("reload",),
    ("capture", "live/cam1"),
    ("stop",),
)


@pytest.fixture
def run_dir() -> Iterator[Path]:
    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        yield Path(name)


Say = Callable[[Command], Sequence[bytes]]


class LyingFarm:
    """Answers each command with what `say` makes of it; more than one frame is one message each."""

    def __init__(self, run_dir: Path, say: Say, uid: int = 0) -> None:
        self._run_dir, self._say, self._uid = run_dir, say, uid
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._bound = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._bound.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join(20)

    def _answer(self) -> None:
        context = zmq.Context(io_threads=1)
        router: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        router.setsockopt(zmq.SNDTIMEO, 100)
        router.bind(control_address(self._run_dir))
        self._bound.set()
        while not self._is_over.is_set():
            if router.poll(20):
                peer, *frames = router.recv_multipart()
                message, _ = decode_frames(frames)
                for frame in self._say(message):
                    if self._is_over.is_set():
                        break
                    try:
                        router.send_multipart([peer, frame])
                    except zmq.Again:
                        break
        context.destroy(linger=0)


def answering(ok: bool, text: str, document: str) -> Say:
    return lambda command: [encode(Answer(command.request_id, ok, text, document))]


def tfarm(run_dir: Path, *arguments: str) -> Result:
    """Without a process of its own, which takes half a second; what it raises is asserted on."""
    result = CliRunner().invoke(app, [*arguments, "--run-dir", str(run_dir)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


# ---- whose directory it is ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702, 0o1777])
def test_a_directory_in_which_others_may_write_is_refused(run_dir: Path, mode: int) -> None:
    run_dir.chmod(mode)
    with LyingFarm(run_dir, answering(True, "", "{}")), pytest.raises(NotRunning, match="others"):
        ask(run_dir, "stop")
    run_dir.chmod(0o700)


@is_two_users
def test_a_socket_that_another_user_serves_is_refused(run_dir: Path) -> None:
    """Root's own directory, made open for a moment: somebody else put his socket there."""
    said: list[Command] = []
    child = os.fork()
    if not child:
        os.chown(run_dir, MALLORY, -1)
        os.setresuid(MALLORY, MALLORY, MALLORY)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(run_dir / "control"))
            listener.listen()
            time.sleep(20)
        os._exit(0)
    try:
        while not served_by(run_dir, 1.0):
            time.sleep(0.01)
        os.chown(run_dir, 0, -1)
        with pytest.raises(NotRunning, match=f"user {MALLORY} listens in it"):
            ask(run_dir, "kick", {"app": "live", "key": "secret"})
        # another user's directory, and his farm: root may mean that
        os.chown(run_dir, MALLORY, -1)
        with pytest.raises(NotRunning, match="does not answer"):
            ask(run_dir, "status", timeout=0.2)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert not said


def test_a_farm_that_takes_no_connection_is_given_up(run_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(run_dir / "control"))
        listener.listen(0)
        first.connect(str(run_dir / "control"))
        began = time.monotonic()
        with pytest.raises(NotRunning, match="does not answer"):
            ask(run_dir, "status", timeout=0.3)
        assert time.monotonic() - began < patient(5)


# ---- what its farm says -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff" * 1000,
        encode(Answer(1, True))[:-3],
        encode(Command(1, "status")),
        encode(Answer(2, True, "", "{}")),
        encode(SupervisorBeat(BootId("x"))),
        bytes(5 * 1024 * 1024),
    ],
)
def test_nonsense_is_no_answer(run_dir: Path, frame: bytes) -> None:
    with (
        LyingFarm(run_dir, lambda command: [frame]),
        pytest.raises((NotRunning, CommandFailed), match=r"unreadable answer|does not answer"),
    ):
        ask(run_dir, "status", timeout=0.5)


def test_answers_without_end_are_not_listened_to_for_ever(run_dir: Path) -> None:
    beat = encode(SupervisorBeat(BootId("x")))
    began = time.monotonic()
    with (
        LyingFarm(run_dir, lambda command: (beat for _ in range(10**9))),  # type: ignore[arg-type, return-value]  # lazily
        pytest.raises(NotRunning, match="does not answer"),
    ):
        ask(run_dir, "status", timeout=0.5)
    assert time.monotonic() - began < patient(10)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '"x"', "null", "[" * 100_000, '{"a":' * 100_000, "9" * 10_000]
)
def test_what_is_no_json_object_is_no_document(run_dir: Path, text: str) -> None:
    with LyingFarm(run_dir, answering(True, "", text)), pytest.raises(CommandFailed):
        client.status(run_dir)


def mangled(value: Any, wrong: Any) -> Iterator[Any]:
    """The document with one value replaced, in each place of its first levels."""
    if isinstance(value, dict):
        yield from ({**value, key: wrong} for key in value)
        yield from (
            {**value, key: each} for key, inner in value.items() for each in mangled(inner, wrong)
        )
    elif isinstance(value, list) and value:
        yield [wrong, *value[1:]]
        yield from ([each, *value[1:]] for each in mangled(value[0], wrong))


@pytest.mark.parametrize("wrong", [None, -1, 10**30, "x", [], {}, [[]], {"a": {}}, 1e308, True])
def test_a_page_of_a_document_with_a_wrong_type_anywhere_is_a_page_or_a_reason(wrong: Any) -> None:
    from supervisor.commands.status.stream_selection import Selection
    from supervisor.commands.status.table import Shown, page

    for document in mangled(farm_document([stream_row()]), wrong):
        with contextlib.suppress(CommandFailed), understanding():
            page(client.for_terminal(document), 1e9, 100, Shown(Selection(), True, 50))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_has_a_traceback_or_steers_the_terminal(
    run_dir: Path, command: tuple[str, ...]
) -> None:
    lies = [
        answering(False, f"no{CLEAR}", ""),
        answering(True, f"yes{CLEAR}", json.dumps({"a": CLEAR, "streams": {"x": CLEAR}})),
        answering(True, "", json.dumps({"pid": -1, "streams": -1, "request": [], CLEAR: CLEAR})),
    ]
    for lie in lies:
        with LyingFarm(run_dir, lie):
            done = tfarm(run_dir, *command)
        shown = done.stdout + done.stderr
        assert "Traceback" not in shown
        assert not set("\x1b\x9b\u202e") & set(shown)
        assert done.exit_code in (0, 1)


def test_a_capture_is_moved_only_if_it_is_the_farms(run_dir: Path) -> None:
    other = run_dir / "link"
    (run_dir / "real").write_text("the operator's")
    other.symlink_to(run_dir / "real")
    for path in (other, run_dir, Path("/dev/null"), run_dir / "none"):
        answer = {"request": 1, "is_waiting": False, "path": str(path), "seconds": 1.0}
        with LyingFarm(run_dir, answering(True, "", json.dumps({**answer, "size_bytes": 1}))):
            done = tfarm(run_dir, "capture", "live/cam1", "-o", str(run_dir / "out"))
        assert done.exit_code == 1, path
        assert "Traceback" not in done.stderr
    assert (run_dir / "real").read_text() == "the operator's"
    assert not (run_dir / "out").exists()
