"""A real Prometheus on the loopback, and promtool (apt-get install prometheus)."""

import json
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.kit.waiting import until
from tests.monitoring.rule_cases import RULES

SCRAPE_S: Final = 1
TIMEOUT_S: Final = 15.0


def missing() -> list[str]:
    """The programs that are not there."""
    return [name for name in ("promtool", "prometheus") if shutil.which(name) is None]


def promtool(*arguments: str, stdin: str | None = None) -> str:
    """What it says. Raises AssertionError where it finds something."""
    run = subprocess.run(
        ["promtool", *arguments], input=stdin, capture_output=True, text=True, timeout=120
    )
    said = (run.stdout + run.stderr).strip()
    assert run.returncode == 0, f"promtool {' '.join(arguments)}:\n{said}"
    return said


class Prometheus:
    """One that scrapes these addresses every second, with the rules of deploy/."""

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = targets
        self._dir = tempfile.TemporaryDirectory(prefix="tfarm-prometheus-")
        self._log = Path(self._dir.name, "log")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        folder = Path(self._dir.name)
        config = {
            "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {"job_name": "tfarm", "static_configs": [{"targets": list(self._targets)}]}
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    "--web.listen-address=127.0.0.1:0",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            until(self._listens, TIMEOUT_S, "Prometheus listens")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API. Raises AssertionError for an error."""
        query = urllib.parse.urlencode(
            {name.replace("__", "[]"): v for name, v in parameters.items()}
        )
        with urllib.request.urlopen(
            f"{self.url}/api/v1/{path}?{query}", timeout=TIMEOUT_S
        ) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives just now."""
        try:
            found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        return found

    def _listens(self) -> bool:
        log = self._log.read_text()
        found = re.search(r'msg="Listening on" address=(\S+)', log)
        assert self._process is not None
        assert self._process.poll() is None, log
        if found is not None:
            self.url = f"http://{found[1]}"
        return found is not None

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(TIMEOUT_S)
        self._dir.cleanup()
