"""The cluster child, started by the supervisor: `python -P -m cluster --index 0 …`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402

from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from common.ipc.kinds import KINDS  # noqa: E402

KIND = KINDS["cluster"]


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from cluster.run import ClusterChild

    return ClusterChild(process)


if __name__ == "__main__":
    run_child(KIND, child_parser(KIND, __doc__).parse_args(), build)
