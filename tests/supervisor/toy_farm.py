"""A supervisor whose children are toys: `python toy_farm.py [CONFIG] --run-dir DIR …`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from supervisor.__main__ import main

TOY = Path(__file__).with_name("toy_child.py")


def toy(kind: str) -> Sequence[str]:
    return (sys.executable, str(TOY), kind)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], toy))
