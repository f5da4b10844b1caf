"""The run directory (IO): where it is, whose it is, who holds it, what the dead left in it.

It holds the control socket, the children's sockets, the lock of the one supervisor and the list
of children that a next supervisor may find running. Whoever may enter it may publish, play and
stop the farm without keys, so it must be the user's own and closed to others.
"""

import contextlib
import fcntl
import json
import os
import pwd
import re
import select
import socket
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from common.errors import TfarmError
from common.ipc.control_link import CONTROL_SOCKET
from common.ipc.identity import BootId, ChildId, Role
from common.ipc.peer_credentials import PeerCredentials, peer_credentials

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
    if session:
        return Path(session) / "tfarm"
    return Path(f"/tmp/tfarm-{uid}")  # nosec B108 # `prepare` takes no directory of another user


def find_run_dir(environ: Mapping[str, str], uid: int) -> Path:
    """Where the farm is that a command is for: the default, or the service's if only that runs."""
    own = default_run_dir(environ, uid)
    if environ.get("RUNTIME_DIRECTORY"):
        return own
    is_there = is_served(own) and not why_untrusted(own, uid)
    return own if is_there or not is_served(SERVICE) else SERVICE


def why_untrusted(run_dir: Path, uid: int, *, is_named: bool = False) -> str:
    """Say why a user may not believe what is in a run directory; "": he may, or it is not there.

    It is the user's own, or root's, and nobody else can write in it. Root may use anybody's that
    `is_named`, and the service's: it means that user's farm then.
    """
    try:
        # a name that was found, not given, may be a link that somebody else put there
        found = run_dir.stat() if is_named else run_dir.lstat()
    except OSError:
        return ""
    if not stat.S_ISDIR(found.st_mode):
        return f"{run_dir} is no directory"
    if found.st_mode & 0o022:
        return f"others may write in {run_dir} (mode {stat.S_IMODE(found.st_mode):o})"
    if found.st_uid in (0, uid):
        return ""
    owner = user_name(found.st_uid)
    if uid != 0:
        return f"{run_dir} belongs to {owner}"
    if is_named or run_dir == SERVICE:
        return ""
    return f"{run_dir} belongs to {owner}; if that one's farm is meant: --run-dir {run_dir}"


def why_served_by_another(run_dir: Path, uid: int) -> str:
    """Say why who serves a run directory may not do so; "": its owner does, or root."""
    owner = run_dir.stat().st_uid
    if uid in (0, owner):
        return ""
    return f"{run_dir} belongs to {user_name(owner)}, but {user_name(uid)} listens in it"


def user_name(uid: int) -> str:
    """Return a user's name, or the number where it has none."""
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


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
        self._run_dir = run_dir
        if is_served(run_dir):  # its lock may have been removed; it will take it again
            raise _already_running(run_dir)
        self._file = _locked(run_dir)

    def is_in_place(self) -> bool:
        """Tell if the lock that is held is the one that others would find."""
        try:
            there = (self._run_dir / LOCK).lstat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._file.fileno()))

    def renew(self) -> None:
        """Take the lock that others would find. Raises AlreadyRunning."""
        file = _locked(self._run_dir)
        self._file.close()
        self._file = file

    def release(self) -> None:
        self._file.close()


def _locked(run_dir: Path) -> IO[str]:
    file = (run_dir / LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise _already_running(run_dir) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _already_running(run_dir: Path) -> AlreadyRunning:
    try:
        with (run_dir / LOCK).open() as file:
            holder = file.read(32).strip()
    except OSError:
        holder = ""
    return AlreadyRunning(
        f"a farm is already running in {run_dir} (supervisor pid {holder or 'unknown'}); "
        f"give this one another --run-dir, or end that one: tfarm stop"
    )


def is_served(run_dir: Path) -> bool:
    """Tell if a supervisor listens on the control socket there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(run_dir / CONTROL_SOCKET))
        except BlockingIOError:  # so many wait that there is no room in its backlog
            return True
        except OSError:
            return False
        return True


def served_by(run_dir: Path, timeout_s: float) -> PeerCredentials | None:
    """Return whose process listens on the control socket there; None: nobody's.

    Raises:
        TimeoutError: somebody does, and takes no connection.
    """
    deadline_s = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        while True:
            try:
                probe.connect(str(run_dir / CONTROL_SOCKET))
                return peer_credentials(probe)
            except BlockingIOError:
                if time.monotonic() >= deadline_s:
                    raise TimeoutError from None
                time.sleep(0.02)
            except OSError:
                return None


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
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
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
    if not run_dir.is_dir():
        return 0
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
    for path in run_dir.glob("crash-*"):
        path.unlink(missing_ok=True)
    for name in (CONTROL_SOCKET, CHILDREN):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (run_dir / name).unlink()
