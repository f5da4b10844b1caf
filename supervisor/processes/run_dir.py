"""The run directory (IO): where it is, whose it is, who holds it, what the dead left in it.

It holds the control socket, the children's sockets, the lock of the one supervisor and the list
of children that a next supervisor may find running. Whoever may enter it may publish, play and
stop the farm without keys, so it must be the user's own and closed to others.
"""

import contextlib
import fcntl
import json
import os
import re
import select
import socket
import stat
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.errors import TfarmError
from common.ipc.control_link import CONTROL_SOCKET
from common.ipc.identity import BootId, ChildId, Role

SERVICE = Path("/run/tfarm")  # deploy/tfarm.service's RuntimeDirectory
LOCK = "supervisor.lock"
CHILDREN = "children.json"
# Names in it are up to 51 bytes long (common.ipc.bus.endpoint), a Unix socket path 100.
MAX_PATH_BYTES = 48
MAX_CHILDREN_BYTES = 1024 * 1024
_CHILD_SOCKET = re.compile(r".+-(?P<boot_id>[0-9a-f]{16})\.\w+")


class RunDirError(TfarmError):
    """The run directory cannot be used; the message says why and what to do."""


class AlreadyRunning(RunDirError):
    """Another supervisor holds it."""


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """One child that was running when the list was written."""

    child: ChildId
    pid: int
    start_ticks: int
    boot_id: BootId  # "" before its hello
    address: str = ""  # its ZeroMQ identity at the control socket, which only we may know


def default_run_dir(environ: Mapping[str, str], uid: int) -> Path:
    """The farm's run directory when none is given."""
    under_systemd = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if under_systemd:
        return Path(under_systemd)
    session = environ.get("XDG_RUNTIME_DIR", "")
    return Path(session) / "tfarm" if session else Path(f"/tmp/tfarm-{uid}")


def find_run_dir(environ: Mapping[str, str], uid: int) -> Path:
    """Where the farm is that a command is for: the default, or the service's if only that runs."""
    own = default_run_dir(environ, uid)
    if environ.get("RUNTIME_DIRECTORY") or is_served(own) or not is_served(SERVICE):
        return own
    return SERVICE


def prepare(path: Path) -> Path:
    """Make the directory, or check the one that is there; its absolute path.

    Raises:
        RunDirError: it is too long, not ours, or open to others.
    """
    path = Path(os.path.abspath(path))
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise RunDirError(
            f"the run directory's path is longer than {MAX_PATH_BYTES} bytes, and socket names "
            f"have to fit behind it: {path}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise RunDirError(f"the run directory is no directory: {path}")
        if found.st_uid != os.geteuid():
            raise RunDirError(f"the run directory belongs to another user: {path}")
        if stat.S_IMODE(found.st_mode) & 0o077:
            if any(path.iterdir()):
                raise RunDirError(
                    f"the run directory is open to others (mode "
                    f"{stat.S_IMODE(found.st_mode):o}): chmod 700 {path}"
                )
            path.chmod(0o700)
    except OSError as error:
        raise RunDirError(f"cannot use the run directory {path}: {error.strerror}") from error
    return path


class RunDirLock:
    """Held for a supervisor's life; the kernel gives it back however that ends."""

    def __init__(self, run_dir: Path) -> None:
        """Raises AlreadyRunning."""
        self._file = (run_dir / LOCK).open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read(32).strip()
            self._file.close()
            raise AlreadyRunning(
                f"a farm is already running in {run_dir} (supervisor pid {holder or 'unknown'}); "
                f"give this one another --run-dir, or end that one: tfarm stop"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def is_served(run_dir: Path) -> bool:
    """Tell if a supervisor listens on the control socket there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(run_dir / CONTROL_SOCKET))
        except OSError:
            return False
        return True


def why_unserved(run_dir: Path) -> str:
    """Say what is wrong with a directory where nobody listens, which may be the wrong one."""
    if not os.path.lexists(run_dir):
        return f"there is no {run_dir}"
    if not os.path.isdir(run_dir):
        return f"{run_dir} is no directory"
    if not os.access(run_dir, os.R_OK | os.X_OK):
        return f"{run_dir} is closed to this user"
    if not os.path.exists(run_dir / LOCK):
        return f"{run_dir} is no run directory: no farm has run in it"
    return f"nothing listens in {run_dir}"


def wait_gone(pid: int, timeout: float) -> bool:
    """Wait for any process of ours to end; False when it has not."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(pidfd)


def write_children(run_dir: Path, records: Iterable[ChildRecord]) -> None:
    """Leave a list of the running children for a next supervisor."""
    new = run_dir / f"{CHILDREN}.new"
    new.write_text(json.dumps([asdict(record) for record in records]))
    new.replace(run_dir / CHILDREN)


def read_children(run_dir: Path) -> list[ChildRecord]:
    """The list that an earlier supervisor left; nothing when it is not there or damaged."""
    try:
        with (run_dir / CHILDREN).open("rb") as file:
            items = json.loads(file.read(MAX_CHILDREN_BYTES))
        return [
            ChildRecord(
                _child(item["child"]),
                int(item["pid"]),
                int(item["start_ticks"]),
                BootId(str(item["boot_id"])),
                str(item.get("address", "")),
            )
            for item in items
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _child(fields: Mapping[str, Any]) -> ChildId:
    return ChildId(
        str(fields["kind"]),
        str(fields["device"]),
        int(fields["index"]),
        Role(fields["role"]),
        str(fields["host"]),
    )


def remove_sockets(run_dir: Path, keep: Iterable[BootId] = ()) -> int:
    """Remove the socket files of children that are not among those to keep; how many."""
    kept = set(keep)
    removed = 0
    for path in run_dir.iterdir():
        match = _CHILD_SOCKET.fullmatch(path.name)
        if match and match["boot_id"] not in kept and path.is_socket():
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def remove_sockets_of(run_dir: Path, boot_id: BootId) -> None:
    """Remove what one dead incarnation left."""
    for path in run_dir.glob(f"*-{boot_id}.*"):
        path.unlink(missing_ok=True)


def clear(run_dir: Path) -> None:
    """After a clean end: nothing is left but the lock file, which others may be waiting on."""
    remove_sockets(run_dir)
    for name in (CONTROL_SOCKET, CHILDREN):
        with contextlib.suppress(FileNotFoundError):
            (run_dir / name).unlink()
