"""What was added, in the run directory, for the next supervisor (IO)."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

log = logging.getLogger("tfarm.supervisor.additions.kept_file")

NAME: Final = "additions.json"
MAX_BYTES: Final = 4 * 1024 * 1024
MODE: Final = 0o600  # URLs hold passwords


class KeptFile:
    """That of one farm: requests as they were made, by what they add."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / NAME

    def read(self) -> dict[str, list[dict[str, Any]]]:
        """What an earlier supervisor left; nothing where there is no file, or a damaged one."""
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(MAX_BYTES))
            return {
                str(what): [dict(request) for request in requests]
                for what, requests in found.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            # What the file holds is no text for a log.
            reason = getattr(error, "strerror", None) or "it is damaged"
            log.error("additions not read file=%s reason=%s", self._path, reason)
            return {}

    def write(self, requests: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
        """Keep them in place of what was kept; what is wrong if that failed, "" if not."""
        new = self._path.with_suffix(".new")
        try:
            new.unlink(missing_ok=True)  # one that is there may have another mode
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(new, flags, MODE), "w") as file:
                json.dump({what: list(which) for what, which in requests.items()}, file)
            new.replace(self._path)
        except OSError as error:
            problem = error.strerror or str(error)
            log.error("additions not kept file=%s reason=%s", self._path, problem)
            return problem
        return ""
