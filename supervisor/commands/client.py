"""The CLI's end of the control socket (IO): one command, one answer, no loop."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import zmq

from common.errors import EnvelopeError, TfarmError
from common.ipc.command_messages import Answer, Command
from common.ipc.control_link import control_address
from common.ipc.envelope import decode_frames, encode
from common.words import counted, printable
from supervisor.processes.run_dir import SERVICE, is_served, read_children, why_unserved

TIMEOUT_S = 5.0


class NotRunning(TfarmError):
    """No farm answers in that run directory."""


class CommandFailed(TfarmError):
    """The farm answered that it did not do it."""


def ask(
    run_dir: Path,
    name: str,
    arguments: Mapping[str, str] = MappingProxyType({}),
    timeout: float = TIMEOUT_S,
) -> Answer:
    """Send a command to the farm that runs there; its answer.

    Raises:
        NotRunning: nobody listens there, or nobody answers in time.
        CommandFailed: the answer is no.
    """
    if not is_served(run_dir):
        raise NotRunning(_unsupervised(run_dir) or _not_running(run_dir))
    context = zmq.Context(io_threads=1)
    try:
        socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IDENTITY, f"cli/{os.urandom(8).hex()}".encode())
        socket.connect(control_address(run_dir))
        socket.send(encode(Command(1, name, dict(arguments))))
        while True:
            if not socket.poll(int(timeout * 1000)):
                raise NotRunning(f"the farm in {run_dir} does not answer within {timeout:g} s")
            try:
                message, _ = decode_frames(socket.recv_multipart())
            except EnvelopeError as error:
                raise CommandFailed(f"unreadable answer: {error}") from error
            if isinstance(message, Answer):
                break
        message = replace(message, text=printable(message.text))
        if not message.ok:
            raise CommandFailed(message.text)
        return message
    finally:
        context.destroy(linger=0)


def _not_running(run_dir: Path) -> str:
    return f"farm not running ({why_unserved(run_dir)}){_closed_service()}"


def _unsupervised(run_dir: Path) -> str:
    """What a farm without its supervisor still does, and what to do; "" where nothing runs."""
    from supervisor.commands.invocation import tfarm_command
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


def status(run_dir: Path) -> dict[str, Any]:
    """The status document. Raises as `ask`."""
    document: dict[str, Any] = json.loads(ask(run_dir, "status").json)
    return document


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
