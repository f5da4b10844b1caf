"""ingest/srt/line_totals.py: packets of all connections together."""

from common.srt.library import LinkFigures
from ingest.srt.line_totals import LineTotals


def test_sums_go_on_whoever_comes_and_goes() -> None:
    totals = LineTotals()
    totals.count(1, LinkFigures(100, 5, 1, 0, 3.0))
    totals.count(1, LinkFigures(150, 5, 1, 0, 3.0))
    totals.count(2, LinkFigures(0, 0, 0, 0, 3.0, sent=40, repeated=2, given_up=1))
    totals.forget(1)
    totals.count(1, LinkFigures(10, 1, 0, 0, 3.0))  # a socket's number may come again
    assert totals.counters == {
        "packets received": 160,
        "packets missed": 6,
        "packets lost": 1,
        "packets sent": 40,
        "packets sent again": 2,
        "packets given up": 1,
    }
