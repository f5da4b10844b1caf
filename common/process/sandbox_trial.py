"""A process that closes itself as a worker does, and says what came of it (IO): for `tfarm doctor`.

What a kernel has is one thing; a container's or a unit's own filter may refuse it all the same.
"""

import json
import sys
from pathlib import Path

from common.process import sandbox


def main() -> None:
    """Print one JSON object; `problems`: what could not be closed, in words."""
    sandbox.close_files(Path("/nonexistent"), sandbox.SandboxPaths())
    sandbox.close_calls()
    json.dump({"problems": sandbox.problems()}, sys.stdout)


if __name__ == "__main__":
    main()
