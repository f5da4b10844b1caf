"""The list of bans in the run directory, for the next supervisor (IO)."""

import json
import logging
import math
import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.access.bans import Ban, target_of

log = logging.getLogger("tfarm.supervisor.processes.ban_file")

NAME = "bans.json"
MAX_BYTES = 1024 * 1024


class BanFile:
    """The list of one farm."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / NAME

    def now_unix(self) -> float:
        return time.time()

    def is_there(self) -> bool:
        return os.path.lexists(self._path)

    def write(self, bans: Iterable[Ban]) -> str:
        """Keep the list; what is wrong if that failed, "" if not."""
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps([asdict(ban) for ban in bans], indent=1) + "\n")
            new.replace(self._path)
        except OSError as error:
            problem = error.strerror or str(error)
            log.error("bans not written file=%s reason=%s", self._path, problem)
            return problem
        return ""

    def read(self) -> list[Ban]:
        """What an earlier supervisor left; nothing where there is no file, or a damaged one."""
        try:
            with self._path.open("rb") as file:
                return [_ban(item) for item in json.loads(file.read(MAX_BYTES))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            log.error("bans not read, nobody is banned file=%s reason=%s", self._path, error)
            return []


def _ban(item: Any) -> Ban:
    network, stream = target_of(str(item["network"] or item["stream"]))
    until, since = float(item["until_unix"]), float(item["since_unix"])
    if not (math.isfinite(until) and math.isfinite(since)):
        raise ValueError("a time that is none")
    return Ban(network, stream, until, str(item["reason"]), str(item["by"]), since)
