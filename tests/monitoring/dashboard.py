"""What deploy/grafana/tfarm.json asks of Prometheus."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DASHBOARD: Final = Path(__file__).parents[2] / "deploy" / "grafana" / "tfarm.json"
# What Grafana puts in place of its variables where all is chosen, and of its own.
VARIABLES: Final = {
    "$__rate_interval": "20s",
    "$job": ".*",
    "$instance": ".*",
    "$app": ".*",
    "$stream": ".*",
}
LABEL_VALUES: Final = re.compile(r"label_values\((?P<selector>.*), (?P<label>\w+)\)")


@dataclass(frozen=True)
class Asked:
    """One expression, with where it stands."""

    where: str
    expression: str  # without variables
    needs_gpu: bool = False  # there is nothing without one


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def without_variables(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def asked(found: Mapping[str, Any]) -> Iterator[Asked]:
    """Every expression of panels and annotations."""
    for panel in found["panels"]:
        needs_gpu = panel["title"].startswith("GPU")
        for target in panel.get("targets", ()):
            yield Asked(panel["title"], without_variables(target["expr"]), needs_gpu)
    for annotation in found["annotations"]["list"]:
        yield Asked(annotation["name"], without_variables(annotation["expr"]))


def label_values(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, selector and label of every variable that is asked for."""
    for variable in found["templating"]["list"]:
        if variable["type"] == "query":
            match = LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert match is not None, variable["query"]
            yield variable["name"], without_variables(match["selector"]), match["label"]
