"""One session's other end (IO): its datagrams, DTLS, and where it is.

A session begins with an answer and costs little until its peer has proved, by the answer's
password, that an address is its own; then DTLS begins, and behind it media.
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from common.errors import RtpError
from common.rtp.header import is_rtcp
from common.webrtc import stun
from common.webrtc.description import End
from common.webrtc.dtls import Certificate, Dtls
from common.webrtc.offer import Offer
from common.webrtc.stun import Binding
from common.webrtc.udp import Address

CONNECT_S: Final = 15.0  # from the answer to media
SILENT_S: Final = 15.0  # without anything that is surely the peer's
MAX_ADDRESSES: Final = 8  # that a peer may prove to be its own
HERE_S: Final = 5.0
ASK_S: Final = 1.0  # between questions whether it is at another address
MAX_REPORTS: Final = 200  # datagrams of RTCP a second


class Host(Protocol):
    """All sessions, as one of them calls them."""

    @property
    def now(self) -> Callable[[], float]: ...

    def send(self, datagram: bytes, address: Address) -> None: ...

    def on_connected(self, session: Any) -> None: ...

    def on_session_end(self, session: Any, reason: str) -> None: ...


class Peer(ABC):
    """A session without its media, which a kind of session adds."""

    def __init__(self, offer: Offer, certificate: Certificate, host: Host, address: str) -> None:
        """`address`: whom the request came from, for people."""
        self.name = secrets.token_urlsafe(18)
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(16)
        self.address = address
        self.opened_s = host.now()
        self.number = 0
        self.is_connected = False  # and was, until its end
        self._offer = offer
        self._certificate = certificate
        self._host = host
        self._dtls: Dtls | None = None
        self._peer: Address | None = None
        self._addresses: dict[Address, None] = {}
        self._came_s = self.opened_s
        self._reports = 0
        self._is_closed = False
        self._asked: tuple[bytes, Address] = (b"", ())
        self._asked_s = -ASK_S

    def end_of(self, addresses: Sequence[tuple[str, int]]) -> End:
        """This end of it, for the answer."""
        fingerprint = self._certificate.fingerprint
        return End(self.ufrag, self.password, fingerprint, addresses, secrets.randbits(62))

    # ---- what a kind of session does ----------------------------------------------------------

    @abstractmethod
    def _on_connected(self, now: float) -> None:
        """Media may be sent, and come, from now on."""

    @abstractmethod
    def _on_rtcp(self, packet: bytes, now: float) -> None:
        """A compound packet of the peer's. Raises RtpError for what cannot be read."""

    @abstractmethod
    def _on_rtp(self, datagram: bytes) -> None:
        """A packet of somebody's at the peer's address, yet encrypted."""

    def _on_end(self) -> bytes:
        """It ends; returns RTCP that says so."""
        return b""

    # ---- datagrams ----------------------------------------------------------------------------

    def on_binding(self, request: Binding, address: Address) -> list[Address]:
        """The peer has proved that an address is its own; returns those that it has no more."""
        self._came_s = self._host.now()
        self._addresses[address] = self._addresses.pop(address, None)
        if self._peer is None or (request.nominates and not self.is_connected):
            self._peer = address
        elif request.nominates and address != self._peer:
            self._ask_address(address)
        if self._dtls is None:
            self._dtls = Dtls(
                self._certificate,
                self._offer.fingerprints,
                self._send_raw,
                self._on_open,
                self.end,
                is_client=self._offer.is_passive,
            )
        given_up = [one for one in self._addresses if one != self._peer]
        given_up = given_up[: max(0, len(self._addresses) - MAX_ADDRESSES)]
        for one in given_up:
            del self._addresses[one]
        return given_up

    def _ask_address(self, address: Address) -> None:
        """Ask whether the peer is there, before anything is sent there.

        Requests have any sender they like: else a viewer could have a stranger flooded.
        """
        if self._came_s - self._asked_s < ASK_S:
            return
        self._asked_s, self._asked = self._came_s, (secrets.token_bytes(12), address)
        offer, attributes = self._offer, [stun.PRIORITY, (stun.CONTROLLED, secrets.token_bytes(8))]
        user = f"{offer.ufrag}:{self.ufrag}"
        request = stun.binding_request(user, offer.password, self._asked[0], attributes)
        self._host.send(request, address)

    def on_answer(self, datagram: bytes, address: Address) -> None:
        """Take an answer of STUN: the peer is where it was asked for."""
        transaction, asked = self._asked
        if asked == address and stun.is_answer(datagram, transaction, self._offer.password):
            self._peer = address

    def is_here(self, now: float) -> bool:
        """Whether something came from it lately."""
        return now - self._came_s < HERE_S

    def on_datagram(self, datagram: bytes) -> None:
        """Take DTLS, RTP or RTCP from an address of the peer's."""
        dtls = self._dtls
        if dtls is None:
            return
        if 20 <= datagram[0] <= 63:
            dtls.feed(datagram)
        elif not dtls.is_open:
            pass
        elif not is_rtcp(datagram):
            self._on_rtp(datagram)
        elif self._reports < MAX_REPORTS:
            self._reports += 1
            try:
                packet = dtls.unprotect_rtcp(datagram)
                self._came_s = now = self._host.now()
                self._on_rtcp(packet, now)
            except RtpError:
                return

    # ---- time ---------------------------------------------------------------------------------

    def check_connection(self, now: float) -> bool:
        """End who is not there; once a second. False: it is not connected, or not any more."""
        self._reports = 0
        if not self.is_connected:
            if now - self.opened_s > CONNECT_S:
                self.end("it has not connected" if self._dtls is None else "no DTLS came about")
        elif now - self._came_s > SILENT_S:
            self.end(f"nothing came from it for {SILENT_S:g} s")
        return self.is_connected and not self._is_closed

    # ---- the end ------------------------------------------------------------------------------

    def end(self, reason: str) -> None:
        """Let the peer know that it is over. Does nothing the second time."""
        if self._is_closed:
            return
        self._is_closed = True
        dtls, farewell = self._dtls, self._on_end()
        if dtls is not None:
            if farewell:
                self._send_rtcp(farewell)
            dtls.close()
        self._host.on_session_end(self, reason)

    @property
    def addresses(self) -> list[Address]:
        """Those that the peer has proved to be its own."""
        return list(self._addresses)

    # ---- inside -------------------------------------------------------------------------------

    def _on_open(self) -> None:
        if self._is_closed:
            return
        self.is_connected = True
        self._came_s = now = self._host.now()
        self._host.on_connected(self)
        self._on_connected(now)

    def _send_rtcp(self, packet: bytes) -> None:
        if self._dtls is not None and self._dtls.is_open:
            self._send_raw(self._dtls.protect_rtcp(packet))

    def _send_raw(self, datagram: bytes) -> None:
        if self._peer is not None:
            self._host.send(datagram, self._peer)
