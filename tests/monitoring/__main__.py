"""`python -m tests.monitoring [--seconds N] [--rules]`: the rules and the dashboard of deploy/.

Tests every alert by promtool, and the dashboard by Grafana's types; then has a real Prometheus
scrape a farm with streams, players, refusals and a hook, and asks it all that the dashboard asks.
Where etcd is there (`scripts/get-etcd.sh`), the farm is one of two hosts.
Prints what it saw; exit code 1 when something did not hold, 2 where Prometheus is not there.
`--rules`: without a farm.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from api.metrics import METRICS, Kind
from common.srt import installed as libsrt
from tests.kit.api_process import request
from tests.kit.certificates import Authority
from tests.kit.clients import (
    TagPlayer,
    TagPublisher,
    end_ms,
    flv_tags,
    refusal,
    shifted,
)
from tests.kit.clips import ClipSpec, make_clip
from tests.kit.cluster_farms import relayed_table
from tests.kit.etcd import PROGRAM, Etcd, free_ports
from tests.kit.farm import Farm
from tests.kit.hook_server import HookServer
from tests.kit.waiting import until
from tests.monitoring.dashboard import asked, dashboard, label_values
from tests.monitoring.dashboard_types import check_types, why_not
from tests.monitoring.prometheus import Prometheus, missing, promtool
from tests.monitoring.rule_cases import CASES, RULES, promtool_document

LADDER: Final = """
renditions = [
    { name = "360p", width = 640, height = 360, bitrate = "600k", quality_floor = 0.5 },
    { name = "180p", width = 320, height = 180, bitrate = "200k" },
]
"""
CONFIG: Final = """
[listen]
rtmp = "127.0.0.1:0"
{listen}
[devices]
use_gpus = false
[api]
listen = "127.0.0.1:0"
[templates.live]
{ladder}
push = [{{ url = "rtmp://127.0.0.1:1/live/{{key}}", rendition = "180p" }}]
[templates.live.record]
directory = "{recordings}"
rotate_after = "2s"
upload = {{ bucket = "abc", endpoint = "http://127.0.0.1:1" }}
[templates.guarded]
{ladder}
publish_keys = ["a-key-of-some-length"]
[templates.asked]
{ladder}
hooks = {{ url = "{hook}", secret = "a-secret-of-some-length", deadline = "10s" }}
[[pull]]
app = "live"
key = "fetched"
url = "rtmp://127.0.0.1:1/live/cam"
{cluster}
"""
TURNS: Final = 100  # of a clip of eight seconds
# Metrics that need a GPU …
GPU: Final = ("device_use", "device_memory", "device_engine", "device_power", "device_energy")
SRT: Final = ("srt_",)  # … likewise, libsrt
CLUSTER: Final = ("cluster_", "link_")  # likewise, other hosts
HAS_ETCD: Final = PROGRAM.is_file()
HAS_SRT: Final = libsrt.is_there()


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def check_rules() -> None:
    promtool("check", "config", str(RULES.with_name("prometheus.yml")))
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder, "tests.yml")
        document.write_text(json.dumps(promtool_document()))
        promtool("test", "rules", str(document))
    say(f"promtool: the configuration is good, {len(CASES)} alerts come and stay as they should")


def look_at_types() -> None:
    if reason := why_not():
        say(f"the dashboard's types are not checked: {reason}")
        return
    check_types()
    say("dashboard: it is as Grafana's types want it")


@contextlib.contextmanager
def busy_farm(folder: Path) -> Iterator[int]:
    """A farm with some of everything; gives the port of its API."""
    tags = flv_tags(make_clip(folder / "clip.flv", ClipSpec(seconds=8.0)))
    tags = [tag for turn in range(TURNS) for tag in shifted(tags, turn * end_ms(tags))]
    with contextlib.ExitStack() as stack:
        hook = stack.enter_context(HookServer())
        tables = cluster(folder, stack) if HAS_ETCD else ("",)
        farm, *others = [
            stack.enter_context(Farm(config, standbys=not number))
            for number, config in enumerate(
                CONFIG.format(
                    ladder=LADDER,
                    hook=hook.url,
                    cluster=table,
                    recordings=folder / f"recordings{at}",
                    listen='srt = "127.0.0.1:0"' if HAS_SRT else "",
                )
                for at, table in enumerate(tables)
            )
        ]
        for app, key in (("asked", "cam1"), ("live", "cam0")):
            # libavformat would keep the GIL, and the hook is in this process
            stack.enter_context(TagPublisher(farm.url(key, app=app), tags))
        farm.wait_stream("cam0", "cam1", timeout=30.0)
        for rendition in ("source", "360p", "180p"):
            for host in (farm, *others):
                stack.enter_context(TagPlayer(host.url("cam0", rendition)))
        assert refusal(farm.url("cam2", app="guarded"), "w")
        (address,) = farm.status()["listen"]["http"]
        yield int(address.rpartition(":")[2])


def cluster(folder: Path, stack: contextlib.ExitStack) -> tuple[str, str]:
    """The tables of two hosts, with an etcd that runs as long as the stack stands."""
    authority, etcd = Authority(folder), stack.enter_context(Etcd(folder))
    hosts = ("host-a", "host-b")
    for host in hosts:
        authority.issue(host)
    own, other = (
        relayed_table(host, etcd, folder, port)
        for host, port in zip(hosts, free_ports(2), strict=True)
    )
    return own, other


def check_metrics(port: int) -> None:
    """All metrics that can be there are, and as promtool wants them."""
    body = request(port, "GET", "/metrics").body.decode()
    said = promtool("check", "metrics", stdin=body)
    assert not said, said
    given = {line.split(" ")[2] for line in body.splitlines() if line.startswith("# TYPE ")}
    absent = (*GPU, *(() if HAS_ETCD else CLUSTER), *(() if HAS_SRT else SRT))
    wanted = {f.shown_name for f in METRICS if not f.name.startswith(absent)}
    assert given >= wanted, f"not given: {sorted(wanted - given)}"
    histogram = next(family for family in METRICS if family.kind is Kind.HISTOGRAM)
    assert f'{histogram.shown_name}_bucket{{stage="total",rendition="360p"' in body
    say(f"promtool check metrics: nothing to say about {len(body.splitlines())} lines")


def check_dashboard(prometheus: Prometheus) -> None:
    """Whatever is asked has an answer."""
    found, empty = dashboard(), []
    count = 0
    for one in asked(found):
        absent = (*(() if HAS_ETCD else CLUSTER), *(() if HAS_SRT else SRT))
        if any(f"tfarm_{name}" in one.expression for name in absent):
            continue
        count += 1
        if not prometheus.query(one.expression) and not one.needs_gpu:
            empty.append(f"{one.where}: {one.expression}")
    quiet = {each["name"] for each in found["annotations"]["list"]}
    empty = [words for words in empty if words.partition(":")[0] not in quiet]
    assert not empty, "nothing comes of\n  " + "\n  ".join(empty)
    for name, selector, label in label_values(found):
        values = prometheus.get(f"label/{label}/values", match__=selector)
        assert values, f"the variable {name} has no values: {selector}"
    say(f"dashboard: Prometheus answers its {count} expressions, all variables have values")


def check_alerts(prometheus: Prometheus) -> None:
    groups = prometheus.get("rules")["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    ill = [rule["name"] for rule in found if rule["health"] != "ok"]
    firing = [rule["name"] for rule in found if rule["state"] == "firing"]
    assert (len(found), ill, firing) == (len(CASES), [], []), (ill, firing)
    say(f"rules: Prometheus evaluates all {len(found)}, none fires on a farm that is well")


def check_scrapes(prometheus: Prometheus) -> None:
    (longest,) = prometheus.query("max(max_over_time(scrape_duration_seconds[1m]))")
    (samples,) = prometheus.query("max(scrape_samples_scraped)")
    (up,) = prometheus.query('min(min_over_time(up{job="tfarm"}[20s]))')
    assert up["value"][1] == "1", "a scrape failed"
    ms, count = 1000 * float(longest["value"][1]), samples["value"][1]
    say(f"scrapes: {count} samples, {ms:.0f} ms at most")


def check_farm(seconds: float) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        busy_farm(Path(folder)) as port,
        Prometheus([f"127.0.0.1:{port}"]) as prometheus,
    ):
        say(f"a farm is scraped for {seconds:g} s")
        time.sleep(seconds)
        until(lambda: prometheus.query("tfarm_streams"), 10, "Prometheus has figures")
        check_metrics(port)
        check_dashboard(prometheus)
        check_alerts(prometheus)
        check_scrapes(prometheus)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.monitoring")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long it is scraped")
    parser.add_argument("--rules", action="store_true", help="test the rules alone")
    arguments = parser.parse_args()
    if absent := missing():
        print(f"{', '.join(absent)} not found: apt-get install prometheus", file=sys.stderr)
        return 2
    try:
        check_rules()
        look_at_types()
        if not arguments.rules:
            check_farm(arguments.seconds)
    except AssertionError as error:
        print(f"did not hold: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
