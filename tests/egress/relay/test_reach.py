"""egress/relay/reach.py: whether another host is there, by real sockets."""

import asyncio
import time
from pathlib import Path

import pytest

from common.ipc.cluster_messages import HostReach, HostReachWanted, Reach
from common.process.certificate_files import mutual_contexts
from egress.relay.reach import Address, HostReaches
from tests.kit.certificates import Authority, Files
from tests.kit.etcd import free_ports
from tests.kit.waiting import until_async


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Files]]:
    authority = Authority(tmp_path_factory.mktemp("hosts"))
    made = {host: authority.issue(host) for host in ("host-a", "host-b")}
    return authority.files.certificate, made


@pytest.mark.parametrize(
    ("relay", "rtmp", "stood", "found"),
    [
        ("host-a", False, False, Reach.UP),
        ("host-b", True, True, Reach.SILENT),  # somebody else is there
        ("", False, True, Reach.GONE),
        ("", True, True, Reach.SILENT),  # its relay is started anew, perhaps
        ("", False, False, Reach.SILENT),  # nobody knows that it ever listened for this host
    ],
)
def test_what_is_found(
    files: tuple[Path, dict[str, Files]], relay: str, rtmp: bool, stood: bool, found: Reach
) -> None:
    """`relay`: whose certificate is shown where the relay should be; "": nobody listens."""
    trusted, made = files
    relay_port, rtmp_port = free_ports(2)
    wanted = HostReachWanted("host-a", f"127.0.0.1:{relay_port}", f"host-a:{rtmp_port}")
    reported: list[HostReach] = []
    links: set[Address] = {("host-a", wanted.relay)} if stood else set()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        servers = []
        if relay:
            shown = made[relay]
            server, _ = mutual_contexts(shown.certificate, shown.key, trusted)
            servers.append(
                await loop.create_server(asyncio.Protocol, "127.0.0.1", relay_port, ssl=server)
            )
        if rtmp:
            servers.append(await loop.create_server(asyncio.Protocol, "127.0.0.1", rtmp_port))
        own = made["host-b"]
        _, client = mutual_contexts(own.certificate, own.key, trusted)
        reaches = HostReaches(lambda since_s: links, lambda: client, reported.append)
        reaches.check(time.monotonic())
        links.clear()
        reaches.want(wanted)
        reaches.want(wanted)
        await until_async(lambda: reported)
        reaches.close()
        for each in servers:
            each.close()

    asyncio.run(main())
    assert reported == [HostReach("host-a", found)]


def test_a_host_with_a_link_is_there() -> None:
    reported: list[HostReach] = []

    async def main() -> None:
        def context() -> None:
            raise AssertionError("nobody is connected to")

        address = "host-a", "127.0.0.1:1"
        reaches = HostReaches(lambda since_s: {address}, context, reported.append)
        reaches.want(HostReachWanted(*address))

    asyncio.run(main())
    assert reported == [HostReach("host-a", Reach.UP)]


def test_a_link_that_broke_long_ago_says_nothing() -> None:
    reported: list[HostReach] = []
    (port,) = free_ports(1)
    wanted = HostReachWanted("host-a", f"127.0.0.1:{port}", f"host-a:{port}")
    links: set[Address] = {("host-a", wanted.relay)}

    async def main() -> None:
        reaches = HostReaches(lambda since_s: links, lambda: None, reported.append)
        reaches.check(0.0)
        links.clear()
        reaches.check(60.0)
        reaches.want(wanted)
        await until_async(lambda: reported)

    asyncio.run(main())
    assert reported == [HostReach("host-a", Reach.SILENT)]
