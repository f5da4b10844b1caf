"""All sessions of a process (IO): whose a datagram is, the one UDP port, and their counts.

Datagrams are cheap to make and have any sender they like. What proves nothing costs a look-up; what
knows a session's name costs a digest; only its password costs more.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from common.access.fair_shares import FairShares
from common.access.peer_address import Networks, host_of
from common.errors import StunError
from common.process.log import PeerLines
from common.webrtc import stun
from common.webrtc.dtls import Certificate
from common.webrtc.peer import Peer
from common.webrtc.udp import Address, UdpPort, bound

log = logging.getLogger("tfarm.common.webrtc.peers")

COUNTERS: Final = ("sessions begun", "not connected", "foreign datagrams")
PORT_S: Final = 2.0  # between attempts to have the port
SOON_S: Final = 2.0  # that a peer waits for it
MAX_CONNECTING: Final = 200  # sessions whose peers have not connected yet

P = TypeVar("P", bound=Peer)


class Peers(Generic[P]):
    """Those of this process; they call it back as their `Host`."""

    def __init__(self, clock: Callable[[], float], kind: str, what: str) -> None:
        """`kind` begins the names of its counters; `what` they are, for the log."""
        self.now = clock
        self.certificate = Certificate()
        self.counters = {f"{kind} {name}": 0 for name in COUNTERS}
        # What is of no session here, be it of nobody or of another process.
        self.relay: Callable[[bytes, Address], object] = lambda datagram, address: None
        self._kind, self._what = kind, what
        self._port: UdpPort | None = None
        self._by_ufrag: dict[str, P] = {}
        self._by_name: dict[str, P] = {}
        self._by_address: dict[Address, P] = {}
        self._last_number = 0
        self._port_may_be = asyncio.Event()  # something has changed for who has none
        self._port_is = asyncio.Event()
        self._lines = PeerLines()

    def __len__(self) -> int:
        return len(self._by_ufrag)

    def __iter__(self) -> Iterator[P]:
        return iter(tuple(self._by_ufrag.values()))

    # ---- the port -----------------------------------------------------------------------------

    @property
    def port(self) -> UdpPort | None:
        """The port of all; None: another process has it."""
        return self._port

    async def listen(self, host: str, port: int, may_bind: Callable[[], bool]) -> None:
        """Have the UDP port, be it that another process has it yet; returns when it is there.

        While `may_bind` says no, another process of the farm has it, which will give it away
        (`take`); `look_again` when that may have changed.
        """
        has_waited = False
        while self._port is None:
            self._port_may_be.clear()
            try:
                if may_bind():
                    self.take(bound(host, port))
                    return
            except OSError as error:
                if not has_waited:
                    has_waited = True
                    words = "the UDP port of WebRTC is not there address=%s peers=%s reason=%s"
                    reason = error.strerror or error
                    log.error(words, _text(host, port), self._what, reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PORT_S):
                    await self._port_may_be.wait()

    def look_again(self) -> None:
        """It may be that the port can be had now."""
        self._port_may_be.set()

    def take(self, sock: socket.socket) -> bool:
        """Use this as the port; False: there is one."""
        if self._port is not None:
            return False
        self._port = UdpPort(sock, self.on_datagram)
        self._port_is.set()
        self._port_may_be.set()
        log.info("WebRTC listens address=%s peers=%s", _text(*self._port.address), self._what)
        return True

    async def has_port(self) -> bool:
        """Tell if there is a port, or is one in a moment: as when a predecessor gives it away."""
        if self._port is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SOON_S):
                    await self._port_is.wait()
        return self._port is not None

    def close(self) -> None:
        """Let go of the port."""
        if self._port is not None:
            self._port.close()
            self._port = None

    # ---- sessions -----------------------------------------------------------------------------

    def add(self, session: P) -> None:
        """Take a session, whose peer connects soon."""
        self._last_number += 1
        session.number = self._last_number
        self._by_ufrag[session.ufrag] = session
        self._by_name[session.name] = session
        self.counters[f"{self._kind} sessions begun"] += 1

    def named(self, name: str) -> P | None:
        """A session by its secret name."""
        return self._by_name.get(name)

    def giving_way(self, host: str, most: int, exempt: Networks) -> tuple[P, ...] | None:
        """Of which sessions one has to end for one more of a host; `most` may connect at once.

        The oldest first, of those that nobody has connected to. None: there is room; nothing: he
        is refused.
        """
        connecting = [(host_of(one.address), one) for one in self if not one.is_connected]
        if len(connecting) < most:
            return None
        return tuple(FairShares(connecting, exempt).give_way(host))

    def may_connect(self, host: str, exempt: Networks) -> bool:
        """Whether one more of a host may begin a session."""
        return self.giving_way(host, MAX_CONNECTING, exempt) != ()

    def make_room(self, host: str, exempt: Networks) -> None:
        """End a session that gives way to one of this host, if there are too many."""
        for session in (self.giving_way(host, MAX_CONNECTING, exempt) or ())[:1]:
            session.end("its address has the most that do not connect, and others want to")

    def end_all(self, reason: str) -> None:
        for session in self:
            session.end(reason)

    # ---- a session's calls --------------------------------------------------------------------

    def send(self, datagram: bytes, address: Address) -> None:
        if self._port is not None:
            self._port.send(datagram, address)

    def on_connected(self, session: P) -> None:
        """Media flow from now on."""

    def on_session_end(self, session: P, reason: str) -> None:
        self._by_ufrag.pop(session.ufrag, None)
        self._by_name.pop(session.name, None)
        for address in session.addresses:
            if self._by_address.get(address) is session:
                del self._by_address[address]
        self.counters[f"{self._kind} not connected"] += not session.is_connected

    def may_log(self, session: P) -> int | None:
        """Whether a line about this session may be written, and how many were not; None: no."""
        return self._lines.allow(host_of(session.address), time.monotonic())

    # ---- datagrams ----------------------------------------------------------------------------

    def on_datagram(self, datagram: bytes, address: Address) -> None:
        """Take what the port, or who reads it for this process, has received."""
        if stun.looks_like_stun(datagram):
            self._on_stun(datagram, address)
            return
        session = self._by_address.get(address)
        if session is None or not datagram:
            self._on_foreign(datagram, address)
        else:
            session.on_datagram(datagram)

    def _on_foreign(self, datagram: bytes, address: Address) -> None:
        self._count_foreign()
        self.relay(datagram, address)

    def _count_foreign(self) -> None:
        self.counters[f"{self._kind} foreign datagrams"] += 1

    def _on_stun(self, datagram: bytes, address: Address) -> None:
        try:
            request = stun.parse(datagram)
            if request is None:
                if (known := self._by_address.get(address)) is not None:
                    known.on_answer(datagram, address)
                else:
                    self.relay(datagram, address)
                return
        except StunError:
            self._count_foreign()
            return
        session = self._by_ufrag.get(request.to)
        if session is None:
            self._on_foreign(datagram, address)
            return
        if not stun.has_integrity(request, session.password):
            self._count_foreign()
            return
        if request.is_controlled:
            self.send(stun.conflict(request, session.password), address)
            return
        other = self._by_address.get(address)
        if other is not None and other is not session:
            if other.is_here(self.now()):
                return  # a request with a forged sender would end another's session
            other.end("its address is another session's now")
        self._by_address[address] = session
        self.send(stun.success(request, session.password, plain(address)), address)
        for given_up in session.on_binding(request, address):
            self._by_address.pop(given_up, None)


def plain(address: Address) -> tuple[str, int]:
    """The address as IPv4 where a socket of both kinds has it in IPv6's form."""
    host = str(address[0])
    return host.removeprefix("::ffff:") if "." in host else host, int(address[1])


def _text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
