"""A supervisor whose children are toys: `python toy_farm.py [CONFIG] --run-dir DIR …`.

The GPUs of its host are those that TOY_GPUS names.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from common.config.settings import Devices
from supervisor.__main__ import main
from supervisor.hardware.gpus import Gpu

TOY = Path(__file__).with_name("toy_child.py")


def toy(kind: str) -> Sequence[str]:
    return (sys.executable, str(TOY), kind)


def toy_gpus(devices: Devices) -> tuple[Gpu, ...]:
    return tuple(Gpu(uuid, "", "toy", 1 << 30) for uuid in os.environ["TOY_GPUS"].split(","))


if __name__ == "__main__":
    with ExitStack() as stack:
        if "TOY_GPUS" in os.environ:
            stack.enter_context(patch("supervisor.run.find_gpus", toy_gpus))
            stack.enter_context(patch("supervisor.run.watch_gpus", return_value=None))
        code = main(sys.argv[1:], toy)
    sys.exit(code)
