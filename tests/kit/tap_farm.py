"""A supervisor that has a tap among its children: `python tap_farm.py [CONFIG] --run-dir DIR …`."""

import os
import sys
from pathlib import Path

from common.ipc.kinds import KINDS
from supervisor.__main__ import main
from tests.kit.tap.kind import TAP

if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # the children's
    KINDS[TAP.name] = TAP
    sys.exit(main(sys.argv[1:]))
