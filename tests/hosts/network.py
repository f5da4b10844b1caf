"""Hosts as network namespaces, on two bridges: one between hosts, one for clients.

The process moves into a namespace of its own, where the bridges are; its threads and children that
begin meanwhile are there too. A host that is cut off from the others keeps its clients.
"""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.kit.etcd import PROGRAM

CLONE_NEWNET: Final = 0x40000000
BRIDGES: Final = ("hosts", "clients")
NETWORK: Final = "10.77"  # .0.N between hosts, .1.N for clients


def why_not() -> str:
    """Why hosts cannot be made here; "": they can."""
    if os.geteuid() != 0:
        return "network namespaces are made by root"
    if shutil.which("ip") is None:
        return "the command `ip` is not here: apt-get install iproute2"
    if not PROGRAM.is_file():
        return "etcd is not here: scripts/get-etcd.sh"
    tried = subprocess.run(
        ["unshare", "--net", "ip", "link", "add", "tried", "type", "bridge"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no network namespace can be made: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass(frozen=True)
class Namespace:
    """One host."""

    number: int
    name: str  # of the namespace

    @property
    def address(self) -> str:
        """Where other hosts reach it."""
        return f"{NETWORK}.0.{self.number}"

    @property
    def client_address(self) -> str:
        """Where clients reach it."""
        return f"{NETWORK}.1.{self.number}"

    @property
    def command(self) -> Sequence[str]:
        """What runs a command there."""
        return ("ip", "netns", "exec", self.name)

    @property
    def _port(self) -> str:
        return f"hosts{self.number}"

    def kill(self) -> None:
        """Kill everything that runs there at once."""
        while pids := _ip("netns", "pids", self.name).split():
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)

    def cut(self) -> None:
        """Nothing crosses between it and other hosts; its interface notices nothing."""
        _ip("link", "set", self._port, "nomaster")

    def heal(self) -> None:
        """Undo that."""
        _ip("link", "set", self._port, "master", "hosts")


class Network:
    """So many hosts, while the `with` block lasts."""

    def __init__(self, count: int) -> None:
        self.hosts = [
            Namespace(number, f"tfarm-{os.getpid()}-h{number}") for number in range(1, count + 1)
        ]

    def __enter__(self) -> Self:
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _call("unshare", CLONE_NEWNET)
        try:
            self._build()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for host in self.hosts:
            host.kill()
        self._leave()

    def own_address(self, number: int) -> str:
        """An address of this process between hosts."""
        address = f"{NETWORK}.0.{200 + number}"
        _ip("addr", "add", f"{address}/24", "dev", "hosts")
        return address

    def _build(self) -> None:
        _ip("link", "set", "lo", "up")
        for number, bridge in enumerate(BRIDGES):
            _ip("link", "add", bridge, "type", "bridge")
            _ip("addr", "add", f"{NETWORK}.{number}.254/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
        for host in self.hosts:
            _ip("netns", "add", host.name)
            inside = ("-n", host.name)
            _ip(*inside, "link", "set", "lo", "up")
            for bridge, address in zip(BRIDGES, (host.address, host.client_address), strict=True):
                port = f"{bridge}{host.number}"
                ends = ("link", "add", port, "type", "veth", "peer", "name", bridge)
                _ip(*ends, "netns", host.name)
                _ip("link", "set", port, "master", bridge, "up")
                _ip(*inside, "addr", "add", f"{address}/24", "dev", bridge)
                _ip(*inside, "link", "set", bridge, "up")

    def _leave(self) -> None:
        for host in self.hosts:
            if Path("/run/netns", host.name).exists():
                _ip("netns", "del", host.name)
        _call("setns", self._before, CLONE_NEWNET)
        os.close(self._before)


def _ip(*arguments: str) -> str:
    command = ["ip", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
