"""Metrics: their names, units and labels, and that the page has just these."""

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.exposition import expose
from api.metrics import METRICS, PREFIX, with_metrics
from api.totals import Totals
from common.process.log import key_hash
from tests.api.test_reads import whole
from tests.kit.status_pages import farm_document, stream_row

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
__all__ = ["whole"]

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(document: Any, **options: Any) -> Samples:
    totals = Totals()
    totals.observe(document)
    body, kind = expose(
        document, totals, "", **({"is_current": True, "has_streams": True} | options)
    )
    assert kind.startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[PREFIX + name, tuple(sorted(labels.items()))]


def test_the_page_has_the_metrics_of_the_code() -> None:
    """`make docs` writes them."""
    assert with_metrics(PAGE.read_text()) == PAGE.read_text()
    for family in METRICS:
        assert f"`{PREFIX}{family.name}" in PAGE.read_text()


@pytest.mark.parametrize("family", METRICS, ids=lambda family: family.name)
def test_names_and_labels_are_as_the_conventions_ask(family: Any) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", family.name)
    assert not re.search(
        r"_(ms|mb|mib|kbps|bps|percent|milliseconds|count|total)(_|$)", family.name
    )
    assert all(re.fullmatch(r"[a-z]+", label) for label in family.labels)
    assert not {"address", "connection", "key", "id"} & set(family.labels)
    assert family.words.endswith(".")


def test_every_metric_is_given_where_there_is_something_to_say(whole: Any) -> None:
    document = dict(whole)
    (stream,) = document["streams"]
    document["streams"] = [
        stream | {"stages_ms": {"decode": [1.0, 2.0], "total:480p": [30.0, 60.0]}, "av_skew_ms": 5}
    ]
    document["devices"] = [
        device
        | {"memory_bytes": 1 << 30, "memory_used": 1 << 20, "engines": {"decode": 0.5}}
        | {"use": {"compute": 0.25, "decode": 0.5, "encode": 0.0, "memory_bytes": 1 << 21}}
        for device in document["devices"]
    ]
    given = {name for name, _ in samples(document)}
    wanted = {PREFIX + f.name + ("_total" if f.is_counter else "") for f in METRICS}
    assert given == wanted


def test_figures_are_in_base_units() -> None:
    row = stream_row("live", "cam0") | {"stages_ms": {"total:720p": [30.0, 60.0]}}
    found = samples(farm_document([row]))
    label = key_hash("cam0")
    names = {"app": "live", "stream": f"live/{label}"}
    assert value(found, "stream_source_bytes_per_second", **names) == 2_510_000 / 8
    assert value(found, "stream_queue_seconds", **names) == pytest.approx(0.0123)
    assert value(found, "stream_delay_seconds", rendition="720p", quantile="0.99", **names) == 0.06
    assert value(found, "stage_delay_seconds", stage="total", quantile="0.5") == 0.03
    assert value(found, "child_cpu_ratio", child="ingest:0") == pytest.approx(0.123)
    assert value(found, "players", app="live", protocol="rtmp", rendition="source") == 1000
    assert value(found, "players", app="live", protocol="rtmp", rendition="480p") == 0
    assert value(found, "streams", app="live", state="live") == 1


def test_no_key_stands_in_a_metric() -> None:
    document = farm_document([stream_row("live", "s3cret")])
    document["kicked"] = [{"app": "live", "key": "s3cret-too", "for_s": 3.0}]
    assert "s3cret" not in str(samples(document))


def test_series_of_single_streams_can_be_left_out() -> None:
    document = farm_document([stream_row("live", "cam0")])
    found = samples(document, has_streams=False)
    assert not [name for name, labels in found if "stream" in dict(labels)]
    assert value(found, "frames_received_total", app="live") == 900


def test_an_empty_farm_has_its_apps_with_nothing_in_them() -> None:
    found = samples(farm_document())
    assert value(found, "streams", app="live", state="live") == 0
    assert value(found, "players", app="live", protocol="rtmp", rendition="720p") == 0
    assert value(found, "ready") == 1


@pytest.mark.parametrize(
    ("change", "is_current"),
    [({"closed": "drained"}, True), ({"no_room": "full"}, True), ({}, False)],
)
def test_readiness_is_that_of_the_probe(change: dict[str, str], is_current: bool) -> None:
    found = samples(farm_document() | change, is_current=is_current)
    assert value(found, "ready") == 0
    assert value(found, "supervised") == is_current


def test_open_metrics_is_given_to_who_asks_for_it() -> None:
    document, totals = farm_document([stream_row()]), Totals()
    totals.observe(document)
    accept = "application/openmetrics-text; version=1.0.0"
    body, kind = expose(document, totals, accept, is_current=True, has_streams=True)
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
