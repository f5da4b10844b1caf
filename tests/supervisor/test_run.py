"""The supervisor as a process, its children toys: it starts, watches, restarts, adopts, ends."""

import asyncio
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import psutil
import pytest

from common.config.settings import Settings
from common.ipc.command_messages import Command
from common.ipc.control_messages import Readmit
from common.ipc.envelope import encode
from common.ipc.identity import ChildId, StreamId
from common.process.log import PEER_BURST
from supervisor.commands.line import client
from supervisor.commands.line.client import CommandFailed, NotRunning
from supervisor.processes.run_dir import RunDirLock
from supervisor.run import Supervisor, is_whole
from tests.kit.children import INGEST0
from tests.kit.needs import needs_root
from tests.kit.toy_supervisor import (
    CONFIG,
    DEADLINE_S,
    NAMES,
    ROOT,
    TOY_FARM,
    ToyFarm,
    runs,
    sockets,
)

pytestmark = pytest.mark.e2e

WORKER = ChildId("worker", "cpu")


def test_it_starts_its_children_says_where_and_ends_them_all(farm: ToyFarm) -> None:
    farm.start()
    said = farm.log.read_text()
    assert "rtmp://127.0.0.1:4711/live/KEY" in said
    pids = [child["pid"] for child in farm.children().values()]
    for pid in pids:
        assert os.getsid(pid) == pid
        environ = psutil.Process(pid).environ()
        assert environ["PYTHONSAFEPATH"] == "1"
        assert environ["CUDA_VISIBLE_DEVICES"] == ""
    (boot,) = farm.boots("worker:cpu:1")
    assert "--index 1 --device cpu " in boot
    assert farm.heard(pids[0])[0] == "Welcome"
    assert farm.end() == 0
    assert not any(runs(pid) for pid in pids)
    assert sockets(farm.run_dir) == []
    assert "Traceback" not in farm.log.read_text()
    assert "Warning" not in farm.log.read_text()


@pytest.mark.parametrize(
    ("there", "is_late", "is_known"),
    [
        ({INGEST0, WORKER}, False, True),
        ({INGEST0}, False, False),
        ({INGEST0}, True, True),  # a worker may take long
        ({WORKER}, True, False),  # the address would have port 0
    ],
)
def test_a_farm_is_announced_where_it_listens(
    there: set[ChildId], is_late: bool, is_known: bool
) -> None:
    assert is_whole((INGEST0, WORKER), there, is_late=is_late) is is_known


def test_a_killed_child_is_started_again_at_once_and_its_sockets_are_removed(
    farm: ToyFarm,
) -> None:
    farm.start()
    before = farm.children()["worker:cpu:0"]
    old = {name for name in sockets(farm.run_dir) if name.startswith("worker-cpu-0")}
    os.kill(before["pid"], signal.SIGKILL)
    farm.until(lambda: farm.is_ready() and farm.children()["worker:cpu:0"]["restarts"] == 1)
    after = farm.children()["worker:cpu:0"]
    assert after["pid"] != before["pid"]
    assert "SIGKILL" in after["reason"]
    assert not old & set(sockets(farm.run_dir))
    others = farm.children()["egress:0"]["pid"]
    farm.until(lambda: farm.heard(others).count("Topology") >= 2)


def test_a_restarted_ingest_keeps_the_port_that_it_was_given(farm: ToyFarm) -> None:
    farm.start()
    os.kill(farm.children()["ingest:0"]["pid"], signal.SIGKILL)
    farm.until(lambda: len(farm.boots("ingest:0")) == 2)
    farm.until(farm.is_ready)
    first, second = farm.boots("ingest:0")
    assert "--listen 127.0.0.1:0" in first
    assert "--listen 127.0.0.1:4711" in second


def test_a_child_that_exits_with_3_is_tried_again_later_and_its_words_are_kept(
    farm: ToyFarm,
) -> None:
    mode = farm.mode("exit3", "worker:cpu:0")
    farm.start(wait=False)
    farm.until(lambda: farm.children().get("worker:cpu:0", {}).get("state") == "backoff")
    child = farm.children()["worker:cpu:0"]
    assert child["reason"] == "the toy has no device"
    mode.unlink()
    farm.until(farm.is_ready)
    assert farm.children()["worker:cpu:0"]["restarts"] >= 1


def test_an_ingest_that_cannot_listen_at_the_first_start_ends_the_farm(farm: ToyFarm) -> None:
    farm.mode("exit3", "ingest:0")
    farm.start(wait=False)
    assert farm.process is not None
    assert farm.process.wait(DEADLINE_S) == 1
    farm.process = None
    assert (
        "farm cannot go on reason=ingest:0 cannot start: the toy has no device"
        in farm.log.read_text()
    )
    assert sockets(farm.run_dir) == []


def test_a_child_that_ignores_sigterm_is_killed(farm: ToyFarm) -> None:
    farm.mode("deaf", "worker:cpu:0")
    farm.start()
    pid = farm.children()["worker:cpu:0"]["pid"]
    began = time.monotonic()
    assert farm.end() == 0
    assert time.monotonic() - began > 4
    assert not runs(pid)
    assert "did not end within 5 s" in farm.log.read_text()


def test_a_child_whose_heartbeats_stop_is_killed_and_replaced(farm: ToyFarm) -> None:
    mode = farm.mode("stall", "egress:0")
    farm.start()
    mode.unlink()
    farm.until(lambda: len(farm.boots("egress:0")) == 2)
    log = farm.log.read_text()
    # which of the two depends on whether the toy got any core time meanwhile
    assert re.search(r"killing child=egress:0 reason=(blocked|wedged): no heartbeat for", log)


def test_a_worker_over_its_memory_limit_is_replaced(farm: ToyFarm) -> None:
    farm.config.write_text(CONFIG + '[worker]\nmax_memory = "256MiB"\n')
    mode = farm.mode("fat", "worker:cpu:0")
    farm.start(wait=False)
    farm.until(lambda: "exceed 256 MiB" in farm.log.read_text())
    mode.unlink()
    farm.until(farm.is_ready)
    assert len(farm.boots("worker:cpu:0")) >= 2


def test_told_twice_it_does_not_wait(farm: ToyFarm) -> None:
    farm.mode("deaf", "worker:cpu:0")
    farm.start()
    assert farm.process is not None
    farm.process.send_signal(signal.SIGINT)
    farm.until(lambda: any(c["state"] == "stopping" for c in farm.children().values()))
    assert farm.end(signal.SIGINT) == 0
    assert "did not end within 5 s" not in farm.log.read_text()


def test_a_killed_supervisors_children_are_adopted_as_they_run(farm: ToyFarm) -> None:
    farm.start()
    before = {name: child["pid"] for name, child in farm.children().items()}
    assert farm.end(signal.SIGKILL) == -9
    farm.start()
    after = farm.children()
    assert {name: child["pid"] for name, child in after.items()} == before
    assert all(len(farm.boots(name)) == 1 for name in NAMES)
    assert client.status(farm.run_dir)["listen"]["rtmp"] == ["127.0.0.1:4711"]
    # and an adopted one is watched as any other
    os.kill(after["egress:0"]["pid"], signal.SIGKILL)
    farm.until(lambda: len(farm.boots("egress:0")) == 2)
    farm.until(farm.is_ready)
    assert farm.end() == 0
    assert not any(runs(pid) for pid in before.values())
    assert sockets(farm.run_dir) == []


def test_commands_say_that_the_children_of_a_dead_supervisor_go_on(farm: ToyFarm) -> None:
    farm.start()
    pids = {name: child["pid"] for name, child in farm.children().items()}
    farm.end(signal.SIGKILL)
    for command in ("status", "stop"):
        with pytest.raises(NotRunning) as failed:
            client.ask(farm.run_dir, command)
        words = str(failed.value)
        assert words.startswith(f"the supervisor in {farm.run_dir} is not running; 4 processes ")
        assert all(f"{name} (pid {pid})" in words for name, pid in pids.items())
        assert f"supervisor [CONFIG] --run-dir {farm.run_dir}" in words
    os.kill(pids["egress:0"], signal.SIGKILL)
    farm.until(lambda: not runs(pids["egress:0"]))
    with pytest.raises(NotRunning, match="; 3 processes stream on without it: "):
        client.status(farm.run_dir)


def test_no_adopted_child_is_ever_told_of_half_the_farm(farm: ToyFarm) -> None:
    """Ingest lets go of a worker that a topology does not name: its streams stopped there."""
    farm.start()
    farm.end(signal.SIGKILL)
    heard = list(farm.run_dir.glob("toy-heard-*"))
    for file in heard:
        file.write_text("")
    farm.start()
    farm.until(lambda: all("Welcome" in file.read_text() for file in heard))
    lines = {line for file in heard for line in file.read_text().splitlines()}
    peers = {line.split()[1] for line in lines if line.startswith(("Welcome", "Topology"))}
    # a worker knows the ingest and the egress, each of those the two workers and the other one
    assert peers == {"2", "3"}


def test_nor_when_one_of_them_dies_before_all_are_known(farm: ToyFarm) -> None:
    farm.start()
    pids = {name: child["pid"] for name, child in farm.children().items()}
    heard = [farm.run_dir / f"toy-heard-{pids[name]}" for name in ("ingest:0", "egress:0")]
    # all that the first supervisor has to say of the others: the two workers and one more
    farm.until(lambda: all(file.read_text().split()[-1] == "3" for file in heard))
    farm.end(signal.SIGKILL)
    os.kill(pids["worker:cpu:0"], signal.SIGSTOP)  # it is waited for meanwhile
    for file in heard:
        file.write_text("")
    farm.start(wait=False)
    ours = NAMES - {"worker:cpu:0"}
    farm.until(lambda: set(farm.children()) >= ours)
    os.kill(pids["worker:cpu:1"], signal.SIGKILL)
    farm.until(farm.is_ready)

    def told(file: Path) -> list[str]:
        lines = file.read_text().splitlines()
        return [line for line in lines if line.startswith(("Welcome", "Topology"))]

    for file in heard:
        farm.until(partial(told, file))
        assert told(file)[0].startswith("Welcome")


def test_one_early_message_that_cannot_be_handled_does_not_end_the_supervisor() -> None:
    child, taken = INGEST0, []

    def take(_: ChildId, message: Any, *__: object) -> list[Any]:
        taken.append(message)
        if len(taken) == 1:
            raise ValueError("a bug")
        return []

    async def main(run_dir: Path) -> None:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, error: errors.append(error))
        lock = RunDirLock(run_dir)
        supervisor = Supervisor(Settings(), run_dir, lock)
        for key in "ab":
            supervisor._on_message(child, Readmit(StreamId(f"live/{key}")), ())
        supervisor._is_adopting = False
        with (
            patch.object(supervisor.farm, "message", take),
            patch.object(supervisor.farm.state, "children", {child}),
        ):
            supervisor._handle_early()
            await asyncio.sleep(0)
        supervisor._bus.close()
        lock.release()
        assert [message.stream_id for message in taken] == ["live/a", "live/b"]
        assert len(errors) == 1

    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        asyncio.run(main(Path(name)))


def test_a_child_that_died_without_a_supervisor_is_started_anew(farm: ToyFarm) -> None:
    farm.start()
    pids = {name: child["pid"] for name, child in farm.children().items()}
    farm.end(signal.SIGKILL)
    os.kill(pids["worker:cpu:1"], signal.SIGKILL)
    farm.until(lambda: not runs(pids["worker:cpu:1"]))
    farm.start()
    after = {name: child["pid"] for name, child in farm.children().items()}
    changed = {name for name in NAMES if after[name] != pids[name]}
    assert changed == {"worker:cpu:1"}


def test_a_child_that_does_not_answer_its_new_supervisor_is_replaced(farm: ToyFarm) -> None:
    farm.start()
    pid = farm.children()["worker:cpu:0"]["pid"]
    farm.end(signal.SIGKILL)
    os.kill(pid, signal.SIGSTOP)
    farm.start()
    assert farm.children()["worker:cpu:0"]["pid"] != pid
    assert not runs(pid)


def test_a_second_supervisor_is_told_so_and_changes_nothing(farm: ToyFarm) -> None:
    farm.start()
    second = subprocess.run(
        [sys.executable, str(TOY_FARM), "--run-dir", str(farm.run_dir)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=DEADLINE_S,
        check=False,
    )
    assert second.returncode == 1
    assert str(farm.run_dir) in second.stderr
    assert "already running" in second.stderr
    assert farm.is_ready()


def test_reload_tells_the_children_and_a_bad_file_changes_nothing(farm: ToyFarm) -> None:
    farm.start()
    farm.config.write_text(CONFIG + "[templates.tv]\n")
    assert "is loaded" in client.ask(farm.run_dir, "reload").text
    farm.until(
        lambda: (
            "changes=for new streams: templates.tv (new), templates.live (gone)"
            in farm.log.read_text()
        )
    )
    assert list(client.status(farm.run_dir)["apps"]) == ["tv"]
    pid = farm.children()["ingest:0"]["pid"]
    farm.until(lambda: "Configure" in farm.heard(pid))
    farm.config.write_text(CONFIG + "[templates.tv]\ngop = 7\n")
    with pytest.raises(CommandFailed, match=r"templates\.tv\.gop"):
        client.ask(farm.run_dir, "reload")
    assert list(client.status(farm.run_dir)["apps"]) == ["tv"]
    farm.until(lambda: "nothing was changed; templates.tv.gop: " in farm.log.read_text())
    farm.config.write_text(CONFIG + "[software]\nworkers = 3\n[templates.radio]\n")
    assert farm.process is not None
    farm.process.send_signal(signal.SIGHUP)
    farm.until(lambda: farm.children().get("worker:cpu:2", {}).get("state") == "ready")
    assert list(client.status(farm.run_dir)["apps"]) == ["radio"]


def test_a_hostile_envelope_on_the_control_socket_is_dropped(farm: ToyFarm) -> None:
    import zmq

    farm.start()
    context = zmq.Context()
    peer = context.socket(zmq.DEALER)
    peer.connect(f"ipc://{farm.run_dir / 'control'}")
    for frames in ([b""], [b"\xff" * 1000], [b"\x93\x01\xa6status\xc0"], [b"x"] * 50):
        peer.send_multipart(frames)
    farm.until(lambda: farm.log.read_text().count("unreadable control message") >= 4)
    for _ in range(300):
        peer.send(b"\xff")
    peer.send(encode(Command(1, "status")))
    assert peer.poll(5000)
    context.destroy(linger=0)
    assert farm.is_ready()
    assert farm.log.read_text().count("unreadable control message") <= PEER_BURST + 5


def test_a_pipe_that_nobody_reads_holds_up_no_process(farm: ToyFarm) -> None:
    reader, writer = os.pipe()
    while select.select([], [writer], [], 0)[1]:
        os.write(writer, b"\n" * 4096)
    farm.start(output=writer)
    os.kill(farm.children()["worker:cpu:0"]["pid"], signal.SIGKILL)
    farm.until(lambda: farm.is_ready() and farm.children()["worker:cpu:0"]["restarts"] == 1)
    os.read(reader, 1 << 20)  # now somebody reads
    os.kill(farm.children()["worker:cpu:1"]["pid"], signal.SIGKILL)
    farm.until(lambda: farm.is_ready() and farm.children()["worker:cpu:1"]["restarts"] == 1)
    said = os.read(reader, 1 << 20).decode()
    assert re.search(r"supervisor log lines lost count=\d+ reason=nobody read them", said)
    assert "child down child=worker:cpu:1" in said
    assert farm.end() == 0
    os.close(reader)
    os.close(writer)


@needs_root("it is another user, too")
def test_another_user_commands_nobody_even_where_he_may_connect(farm: ToyFarm) -> None:
    import zmq

    farm.start()
    farm.run_dir.chmod(0o755)
    (farm.run_dir / "control").chmod(0o777)
    child = os.fork()
    if not child:
        os.setresuid(12345, 12345, 12345)
        peer = zmq.Context().socket(zmq.DEALER)
        peer.connect(f"ipc://{farm.run_dir / 'control'}")
        peer.send(encode(Command(1, "stop")))
        os._exit(peer.poll(500))
    assert os.waitpid(child, 0)[1] == 0  # no answer
    assert "what=Command of user 12345" in farm.log.read_text()
    farm.run_dir.chmod(0o700)
    assert farm.is_ready()


def test_a_child_commands_nobody_and_speaks_for_no_other(farm: ToyFarm) -> None:
    (farm.run_dir / "toy-rebel-worker-cpu-0").touch()
    farm.start()
    before = farm.children()["ingest:0"]["pid"]
    said = farm.run_dir / "toy-answers"
    farm.until(lambda: said.exists() and "may not command" in said.read_text())
    farm.until(lambda: "denied pid=" in farm.log.read_text())
    farm.until(lambda: "what=fatal of ingest:0" in farm.log.read_text())
    farm.until(lambda: "what=StreamWanted of worker:cpu:0" in farm.log.read_text())
    log = farm.log.read_text()
    for what in (
        "Command of nobody that the kernel names",  # in a protocol that libzmq names nobody in
        "hello of worker:cpu:0",  # under another boot id
        "PublishRequest of worker:cpu:0",
        "PublishEnd of worker:cpu:0",
        "Positions of worker:cpu:0",
    ):
        assert f"what={what}" in log
    assert "what=command 'stop'" in log
    assert "what=hello of ingest:0" in log
    assert len(said.read_text().splitlines()) == 1  # the others got no answer
    assert farm.is_ready()
    assert farm.children()["ingest:0"]["pid"] == before


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(
    farm: ToyFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(farm.run_dir / "notify"))
        systemd.settimeout(DEADLINE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(farm.run_dir / "notify"))
        farm.start(wait=False)
        ready = until(systemd, b"READY=1\n").decode().splitlines()
        assert farm.process is not None
        assert ready[1] == f"MAINPID={farm.process.pid}"
        assert ready[-1] == "STATUS=streams: 0, workers up: 2 of 2"
        assert until(systemd, b"WATCHDOG=1\n").endswith(b"STATUS=streams: 0, workers up: 2 of 2")
        assert farm.end() == 0
        assert until(systemd, b"STOPPING=1") == b"STOPPING=1"


def until(systemd: socket.socket, begin: bytes) -> bytes:
    """The next of its datagrams that begins so."""
    while not (datagram := systemd.recv(200)).startswith(begin):
        pass
    return datagram


def test_its_status_document_is_json_with_every_process(farm: ToyFarm) -> None:
    farm.start()
    document = client.status(farm.run_dir)
    assert json.loads(json.dumps(document)) == document
    assert document["supervisor"]["memory_bytes"] > 0
    assert {device["worker"] for device in document["devices"]} == {"worker:cpu:0", "worker:cpu:1"}
    assert farm.process is not None
    assert document["supervisor"]["pid"] == farm.process.pid
