"""What objects in a bucket are called, and in which parts they are sent. Pure."""

from pathlib import Path
from typing import Final

# A single request takes what is smaller, as S3 wants parts of 5 MiB at least.
PART_BYTES: Final = 8 << 20
MOST_PARTS: Final = 9_000  # S3 takes 10,000
MEMORY_BYTES: Final = 32 << 20  # that parts on their way may take, if one leaves room for another
MOST_AT_ONCE: Final = MEMORY_BYTES // PART_BYTES


def object_name(prefix: str, directory: str, path: Path) -> str:
    """A file's name in the bucket: its place below the directory, behind the prefix."""
    return prefix + path.relative_to(directory).as_posix()


def part_bytes(size: int) -> int:
    """How large the parts of a file of this size are."""
    return max(PART_BYTES, -(-size // MOST_PARTS))


def at_once(part: int) -> int:
    """How many parts of this size are on their way together."""
    return max(1, min(MOST_AT_ONCE, MEMORY_BYTES // part))
