"""A clean Debian 12 in a folder, by debootstrap (root alone), and what pip installs there."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
PYTHON = (3, 11)  # Debian 12's: wheels are fetched here, for there


def make_root(root: Path, packages: Sequence[str] = ()) -> None:
    """Make one with these packages beside the essential ones, unless it is there.

    What debootstrap says stands beside it, in `debootstrap.log`.
    """
    if (root / "made").exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    include = (f"--include={','.join(packages)}",) if packages else ()
    command = ["debootstrap", "--variant=minbase", *include, SUITE, str(root), *_mirror()]
    with (root.parent / "debootstrap.log").open("wb") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    (root / "made").touch()


def fetch_wheels(folder: Path) -> None:
    """Have the packages of requirements/runtime.txt, the same by their hashes, in a folder."""
    pinned = ROOT / "requirements" / "runtime.txt"
    made_of = folder / "requirements.txt"
    if made_of.exists() and made_of.read_bytes() == pinned.read_bytes():
        return
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    wanted = ["--require-hashes", "-r", str(pinned)]
    subprocess.run([*pip, "-d", str(folder), *wanted], check=True)
    shutil.copy(pinned, made_of)


def _mirror() -> list[str]:
    """Return this host's mirror of the suite; without apt, debootstrap's own."""
    query = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    found = [line.split() for line in answer.splitlines()]
    return [uri for uri, release in found if release == SUITE][:1]
