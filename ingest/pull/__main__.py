"""The process of streams that are fetched: `python -P -m ingest.pull --index 0 …`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402
import ssl  # noqa: E402
from pathlib import Path  # noqa: E402

from common.ipc.child import (  # noqa: E402
    ChildProcess,
    ChildService,
    Sandbox,
    child_parser,
    run_child,
)
from common.ipc.kinds import KINDS  # noqa: E402
from common.process.sandbox import SandboxPaths  # noqa: E402

KIND = KINDS["pull"]
# To find hosts by their names, and to know their certificates.
NAMES = ("resolv.conf", "hosts", "host.conf", "nsswitch.conf", "gai.conf", "services", "ssl")
RESOLVED = Path("/run/systemd/resolve")


def files() -> tuple[Path, ...]:
    """What it reads beside its own code."""
    known = ssl.get_default_verify_paths()
    certificates = (known.openssl_cafile, known.openssl_capath)
    return (*(Path("/etc", name) for name in NAMES), RESOLVED, *map(Path, certificates))


SANDBOX = Sandbox(SandboxPaths(read=files(), connects=True), modules=("ingest.pull.run",))


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    from ingest.pull.run import PullService

    return PullService(process)


if __name__ == "__main__":
    arguments = child_parser(KIND, __doc__).parse_args()
    run_child(KIND, arguments, build, confinement=SANDBOX)
