"""One egress process, started by the supervisor: `python -P -m egress --index 0 --run-dir DIR`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402

from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from common.ipc.kinds import KINDS  # noqa: E402
from common.process.standby import wait_for_order  # noqa: E402

KIND = KINDS["egress"]


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from egress.run import EgressServer

    return EgressServer(process)


if __name__ == "__main__":
    wait_for_order(("uvloop", "egress.run"))
    run_child(KIND, child_parser(KIND, __doc__).parse_args(), build, collects_rarely=True)
