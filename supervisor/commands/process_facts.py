"""What status shows of the farm's processes (IO: /proc)."""

import os

from common.ipc.identity import ChildId
from supervisor.commands.status_document import ChildFacts
from supervisor.processes.children import Child
from supervisor.processes.proc_stat import CpuMeter, pss_bytes


def child_facts(child: Child, cpu: CpuMeter) -> ChildFacts:
    """Look a child up."""
    pid = child.process.pid if child.process else 0
    return ChildFacts(
        child.spec.child,
        child.machine.state.value,
        pid,
        child.machine.restarts,
        child.machine.reason,
        child.machine.since(),
        pss_bytes(pid) if pid else 0,
        cpu.percent.get(pid, 0.0),
    )


def own_facts(started_s: float, cpu: CpuMeter) -> ChildFacts:
    """Look this process up, which began at `started_s`."""
    pid = os.getpid()
    return ChildFacts(
        ChildId("supervisor"),
        "ready",
        pid,
        0,
        "",
        started_s,
        pss_bytes(pid),
        cpu.percent.get(pid, 0.0),
    )
