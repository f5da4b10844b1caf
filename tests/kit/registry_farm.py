"""A supervisor whose registry is a file: `python registry_farm.py [CONFIG] --run-dir DIR …`."""

import os
import sys
from pathlib import Path

from common.ipc.kinds import KINDS
from supervisor.__main__ import main
from tests.kit.registry.kind import REGISTRY

if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # the children's
    KINDS[REGISTRY.name] = REGISTRY
    sys.exit(main(sys.argv[1:]))
