"""One tap process: `python -P -m tests.kit.tap --index 0 --run-dir DIR`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402

from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from tests.kit.tap.kind import TAP  # noqa: E402


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from tests.kit.tap.run import Tap

    return Tap(process)


if __name__ == "__main__":
    run_child(TAP, child_parser(TAP, __doc__).parse_args(), build)
