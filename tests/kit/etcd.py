"""Real etcd on the loopback, where `scripts/get-etcd.sh` has put it; else a test is skipped."""

import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.kit.waiting import until

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".etcd/usr/bin/etcd"

needs_etcd = pytest.mark.skipif(
    not PROGRAM.is_file(), reason="etcd is not here: scripts/get-etcd.sh"
)


@dataclass(frozen=True)
class Place:
    """Where a member runs."""

    client: str  # HOST:PORT
    peer: str  # likewise
    command: Sequence[str] = ()  # before etcd's own: it runs on another host


class Etcd:
    """One cluster of so many members, between `__enter__` and `__exit__`."""

    def __init__(self, folder: Path, members: int = 1, places: Sequence[Place] = ()) -> None:
        """`places`: of the members, where that is not the loopback."""
        self._folder = folder
        if not places:
            ports = free_ports(2 * members)
            pairs = zip(ports[:members], ports[members:], strict=True)
            places = [Place(f"127.0.0.1:{own}", f"127.0.0.1:{peer}") for own, peer in pairs]
        self._places = places
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * len(places)

    @property
    def urls(self) -> list[str]:
        return [f"http://{place.client}" for place in self._places]

    def start(self, number: int) -> None:
        """Start a member, with the data that it has."""
        peers = [f"http://{place.peer}" for place in self._places]
        log = (self._folder / f"e{number}.log").open("ab")
        with log:
            self.processes[number] = subprocess.Popen(
                [
                    *self._places[number].command,
                    PROGRAM,
                    *("--name", f"e{number}"),
                    *("--data-dir", self._folder / f"e{number}"),
                    *("--listen-client-urls", self.urls[number]),
                    *("--advertise-client-urls", self.urls[number]),
                    *("--listen-peer-urls", peers[number]),
                    *("--initial-advertise-peer-urls", peers[number]),
                    "--initial-cluster",
                    ",".join(f"e{i}={peer}" for i, peer in enumerate(peers)),
                    *("--heartbeat-interval", "50", "--election-timeout", "500", "--pre-vote"),
                ],
                stdout=log,
                stderr=log,
            )

    def is_healthy(self, number: int) -> bool:
        """Tell if a member answers, and has a leader."""
        url = f"{self.urls[number]}/health"
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return b'"true"' in answer.read()
        except OSError:
            return False

    def kill(self, number: int) -> None:
        """Kill a member at once."""
        process = self.processes[number]
        assert process is not None
        process.kill()
        process.wait()
        self.processes[number] = None

    def wipe(self) -> None:
        """Remove the data of all members, none of which runs."""
        assert not any(self.processes)
        for number in range(len(self.processes)):
            shutil.rmtree(self._folder / f"e{number}", ignore_errors=True)

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every member that runs."""
        for process in self.processes:
            if process is not None:
                process.send_signal(number)

    def leader(self) -> int:
        """The number of the member that leads."""
        for number in range(len(self.processes)):
            if self.processes[number] is None:
                continue
            with urllib.request.urlopen(f"{self.urls[number]}/metrics", timeout=5) as answer:
                if b"\netcd_server_is_leader 1" in answer.read():
                    return number
        raise AssertionError("no member leads")

    def start_all(self) -> None:
        """Start those that do not run, and wait until all answer."""
        for number, process in enumerate(self.processes):
            if process is None:
                self.start(number)
        for number in range(len(self.processes)):
            until(lambda number=number: self.is_healthy(number), 20, "etcd answers")  # type: ignore[misc]  # mypy: a default

    def __enter__(self) -> Self:
        if not PROGRAM.is_file():
            pytest.fail("etcd is not here: scripts/get-etcd.sh")
        self.start_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for process in self.processes:
            if process is not None:
                process.kill()
                process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that are free now; etcd must be told its own before it has them."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
