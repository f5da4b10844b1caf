"""All sessions of viewers (IO): whose a datagram is, when each is looked at, and their counts.

Datagrams are cheap to make and have any sender they like. What proves nothing costs a look-up; what
knows a session's name costs a digest; only its password costs more.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

from common.access.fair_shares import FairShares
from common.access.peer_address import Networks, host_of
from common.errors import StunError
from common.ipc.identity import StreamId
from common.process.log import PeerLines, more, stream_label
from common.webrtc import stun
from common.webrtc.dtls import Certificate
from common.webrtc.udp import Address, UdpPort, bound
from egress.rtc.session import Session

log = logging.getLogger("tfarm.egress.rtc.sessions")

TICK_S: Final = 0.005  # of those that are sent what was
COUNTERS: Final = ("rtc sessions begun", "rtc played", "rtc not connected", "rtc foreign datagrams")
PORT_S: Final = 2.0  # between attempts to have the port
SOON_S: Final = 2.0  # that a viewer waits for it


class Sessions:
    """Those of this process; they call it back as their `Host`."""

    def __init__(
        self,
        clock: Callable[[], float],
        on_begin: Callable[[Session], object],
        on_end: Callable[[Session, str], object],
    ) -> None:
        """`on_begin`: it plays from now on; `on_end` comes for each that was added."""
        self.now = clock
        self.certificate = Certificate()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._on_begin, self._on_end = on_begin, on_end
        self._loop = asyncio.get_running_loop()
        self._port: UdpPort | None = None
        self._by_ufrag: dict[str, Session] = {}
        self._by_name: dict[str, Session] = {}
        self._by_address: dict[Address, Session] = {}
        self._by_stream: dict[StreamId, set[Session]] = {}
        self._timed: set[Session] = set()
        self._last_number = 0
        self._port_may_be = asyncio.Event()  # something has changed for who has none
        self._port_is = asyncio.Event()
        # What is of no session here, be it of nobody or of another process.
        self.relay: Callable[[bytes, Address], object] = lambda datagram, address: None
        self._lines = PeerLines()

    def __len__(self) -> int:
        return len(self._by_ufrag)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._by_ufrag.values()))

    @property
    def connecting(self) -> int:
        """Count of those that are not sent anything yet."""
        return sum(not session.is_playing for session in self)

    def giving_way(self, host: str, most: int, exempt: Networks) -> tuple[Session, ...] | None:
        """Of which sessions one has to end for one more of a host; `most` may connect at once.

        The oldest first, of those that nobody has connected to. None: there is room; nothing: he
        is refused.
        """
        connecting = [(host_of(one.address), one) for one in self if not one.is_playing]
        if len(connecting) < most:
            return None
        return tuple(FairShares(connecting, exempt).give_way(host))

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
                    reason = error.strerror or error
                    words = "the UDP port of WebRTC is not there address=%s reason=%s"
                    log.error(words, _text(host, port), reason)
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
        log.info("WebRTC listens address=%s", _text(*self._port.address))
        return True

    async def has_port(self) -> bool:
        """Tell if there is a port, or is one in a moment: as when a predecessor gives it away."""
        if self._port is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SOON_S):
                    await self._port_is.wait()
        return self._port is not None

    def add(self, session: Session) -> None:
        """Take a session, whose viewer connects soon."""
        self._last_number += 1
        session.number = self._last_number
        self._by_ufrag[session.ufrag] = session
        self._by_name[session.name] = session
        self._by_stream.setdefault(session.stream_id, set()).add(session)
        self.counters["rtc sessions begun"] += 1

    def of_stream(self, stream_id: StreamId) -> tuple[Session, ...]:
        """Those that watch a stream, whatever rendition of it."""
        return tuple(self._by_stream.get(stream_id, ()))

    def named(self, name: str) -> Session | None:
        """A session by its secret name."""
        return self._by_name.get(name)

    def check(self, now: float) -> None:
        """Look at each; once a second."""
        for session in self:
            session.check(now)
            if session.viewer.is_timed:
                self.on_timed(session)

    def end_all(self, reason: str) -> None:
        for session in self:
            session.end(reason)

    def close(self) -> None:
        """Let go of the port."""
        if self._port is not None:
            self._port.close()
            self._port = None

    # ---- a session's calls --------------------------------------------------------------------

    def send(self, datagram: bytes, address: Address) -> None:
        if self._port is not None:
            self._port.send(datagram, address)

    def on_playing(self, session: Session) -> None:
        self.counters["rtc played"] += 1
        self._on_begin(session)

    def on_timed(self, session: Session) -> None:
        if not self._timed:
            self._loop.call_later(TICK_S, self._tick)
        self._timed.add(session)

    def on_session_end(self, session: Session, reason: str) -> None:
        self._by_ufrag.pop(session.ufrag, None)
        self._by_name.pop(session.name, None)
        self._timed.discard(session)
        others = self._by_stream.get(session.stream_id, set())
        others.discard(session)
        if not others:
            self._by_stream.pop(session.stream_id, None)
        for address in session.addresses:
            if self._by_address.get(address) is session:
                del self._by_address[address]
        self.counters["rtc not connected"] += not session.is_playing
        channel = session.viewer.channel
        if (held := self._lines.allow(host_of(session.address), time.monotonic())) is not None:
            log.info(
                "viewer closed stream=%s rendition=%s address=%s seconds=%.1f repeated=%d "
                "reason=%s%s",
                stream_label(channel.rendition.stream_id) if channel is not None else "",
                session.viewer.rendition,
                session.address,
                self.now() - session.opened_s,
                session.viewer.video.repeated,
                reason,
                more(held),
            )
        self._on_end(session, reason)

    # ---- inside -------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self.now()
        self._timed = {session for session in self._timed if session.tick(now)}
        if self._timed:
            self._loop.call_later(TICK_S, self._tick)

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
        self.counters["rtc foreign datagrams"] += 1
        self.relay(datagram, address)

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
            self.counters["rtc foreign datagrams"] += 1
            return
        session = self._by_ufrag.get(request.to)
        if session is None:
            self._on_foreign(datagram, address)
            return
        if not stun.has_integrity(request, session.password):
            self.counters["rtc foreign datagrams"] += 1
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
