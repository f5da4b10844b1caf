"""What Linux says of a process: its open files, its memory, the pictures' pools that it maps."""

from pathlib import Path


def descriptors(pid: int) -> int:
    """How many files it has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def pss_bytes(pid: int) -> int:
    """Its memory, with its part of what it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss in smaps_rollup")


def pools(pid: int) -> int:
    """How many pools of scaled pictures it maps; 0 of one that is gone."""
    try:
        return Path(f"/proc/{pid}/maps").read_text().count("memfd:tfarm-pictures")
    except OSError:
        return 0
