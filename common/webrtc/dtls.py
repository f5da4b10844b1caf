"""DTLS and SRTP of one peer (IO), by aiortc's transport over datagrams that are given to it.

aiortc does the handshake, the proof of the certificates and the keys. Packets of media pass it by:
what it has agreed on encrypts them here, without a task or a parse for each.

Without the packages of `tfarm[webrtc]` this module cannot be imported.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import pylibsrtp
from aiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)

from common.errors import RtpError

log = logging.getLogger("tfarm.common.webrtc.dtls")

HANDSHAKE_S: Final = 10.0
MAX_QUEUED: Final = 32  # datagrams of a handshake


class Certificate:
    """The certificate of this process, which every peer is shown."""

    def __init__(self) -> None:
        self.rtc = RTCCertificate.generateCertificate()
        found = next(f for f in self.rtc.getFingerprints() if f.algorithm == "sha-256")
        self.fingerprint = f"{found.algorithm} {found.value}"


class _Datagrams:
    """What aiortc needs of an ICE transport: datagrams in and out, and whose the choice is."""

    role = "controlled"

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_QUEUED)
        self._send_now = send

    async def _recv(self) -> bytes:
        datagram = await self.queue.get()
        if datagram is None:
            raise ConnectionError
        return datagram

    async def _send(self, data: bytes) -> None:
        self._send_now(data)


class Dtls:
    """One peer's."""

    def __init__(
        self,
        certificate: Certificate,
        fingerprints: Sequence[tuple[str, str]],
        send: Callable[[bytes], object],
        on_open: Callable[[], object],
        on_closed: Callable[[str], object],
        *,
        is_client: bool = False,
    ) -> None:
        """`send` takes datagrams; `on_open` is called when media may be sent."""
        self.is_open = False
        self._datagrams = _Datagrams(send)
        # what it takes of an ICE transport is `_recv`, `_send` and `role`
        transport: Any = self._datagrams
        self._transport = RTCDtlsTransport(transport, [certificate.rtc])
        self._transport._set_role("client" if is_client else "server")
        prints = [RTCDtlsFingerprint(algorithm, digest) for algorithm, digest in fingerprints]
        self._remote = RTCDtlsParameters(fingerprints=prints)
        self._on_open, self._on_closed = on_open, on_closed
        self._task = asyncio.get_running_loop().create_task(self._run())

    def feed(self, datagram: bytes) -> None:
        """Take a datagram of DTLS; what is too much is dropped, as a network would."""
        if not self._datagrams.queue.full():
            self._datagrams.queue.put_nowait(datagram)

    def protect(self, packet: bytes) -> bytes:
        """An RTP packet, encrypted. Once `is_open`. Raises RtpError: no more can be."""
        try:
            protected: bytes = self._transport._tx_srtp.protect(packet)
        except pylibsrtp.Error as error:
            raise RtpError(f"a packet cannot be encrypted: {error}") from error
        return protected

    def protect_rtcp(self, packet: bytes) -> bytes:
        """An RTCP packet, encrypted."""
        protected: bytes = self._transport._tx_srtp.protect_rtcp(packet)
        return protected

    def unprotect(self, packet: bytes) -> bytes:
        """An RTP packet of the peer's in clear. Raises RtpError for what is not its own."""
        try:
            plain: bytes = self._transport._rx_srtp.unprotect(packet)
        except (pylibsrtp.Error, ValueError) as error:
            raise RtpError(f"RTP that is not the peer's: {error}") from error
        return plain

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """An RTCP packet of the peer's in clear. Raises RtpError for what is not its own."""
        try:
            plain: bytes = self._transport._rx_srtp.unprotect_rtcp(packet)
        except (pylibsrtp.Error, ValueError) as error:
            raise RtpError(f"RTCP that is not the peer's: {error}") from error
        return plain

    def close(self) -> None:
        """Let the peer know that it is over, and end."""
        if not self._task.done():
            self._task.cancel()

    async def _run(self) -> None:
        reason = "its DTLS handshake failed"
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await self._transport.start(self._remote)
            if self._transport.state == "connected":
                # the transport's own task has no use for anything but DTLS: it reads what `feed`
                # gives it, and ends when the peer says so
                self.is_open = True
                self._on_open()
                task = self._transport._task
                if task is not None:
                    await asyncio.wait((task,))
                    task.exception()
                reason = "it has closed the connection"
        except TimeoutError:
            reason = f"its DTLS handshake took more than {HANDSHAKE_S:g} s"
        except asyncio.CancelledError:
            await self._transport.stop()
            raise
        finally:
            self.is_open = False
        self._on_closed(reason)
