"""Two hosts of a cluster with a real etcd: who has a stream, and what goes on without etcd."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from common.rtmp.blocking_client import RtmpPublisher
from tests.kit.clients import refusal_of
from tests.kit.cluster_farms import PASSED_ON, cluster_table
from tests.kit.etcd import Etcd, needs_etcd
from tests.kit.farm import Farm
from tests.kit.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.cluster, needs_etcd]


def start(host: str, etcd: Etcd, folder: Path) -> Farm:
    return Farm(PASSED_ON + cluster_table(host, etcd, folder))


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Etcd, Farm, Farm]]:
    with ExitStack() as stack:
        etcd = stack.enter_context(Etcd(tmp_path))
        farms = [stack.enter_context(start(host, etcd, tmp_path)) for host in ("h1", "h2")]
        yield etcd, farms[0], farms[1]


@pytest.fixture
def publishers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def cluster(farm: Farm) -> dict[str, Any]:
    found = farm.status()["cluster"]
    assert isinstance(found, dict)
    return found


def wait_registered(farm: Farm, count: int) -> None:
    def are() -> bool:
        found = cluster(farm)
        return (found["is_in_touch"], found["owned"], found["unregistered"]) == (True, count, 0)

    until(are, 20, f"{count} streams are registered")


def share_templates(first: Farm, second: Farm, folder: Path) -> None:
    """What is pushed at one host is used at both; what has faults changes nothing."""
    file = folder / "templates.toml"
    file.write_text('[templates.games]\nrenditions = []\n[templates.live]\nhold = "9s"\n')
    pushed = first.cli("cluster", "config", "push", str(file))
    assert pushed.stdout.splitlines()[1:] == ["h1: has it", "h2: has it"], pushed
    refused = refusal_of(RtmpPublisher(second.url("cam", app="games"), 30))
    assert refused == ("", ""), "the app is there at once"
    assert second.cli("cluster", "config", "diff", str(file)).returncode == 0
    bad = folder / "bad.toml"
    bad.write_text('[templates.games]\ngop = "soon"\n[listen]\nrtmp = ":1"\n')
    found = first.cli("cluster", "config", "push", str(bad))
    assert found.returncode == 1
    assert "listen: is a host's own" in found.stderr
    assert second.cli("cluster", "config", "diff", str(bad)).returncode == 1


def test_a_stream_has_one_host_and_needs_etcd_for_nothing(
    two: tuple[Etcd, Farm, Farm], publishers: ExitStack, tmp_path: Path
) -> None:
    etcd, first, second = two
    for farm in (first, second):
        until(lambda farm=farm: len(cluster(farm)["hosts"]) == 2, 20, "they know one another")  # type: ignore[misc]  # mypy: a default
    publisher = publishers.enter_context(RtmpPublisher(first.url("cam1"), 30))
    wait_registered(first, 1)

    # another host refuses it, in words that the client shows
    assert refusal_of(RtmpPublisher(second.url("cam1"), 30))[1] == (
        "the stream is published at host h1: publish it there, or end it there first"
    )
    printed = second.cli("cluster", "status").stdout
    assert "host h2: in touch" in printed
    until(lambda: cluster(second)["hosts"][0]["streams"] == 1, 20, "the other host sees it")

    share_templates(first, second, tmp_path)

    # the process that talks to etcd dies: another one goes on with the same claim
    os.kill(first.child("cluster")["pid"], signal.SIGKILL)
    until(lambda: first.child("cluster")["restarts"] > 0, 20, "it is started again")
    wait_registered(first, 1)

    # etcd goes, with all its data: who publishes is let in, and what runs goes on
    etcd.kill(0)
    until(lambda: not cluster(second)["is_in_touch"], 20, "it is noticed")
    publishers.enter_context(RtmpPublisher(second.url("cam2"), 30))
    until(lambda: cluster(second)["unregistered"] == 1, 20, "it runs without being registered")
    assert not second.streams()["cam2"]["is_registered"]
    assert first.streams()["cam1"]["state"] != "held"
    written = [path.read_bytes() for path in tmp_path.glob("e0/**/*") if path.is_file()]
    assert any(b"/tfarm/1/test/streams/" in data for data in written)
    assert not any(b"cam1" in data for data in written), "a stream's id is a credential"
    etcd.wipe()
    etcd.start_all()
    wait_registered(first, 1)
    wait_registered(second, 1)

    # the end of a stream lets another host have it
    publisher.close()
    wait_registered(first, 0)
    assert refusal_of(RtmpPublisher(second.url("cam1"), 30))[1] == ""
