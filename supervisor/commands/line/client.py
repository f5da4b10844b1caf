"""The CLI's end of the control socket (IO): one command, one answer, no loop."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import zmq

from common.errors import EnvelopeError, TfarmError
from common.ipc.command_messages import Answer, Command
from common.ipc.control_link import control_address
from common.ipc.envelope import MAX_ENVELOPE_BYTES, decode_frames, encode
from common.words import counted, printable
from supervisor.processes.run_dir import (
    SERVICE,
    read_children,
    served_by,
    why_served_by_another,
    why_unserved,
    why_untrusted,
)

TIMEOUT_S = 5.0
REQUEST = 1
MAX_WAITING = 16  # messages, of a farm that sends without end


class NotRunning(TfarmError):
    """No farm answers in that run directory, or none that may be believed."""


class CommandFailed(TfarmError):
    """The farm answered that it did not do it, or what nobody can read."""


def ask(
    run_dir: Path,
    name: str,
    arguments: Mapping[str, str] = MappingProxyType({}),
    timeout: float = TIMEOUT_S,
) -> Answer:
    """Send a command to the farm that runs there; its answer.

    The directory must be ours to believe (`run_dir.why_untrusted`), and who listens in it its
    owner, as the kernel tells, or root.

    Raises:
        NotRunning: nobody listens there, nobody who may, or nobody answers in time.
        CommandFailed: the answer is no, or cannot be read.
    """
    deadline_s = time.monotonic() + timeout
    if why := why_untrusted(run_dir, os.geteuid(), is_named=True):
        raise NotRunning(why)
    silence = NotRunning(f"the farm in {run_dir} does not answer within {timeout:g} s")
    try:
        server = served_by(run_dir, timeout)
    except TimeoutError:
        raise silence from None
    if server is None:
        raise NotRunning(_unsupervised(run_dir) or _not_running(run_dir))
    _check_server(run_dir, server.uid)
    context = zmq.Context(io_threads=1)
    try:
        socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, MAX_WAITING)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_ENVELOPE_BYTES)
        socket.setsockopt(zmq.IDENTITY, f"cli/{os.urandom(8).hex()}".encode())
        socket.connect(control_address(run_dir))
        socket.send(encode(Command(REQUEST, name, dict(arguments))))
        while (left_s := deadline_s - time.monotonic()) > 0 and socket.poll(int(left_s * 1000) + 1):
            frame, *others = socket.recv_multipart(copy=False)
            _check_server(run_dir, _uid_of(frame))
            try:
                message, _ = decode_frames([frame.bytes, *(other.bytes for other in others)])
            except EnvelopeError as error:
                raise CommandFailed(f"unreadable answer: {error}") from error
            if isinstance(message, Answer) and message.request_id == REQUEST:
                message = replace(message, text=printable(message.text))
                if not message.ok:
                    raise CommandFailed(message.text)
                return message
        raise silence
    finally:
        context.destroy(linger=0)


def _check_server(run_dir: Path, uid: int | None) -> None:
    try:
        why = why_served_by_another(run_dir, uid) if uid is not None else ""
    except OSError:
        why = f"{run_dir} is gone"
    if why:
        raise NotRunning(why)


def _uid_of(frame: "zmq.Frame") -> int | None:
    """Return whose process the other end is, of the very connection that the frame came by.

    None: this libzmq does not say (`common.ipc.bus`).
    """
    try:
        return int(str(frame.get("Peer-Address")).split(":")[-3])
    except (zmq.ZMQError, ValueError, IndexError):
        return None


def _not_running(run_dir: Path) -> str:
    return f"farm not running ({why_unserved(run_dir)}){_closed_service()}"


def _unsupervised(run_dir: Path) -> str:
    """What a farm without its supervisor still does, and what to do; "" where nothing runs."""
    from supervisor.commands.line.invocation import tfarm_command
    from supervisor.processes.process import is_alive

    left = [child for child in read_children(run_dir) if is_alive(child.pid, child.start_ticks)]
    if not left:
        return ""
    pids = ", ".join(f"{child.child} (pid {child.pid})" for child in left)
    return (
        f"the supervisor in {run_dir} is not running; {counted(len(left), 'process', 'streams')} "
        f"on without it: {pids}. Start a new one, which adopts them, before their orphan_timeout "
        f"is over: {tfarm_command()} supervisor [CONFIG] --run-dir {run_dir}"
    )


def _closed_service() -> str:
    if not SERVICE.exists() or os.access(SERVICE, os.X_OK):
        return ""
    return f"; what runs in {SERVICE} only root and its own user may ask"


def ask_document(
    run_dir: Path, name: str, arguments: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Ask for a JSON object. Raises as `ask`."""
    answer = ask(run_dir, name, arguments)
    try:
        document = json.loads(answer.json)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"unreadable answer: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise CommandFailed("unreadable answer: no JSON object")
    return document


def status(run_dir: Path) -> dict[str, Any]:
    """The status document. Raises as `ask`."""
    return ask_document(run_dir, "status")


# What reading a document raises that is not what this version of tfarm makes.
_NOT_UNDERSTOOD = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


@contextlib.contextmanager
def understanding() -> Iterator[None]:
    """Read a farm's document, which may be of another version, or a lie.

    Raises:
        CommandFailed: it has not what is looked for.
    """
    try:
        yield
    except _NOT_UNDERSTOOD as error:
        what = printable(f"{type(error).__name__}: {error}")[:200]
        raise CommandFailed(
            f"the farm's answer cannot be understood ({what}): is it of another version?"
        ) from error


def for_terminal(value: Any) -> Any:
    """A document whose texts steer no terminal, whoever they come from (`common.words`)."""
    match value:
        case str():
            return printable(value)
        case list():
            return [for_terminal(item) for item in value]
        case dict():
            return {printable(name): for_terminal(item) for name, item in value.items()}
        case _:
            return value
