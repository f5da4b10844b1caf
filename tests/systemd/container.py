"""A Debian of its own with systemd as PID 1, by debootstrap and systemd-nspawn (root alone).

Its root is made once, in `build/systemd`. Each boot begins with that, in an overlay that its end
takes away. It has a network of its own, the loopback alone. It runs beside an init of any kind.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.kit.debian_root import PYTHON, ROOT, fetch_wheels, make_root
from tests.kit.waiting import until

BUILD = ROOT / "build" / "systemd"
PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3-venv", "ffmpeg", "procps")
SOURCE = "/usr/src/tfarm"  # the checkout, in the container
WHEELS = "/usr/src/wheels"
TOOLS = ("debootstrap", "systemd-nspawn", "nsenter")
BOOT_S = 60.0
# What nspawn of systemd 252 keeps from a container, and a host lets every unit ask for.
SANDBOX = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")


def why_not() -> str:
    """Say why no container can be had here; "": it can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        return "it needs root"
    if missing:
        return f"{', '.join(missing)} missing: apt-get install debootstrap systemd-container"
    if sys.version_info[:2] != PYTHON:
        return "it needs Python 3.11, as the container has"
    return ""


def prepare() -> None:
    """Make the container's root and fetch what tfarm installs, unless both are there."""
    print("debootstrap: some minutes, once", flush=True)
    make_root(BUILD / "root", PACKAGES)
    fetch_wheels(BUILD / "wheels")


@dataclass
class Container:
    """A booted one."""

    leader: int  # the pid, here, of its PID 1
    console: Path
    _environ: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        """Return the words that run a command in it, as root."""
        spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd")
        clean = ("env", "-i", f"PATH={_PATH}", "LANG=C.UTF-8", "HOME=/root", "COLUMNS=200")
        return ["nsenter", f"--target={self.leader}", *spaces, *clean, *words]

    def run(
        self, *words: str, ok: Sequence[int] = (0,), timeout: float = 60.0, stdin: str = ""
    ) -> str:
        """Run a command to its end; what it printed. AssertionError for another exit code."""
        done = subprocess.run(
            self.command(*words),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode in ok, f"{' '.join(words)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command whose output is read by the caller; `end` ends it."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(*words), stdout=pipe, stderr=pipe, text=True)

    def end(self, started: "subprocess.Popen[str]") -> str:
        """End a command that was started; what it printed to its standard output."""
        for child in psutil.Process(started.pid).children():  # of nsenter, which waits for it
            child.terminate()
        return started.communicate(timeout=10)[0]

    def path(self, inside: str) -> Path:
        """Return where a file of it is, for this host."""
        return Path(f"/proc/{self.leader}/root{inside}")


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@contextlib.contextmanager
def booted() -> Iterator[Container]:
    """Boot one; power it off at the end."""
    console = BUILD / "console.log"
    command = [
        *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network"),
        *(f"--directory={BUILD / 'root'}", "--volatile=overlay", "--machine=tfarm-try"),
        *(f"--bind-ro={ROOT}:{SOURCE}", f"--bind-ro={BUILD / 'wheels'}:{WHEELS}"),
        f"--system-call-filter={' '.join(SANDBOX)}",
        *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--boot"),
    ]
    with console.open("wb") as log:
        nspawn = psutil.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            container = Container(_leader(nspawn, console), console)
            _wait_booted(container)
            yield container
        finally:
            _power_off(nspawn)


def _leader(nspawn: psutil.Popen, console: Path) -> int:
    def init() -> int:
        assert nspawn.poll() is None, console.read_text(errors="replace")
        found = [child.pid for child in nspawn.children() if child.name() == "systemd"]
        return found[0] if found else 0

    until(init, BOOT_S, "systemd is PID 1 in the container", every=0.1)
    return init()


def _wait_booted(container: Container) -> None:
    def is_up() -> bool:
        state = container.run("systemctl", "is-system-running", ok=range(256)).strip()
        return state in ("running", "degraded")

    until(is_up, BOOT_S, "the container has booted", every=0.2)


def _power_off(nspawn: psutil.Popen) -> None:
    if nspawn.poll() is not None:
        return
    nspawn.send_signal(signal.SIGTERM)  # an orderly power-off
    try:
        nspawn.wait(20)
    except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
        nspawn.kill()
        nspawn.wait(10)
