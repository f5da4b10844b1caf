"""Which children the farm has by now, and where it listens (IO: a port, once)."""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from common.config.ladder import Pipeline
from common.config.settings import Listen, Settings
from common.config.values import listen_address
from common.ipc.control_messages import Hello
from common.ipc.identity import ChildId
from common.ipc.kinds import KINDS, ChildKind
from common.process.log_lines import LogFormat
from supervisor.processes.child_numbers import group_of, missing, unused
from supervisor.processes.launch import (
    LaunchSpec,
    Program,
    child_command,
    child_environ,
    child_ids,
    gpu_uuids,
    python_module,
    standby_program,
)
from supervisor.processes.shared_port import find_port
from supervisor.processes.worker_counts import encoder_processes, encoders

log = logging.getLogger("tfarm.supervisor.processes.launcher")


class Launcher:
    """Makes the launch specs of one farm's children."""

    def __init__(
        self,
        settings: Settings,
        run_dir: Path,
        program: Program,
        gpus: Iterable[str],
        cores: int,
        hellos: Callable[[], Iterable[Hello]],
        log_format: LogFormat = LogFormat.AUTO,
    ) -> None:
        """`hellos` gives those of the children that are up."""
        self.settings = settings
        self.listen = settings.listen
        self.listen_tls = settings.listen_tls or Listen()
        self.children = child_ids(settings, gpus, cores)
        self.gpus = gpu_uuids(self.children)
        self._run_dir = run_dir
        self._program = program
        # toys of tests know nothing of it
        self._has_standbys = settings.has_standbys and program is python_module
        self._cores = cores
        self._hellos = hellos
        self._log_format = log_format
        self._inherits: dict[ChildId, str] = {}  # paths of listening sockets, of successors
        self._found_ports: dict[str, int] = {}  # by kind, of those that chose one
        self._alone: set[str] = set()  # kinds of which one process alone can listen

    def spec(self, child: ChildId) -> LaunchSpec:
        """Say how to start a child, by the settings and the port at that time."""

        def command() -> Sequence[str]:
            share = encoder_processes(self.settings, self._cores)
            return child_command(
                child,
                self._program,
                self._run_dir,
                self.settings,
                self._address(child),
                share,
                self._log_format,
                self._inherits.get(child, ""),
                shares_port=self._are_several(child.kind) and child.kind not in self._alone,
            )

        standby = standby_program(child, self._program) if self._has_standbys else ()
        return LaunchSpec(child, command, child_environ(child), standby)

    def _address(self, child: ChildId) -> Listen:
        """Where a child listens, if it is one that does."""
        kind = KINDS[child.kind]
        if kind.address is None:
            return self.listen_tls if kind.listens == "rtmps" else self.listen
        listen = kind.address(self.settings)
        return replace(listen, port=listen.port or self._found_ports.get(kind.name, 0))

    def adopted(
        self, running: Collection[ChildId], taken: Collection[ChildId], before: Collection[ChildId]
    ) -> list[ChildId]:
        """Take the children that run for those of the start; those that are to be started still.

        `before`: all that an earlier supervisor had.
        """
        new = missing(self.children, running, taken, before)
        self.children = [*running, *new]
        return new

    def further(
        self, running: Collection[ChildId], taken: Collection[ChildId] = ()
    ) -> list[ChildId]:
        """Add what a hello or a reload brought; those that are new.

        They are the encoder processes that workers want, and what only the settings of now ask for.
        `taken` are the names in use, of those that retire too.
        """
        new = missing(self._wanted(), running, taken)
        self.children += new
        return new

    def successor(
        self, old: ChildId, running: Collection[ChildId], taken: Collection[ChildId]
    ) -> ChildId | None:
        """Name the one that takes a child's place; None: there are more than are wanted."""
        others = [child for child in running if child != old]
        lacks = missing(self._wanted(), others, taken)
        return unused(old, taken) if group_of(old) in map(group_of, lacks) else None

    def _wanted(self) -> list[ChildId]:
        """As many children as the settings and the workers ask for, by any numbers."""
        start = child_ids(self.settings, self.gpus, self._cores)
        return start + encoders(self.settings, self._cores, self._hellos())

    def replace(self, old: ChildId, new: ChildId, listeners: str) -> None:
        """Have `new` in the place of `old`, whose listening sockets are given away at that path."""
        self.children = [new if child == old else child for child in self.children]
        if listeners:
            self._inherits[new] = listeners

    def keep(self, old: ChildId, new: ChildId) -> None:
        """Have `old` in its place again."""
        self.children = [old if child == new else child for child in self.children]
        self._inherits.pop(new, None)

    def settle(self, new: ChildId) -> None:
        """A successor listens by itself from now on, when it is started again."""
        self._inherits.pop(new, None)

    def choose_ports(self) -> None:
        """Find the ports that several processes will share, where none listens there already.

        Raises:
            OSError: somebody else listens where publishers are to come.
        """
        listening = {
            hello.child.kind
            for hello in self._hellos()
            if hello.listen or KINDS[hello.child.kind].listens
        }
        for kind in KINDS.values():
            if not self._are_several(kind.name) or kind.name in listening:
                continue
            if kind.listens == "rtmp":
                port = find_port(self.listen.host, self.listen.port)
                self.listen = replace(self.listen, port=port)
            elif kind.address is not None:
                self._choose_port(kind, kind.address(self.settings))

    def _choose_port(self, kind: ChildKind, listen: Listen) -> None:
        """Find the port of a kind without which a farm goes on: it waits until that is free."""
        try:
            self._found_ports[kind.name] = find_port(listen.host, listen.port)
        except OSError as error:
            self._alone.add(kind.name)
            reason = error.strerror or str(error)
            log.warning("one process alone will listen kind=%s reason=%s", kind.name, reason)

    def _are_several(self, kind: str) -> bool:
        count = KINDS[kind].count
        return count is not None and count(self.settings) > 1

    def keep_port(self, child: ChildId, address: str) -> None:
        """Have a restarted child listen where its predecessor did, also if any port was asked."""
        with contextlib.suppress(ValueError):
            port = listen_address(address).port
            if KINDS[child.kind].address is not None:
                self._found_ports[child.kind] = port
            elif KINDS[child.kind].listens == "rtmps":
                self.listen_tls = replace(self.listen_tls, port=port)
            else:
                self.listen = replace(self.listen, port=port)


def expected_pipeline(worker: ChildId) -> Pipeline:
    """Guess what a worker's device is, until its hello."""
    return Pipeline.SOFTWARE if worker.is_software else Pipeline.GPU_ONLY
