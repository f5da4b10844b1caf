"""What deploy/ has for Prometheus and Grafana agrees with the metrics, and with its document.

`make monitoring` runs it under a real Prometheus.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from api.metrics import METRICS, Kind
from tests.monitoring.dashboard import asked, dashboard, label_values
from tests.monitoring.rule_cases import CASES, promtool_document, rules, seconds

DOCUMENT = Path(__file__).parents[1] / "docs" / "monitoring.md"
OF_SCRAPES = {"job", "instance"}  # labels that Prometheus sets
ROW = re.compile(r"^\| `(Tfarm\w+)` \| (\w+) \| .+ \| .+ \|$", re.MULTILINE)
# A name with what it is asked for: `tfarm_streams{app="live"}`.
SELECTOR = re.compile(r"\b(?P<name>tfarm_\w+)(?:\{(?P<matchers>[^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPED = re.compile(r"\bby \((?P<labels>[^)]*)\)")


def labels_by_name() -> dict[str, set[str]]:
    """Every name that samples have, with its labels."""
    found = {}
    for family in METRICS:
        labels = set(family.labels)
        if family.kind is Kind.HISTOGRAM:
            found[f"{family.shown_name}_bucket"] = labels
            found |= {f"{family.shown_name}_{end}": labels - {"le"} for end in ("count", "sum")}
        else:
            found[family.shown_name] = labels
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for name, rule in rules().items():
        yield name, rule["expr"]
    for one in asked(dashboard()):
        yield one.where, one.expression
    for name, selector, label in label_values(dashboard()):
        yield f"${name}", f"sum by ({label}) ({selector})"


def split(labels: str) -> set[str]:
    return {label.strip() for label in labels.split(",")}


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_is_asked_for_is_there(where: str, expression: str) -> None:
    """A name or a label that is misspelt gives no data and no error."""
    known, labels = labels_by_name(), set(OF_SCRAPES)
    for match in SELECTOR.finditer(expression):
        assert match["name"] in known, where
        matched = set(MATCHER.findall(match["matchers"] or ""))
        assert matched <= known[match["name"]] | OF_SCRAPES, where
        labels |= known[match["name"]]
    for match in GROUPED.finditer(expression):
        assert split(match["labels"]) <= labels, where


def test_each_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    """But for what is no figure to look at."""
    shown = {match["name"] for _, text in expressions() for match in SELECTOR.finditer(text)}
    known = {family.shown_name for family in METRICS if family.kind is not Kind.HISTOGRAM}
    assert known - shown == {"tfarm_bans"}


# ---- alerts -----------------------------------------------------------------------------------


def test_each_alert_is_tested_and_documented() -> None:
    given = [(name, rule["labels"]["severity"]) for name, rule in rules().items()]
    assert ROW.findall(DOCUMENT.read_text()) == given
    assert [case.alert for case in CASES] == list(rules())


@pytest.mark.parametrize("name", rules())
def test_an_alert_says_where_and_what(name: str) -> None:
    rule = rules()[name]
    summary, description = rule["annotations"]["summary"], rule["annotations"]["description"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert summary.startswith("{{ $labels.instance }}: ")
    assert description.endswith(".")
    assert "{{" not in description
    assert seconds(rule.get("for", "")) > 0 or "[15m]" in rule["expr"]
    kept = GROUPED.search(rule["expr"])
    if kept is not None:
        assert set(re.findall(r"\$labels\.(\w+)", summary)) <= split(kept["labels"])


def test_each_alert_has_series_on_which_it_comes_and_others() -> None:
    """promtool judges them; here only that there is something to judge."""
    tests = promtool_document()["tests"]
    assert len(tests) == 2 * len(rules())
    for test in tests:
        comes = any(expected["exp_alerts"] for expected in test["alert_rule_test"])
        assert comes == test["name"].endswith(" comes")


# ---- the dashboard ----------------------------------------------------------------------------


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dashboard()["panels"]
    return found


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    assert max(Counter(panel["id"] for panel in panels()).values()) == 1
    places = [panel["gridPos"] for panel in panels()]
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_panels_ask_the_source_that_is_chosen() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        if panel["type"] == "row":
            continue
        targets = panel["targets"]
        assert panel["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in targets)
        assert len({target["refId"] for target in targets}) == len(targets)
