"""Whether other hosts are there, for a claim of a stream that one of them has (IO).

A host that sends by a link is up. Another one is connected to, as for a link, and left again.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Collection
from math import inf
from typing import Final

from common.ipc.cluster_messages import HostReach, HostReachWanted, Reach

CONNECT_S: Final = 1.0
RECENT_S: Final = 0.3  # a link whose host is cut off takes two seconds and more to break
STOOD_S: Final = 60.0  # since a link stood: that it listened for hosts then is known
MAX_FINDING: Final = 64  # hosts at a time

Address = tuple[str, str]  # a host, and HOST:PORT of its relay


class HostReaches:
    """What one relay finds of other hosts."""

    def __init__(
        self,
        links: Callable[[float], Collection[Address]],
        context: Callable[[], ssl.SSLContext | None],
        report: Callable[[HostReach], object],
    ) -> None:
        """`links`: those that have brought something since a time. `context`: of new handshakes."""
        self._links = links
        self._context = context
        self._report = report
        self._stood_s: dict[Address, float] = {}
        self._finding: dict[Address, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()

    def check(self, now: float) -> None:
        """Note which links stand; to be called once a second."""
        self._stood_s = {a: at_s for a, at_s in self._stood_s.items() if now - at_s < STOOD_S}
        self._stood_s.update(dict.fromkeys(self._links(-inf), now))

    def want(self, wanted: HostReachWanted) -> None:
        """Report whether a host is there."""
        address = wanted.host, wanted.relay
        if address in self._links(time.monotonic() - RECENT_S):
            self._report(HostReach(wanted.host, Reach.UP))
        elif address not in self._finding and len(self._finding) < MAX_FINDING:
            task = self._finding[address] = self._loop.create_task(self._find(wanted))
            task.add_done_callback(lambda _: self._finding.pop(address, None))

    def close(self) -> None:
        """Find out no more."""
        for task in tuple(self._finding.values()):
            task.cancel()

    # ---- inside -------------------------------------------------------------------------------

    async def _find(self, wanted: HostReachWanted) -> None:
        name, _, port = wanted.relay.rpartition(":")
        name = name.strip("[]")
        reach = Reach.SILENT
        try:
            if await self._listens(name, port, wanted.host):
                reach = Reach.UP
            elif (wanted.host, wanted.relay) in self._stood_s:
                rtmp = wanted.rtmp.rpartition(":")[2]
                if rtmp.isdecimal() and int(rtmp) and not await self._listens(name, rtmp):
                    reach = Reach.GONE
        except (OSError, TimeoutError, ValueError, ssl.CertificateError):
            pass  # it is silent, or no peer of this host
        self._report(HostReach(wanted.host, reach))

    async def _listens(self, name: str, port: str, certified: str = "") -> bool:
        """Tell if somebody listens there: `certified`, if that is given.

        Raises:
            OSError, TimeoutError, ssl.CertificateError: that cannot be found out.
            ValueError: it is no address.
        """
        context = self._context() if certified else None
        try:
            async with asyncio.timeout(CONNECT_S):
                transport, _ = await self._loop.create_connection(
                    asyncio.Protocol,
                    name,
                    int(port),
                    ssl=context,
                    server_hostname=certified or None,
                )
        except ConnectionRefusedError:
            return False
        transport.abort()
        return True
