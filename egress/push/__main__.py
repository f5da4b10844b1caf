"""The process that calls others' servers: `python -P -m egress.push --index 0 …`."""

from common.process.signals import hold_signals

hold_signals()

from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from common.ipc.kinds import KINDS  # noqa: E402

KIND = KINDS["push"]


def build(process: ChildProcess, arguments: object) -> ChildService:
    from egress.push.run import PushService

    return PushService(process)


if __name__ == "__main__":
    run_child(KIND, child_parser(KIND, __doc__).parse_args(), build)
