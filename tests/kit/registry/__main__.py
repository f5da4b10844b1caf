"""One such process: `python -P -m tests.kit.registry --index 0 --run-dir DIR`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402

from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from tests.kit.registry.kind import REGISTRY  # noqa: E402


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from tests.kit.registry.run import Registry

    return Registry(process)


if __name__ == "__main__":
    run_child(REGISTRY, child_parser(REGISTRY, __doc__).parse_args(), build)
