"""A pool's memory, mapped by who writes it and by who reads it."""

import errno
import fcntl
import gc
import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from common.errors import EncodeFailed
from worker.pool.layout import MAX_POOL_BYTES, PoolLayout, lay_out
from worker.pool.memory import MappedPool, PicturePool, PoolRefused, planes

LAYOUT = lay_out([(64, 32), (32, 16)])


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_what_the_worker_writes_the_other_end_reads_also_later() -> None:
    pool = PicturePool("a", LAYOUT)
    other = MappedPool(pool.fd)
    for value in (7, 9):
        luma, chroma = pool.picture(1, 3)
        luma[:] = value
        chroma[:] = value + 1
        seen_luma, seen_chroma = planes(other.bytes, LAYOUT.renditions[1], 3)
        assert seen_luma.shape == (16, 32)
        assert seen_chroma.shape == (8, 16, 2)
        assert (seen_luma == value).all()
        assert (seen_chroma == value + 1).all()
    assert pool.picture(1, 2)[0].max() == 0, "no other place is written"


def test_what_the_other_end_writes_nobody_sees() -> None:
    pool = PicturePool("a", LAYOUT)
    MappedPool(pool.fd).bytes[:] = 255
    assert pool.bytes.max() == 0
    with pytest.raises(PermissionError):
        mmap.mmap(pool.fd, LAYOUT.size)


@pytest.mark.parametrize("size", [0, LAYOUT.size // 2, 2 * LAYOUT.size])
def test_its_size_stays(size: int) -> None:
    pool = PicturePool("a", LAYOUT)
    with pytest.raises(PermissionError):
        os.ftruncate(pool.fd, size)


def test_memory_that_may_shrink_is_refused(tmp_path: Path) -> None:
    fd = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 4096)
    with pytest.raises(PoolRefused, match="4096 bytes, sealed as 0x0"):
        MappedPool(fd)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    assert MappedPool(fd).size == 4096
    os.close(fd)
    with (tmp_path / "file").open("wb") as file, pytest.raises(PoolRefused):
        MappedPool(file.fileno())


def test_memory_that_is_not_to_be_had_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(EncodeFailed, match="no 4096 MiB for pictures to encode: more than"):
        PicturePool("a", PoolLayout((), 8, 2 * MAX_POOL_BYTES))
    monkeypatch.setattr(os, "posix_fallocate", full)
    gc.collect()
    before = descriptors()
    with pytest.raises(EncodeFailed, match="no 0 MiB for pictures to encode: No space left"):
        PicturePool("a", LAYOUT)
    gc.collect()
    assert descriptors() == before


def test_nothing_is_left_of_two_hundred_pools() -> None:
    gc.collect()
    before = descriptors()
    for number in range(200):
        pool = PicturePool(str(number), LAYOUT)
        other = MappedPool(pool.fd)
        kept = np.asarray(other.bytes[:4])
        del pool, other, kept
    gc.collect()
    assert descriptors() == before
    assert "tfarm-pictures" not in Path("/proc/self/maps").read_text()
