"""Metrics: their names, units and labels."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

import api.metrics
from api.exposition import asks_for_open_metrics, expose
from api.metrics import METRICS, PREFIX, Kind
from api.totals import Totals
from common.ipc.figures import ChildFigures, ClusterFigures, Delays, FarmFigures, read_figures
from common.process.log import key_hash
from common.process.stage_times import DELAY_BOUNDS_S
from supervisor.hardware.gpu_watch import GpuUse
from tests.api.test_reads import whole
from tests.kit.farm_figures import figures_of
from tests.kit.status_pages import farm_document, stream_row

__all__ = ["whole"]
MEASURED = {
    "state": "cold",
    "quality": {"ssim": 0.87, "psnr_db": 33.1, "at_unix": 1_900.0},
    "quality_floor": 0.9,
    "is_low": True,
}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
COUNTS = (1, 2, *[0] * (len(DELAY_BOUNDS_S) - 2), 4)


def with_delays(figures: FarmFigures, counters: dict[str, int] | None = None) -> FarmFigures:
    """These figures, with a worker that has delays, and with hooks."""
    delays = [Delays("encode", "720p", COUNTS, 2.5)]
    worker = ChildFigures("worker:cpu:7", "worker", "b1", True, 0, 1, 0.0, {}, delays)
    hooks = ChildFigures("hooks:0", "hooks", "b2", True, 0, 1, 0.0, counters or {}, [])
    return figures._replace(children=[*figures.children, worker, hooks])


def with_cluster(figures: FarmFigures) -> FarmFigures:
    """These figures, as a host of a cluster has them."""
    cluster = ClusterFigures(
        True,
        {"ready": 2, "draining": 1, "missing": 0},
        {"owned": 5, "unregistered": 1, "elsewhere": 0},
        {"https://e1:2379": True, "https://e2:2379": False},
        False,
    )
    counted = {"calls": 9, "failures": 2, "claims": 4, "claims ms": 20}
    links = {"relay hosts": 2, "relay pulled streams": 3, "relay forwarded": 1, "relay dropped": 7}
    children = [
        ChildFigures("cluster:0", "cluster", "b1", True, 0, 1, 0.0, counted, []),
        ChildFigures("relay:0", "relay", "b2", True, 0, 1, 0.0, links, []),
        ChildFigures("relay:1", "relay", "b3", True, 0, 1, 0.0, links, []),
    ]
    return figures._replace(cluster=cluster, children=[*figures.children, *children])


RECORDED = {"record recording": 3, "record failed": 1, "recorded bytes": 9, "recorded files": 2}
UPLOADED = {"upload retrying": 1, "uploaded files": 4, "failed uploads": 3, "oldest s": 70}


def with_protocols(figures: FarmFigures) -> FarmFigures:
    """The farm has callers by SRT, and calls others."""
    packets = {"connections": 5, "viewers": 2, "packets received": 9, "packets sent again": 4}
    pushes = {"push sending": 2, "push retrying": 1, "queued": 3}
    children = [
        ChildFigures("srt:0", "srt", "b1", True, 0, 1, 0.0, packets, []),
        ChildFigures("push:0", "push", "b2", True, 0, 1, 0.0, pushes, []),
        ChildFigures("record:0", "record", "b4", True, 0, 1, 0.0, RECORDED, []),
        ChildFigures("upload:0", "upload", "b5", True, 0, 1, 0.0, UPLOADED, []),
        ChildFigures("pull:0", "pull", "b3", True, 0, 1, 0.0, {"pull running": 4}, []),
    ]
    return figures._replace(children=[*figures.children, *children])


def test_who_calls_by_srt_and_who_is_called(whole: Any) -> None:
    found = samples(with_protocols(figures_of(whole)))
    assert value(found, "srt_callers", role="publish") == 3
    assert value(found, "srt_callers", role="watch") == 2
    assert value(found, "srt_packets_total", what="received") == 9
    assert value(found, "srt_packets_total", what="sent again") == 4
    assert value(found, "pushes", state="sending") == 2
    assert value(found, "pushes", state="retrying") == 1
    assert value(found, "pulls", state="running") == 4
    assert value(found, "recordings", state="failed") == 1
    assert value(found, "uploads", state="retrying") == 1
    assert value(found, "uploads_oldest_seconds") == 70
    assert value(found, "uploaded_files_total") == 4
    assert value(found, "failed_uploads_total") == 3


def exposed(figures: FarmFigures, accept: str = "", **options: Any) -> tuple[str, str]:
    totals = Totals()
    totals.observe(figures)
    body, kind = expose(
        api.metrics.samples(figures, totals, **({"is_current": True} | options)), accept
    )
    return body.decode(), kind


def samples(found: Any, **options: Any) -> Samples:
    figures = found if isinstance(found, FarmFigures) else figures_of(found)
    body, kind = exposed(figures, **options)
    assert kind.startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[PREFIX + name, tuple(sorted(labels.items()))]


@pytest.mark.parametrize("family", METRICS, ids=lambda family: family.name)
def test_names_and_labels_are_as_the_conventions_ask(family: Any) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", family.name)
    assert not re.search(
        r"_(ms|mb|mib|kbps|bps|percent|milliseconds|count|total)(_|$)", family.name
    )
    assert all(re.fullmatch(r"[a-z]+", label) for label in family.labels)
    assert not {"address", "connection", "key", "id"} & set(family.labels)
    assert family.words.endswith(".")
    assert not {'"', "\\", "\n"} & set(family.words)  # which would have to be escaped


def test_every_metric_is_given_where_there_is_something_to_say(whole: Any) -> None:
    document = dict(whole)
    (stream,) = document["streams"]
    document["streams"] = [
        stream
        | {"stages_ms": {"decode": [1.0, 2.0], "total:480p": [30.0, 60.0]}, "av_skew_ms": 5}
        | {"switches": 2, "standby": {"role": "backup"}}
        | {"renditions": [one | MEASURED for one in stream["renditions"]]}
    ]
    document["devices"] = [
        device
        | {"memory_bytes": 1 << 30, "memory_used": 1 << 20, "engines": {"decode": 0.5}}
        | {"use": GpuUse(0.25, 0.5, 0.0, 1 << 21, 310.5, 2.25)._asdict()}
        for device in document["devices"]
    ]
    document["free_streams"] = {"live": {"count": 3}}
    figures = with_protocols(with_cluster(with_delays(figures_of(document))))
    given = {name for name, _ in samples(figures)}
    histogram = PREFIX + "stage_delay_seconds"
    parts = {histogram + end for end in ("_bucket", "_count", "_sum")}
    assert parts < given
    assert given - parts | {histogram} == {family.shown_name for family in METRICS}


def test_renditions_below_their_floors_are_counted_of_those_that_have_one() -> None:
    document = dict(farm_document())
    document["streams"] = [
        stream_row(key=key)
        | {"renditions": [one | (MEASURED if is_low else {}) for one in stream_row()["renditions"]]}
        for key, is_low in (("cam1", True), ("cam2", True), ("cam3", False))
    ]
    found = samples(figures_of(document))
    assert value(found, "renditions_low", app="live", rendition="720p") == 2
    names = [name for name, _ in found]
    assert names.count(PREFIX + "rendition_ssim") == names.count(PREFIX + "rendition_psnr_db")
    ssims = [found[one] for one in found if one[0] == PREFIX + "rendition_ssim"]
    assert 0.87 in ssims
    assert 0.9712 in ssims


def test_a_histogram_is_summed_up_to_its_last_bucket() -> None:
    found = samples(with_delays(figures_of(farm_document())))
    of = {"stage": "encode", "rendition": "720p"}
    bounds = [*map(str, DELAY_BOUNDS_S), "+Inf"]
    summed = [value(found, "stage_delay_seconds_bucket", le=bound, **of) for bound in bounds]
    assert summed == [1, *[3] * (len(bounds) - 2), 7]
    assert value(found, "stage_delay_seconds_count", **of) == 7
    assert value(found, "stage_delay_seconds_sum", **of) == 2.5


def test_what_hooks_count_is_told_by_what_came_of_it() -> None:
    counters = {"allowed": 5, "without an answer": 2, "notices lost": 1, "sent": 9}
    found = samples(with_delays(figures_of(farm_document()), counters))
    assert value(found, "hook_answers_total", answer="allowed") == 5
    assert value(found, "hook_answers_total", answer="none") == 2
    assert value(found, "hook_notices_total", outcome="lost") == 1


def test_figures_are_in_base_units() -> None:
    row = stream_row("live", "cam0") | {"stages_ms": {"total:720p": [30.0, 60.0]}}
    found = samples(farm_document([row]))
    label = key_hash("cam0")
    names = {"app": "live", "stream": f"live/{label}"}
    assert value(found, "stream_source_bytes_per_second", **names) == 2_510_000 / 8
    assert value(found, "stream_queue_seconds", **names) == pytest.approx(0.0123)
    assert value(found, "stream_delay_seconds", rendition="720p", quantile="0.99", **names) == 0.06
    assert value(found, "stage_delay_slowest_seconds", stage="total", quantile="0.5") == 0.03
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


def test_bytes_to_players_are_counted_by_rendition() -> None:
    found = samples(farm_document([stream_row("live", "cam0")]))
    assert value(found, "egress_bytes_total", app="live", rendition="source") == 1_000_000


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)


@given(TEXT, TEXT, st.floats(allow_nan=False), st.integers(0, 10**15))
def test_both_forms_say_the_same_whatever_labels_are(
    device: str, codec: str, number: float, count: int
) -> None:
    """As prometheus_client reads them, which is strict about OpenMetrics."""
    figures = with_delays(figures_of(farm_document([stream_row()])))
    (stream,) = figures.streams
    assert stream.received is not None
    received = stream.received._replace(bytes=count)
    figures = figures._replace(
        since_unix=number,
        streams=[stream._replace(device=device, codec=codec, received=received)],
    )
    plain, _ = exposed(figures)
    strict, kind = exposed(figures, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")

    def read(families: Any) -> Samples:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    found = read(text_string_to_metric_families(plain))
    assert found == read(openmetrics_families(strict))
    (info,) = [dict(labels) for name, labels in found if name == PREFIX + "stream_info"]
    assert (info["device"], info["codec"]) == (device, codec)
    assert value(found, "start_time_seconds") == number
    assert value(found, "ingest_bytes_total", app="live") == count


def test_families_are_of_the_kind_that_the_page_says() -> None:
    body, _ = exposed(with_delays(figures_of(farm_document([stream_row()]))))
    kinds = {family.name: family.type for family in text_string_to_metric_families(body)}
    assert {name.removesuffix("_total") for name in kinds} <= {PREFIX + f.name for f in METRICS}
    for family in METRICS:
        assert kinds.get(PREFIX + family.name, family.kind.value) == family.kind.value
        assert ("quantile" in family.labels) == (family.kind is Kind.SUMMARY)


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x,text/plain", False),
        (
            "text/plain;version=0.0.4;q=0.5, Application/OpenMetrics-Text; version=0.0.1; q=0.75",
            True,
        ),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.5,*/*;q=0.1", False),
        # Prometheus 2.42
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
            "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
        ),
        (";;,=;q", False),
    ],
)
def test_open_metrics_is_given_to_who_asks_for_it(accept: str, is_open: bool) -> None:
    assert asks_for_open_metrics(accept) is is_open


def test_a_host_of_a_cluster_counts_hosts_streams_members_and_links(whole: dict[str, Any]) -> None:
    alone = figures_of(whole)
    assert not [name for name, _ in samples(alone) if "cluster" in name or "link" in name]
    found = samples(with_cluster(alone))
    assert value(found, "cluster_in_touch") == 1
    assert value(found, "cluster_hosts", state="draining") == 1
    assert value(found, "cluster_streams", state="unregistered") == 1
    assert value(found, "cluster_etcd_up", endpoint="https://e2:2379") == 0
    assert value(found, "cluster_templates_refused") == 0
    assert value(found, "cluster_calls_total", outcome="answered") == 7
    assert value(found, "cluster_calls_total", outcome="failed") == 2
    assert value(found, "cluster_claims_total") == 4
    assert value(found, "cluster_claim_seconds_total") == 0.02
    assert value(found, "link_hosts", direction="out") == 4
    assert value(found, "link_streams", direction="in") == 6
    assert value(found, "link_publishers", direction="out") == 2
    assert value(found, "link_dropped_total") == 14
    figures = with_cluster(alone)
    assert read_figures(json.loads(json.dumps(figures))).cluster == figures.cluster
