"""Datagrams to systemd."""

import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from supervisor.processes.systemd import Systemd, notify


def test_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:1:2")
    assert not notify("READY=1")


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_state_arrives(is_abstract: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory() as name, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        path = str(Path(name) / "notify")
        peer.bind("\0" + path if is_abstract else path)
        peer.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + path if is_abstract else path)
        assert notify("STOPPING=1")
        assert peer.recv(100) == b"STOPPING=1"


def test_a_dead_listener_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")


def test_nobody_waits_for_a_listener_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        sent = 0
        while notify("WATCHDOG=1"):
            sent += 1
        assert sent > 1


def test_that_it_is_ready_is_said_until_it_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        peer.bind(str(tmp_path / "notify"))
        peer.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        systemd = Systemd(lambda: "all is well")
        before = 0
        while notify("STATUS=much to read"):
            before += 1
        systemd.ready()
        for _ in range(before):
            peer.recv(100)
        systemd.beat()
        systemd.beat()
        assert peer.recv(100).startswith(b"READY=1\nMAINPID=")
        assert peer.recv(100) == b"WATCHDOG=1\nSTATUS=all is well"
