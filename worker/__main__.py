"""One worker process: `python -P -m worker --device cpu --index 0 --run-dir DIR`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402
import os  # noqa: E402

from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from common.ipc.child_arguments import identity_of  # noqa: E402
from common.ipc.identity import CPU  # noqa: E402
from common.ipc.kinds import KINDS  # noqa: E402
from common.process.standby import wait_for_order  # noqa: E402
from worker.devices.table import device_kind, device_sandbox, prepare_device  # noqa: E402

KIND = KINDS["worker"]
NICENESS = 10  # of a worker of streams that may hold others up: these go first


def arguments_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument("--threads", type=int, default=1, help="of an x264 encoder")
    parser.add_argument(
        "--pictures",
        choices=("own", "shared"),
        default="own",
        help="shared: with encoder processes, where the host encodes",
    )
    return parser.parse_args()


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from worker.devices.table import open_device
    from worker.run import Worker

    child = process.child
    device = open_device(
        child.device,
        max(1, arguments.threads),
        name=child.device_name,
        shares_pictures=arguments.pictures == "shared",
    )
    return Worker(process, device)


def main() -> None:
    wait_for_order(("uvloop", "worker.run", *device_kind(CPU).modules))
    arguments = arguments_of(child_parser(KIND, __doc__))
    prepare_device(arguments.device)
    if identity_of(KIND.name, arguments).is_dedicated:
        os.nice(NICENESS)
    run_child(KIND, arguments, build, confinement=device_sandbox(arguments.device))


if __name__ == "__main__":
    main()
