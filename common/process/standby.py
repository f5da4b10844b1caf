"""A process that waits, its imports done, until it is told which child it is to be (IO: stdin).

Imports are most of a start, and on a busy host they take seconds. So a supervisor keeps a process
ahead for kinds whose absence is noticed, and starts a child by handing it its command line. A
process that nobody needs any more reads the end of its stdin, and ends.
"""

import importlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Final

OPTION: Final = "--standby"  # in place of a child's command line


def wait_for_order(modules: Iterable[str]) -> None:
    """Return when this process is to begin, its command line in `sys.argv`.

    At once where it was started as a child; else `modules` are imported first. A child calls it
    before it looks at its command line. Where one cannot be imported, perhaps since another version
    is being installed just now, the process ends: a child that is started will say why.
    """
    if sys.argv[1:] != [OPTION]:
        return
    # numpy would start a thread for each core at its import, and sandboxes want one thread
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        for module in modules:
            importlib.import_module(module)
    except Exception:
        os._exit(1)
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        line = stdin.readline()
    if not line.endswith(b"\n"):
        os._exit(0)
    sys.argv[1:] = json.loads(line)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def order(arguments: Sequence[str]) -> bytes:
    """Return what such a process reads to begin with these arguments."""
    return json.dumps(list(arguments)).encode() + b"\n"
