"""One viewer's session (IO): its offer's answer, its datagrams, what it reports, its end.

A session begins with an answer and costs little until its viewer has proved, by the answer's
password, that an address is its own; then DTLS begins, and behind it media.
"""

import secrets
import time
from collections.abc import Callable
from typing import Final, Protocol

from common.errors import RtpError
from common.ipc.identity import StreamId
from common.rtp import rtcp
from common.rtp.header import FIRST_SEQUENCE_END, OPUS_CLOCK_HZ, is_rtcp
from common.rtp.rtcp import Estimate as LineEstimate
from common.rtp.rtcp import KeyframeWanted, Left, Lost, Report
from common.webrtc import stun
from common.webrtc.dtls import Certificate, Dtls
from common.webrtc.offer import Offer
from common.webrtc.stun import Binding
from common.webrtc.udp import Address
from egress.rtc.answer import CNAME, Chosen, Ours
from egress.rtc.estimate import Estimate
from egress.rtc.track import CAREFUL_SPEED, REPLAY_SPEED, Numbers
from egress.rtc.viewer import Viewer

CONNECT_S: Final = 15.0  # from the answer to media
SILENT_S: Final = 15.0  # without anything that is surely the viewer's
MAX_ADDRESSES: Final = 8  # that a viewer may prove to be its own
HERE_S: Final = 5.0
ASK_S: Final = 1.0  # between questions whether it is at another address
MAX_REPORTS: Final = 200  # datagrams of RTCP a second
MAX_LOST: Final = (
    2000  # packets that a viewer may ask for again in a second; Chromium asks for 1000
)
NAME: Final = CNAME.encode()


class Host(Protocol):
    """All sessions, as one of them calls them."""

    @property
    def now(self) -> Callable[[], float]: ...

    def send(self, datagram: bytes, address: Address) -> None: ...

    def on_session_end(self, session: "Session", reason: str) -> None: ...

    def on_timed(self, session: "Session") -> None:
        """Its viewer has to be called every few milliseconds."""

    def on_playing(self, session: "Session") -> None: ...


class Session:
    """One viewer's."""

    def __init__(
        self,
        offer: Offer,
        chosen: Chosen,
        certificate: Certificate,
        host: Host,
        address: str,
        *,
        is_live_start: bool,
        is_careful: bool = False,
    ) -> None:
        """`address`: whom the request came from, for people.

        `is_careful`: it begins slowly, since nothing is known of its line.
        """
        self.name = secrets.token_urlsafe(18)
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(16)
        self.address = address
        self.opened_s = host.now()
        self.number = 0
        self.on_end: Callable[[str], object] = lambda reason: None  # where it was let in
        self.stream_id = StreamId("")
        self.estimate: Estimate | None = None  # of who has no rendition of its own
        self.round_trip_s: float | None = None
        self.lost = 0.0  # the share of packets, by its last report
        self.is_playing = False
        self._offer = offer
        self._certificate = certificate
        self._host = host
        self._dtls: Dtls | None = None
        self._peer: Address | None = None
        self._addresses: dict[Address, None] = {}
        self._came_s = self.opened_s
        self._reports = self._lost = 0
        self._is_closed = False
        self._asked: tuple[bytes, Address] = (b"", ())
        self._asked_s = -ASK_S
        self._sent = (0, self.opened_s)  # octets, and when
        self.sent_bps = 0.0
        self.viewer = Viewer(
            *_numbers(chosen),
            self._send,
            host.now,
            is_live_start=is_live_start,
            replay_speed=CAREFUL_SPEED if is_careful else REPLAY_SPEED,
        )

    def ours(self, addresses: list[tuple[str, int]]) -> Ours:
        """This end of it, for the answer."""
        viewer = self.viewer
        return Ours(
            self.ufrag,
            self.password,
            self._certificate.fingerprint,
            addresses,
            secrets.randbits(62),
            viewer.video.numbers.ssrc,
            viewer.video.numbers.rtx_ssrc,
            viewer.audio.numbers.ssrc if viewer.audio is not None else 0,
        )

    @property
    def octets(self) -> int:
        """What it was sent, of pictures and sound."""
        audio = self.viewer.audio
        return self.viewer.video.octets + (audio.octets if audio is not None else 0)

    # ---- datagrams ----------------------------------------------------------------------------

    def on_binding(self, request: Binding, address: Address) -> list[Address]:
        """The viewer has proved that an address is its own; returns those that it has no more."""
        self._came_s = self._host.now()
        self._addresses[address] = self._addresses.pop(address, None)
        if self._peer is None or (request.nominates and not self.is_playing):
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
        """Ask whether the viewer is there, before what it watches is sent there.

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
        """Take an answer of STUN: the viewer is where it was asked for."""
        transaction, asked = self._asked
        if asked == address and stun.is_answer(datagram, transaction, self._offer.password):
            self._peer = address

    def is_here(self, now: float) -> bool:
        """Whether something came from it lately."""
        return now - self._came_s < HERE_S

    def on_datagram(self, datagram: bytes) -> None:
        """Take DTLS or RTCP from an address of the viewer's."""
        dtls = self._dtls
        if dtls is None:
            return
        if 20 <= datagram[0] <= 63:
            dtls.feed(datagram)
        elif dtls.is_open and is_rtcp(datagram) and self._reports < MAX_REPORTS:
            self._reports += 1
            try:
                packet = dtls.unprotect_rtcp(datagram)
                received = rtcp.parse(packet, MAX_LOST - self._lost)
            except RtpError:
                return
            self._came_s = self._host.now()
            for one in received:
                self._on_feedback(one)

    def _on_feedback(self, feedback: rtcp.Feedback) -> None:
        now, viewer = self._came_s, self.viewer
        match feedback:
            case Lost():
                self._lost += len(feedback.sequences)
                viewer.on_lost(feedback)
            case KeyframeWanted():
                viewer.on_keyframe_wanted(now)
                self._look(now)
            case Report(ssrc) if ssrc == viewer.video.numbers.ssrc:
                self.round_trip_s = rtcp.round_trip_s(feedback, time.time())
                self.lost = feedback.lost
                if self.estimate is not None:
                    self.estimate.on_report(feedback.lost, now)
            case LineEstimate(bps):
                if self.estimate is not None:
                    self.estimate.on_estimate(bps, self.sent_bps, now)
            case Left():
                self.end("it has left")
            case _:
                pass

    # ---- time ---------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Report, and look whether the viewer is still there; once a second."""
        self._reports = self._lost = 0
        octets, since_s = self._sent
        self.sent_bps = 8 * (self.octets - octets) / max(0.1, now - since_s)
        self._sent = (self.octets, now)
        if self.viewer.ended:
            self.end(self.viewer.ended)
        elif not self.is_playing:
            if now - self.opened_s > CONNECT_S:
                self.end("it has not connected" if self._dtls is None else "no DTLS came about")
        elif now - self._came_s > SILENT_S:
            self.end(f"nothing came from it for {SILENT_S:g} s")
        else:
            report = self.viewer.reports(time.time(), now, NAME)
            dtls = self._dtls
            if report is not None and dtls is not None and dtls.is_open:
                self._send_raw(dtls.protect_rtcp(report))
            if self.estimate is not None:
                self.estimate.check(self.sent_bps, now)

    def tick(self, now: float) -> bool:
        """Do what is due in between; False: nothing more is."""
        if not self._is_closed:
            self.viewer.tick(now)
        return self.viewer.is_timed and not self._is_closed

    def _look(self, now: float) -> None:
        if self.viewer.is_timed:
            self._host.on_timed(self)

    # ---- the end ------------------------------------------------------------------------------

    def end(self, reason: str) -> None:
        """Let the viewer know that it is over. Does nothing the second time."""
        if self._is_closed:
            return
        self._is_closed = True
        dtls, viewer = self._dtls, self.viewer
        viewer.leave()
        if dtls is not None:
            if dtls.is_open:
                ssrcs = [viewer.video.numbers.ssrc]
                self._send_raw(dtls.protect_rtcp(rtcp.farewell(ssrcs)))
            dtls.close()
        self._host.on_session_end(self, reason)

    @property
    def addresses(self) -> list[Address]:
        """Those that the viewer has proved to be its own."""
        return list(self._addresses)

    # ---- inside -------------------------------------------------------------------------------

    def _on_open(self) -> None:
        if self._is_closed:
            return
        now = self._host.now()
        self.is_playing = True
        self._came_s = now
        self._host.on_playing(self)
        self.viewer.start(now)
        self._look(now)

    def _send(self, packet: bytes) -> None:
        dtls, peer = self._dtls, self._peer
        if dtls is not None and peer is not None and dtls.is_open:
            try:
                self._host.send(dtls.protect(packet), peer)
            except RtpError as error:  # it costs this viewer alone: others' packets follow
                self.viewer.ended = self.viewer.ended or str(error)

    def _send_raw(self, datagram: bytes) -> None:
        if self._peer is not None:
            self._host.send(datagram, self._peer)


def _numbers(chosen: Chosen) -> tuple[Numbers, Numbers | None]:
    """The numbers of what a viewer is sent: nobody else can tell them beforehand."""
    ssrcs: set[int] = set()
    while len(ssrcs) < 3:
        ssrcs.add(1 + secrets.randbelow(0xFFFF_FFFF))
    video_ssrc, rtx_ssrc, audio_ssrc = ssrcs

    def begin() -> tuple[int, int]:
        return secrets.randbelow(FIRST_SEQUENCE_END), secrets.randbits(32)

    video, audio = chosen.video, chosen.audio
    rtx = video.rtx.payload_type if video.rtx is not None else 0
    pictures = Numbers(video_ssrc, video.payload_type, 90, *begin(), rtx_ssrc, rtx)
    if audio is None:
        return pictures, None
    return pictures, Numbers(audio_ssrc, audio.payload_type, OPUS_CLOCK_HZ // 1000, *begin())
