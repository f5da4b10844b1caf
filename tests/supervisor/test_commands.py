"""What the CLI may ask."""

import json
import os
from typing import Any

import pytest

from common.control_messages import Answer, Command
from supervisor.commands import Commands


class Fake:
    """A supervisor that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def status(self) -> dict[str, Any]:
        return {"streams": []}

    def stop(self) -> None:
        self.told.append("stop")

    def reload(self) -> tuple[bool, str]:
        return False, "listen.rtmp: must be HOST:PORT"

    def kick(self, app: str, key: str) -> bool:
        self.told.append(f"kick {app}/{key}")
        return key == "cam"


def ask(name: str, **arguments: str) -> tuple[Answer, list[str]]:
    fake = Fake()
    commands = Commands(fake)
    answers: list[tuple[bytes, Answer]] = []
    commands.answer = lambda peer, answer: answers.append((peer, answer))
    commands.handle(b"cli/1", Command(7, name, arguments))
    ((peer, answer),) = answers
    assert (peer, answer.request_id) == (b"cli/1", 7)
    return answer, fake.told


def test_status_is_json() -> None:
    answer, _ = ask("status")
    assert (answer.ok, json.loads(answer.json)) == (True, {"streams": []})


def test_stop_tells_whom_to_wait_for() -> None:
    answer, told = ask("stop")
    assert (json.loads(answer.json), told) == ({"pid": os.getpid()}, ["stop"])


def test_a_failed_reload_says_why() -> None:
    answer, _ = ask("reload")
    assert (answer.ok, answer.text) == (False, "listen.rtmp: must be HOST:PORT")


def test_kick() -> None:
    answer, told = ask("kick", app="live", key="cam")
    assert (answer.ok, told) == (True, ["kick live/cam"])
    answer, _ = ask("kick", app="live", key="other")
    assert (answer.ok, answer.text) == (False, "no such stream: live/other")


@pytest.mark.parametrize("name", ["", "drain", "x" * 1000])
def test_an_unknown_command_is_answered(name: str) -> None:
    answer, _ = ask(name)
    assert not answer.ok
    assert len(answer.text) < 100
