"""What is done to etcd and to processes of hosts, wherever these run."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from common.rtmp.blocking_client import RtmpPublisher, RtmpRefused
from tests.kit.etcd import Etcd
from tests.kit.farm import Farm
from tests.kit.waiting import until


def cluster_of(farm: Farm) -> dict[str, Any]:
    """The cluster, as a host sees it."""
    found: dict[str, Any] = farm.status()["cluster"]
    return found


def wait_registered(farms: Sequence[Farm], hosts: int) -> float:
    """Until so many hosts are in touch and all streams registered; how long that took."""
    began = time.monotonic()

    def are() -> bool:
        return all(
            view["is_in_touch"] and len(view["hosts"]) == hosts and not view["unregistered"]
            for view in map(cluster_of, farms)
        )

    until(are, 60, "all are registered", every=0.1)
    return time.monotonic() - began


def kill_member(etcd: Etcd, *, leader: bool) -> None:
    """Kill a member, or the one that leads, for 3 s."""
    number = etcd.leader()
    etcd.kill(number if leader else (number + 1) % 3)
    time.sleep(3.0)  # sleep: so long is it gone
    etcd.start_all()


def stop_all(etcd: Etcd, seconds: float, meanwhile: Callable[[], None]) -> None:
    """Stop all members for so long; `meanwhile` is called in the middle of it."""
    etcd.signal_all(signal.SIGSTOP)
    began = time.monotonic()
    time.sleep(seconds / 2)  # sleep: so long are they away …
    meanwhile()
    time.sleep(max(0.0, began + seconds - time.monotonic()))  # sleep: … in all
    etcd.signal_all(signal.SIGCONT)


def publish_for_a_moment(farm: Farm, key: str = "meanwhile") -> None:
    """See that a new publisher is let in."""
    with RtmpPublisher(farm.url(key), 10):
        until(lambda: key in farm.streams(), 10, "a publisher is let in")
    until(lambda: key not in farm.streams(), 10, "it has gone")


def wipe(etcd: Etcd) -> None:
    """Kill all members, and start them without their data."""
    for number in range(len(etcd.processes)):
        etcd.kill(number)
    etcd.wipe()
    etcd.start_all()


def stop_child(farm: Farm, seconds: float = 3.0) -> None:
    """Stop the process `cluster`.

    The supervisor may replace it meanwhile, as any child that is silent for 2 s.
    """
    pid = farm.child("cluster")["pid"]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)  # sleep: so long does it stand
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def kill_child(farm: Farm) -> None:
    """Kill the process `cluster`."""
    os.kill(farm.child("cluster")["pid"], signal.SIGKILL)


def publish_twice(urls: Sequence[Callable[[str], str]], times: int) -> int:
    """Publish one key at two hosts at the same moment; how often it had not one owner.

    `urls` give where a key is published at each.
    """
    owners: list[int] = []
    with ThreadPoolExecutor(len(urls)) as pool:
        for number in range(times):
            publishers = [RtmpPublisher(url(f"both{number}"), 10) for url in urls]
            owners.append(sum(pool.map(_is_let_in, publishers)))
            for publisher in publishers:
                publisher.close()
    return sum(count != 1 for count in owners)


def _is_let_in(publisher: RtmpPublisher) -> bool:
    """Tell if it is; it stays."""
    try:
        publisher.__enter__()
    except RtmpRefused:
        return False
    return True
