"""What the CLI may ask."""

import json
import os
from collections.abc import Mapping
from typing import Any

import pytest

from common.ipc.command_messages import Answer, Command
from supervisor.commands.by_api import BY_API
from supervisor.commands.line.server import CommandServer
from supervisor.commands.table import COMMANDS


class Fake:
    """A supervisor that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.operations = self.report = self.upgrade = self.configuration = self
        self.additions = self
        self.hosts: dict[str, Any] | None = None

    def status(self) -> dict[str, Any]:
        return {"streams": []}

    def figures(self) -> Any:
        return ["0.1.0", 1_000.0]

    def cluster(self) -> dict[str, Any] | None:
        return self.hosts

    def push_templates(self, text: str) -> tuple[bool, str]:
        self.told.append(f"push {text}")
        return text == "good", "it has faults"

    def stop(self) -> None:
        self.told.append("stop")

    def reload(self) -> tuple[bool, str]:
        return False, "listen.rtmp: must be HOST:PORT"

    def request(self, executable: str, path: str, deadline_s: float) -> tuple[bool, str]:
        self.told.append(f"upgrade {executable} {path} {deadline_s:g}")
        return executable != "/no", "no such program"

    def document(self) -> dict[str, Any]:
        return {"state": "none"}

    def templates_document(self) -> dict[str, Any]:
        return {"revision": 7}

    def switch(self, app: str, key: str, role: str) -> tuple[bool, str]:
        self.told.append(f"switch {app}/{key} {role}")
        return key == "cam", "it goes over"

    def kick(self, app: str, key: str, for_s: float) -> str:
        self.told.append(f"kick {app}/{key} {for_s:g}")
        return "it ends" if key == "cam" else ""

    def unkick(self, app: str, key: str) -> str:
        self.told.append(f"unkick {app}/{key}")
        return "it may" if key == "cam" else ""

    def ban(self, target: str, for_s: float, reason: str) -> tuple[bool, str]:
        self.told.append(f"ban {target} {for_s:g} {reason}")
        return target != "nonsense", "done"

    def unban(self, target: str) -> tuple[bool, str]:
        self.told.append(f"unban {target}")
        return True, "done"

    def bans(self) -> list[dict[str, Any]]:
        return [{"target": "203.0.113.7/32"}]

    def capture(
        self, app: str, key: str, *, headers_only: bool
    ) -> tuple[bool, str, dict[str, Any]]:
        self.told.append(f"capture {app}/{key} {headers_only}")
        return key == "cam", "no such stream", {"request": 3}

    def capture_result(self, request_id: int) -> tuple[bool, str, dict[str, Any]]:
        return True, "", {"is_waiting": request_id == 3}

    def drain(self, device: str) -> tuple[bool, str, dict[str, Any]]:
        self.told.append(f"drain {device}")
        return device == "cpu:0", "", {"streams": []}

    def undrain(self, device: str) -> tuple[bool, str]:
        return device == "cpu:0", f"no device {device}"

    def drain_all(self, timeout_s: float | None) -> dict[str, Any]:
        self.told.append(f"drain all {timeout_s}")
        return {"streams": 3}

    def undrain_all(self) -> str:
        return "again"

    def pull(self, given: Mapping[str, str]) -> tuple[bool, str]:
        self.told.append(f"pull {given['key']}")
        return True, "pulled"

    def unpull(self, app: str, key: str) -> tuple[bool, str]:
        self.told.append(f"unpull {app}/{key}")
        return False, "not pulled"

    def push(self, given: Mapping[str, str]) -> tuple[bool, str, dict[str, Any]]:
        self.told.append(f"push to {given['url']}")
        return True, "pushed", {"push": "0a"}

    def unpush(self, push: str) -> tuple[bool, str]:
        self.told.append(f"unpush {push}")
        return False, "no such push"

    def rebalance(self) -> str:
        return "2 streams move"

    def fit(self, app: str, source: str, codec: str, bits: int) -> dict[str, Any] | str:
        return {app: {"words": f"{source} {codec} {bits}"}} if app == "live" else "no such app"


def ask(
    name: str, *, hosts: dict[str, Any] | None = None, **arguments: str
) -> tuple[Answer, list[str]]:
    fake = Fake()
    fake.hosts = hosts
    commands = CommandServer(COMMANDS | BY_API, fake)
    answers: list[tuple[bytes, Answer]] = []
    commands.answer = lambda peer, answer: answers.append((peer, answer))
    commands.handle(b"cli/1", Command(7, name, arguments))
    ((peer, answer),) = answers
    assert (peer, answer.request_id) == (b"cli/1", 7)
    return answer, fake.told


def test_status_is_json() -> None:
    answer, _ = ask("status")
    assert (answer.ok, json.loads(answer.json)) == (True, {"streams": []})


def test_what_the_api_alone_asks() -> None:
    answer, told = ask("pull", app="live", key="door")
    assert (answer.ok, answer.text, told) == (True, "pulled", ["pull door"])
    answer, told = ask("unpull", app="live", key="door")
    assert (answer.ok, answer.text, told) == (False, "not pulled", ["unpull live/door"])
    answer, told = ask("push", url="srt://h:1")
    assert (json.loads(answer.json), told) == ({"push": "0a"}, ["push to srt://h:1"])
    answer, told = ask("unpush", push="0a")
    assert (answer.ok, answer.text, told) == (False, "no such push", ["unpush 0a"])


def test_stop_tells_whom_to_wait_for() -> None:
    answer, told = ask("stop")
    assert (json.loads(answer.json), told) == ({"pid": os.getpid()}, ["stop"])


def test_a_failed_reload_says_why() -> None:
    answer, _ = ask("reload")
    assert (answer.ok, answer.text) == (False, "listen.rtmp: must be HOST:PORT")


def test_ban_and_unban() -> None:
    answer, told = ask("ban", target="203.0.113.7", for_s="60", reason="x" * 300)
    assert (answer.ok, told) == (True, [f"ban 203.0.113.7 60 {'x' * 200}"])
    answer, _ = ask("ban", target="nonsense")
    assert not answer.ok
    for wrong in ("-1", "1.5", "9999999999", "x"):
        answer, told = ask("ban", target="203.0.113.7", for_s=wrong)
        assert (answer.ok, told) == (False, [])
    answer, told = ask("ban", list="yes")
    assert json.loads(answer.json) == {"bans": [{"target": "203.0.113.7/32"}]}
    answer, told = ask("unban", target="live/cam")
    assert (answer.ok, told) == (True, ["unban live/cam"])


def test_kick() -> None:
    answer, told = ask("kick", app="live", key="cam")
    assert (answer.ok, told) == (True, ["kick live/cam 30"])
    answer, told = ask("kick", app="live", key="cam", for_s="600")
    assert (answer.ok, told) == (True, ["kick live/cam 600"])
    for wrong in ("", "0", "-1", "x", "9" * 400, "86401"):
        answer, told = ask("kick", app="live", key="cam", for_s=wrong)
        assert (answer.ok, told) == (False, [])
    answer, told = ask("kick", app="live", key="cam", undo="yes")
    assert (answer.ok, told) == (True, ["unkick live/cam"])
    answer, _ = ask("kick", app="live", key="other", undo="yes")
    assert (answer.ok, answer.text) == (False, "live/other is not kept out")
    answer, _ = ask("kick", app="live", key="other")
    assert (answer.ok, answer.text) == (False, "no such stream: live/other")


def test_how_many_more_fit_is_asked_of_the_farm() -> None:
    found, _ = ask("fit", template="live", source="720p30", codec="av1", bits="10")
    assert json.loads(found.json) == {"apps": {"live": {"words": "720p30 av1 10"}}}
    refused, _ = ask("fit", template="vod")
    assert (refused.ok, refused.text) == (False, "no such app")


def test_drains() -> None:
    answer, told = ask("drain", device="cpu:0")
    assert (answer.ok, json.loads(answer.json), told) == (True, {"streams": []}, ["drain cpu:0"])
    assert not ask("drain", device="cpu:9")[0].ok
    answer, told = ask("drain", timeout="2.5")
    assert (json.loads(answer.json), told) == ({"streams": 3}, ["drain all 2.5"])
    assert ask("drain")[1] == ["drain all None"]
    assert not ask("drain", timeout="soon")[0].ok
    assert ask("undrain")[0].text == "again"
    assert not ask("undrain", device="cpu:9")[0].ok
    assert ask("rebalance")[0].text == "2 streams move"


def test_captures() -> None:
    answer, told = ask("capture", app="live", key="cam", headers_only="yes")
    assert (answer.ok, json.loads(answer.json)) == (True, {"request": 3})
    assert told == ["capture live/cam True"]
    assert ask("capture", app="live", key="cam")[1] == ["capture live/cam False"]
    assert not ask("capture", app="live", key="other")[0].ok
    assert json.loads(ask("capture", request="3")[0].json) == {"is_waiting": True}
    assert not ask("capture", request="three")[0].ok
    assert ask("capture", request="9" * 1000)[0].ok


def test_the_templates_of_a_cluster() -> None:
    assert json.loads(ask("cluster")[0].json) == {"cluster": None}
    for what in ("templates", "push"):
        answer, told = ask("cluster", what=what)
        assert (answer.ok, told) == (False, [])
        assert "alone" in answer.text
    answer, _ = ask("cluster", hosts={}, what="templates")
    assert json.loads(answer.json) == {"revision": 7}
    answer, told = ask("cluster", hosts={}, what="push", text="good")
    assert (answer.ok, told) == (True, ["push good"])
    answer, _ = ask("cluster", hosts={}, what="push", text="bad")
    assert (answer.ok, answer.text) == (False, "it has faults")


@pytest.mark.parametrize("name", ["", "drown", "x" * 1000])
def test_an_unknown_command_is_answered(name: str) -> None:
    answer, _ = ask(name)
    assert not answer.ok
    assert len(answer.text) < 100


def test_an_upgrade_is_begun_with_a_program_and_looked_at_without() -> None:
    answer, told = ask("upgrade", executable="/new/python", path="/new", deadline="60")
    assert (answer.ok, told) == (True, ["upgrade /new/python /new 60"])
    answer, told = ask("upgrade", executable="/no")
    assert (answer.ok, answer.text, answer.json) == (False, "no such program", "")
    answer, told = ask("upgrade")
    assert (json.loads(answer.json), told) == ({"state": "none"}, [])
    for deadline in ("-1", "1h", "99999999"):
        answer, told = ask("upgrade", executable="/new/python", deadline=deadline)
        assert (answer.ok, told) == (False, [])
