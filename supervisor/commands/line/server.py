"""The supervisor's end of commands. Pure but for what it calls.

`Command(name, arguments)` in, `Answer(ok, text, json)` out. docs/wire.md lists them.
"""

import json
from collections.abc import Callable, Mapping

from common.ipc.command_messages import Answer, Command
from supervisor.commands.line.command import CommandSpec, RunningFarm

AnswerTo = Callable[[bytes, Answer], None]


def _nobody(peer: bytes, answer: Answer) -> None:
    raise AssertionError("CommandServer.answer is not set")


class CommandServer:
    """Answers commands; `answer` is where answers go."""

    def __init__(self, commands: Mapping[str, CommandSpec], farm: RunningFarm) -> None:
        self.answer: AnswerTo = _nobody
        self._commands = commands
        self._farm = farm

    def handle(self, peer: bytes, command: Command) -> None:
        """Do what is asked, and answer the one who asked."""
        spec = self._commands.get(command.name)
        if spec is None or spec.answer is None:
            text = f"unknown command: {command.name[:40]}"
            self.answer(peer, Answer(command.request_id, False, text))
            return
        reply = spec.answer(self._farm, command.arguments)
        document = "" if reply.document is None else json.dumps(reply.document)
        self.answer(peer, Answer(command.request_id, reply.ok, reply.text, document))
        if spec.afterwards is not None:
            spec.afterwards(self._farm)
