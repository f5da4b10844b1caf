"""`python -m egress --index 0 --run-dir DIR`: one egress process, started by the supervisor."""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until the loop handles it

import argparse  # noqa: E402
import gc  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from common.ipc.child_arguments import add_identity, identity_of  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="egress", description=__doc__)
    add_identity(parser)
    parser.add_argument("--run-dir", required=True, type=Path)
    parser.add_argument("--orphan-timeout", type=float, default=30.0)
    arguments = parser.parse_args()

    import uvloop

    from common.errors import ExitCode
    from common.process import time_slice
    from common.process.log import set_up
    from egress.run import EgressServer

    child = identity_of("egress", arguments)
    set_up(str(child))
    time_slice.shorten()

    async def serve() -> int:
        import asyncio
        import logging

        log = logging.getLogger("tfarm.egress.main")
        try:
            server = EgressServer(
                child,
                arguments.run_dir,
                orphan_timeout_s=arguments.orphan_timeout,
            )
        except (OSError, ValueError) as error:
            log.error("cannot start reason=%s", error)
            return int(ExitCode.BOOT_FAILED)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
        await server.run()
        return int(server.exit_code)

    # What is here at the start stays; a full collection over thousands of players would be a
    # pause that they see, and little of what they hold is in cycles.
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)
    return uvloop.run(serve())


if __name__ == "__main__":
    sys.exit(main())
