"""api/metrics_table.py: the page has the metrics of the code."""

from pathlib import Path

from api.metrics import METRICS, PREFIX
from api.metrics_table import with_metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_has_the_metrics_of_the_code() -> None:
    """`make docs` writes them."""
    assert with_metrics(PAGE.read_text()) == PAGE.read_text()
    for family in METRICS:
        assert f"`{PREFIX}{family.name}" in PAGE.read_text()
