"""A viewer by WebRTC that decodes nothing: one process can have many, for measurements."""

import asyncio
import re
import secrets
import socket
from collections.abc import Sequence
from typing import Final

import aiohttp

from common.errors import StunError
from common.rtp.header import is_rtcp
from common.webrtc import stun
from common.webrtc.dtls import Certificate, Dtls

STEP_S: Final = 0.05
CONSENT_S: Final = 2.5

OFFER: Final = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=ice-ufrag:{ufrag}
a=ice-pwd:{password}
a=fingerprint:{fingerprint}
a=setup:active
m=video 9 UDP/TLS/RTP/SAVPF 102 103
c=IN IP4 127.0.0.1
a=mid:0
a=recvonly
a=rtcp-mux
a=rtpmap:102 H264/90000
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtcp-fb:102 nack
a=rtcp-fb:102 nack pli
a=rtpmap:103 rtx/90000
a=fmtp:103 apt=102
"""


class LightViewer:
    """One viewer: ICE, DTLS, and a count of what comes and of what does not."""

    offer = OFFER
    resource = ""  # its session's address

    def __init__(self, certificate: Certificate, address: str = "127.0.0.1") -> None:
        """`address` is its own."""
        self.packets = self.bytes = 0
        self.lost = 0  # packets of a number that was left out
        self.came_s = 0.0  # the last packet, by the loop's time
        self.longest_wait_s = 0.0  # between two packets
        self.ssrc = 0  # of the pictures
        self.ended = ""  # why its DTLS is over
        self._numbers: dict[bytes, int] = {}  # the last one, by SSRC
        self.is_open = False
        self._certificate = certificate
        self._ufrag, self._password = secrets.token_hex(4), secrets.token_hex(16)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((address, 0))
        self._dtls: Dtls | None = None
        self._remote = ("", 0)
        self._theirs = ("", "")
        self._tasks: list[asyncio.Task[None]] = []

    async def watch(self, http: aiohttp.ClientSession, url: str) -> None:
        """Have a session and its first packet."""
        prints = await self.ask(http, url)
        while not self.packets:
            assert not self.ended, self.ended
            await asyncio.sleep(STEP_S)
            if self._dtls is None and self.is_open:
                self.begin_dtls(prints)

    def begin_dtls(self, prints: Sequence[tuple[str, str]]) -> None:
        """Say hello by DTLS, and go on as far as the other end is heard."""
        self._dtls = Dtls(
            self._certificate, prints, self._send, lambda: None, self._on_end, is_client=True
        )

    def send_rtcp(self, packet: bytes, *, is_protected: bool = True) -> None:
        """Send this as RTCP, encrypted or as it is."""
        dtls = self._dtls
        if is_protected and dtls is not None and dtls.is_open:
            packet = dtls.protect_rtcp(packet)
        self._send(packet)

    async def ask(self, http: aiohttp.ClientSession, url: str) -> list[tuple[str, str]]:
        """Have a session, and begin with ICE; the fingerprints of the other end's certificate."""
        offer = self.offer.format(
            ufrag=self._ufrag,
            password=self._password,
            fingerprint=self._certificate.fingerprint,
        ).replace("\n", "\r\n")
        headers = {"Content-Type": "application/sdp"}
        async with http.post(url, data=offer, headers=headers) as response:
            text = await response.text()
            assert response.status == 201, text
            self.resource = response.headers["Location"]
        self._theirs = _first(r"a=ice-ufrag:(\S+)", text)[0], _first(r"a=ice-pwd:(\S+)", text)[0]
        candidates = re.findall(r"a=candidate:\S+ 1 udp \d+ (\d\S+\.\d+) (\d+) typ host", text)
        host, port = next((one for one in candidates if one[0] == "127.0.0.1"), candidates[0])
        self._remote = host, int(port)
        prints = re.findall(r"a=fingerprint:(\S+) (\S+)", text)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket.fileno(), self._on_readable)
        self._tasks.append(loop.create_task(self._check()))
        return [(algorithm, digest) for algorithm, digest in prints]

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._dtls is not None:
            self._dtls.close()
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    async def _check(self) -> None:
        """Ask until it is answered, then now and then, as browsers do."""
        while True:
            ours = (f"{self._theirs[0]}:{self._ufrag}", self._theirs[1])
            controlling = (0x802A, bytes(8))
            attributes = [(0x0024, bytes((0x6E, 0, 1, 0xFF))), controlling, stun.NOMINATE]
            self._send(stun.binding_request(*ours, secrets.token_bytes(12), attributes))
            await asyncio.sleep(CONSENT_S if self.is_open else STEP_S)

    def _send(self, datagram: bytes) -> None:
        if self._socket.fileno() >= 0:
            self._socket.sendto(datagram, self._remote)

    def _on_readable(self) -> None:
        for _ in range(64):
            try:
                datagram, address = self._socket.recvfrom(2048)
            except (BlockingIOError, ConnectionError):
                return
            first = datagram[0]
            if first >= 128:
                self._on_packet(datagram)
            elif first >= 20:
                self._on_dtls(datagram)
            else:
                self._on_stun(datagram, address)

    def _on_end(self, reason: str) -> None:
        self.ended = reason

    def _on_dtls(self, datagram: bytes) -> None:
        if self._dtls is not None:
            self._dtls.feed(datagram)

    def _on_packet(self, packet: bytes) -> None:
        if is_rtcp(packet):
            return
        now = asyncio.get_running_loop().time()
        if self.packets:
            self.longest_wait_s = max(self.longest_wait_s, now - self.came_s)
        self.came_s = now
        self.packets += 1
        self.bytes += len(packet)
        number, ssrc = int.from_bytes(packet[2:4], "big"), packet[8:12]
        before = self._numbers.setdefault(ssrc, number)
        ahead = (number - before) & 0xFFFF
        if ahead < 0x8000:  # else it was sent again, or was overtaken
            self.lost += max(0, ahead - 1)
            self._numbers[ssrc] = number
        self.ssrc = self.ssrc or int.from_bytes(ssrc, "big")

    def _on_stun(self, datagram: bytes, address: tuple[str, int]) -> None:
        try:
            request = stun.parse(datagram)
        except StunError:
            return
        if request is not None:  # of an agent that checks, too
            self._socket.sendto(stun.success(request, self._password, address), address)
        elif datagram[:2] == b"\x01\x01":
            self.is_open = True


def _first(pattern: str, text: str) -> Sequence[str]:
    found = re.search(pattern, text)
    assert found is not None, text
    return found.groups()
