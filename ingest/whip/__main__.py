"""The process of publishers by WHIP: `python -P -m ingest.whip --index 0 --listen HOST:PORT …`."""

from common.process.signals import hold_signals

hold_signals()

import argparse  # noqa: E402

from common.config.values import listen_address  # noqa: E402
from common.errors import Unusable  # noqa: E402
from common.extras import WEBRTC, repair_words, why_broken  # noqa: E402
from common.ipc.child import ChildProcess, ChildService, child_parser, run_child  # noqa: E402
from common.ipc.kinds import KINDS  # noqa: E402

KIND = KINDS["whip"]


def build(process: ChildProcess, arguments: argparse.Namespace) -> ChildService:
    if problem := why_broken(WEBRTC):
        raise Unusable(f"{problem}: install it anew ({repair_words(WEBRTC)})")
    from ingest.whip.run import WhipService

    return WhipService(process, listen_address(arguments.listen))


def arguments() -> argparse.Namespace:
    parser = child_parser(KIND, __doc__)
    parser.add_argument("--listen", required=True, help="HOST:PORT, of UDP")
    return parser.parse_args()


if __name__ == "__main__":
    run_child(KIND, arguments(), build, collects_rarely=True)
