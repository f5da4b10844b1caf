"""Becomes a container's first process.

    python inside.py ROOT LAYERS FILES TMPFS ENVIRON USER COMMAND…

Run by `unshare` in namespaces of its own. The root is read-only, the user has no capability and
gets none, and of the host's network there is nothing but a loopback of its own.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def main() -> None:
    root, layers, files, tmpfs, environ, user, *command = sys.argv[1:]
    _loopback_up()
    _mount("overlay", root, "-t", "overlay", "-o", f"ro,lowerdir={layers}")
    _mount("proc", f"{root}/proc", "-t", "proc")
    _mount("tmpfs", f"{root}/dev", "-t", "tmpfs", "-o", "mode=755")
    for name in DEVICES:
        Path(f"{root}/dev/{name}").touch()
        _mount(f"/dev/{name}", f"{root}/dev/{name}", "--bind")
    for path, options in json.loads(tmpfs).items():
        _mount("tmpfs", f"{root}{path}", "-t", "tmpfs", "-o", options)
    for source, path in json.loads(files).items():
        _mount(source, f"{root}{path}", "--bind", "-o", "ro")
    os.chroot(root)
    os.chdir("/")
    uid, _, gid = user.partition(":")
    rights = ("--reuid", uid, "--regid", gid, "--clear-groups", "--bounding-set=-all")
    words = ("setpriv", *rights, "--inh-caps=-all", "--no-new-privs", *command)
    os.execvpe(words[0], words, json.loads(environ))


def _mount(source: str, target: str, *options: str) -> None:
    subprocess.run(["mount", *options, source, target], check=True)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


if __name__ == "__main__":
    main()
