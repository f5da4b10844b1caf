"""`python -P -m worker --device cpu --index 0 --run-dir DIR`: one worker process."""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until the loop handles it

import argparse  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from common.ipc.child_arguments import add_identity, identity_of  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="worker", description=__doc__)
    add_identity(parser)
    parser.add_argument("--run-dir", required=True, type=Path)
    parser.add_argument("--threads", type=int, default=1, help="of an x264 encoder")
    parser.add_argument("--share", type=int, default=1, help="workers that the cores are for")
    parser.add_argument("--orphan-timeout", type=float, default=30.0)
    arguments = parser.parse_args()

    from common.process import time_slice
    from common.process.descriptors import raise_limit
    from common.process.log import set_up
    from worker.devices.table import prepare_device

    child = identity_of("worker", arguments)
    prepare_device(child.device)

    from worker.run import run_worker

    set_up(str(child))
    raise_limit()
    time_slice.shorten()
    return int(
        run_worker(
            child,
            arguments.run_dir,
            threads=max(1, arguments.threads),
            share=max(1, arguments.share),
            orphan_timeout_s=arguments.orphan_timeout,
        )
    )


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Lanes may be inside a codec or a driver, after a lost device for good: nothing of theirs is
    # taken apart under them, and nothing of ours is left to be.
    os._exit(code)
