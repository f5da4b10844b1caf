"""What the CLI may ask the supervisor, one method a command. Pure but for what it calls.

`Command(name, arguments)` in, `Answer(ok, text, json)` out. docs/wire.md lists them.
"""

import json
import os
from collections.abc import Callable
from typing import Any, Protocol

from common.ipc.control_messages import Answer, Command

AnswerTo = Callable[[bytes, Answer], None]


class Commanded(Protocol):
    """The supervisor, as commands see it."""

    def status(self) -> dict[str, Any]: ...

    def stop(self) -> None: ...

    def reload(self) -> tuple[bool, str]: ...


class Operated(Protocol):
    """What can be asked of its streams and devices (`Operations`)."""

    def kick(self, app: str, key: str) -> str: ...

    def drain(self, device: str) -> tuple[bool, str, dict[str, Any]]: ...

    def undrain(self, device: str) -> tuple[bool, str]: ...

    def drain_all(self, timeout_s: float | None) -> dict[str, Any]: ...

    def undrain_all(self) -> str: ...

    def rebalance(self) -> str: ...


def _nobody(peer: bytes, answer: Answer) -> None:
    raise AssertionError("Commands.answer is not set")


class Commands:
    """Answers commands; `answer` is where answers go."""

    def __init__(self, supervisor: Commanded, operations: Operated) -> None:
        self.answer: AnswerTo = _nobody
        self._supervisor = supervisor
        self._operations = operations

    def handle(self, peer: bytes, command: Command) -> None:
        """Do what is asked, and answer the one who asked."""
        request_id = command.request_id
        match command.name:
            case "status":
                document = json.dumps(self._supervisor.status())
                self.answer(peer, Answer(request_id, True, json=document))
            case "stop":
                # answered first: afterwards nobody may be there to do it
                pid = json.dumps({"pid": os.getpid()})
                self.answer(peer, Answer(request_id, True, "stopping", pid))
                self._supervisor.stop()
            case "reload":
                ok, text = self._supervisor.reload()
                self.answer(peer, Answer(request_id, ok, text))
            case "kick":
                self.answer(peer, self._kick(command))
            case "drain":
                self.answer(peer, self._drain(command))
            case "undrain":
                self.answer(peer, self._undrain(command))
            case "rebalance":
                self.answer(peer, Answer(request_id, True, self._operations.rebalance()))
            case name:
                self.answer(peer, Answer(request_id, False, f"unknown command: {name[:40]}"))

    def _drain(self, command: Command) -> Answer:
        """Begins a drain, or goes on with it; the document says what is left."""
        device = command.arguments.get("device", "")
        if device:
            ok, text, left = self._operations.drain(device)
            return Answer(command.request_id, ok, text, json.dumps(left))
        timeout = command.arguments.get("timeout", "")
        try:
            timeout_s = float(timeout) if timeout else None
        except ValueError:
            return Answer(command.request_id, False, "the timeout is no number of seconds")
        left = self._operations.drain_all(timeout_s)
        return Answer(command.request_id, True, json=json.dumps(left))

    def _undrain(self, command: Command) -> Answer:
        device = command.arguments.get("device", "")
        if not device:
            return Answer(command.request_id, True, self._operations.undrain_all())
        return Answer(command.request_id, *self._operations.undrain(device))

    def _kick(self, command: Command) -> Answer:
        app, key = command.arguments.get("app", ""), command.arguments.get("key", "")
        done = self._operations.kick(app, key)
        if done:
            return Answer(command.request_id, True, done)
        return Answer(command.request_id, False, f"no such stream: {app}/{key}")
