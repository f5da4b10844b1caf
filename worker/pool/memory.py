"""The memory of a pool: made and written by a worker, read by an encoder process (IO: mappings).

It is a memfd: it has no name, so nothing of it is left when its processes are gone, however they
end; it does not count against the size of /dev/shm, which containers keep small; and no sandbox
needs a path for it. Seals keep its size, without which a reader would die of SIGBUS, and let nobody
else write: who decodes what strangers send shares it with who does not, and the other way round.
"""

import errno
import fcntl
import mmap
import os
import weakref
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.errors import EncodeFailed
from worker.pool.layout import MAX_POOL_BYTES, Places, PoolLayout

_SEAL_FUTURE_WRITE: Final = 0x0010  # F_SEAL_FUTURE_WRITE, Linux 5.1; Python 3.11 has no name for it
_FIXED: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_SEALS: Final = _FIXED | _SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL

Bytes = NDArray[np.uint8]


class PoolRefused(Exception):
    """Memory that another process passed is none to be read from; the text says why."""


class PicturePool:
    """The worker's end: writable, and the descriptor to pass on. Gone with its last user."""

    def __init__(self, name: str, layout: PoolLayout) -> None:
        """`name` tells it from others of this host. Raises EncodeFailed."""
        self.name = name
        self.layout = layout
        size = f"{layout.size / 1024**2:.0f} MiB"
        if layout.size > MAX_POOL_BYTES:
            raise EncodeFailed(f"no {size} for pictures to encode: more than a pool may have")
        try:
            self.fd = os.memfd_create("tfarm-pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            weakref.finalize(self, os.close, self.fd)
            # now, since memory that is missing later ends the process with SIGBUS
            os.posix_fallocate(self.fd, 0, layout.size)
            mapped = mmap.mmap(self.fd, layout.size)
            _seal(self.fd)
        except OSError as error:
            raise EncodeFailed(f"no {size} for pictures to encode: {error.strerror}") from error
        self.bytes: Bytes = np.frombuffer(mapped, np.uint8)

    @property
    def address(self) -> int:
        """Where it is mapped in this process."""
        return int(self.bytes.ctypes.data)

    def picture(self, rendition: int, slot: int) -> tuple[Bytes, Bytes]:
        """Luma (height, width) and chroma (height / 2, width / 2, 2) of a place."""
        return planes(self.bytes, self.layout.renditions[rendition], slot)


def _seal(fd: int) -> None:
    """Keep its size, and others from writing it where the kernel can. Raises OSError."""
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _FIXED | fcntl.F_SEAL_SEAL)


class MappedPool:
    """The encoder process's end. What it writes there, nobody else sees."""

    def __init__(self, fd: int) -> None:
        """Map what the descriptor is of, which stays the caller's. Raises PoolRefused."""
        try:
            seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
            size = os.fstat(fd).st_size
            if seals & _FIXED != _FIXED or not 0 < size <= MAX_POOL_BYTES:
                raise PoolRefused(f"{size} bytes, sealed as {seals:#x}")
            # Private, since numpy lends out writable memory alone: pages are copied when written.
            writable = mmap.PROT_READ | mmap.PROT_WRITE
            mapped = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=writable)
        except OSError as error:
            raise PoolRefused(error.strerror or str(error)) from error
        self.bytes: Bytes = np.frombuffer(mapped, np.uint8)

    @property
    def size(self) -> int:
        return len(self.bytes)


def planes(memory: Bytes, places: Places, slot: int) -> tuple[Bytes, Bytes]:
    """Views of one picture: luma (height, width), chroma (height / 2, width / 2, 2)."""
    begin, (width, height) = places.at(slot), (places.width, places.height)
    rows: Any = memory[begin : begin + places.size].reshape(height * 3 // 2, places.pitch)
    chroma = rows[height:, :width].reshape(height // 2, width // 2, 2)
    return rows[:height, :width], chroma
