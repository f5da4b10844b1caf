"""A supervisor whose workers rebel: `python rebel_farm.py [CONFIG] --run-dir DIR …`."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from common.ipc.kinds import KINDS
from supervisor.__main__ import main

if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # the children's
    KINDS["worker"] = replace(KINDS["worker"], module="tests.kit.rebel")
    sys.exit(main(sys.argv[1:]))
