"""Does the steps of deploy/Containerfile in clean roots, as a builder of images does (root alone).

Each stage is an overlay over one Debian made by debootstrap. Stages run side by side, and wait for
another where they copy from it. Mounts go away with the mount namespace that this runs in.
"""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.image.containerfile import Copy, Stage, Step, argument, environment, kept
from tests.kit.debian_root import ROOT, fetch_wheels, make_root

BUILD = ROOT / "build" / "image"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WHEELS = Path("/mnt")  # in a root, while a step runs
STEP_S = 300.0

Say = Callable[[str], object]


@dataclass
class Built:
    """A stage that is done."""

    root: Path
    layers: str  # for another overlay of the same: its own files, and what it began as
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": DEFAULT_PATH})
    user: str = "0:0"


def prepare(say: Say) -> None:
    """Have what all stages begin as, and the wheels that they install."""
    began = time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        fetching = threads.submit(fetch_wheels, BUILD / "wheels")
        make_root(BUILD / "base")
        fetching.result()
    say(f"a clean Debian, and wheels: {time.monotonic() - began:.0f} s")


def build(stages: list[Stage], arguments: Mapping[str, str], say: Say) -> Built:
    """Do all stages; return the last one.

    Raises:
        ValueError: a step is none that this builder knows.
        subprocess.CalledProcessError: one has failed; its output has been printed.
    """
    upper = BUILD / "stages"
    upper.mkdir(exist_ok=True)
    mount("tmpfs", upper, "tmpfs", "mode=755")
    done: dict[str, Future[Built]] = {}
    with ThreadPoolExecutor(len(stages)) as threads:
        for number, stage in enumerate(stages):
            name = stage.name or str(number)
            run = _Stage(upper / name, name, arguments, dict(done), say)
            done[name] = threads.submit(run.do, stage)
    for future in done.values():  # the first that failed says why
        subprocess.run(["umount", str(future.result().root)], check=True)
    return done[name].result()


def mount(source: str | Path, target: Path, kind: str, options: str) -> None:
    """Mount something; `kind` "": another place of what is there already."""
    target.mkdir(parents=True, exist_ok=True)
    how = ("-t", kind, "-o", options) if kind else ("--rbind", "-o", options)
    subprocess.run(["mount", *how, str(source), str(target)], check=True)


class _Stage:
    """One stage while it is built."""

    _printing = threading.Lock()

    def __init__(
        self,
        folder: Path,
        name: str,
        arguments: Mapping[str, str],
        others: Mapping[str, "Future[Built]"],
        say: Say,
    ) -> None:
        """`others` are those that it may copy from."""
        self._folder = folder
        self._name = name
        self._given = arguments
        self._others = others
        self._say = say
        self._arguments: dict[str, str] = {}
        self._directory = "/"
        root, base, files = folder / "root", BUILD / "base", folder / "files"
        for path in (root, files, folder / "work"):
            path.mkdir(parents=True)
        over = f"lowerdir={base},upperdir={files},workdir={folder / 'work'}"
        mount("overlay", root, "overlay", over)
        self._built = Built(root, f"{files}:{base}")

    def do(self, stage: Stage) -> Built:
        for step in stage.steps:
            began = time.monotonic()
            self._step(step)
            took_s = time.monotonic() - began
            if took_s > 0.5:
                self._say(f"{self._name}: {step.name} {step.text[:60]}…: {took_s:.0f} s")
        return self._built

    def _step(self, step: Step) -> None:
        match step.name:
            case "RUN":
                self._run(step.text)
            case "COPY":
                self._copy(Copy.of(step.text))
            case "WORKDIR":
                self._directory = os.path.join(self._directory, step.text)
                self._inside(self._directory).mkdir(parents=True, exist_ok=True)
            case "ENV":
                self._built.environ |= environment(step.text)
            case "ARG":
                self._arguments.update([argument(step.text, self._given)])
            case "USER":
                self._built.user = step.text

    def _run(self, text: str) -> None:
        if self._built.user != "0:0":
            raise ValueError(f"RUN as {self._built.user}: {text}")
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS)}
        values = {**self._built.environ, **self._arguments, **offline}
        pairs = [f"{name}={value}" for name, value in values.items()]
        root = self._built.root
        # A namespace of its own: what it mounts is gone behind the step.
        inside = 'mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"'
        inside += f'; mount --bind "$1" "$0{WHEELS}"; root=$0; shift; exec chroot "$root" "$@"'
        command = ["unshare", "--mount", "sh", "-ec", inside, str(root), str(BUILD / "wheels")]
        command += ["env", "-i", f"--chdir={self._directory}", *pairs, "sh", "-c", text]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_S,
            check=False,
        )
        if done.returncode:
            with self._printing:
                print(f"{self._name}: RUN {text}\n{done.stdout}", flush=True)
            done.check_returncode()

    def _copy(self, copy: Copy) -> None:
        is_folder = copy.target.endswith("/") or copy.target == "."
        target = self._inside(copy.target)
        for source in copy.sources:
            if copy.stage:
                came_from = self._others[copy.stage].result().root / source.strip("/")
            else:
                came_from = _context() / source
            if came_from.is_dir():
                shutil.copytree(came_from, target, symlinks=True, dirs_exist_ok=True)
            else:
                to = target / came_from.name if is_folder else target
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(came_from, to)

    def _inside(self, path: str) -> Path:
        whole = os.path.normpath(os.path.join(self._directory, path))
        return self._built.root / whole.strip("/")


_context_lock = threading.Lock()


def _context() -> Path:
    """What a builder sees of the checkout: made once, of what the .dockerignore leaves."""
    folder = BUILD / "stages" / "context"
    with _context_lock:
        if not folder.exists():
            ignore = (ROOT / "deploy" / "Containerfile.dockerignore").read_text()
            for path in kept(_files(), ignore):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, folder / path)
    return folder


def _files() -> list[str]:
    """All files of the checkout, but of folders that are none of its own."""
    found = []
    for folder, names, files in os.walk(ROOT):
        at = os.path.relpath(folder, ROOT)
        names[:] = [
            name for name in names if not (at == "." and (name[0] == "." or name == "build"))
        ]
        found += [os.path.normpath(os.path.join(at, file)) for file in files]
    return sorted(found)
