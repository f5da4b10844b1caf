"""What a farm costs with its default processes where nobody publishes: CPU and wake-ups.

By thread as the kernel counts them (/proc/PID/task/TID/schedstat, in ns, and `status`), so that a
process which wakes up too often is seen.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Bench, Figure
from tests.kit.farm import Farm

SETTLE_S = 6.0  # what a start leaves to be done: processes that wait are started after 3 s
MEASURED_S = 30.0
MOST_MS = 6.0  # of CPU a second, all processes together
FARM = """
[listen]
rtmp = "127.0.0.1:0"
http = "127.0.0.1:0"
[devices]
use_gpus = false
[api]
listen = "127.0.0.1:0"
[web]
enabled = true
"""
WEBRTC = """
[webrtc]
listen = "127.0.0.1:0"
"""


@dataclass(frozen=True)
class Spent:
    """What a thread has used so far."""

    cpu_s: float
    wakeups: int


def threads_of(pid: int) -> dict[tuple[int, str], Spent]:
    """Every thread of a process, with its name."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            ran_ns, _, _ = (task / "schedstat").read_text().split()
            status = (task / "status").read_text()
        except OSError:  # it has ended
            continue
        lines = dict(line.split(":", 1) for line in status.splitlines())
        wakeups = int(lines["voluntary_ctxt_switches"])
        name = "main" if int(task.name) == pid else lines["Name"].strip()
        found[int(task.name), name] = Spent(int(ran_ns) / 1e9, wakeups)
    return found


def run(bench: Bench) -> None:
    measure(bench, "an idle farm", FARM, MOST_MS)
    measure(bench, "with the two processes of WebRTC", FARM + WEBRTC, None)


def measure(bench: Bench, what: str, config: str, most_ms: float | None) -> None:
    with Farm(config, standbys=True) as farm:
        time.sleep(SETTLE_S)
        processes = sorted(farm.named_processes(), key=lambda entry: entry[1])
        before = {name: threads_of(process.pid) for process, name in processes}
        began = time.monotonic()
        time.sleep(MEASURED_S)
        after = {name: threads_of(process.pid) for process, name in processes}
        seconds = time.monotonic() - began
    total_s = 0.0
    by_process = []
    for name, threads in after.items():
        used_s = 0.0
        for thread, spent in sorted(threads.items()):
            was = before[name].get(thread, Spent(0.0, 0))
            used_s += spent.cpu_s - was.cpu_s
            wakeups = (spent.wakeups - was.wakeups) / seconds
            if wakeups >= 0.05:
                ms = 1000 * (spent.cpu_s - was.cpu_s) / seconds
                bench.say(f"{name:<14} {thread[1]:<16} {wakeups:6.1f} wake-ups/s {ms:6.2f} ms/s")
        total_s += used_s
        by_process.append(f"{name} {1000 * used_s / seconds:.1f}")
    ms = 1000 * total_s / seconds
    note = ", ".join(by_process)
    bench.add(Figure(what, ms, "ms of CPU a second", most_ms, note=note))
