"""What people are shown of a running farm: its banner and its status (IO: /proc, clocks)."""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from common.access.exposure import exposure, publishers_addresses
from common.extras import S3, WEBRTC, install_words, is_installed
from common.ipc.control_messages import DeviceInfo
from common.ipc.figures import FarmFigures
from common.ipc.identity import ChildId
from common.ipc.kinds import KINDS
from common.srt import installed as libsrt
from common.version import VERSION
from common.words import counted
from supervisor.commands.banner import address_text, banner, viewers_addresses
from supervisor.commands.line.invocation import tfarm_command
from supervisor.commands.status.cluster_rows import cluster_document
from supervisor.commands.status.document import ChildFacts, FarmFacts, Json, snapshot
from supervisor.commands.status.figures import figures
from supervisor.commands.status.free_rows import fit
from supervisor.farm.admission.free_streams import FreeStreamsByApp
from supervisor.farm.farm import Farm
from supervisor.farm.retiring import RETIRING, left
from supervisor.hardware.gpu_watch import GpuWatch
from supervisor.processes.children import Child, Children
from supervisor.processes.launcher import Launcher
from supervisor.processes.proc_stat import CpuMeter, MemoryMeter

log = logging.getLogger("tfarm.supervisor.commands.status.farm_report")

MEMORY_S = 60.0  # how old it may be in metrics, which are asked for all day


class FarmReport:
    """Looks at one farm and its processes."""

    def __init__(
        self,
        farm: Farm,
        children: Children,
        launcher: Launcher,
        run_dir: Path,
        config_path: Path | None,
    ) -> None:
        self._farm = farm
        self._children = children
        self._launcher = launcher
        self._run_dir = run_dir
        self.gpu_watch: GpuWatch | None = None  # where GPUs are watched
        self._config_path = config_path
        self._started_unix = time.time()
        self._started_s = time.monotonic()
        self._cpu, self._memory = CpuMeter(), MemoryMeter()
        self._free = FreeStreamsByApp(farm.state)

    def sample(self) -> None:
        """Measure the CPU time of all processes; called once a second."""
        self._cpu.sample([os.getpid(), *self._children.pids()], time.monotonic())

    def banner(self) -> str:
        """A few lines on where the farm is and what it runs on."""
        up = (self._farm.hellos.get(child) for child in self._launcher.children)
        devices: list[DeviceInfo] = [h.device for h in up if h and h.device is not None]
        return banner(
            VERSION,
            str(self._run_dir),
            self._listening()["rtmp"] or [address_text(self._launcher.listen)],
            self._launcher.settings,
            self._farm.state.fleet,
            devices,
            tfarm_command(),
            self._exposure(),
            viewers=viewers_addresses(self._launcher.settings, self._listening().get("web", ())),
            pages=self._listening()["http"],
            with_tls=self._listening().get("rtmps", ()),
        )

    def warn(self) -> None:
        """Log what an operator had better change."""
        if words := self._exposure():
            log.warning("open to everybody what=%s", words)
        if self._launcher.settings.webrtc.is_enabled and not is_installed(WEBRTC):
            log.info("no viewers by WebRTC install=%s", install_words(WEBRTC))
        if self._launcher.settings.listen_whip is not None and not is_installed(WEBRTC):
            log.warning("no publishers by WHIP install=%s", install_words(WEBRTC))
        is_uploaded = any(t.recording.is_uploaded for t in self._launcher.settings.templates)
        if is_uploaded and not is_installed(S3):
            log.warning("no uploads of recordings install=%s", install_words(S3))
        if self._launcher.settings.listen_srt is not None and not libsrt.is_there():
            log.warning("no publishers by SRT install=%s", libsrt.INSTALL_WORDS)

    def _exposure(self) -> str:
        listening = publishers_addresses(self._listening())
        return exposure(self._launcher.settings, listening)

    def status(self) -> Json:
        """The document of `tfarm status --json`."""
        return snapshot(self._facts(0.0), self._farm)

    def cluster(self) -> Json | None:
        """What is known of other hosts; None: this farm is alone."""
        return cluster_document(self._farm)

    def fit(self, app: str, source: str, codec: str, bits: int) -> dict[str, Json] | str:
        """How many more streams of a kind fit, by app; or why that cannot be said."""
        return fit(self._farm, app, source, codec, bits)

    def figures(self) -> FarmFigures:
        """The figures for the API's metrics."""
        return figures(self._facts(MEMORY_S), self._farm)

    def _facts(self, oldest_s: float) -> FarmFacts:
        """`oldest_s`: how old the figures of memory may be."""
        now_s, pids = time.monotonic(), [os.getpid(), *self._children.pids()]
        memory = self._memory.bytes(pids, now_s, oldest_s)
        return FarmFacts(
            version=VERSION,
            run_dir=str(self._run_dir),
            config=str(self._config_path or ""),
            started_unix=self._started_unix,
            supervisor=self._own_facts(memory),
            children=[self._child_facts(child, memory) for child in self._children.by_id.values()],
            now_s=now_s,
            now_unix=time.time(),
            listen=self._listening(),
            gpus=self._gpus(),
            free=self._free.look(self._farm.admission.closed, now_s),
        )

    def _gpus(self) -> dict[str, Json]:
        watch = self.gpu_watch
        return {uuid: use._asdict() for uuid, use in watch.use.items()} if watch else {}

    def _listening(self) -> dict[str, list[str]]:
        """The real addresses, by protocol."""
        found: dict[str, dict[str, None]] = {"rtmp": {}, "http": {}}
        for hello in self._farm.hellos.values():
            if hello.listen:
                kind = KINDS[hello.child.kind]
                known = found.setdefault(kind.protocol or kind.listens, {})
                known.update(dict.fromkeys(hello.listen))
        return {protocol: list(addresses) for protocol, addresses in found.items()}

    def _child_facts(self, child: Child, memory: Mapping[int, int]) -> ChildFacts:
        pid, name = child.process.pid if child.process else 0, child.spec.child
        hello = self._farm.hellos.get(name)
        state, reason = child.machine.state.value, child.machine.reason
        if hello is not None and hello.is_retiring:
            state = RETIRING
            reason = counted(left(self._farm.state, name), "connection", "is left")
        return ChildFacts(
            name,
            state,
            pid,
            child.machine.restarts,
            reason,
            child.machine.since(),
            memory.get(pid, 0),
            self._cpu.percent.get(pid, 0.0),
            hello.version if hello else "",
        )

    def _own_facts(self, memory: Mapping[int, int]) -> ChildFacts:
        pid = os.getpid()
        return ChildFacts(
            ChildId("supervisor"),
            "ready",
            pid,
            0,
            "",
            self._started_s,
            memory[pid],
            self._cpu.percent.get(pid, 0.0),
            VERSION,
        )
