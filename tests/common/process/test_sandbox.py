"""A process in the sandbox tries to get out. Linux 5.13 and later have all of it, so nothing here
is skipped: where the kernel of a test machine lacks it, these tests fail."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common.process import landlock, sandbox

# Each attempt is a line of its own: what it is called, and an expression that raises where the
# sandbox holds.
PROGRAM = """
import ctypes, importlib, json, mmap, os, signal, socket, sys, threading
from pathlib import Path
from common.process import landlock, sandbox
from common.process.unblocked import Unblocked, unblock

run_dir, secret, listener, parent = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
held = open(secret)
waiting = threading.Event()
seen = {}
pipes = os.pipe(), os.pipe()
logs = unblock(pipes[0][1]), Unblocked(pipes[1][1])
def later():
    waiting.wait()
    seen["thread"] = attempt(lambda: os.fork())

def attempt(do):
    try:
        do()
    except BaseException as error:
        return type(error).__name__
    return "done"

assert sandbox.close_files(run_dir, sandbox.SandboxPaths(), [Path(sandbox.__file__).parents[1]])
bound = socket.socket(socket.AF_UNIX); bound.bind(str(run_dir / "own"))
thread = threading.Thread(target=later); thread.start()
assert sandbox.close_calls()
waiting.set(); thread.join()

def connect_tcp():
    with socket.socket() as out:
        out.connect(("127.0.0.1", 1))

def connect_unix():
    with socket.socket(socket.AF_UNIX) as out:
        out.connect(listener)

def fill_the_log():
    for log in logs:
        while log.put("a line\\n"):
            pass

def another_thread():
    other = threading.Thread(target=int); other.start(); other.join()

libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

seen |= {
    "read": attempt(lambda: open(secret).read()),
    "list": attempt(lambda: os.listdir(Path(secret).parent)),
    "passwords": attempt(lambda: open("/etc/passwd").read()),
    "write": attempt(lambda: open(run_dir / "new", "w")),
    "remove": attempt(lambda: os.unlink(run_dir / "own")),
    "rename": attempt(lambda: os.rename(run_dir / "own", run_dir / "other")),
    "chmod": attempt(lambda: os.chmod(run_dir / "own", 0o777)),
    "environment": attempt(lambda: open(f"/proc/{parent}/environ").read()),
    "tcp": attempt(connect_tcp),
    "udp": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "bind": attempt(lambda: socket.socket(socket.AF_UNIX).bind(str(run_dir / "second"))),
    "signal": attempt(lambda: os.kill(parent, 0)),
    "fork": attempt(os.fork),
    "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
    "spawn": attempt(lambda: os.posix_spawn("/bin/true", ["true"], {})),
    "trace": attempt(lambda: call("ptrace", 16, parent, 0, 0)),
    "namespace": attempt(lambda: call("unshare", 0x10000000)),
    # what it needs to go on
    "held": attempt(held.read),
    "memory": attempt(lambda: mmap.mmap(-1, 1 << 20)),
    "own thread": attempt(another_thread),
    "unix": attempt(connect_unix),
    "pair": attempt(socket.socketpair),
    "module": attempt(lambda: importlib.import_module("csv")),
    "own status": attempt(lambda: open("/proc/self/status").read()),
    "own signal": attempt(lambda: os.kill(os.getpid(), 0)),
    "log": attempt(fill_the_log),
}
print(json.dumps(seen))
"""
FREE = {"held", "memory", "own thread", "unix", "pair", "module", "own status", "own signal", "log"}


def test_the_kernel_has_all_of_it() -> None:
    assert sandbox.missing() == []


CONNECTS = """
import json, os, socket, subprocess, sys, threading
from common.process import sandbox

def attempt(do):
    try:
        do()
    except BaseException as error:
        return type(error).__name__
    return "done"

def another_thread():
    other = threading.Thread(target=int); other.start(); other.join()

assert sandbox.close_calls(sandbox.STARTS_NOTHING)
seen = {
    "fork": attempt(os.fork),
    "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
    "program": attempt(lambda: subprocess.run(["/bin/true"])),
    "signal": attempt(lambda: os.kill(os.getppid(), 0)),
    "chmod": attempt(lambda: os.chmod(sys.argv[1], 0o777)),
    # what it needs to go on
    "connect": attempt(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])))),
    "name": attempt(lambda: socket.getaddrinfo("localhost", 1)),
    "listen": attempt(lambda: socket.create_server(("127.0.0.1", 0)).close()),
    "read": attempt(lambda: open(sys.argv[1]).read()),
    "thread": attempt(another_thread),
}
print(json.dumps(seen))
"""


@pytest.mark.e2e
def test_what_connects_to_other_hosts_can_start_no_program_and_no_process(tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    file.write_text("one")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-Wignore", "-c", CONNECTS, file, port],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[3],
        )
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    free = {"connect", "name", "listen", "read", "thread"}
    assert {name for name, what in seen.items() if what == "done"} == free


@pytest.mark.e2e
def test_what_a_process_in_the_sandbox_can_do_and_cannot(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    secret = tmp_path / "farm.toml"
    secret.write_text("publish_keys = ['s3cret']")
    with socket.socket(socket.AF_UNIX) as listener:
        path = str(tmp_path / "listener")
        listener.bind(path)
        listener.listen()
        ended = subprocess.run(
            [sys.executable, "-Wignore", "-c", PROGRAM, run_dir, secret, path, str(os.getpid())],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[3],
        )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    seen = json.loads(ended.stdout)
    assert {name for name, what in seen.items() if what == "done"} == FREE
    assert set(seen.values()) == {"done", "PermissionError"}
    assert (run_dir / "own").exists()
    assert not (run_dir / "new").exists()


BINDS = """
import socket, sys
from pathlib import Path
from common.process.sandbox import SandboxPaths, close_calls, close_files

def bind():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))

assert close_files(Path(sys.argv[1]), SandboxPaths(listens=sys.argv[2] == "listens"))
bind()
assert close_calls()
try:
    bind()
except PermissionError:
    print("closed")
"""


@pytest.mark.e2e
@pytest.mark.parametrize("what", ["listens", "does not"])
def test_who_listens_binds_its_address_before_calls_are_closed_and_never_again(
    tmp_path: Path, what: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-Wignore", "-c", BINDS, tmp_path, what],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    if what == "listens":
        assert ended.stdout == "closed\n", ended.stderr
    elif landlock.abi() >= 4:
        assert "PermissionError" in ended.stderr


def test_a_machine_that_is_not_known_goes_without_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = os.uname_result(("Linux", "host", "6.12", "#1", "riscv64"))
    monkeypatch.setattr(os, "uname", lambda: unknown)
    assert not sandbox.close_calls()
    assert "no sandbox for system calls reason=unknown machine riscv64" in caplog.text
    assert any("riscv64" in line for line in sandbox.missing())


WRITER = """
import json, sys
from pathlib import Path
from common.process import sandbox

run_dir, mine, other = map(Path, sys.argv[1:])
paths = sandbox.SandboxPaths(write=(mine,))
assert sandbox.close_files(run_dir, paths, [Path(sandbox.__file__).parents[1]])
assert sandbox.close_calls()

def attempt(do):
    try:
        do()
    except OSError as error:
        return type(error).__name__
    return "done"

print(json.dumps({
    "make a folder": attempt(lambda: (mine / "a" / "b").mkdir(parents=True)),
    "write": attempt(lambda: (mine / "a" / "b" / "part").write_text("x")),
    "rename": attempt(lambda: (mine / "a" / "b" / "part").rename(mine / "a" / "b" / "file")),
    "cut": attempt(lambda: (mine / "a" / "b" / "file").open("r+b").truncate(0)),
    "remove": attempt(lambda: (mine / "a" / "b" / "file").unlink()),
    "write elsewhere": attempt(lambda: (other / "file").write_text("x")),
    "move out": attempt(lambda: (mine / "there").rename(other / "there")),
    "link": attempt(lambda: (mine / "link").symlink_to(other)),
    "read elsewhere": attempt(lambda: (other / "there").read_text()),
}))
"""


def test_who_writes_files_does_so_in_its_directories_and_nowhere_else(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("run", "mine", "other")]
    for folder in folders:
        folder.mkdir()
        (folder / "there").write_text("x")
    command = [sys.executable, "-c", WRITER, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    found = json.loads(done.stdout)
    allowed = {"make a folder", "write", "rename", "cut", "remove"}
    assert {name for name, said in found.items() if said == "done"} == allowed, found
