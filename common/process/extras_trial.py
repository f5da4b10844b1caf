"""A process that imports an optional package, and says what came of it (IO): for `tfarm doctor`.

python -P -m common.process.extras_trial webrtc
"""

import json
import sys

from common.extras import why_broken


def main() -> None:
    """Print one JSON object; `problem`: what cannot be imported, and why."""
    json.dump({"problem": why_broken(sys.argv[1])}, sys.stdout)


if __name__ == "__main__":
    main()
