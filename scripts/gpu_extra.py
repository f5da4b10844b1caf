#!/usr/bin/env python3
"""Print which GPU packages fit this host's driver: `gpu12`, `gpu13`, or nothing.

The Makefile asks before tfarm is installed, so this needs Python alone. The driver's library says
which CUDA it supports; a host without a driver or without a GPU gets no GPU packages, and so does
one with `CUDA_VISIBLE_DEVICES` set to nothing. `TFARM_GPU_EXTRA` overrides: gpu12, gpu13 or none.
"""

import ctypes
import os
import sys
from collections.abc import Mapping

OVERRIDE = "TFARM_GPU_EXTRA"


def extra_for(cuda: int) -> str:
    """The extra for the newest CUDA that a driver supports (12080 is 12.8); "": none fits."""
    if cuda >= 13000:
        return "gpu13"
    return "gpu12" if cuda >= 12000 else ""


def driver_cuda(library: str = "libcuda.so.1") -> int:
    """The driver's CUDA version; 0 without a driver or a GPU."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return 0
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    try:
        if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
            return 0
        if cuda.cuDriverGetVersion(ctypes.byref(version)):
            return 0
    except AttributeError:  # a library of that name that is no driver
        return 0
    return version.value


def choose(environ: Mapping[str, str], cuda: int) -> str:
    """What to print. Raises ValueError for an override that is no extra."""
    override = environ.get(OVERRIDE, "")
    if override not in ("", "none", "gpu12", "gpu13"):
        raise ValueError(f"{OVERRIDE} must be gpu12, gpu13 or none")
    if override:
        return override.removeprefix("none")
    return extra_for(cuda)


def main() -> int:
    try:
        extra = choose(os.environ, driver_cuda())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if extra:
        print(extra)
    return 0


if __name__ == "__main__":
    sys.exit(main())
