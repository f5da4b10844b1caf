"""One viewer's session (IO): what it is sent and what it reports, over its `Peer`."""

import secrets
import time
from collections.abc import Callable
from typing import Final, Protocol

from common.errors import RtpError
from common.ipc.identity import StreamId
from common.rtp import rtcp
from common.rtp.header import FIRST_SEQUENCE_END, OPUS_CLOCK_HZ
from common.rtp.rtcp import Estimate as LineEstimate
from common.rtp.rtcp import KeyframeWanted, Left, Lost, Report
from common.webrtc import peer
from common.webrtc.dtls import Certificate
from common.webrtc.offer import Offer
from common.webrtc.peer import Peer
from egress.rtc.answer import CNAME, Chosen, Ours
from egress.rtc.estimate import Estimate
from egress.rtc.track import CAREFUL_SPEED, REPLAY_SPEED, Numbers
from egress.rtc.viewer import Viewer

MAX_LOST: Final = (
    2000  # packets that a viewer may ask for again in a second; Chromium asks for 1000
)
NAME: Final = CNAME.encode()


class Host(peer.Host, Protocol):
    """All sessions, as one of them calls them."""

    def on_timed(self, session: "Session") -> None:
        """Its viewer has to be called every few milliseconds."""


class Session(Peer):
    """One viewer's."""

    _host: Host

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
        super().__init__(offer, certificate, host, address)
        self.on_end: Callable[[str], object] = lambda reason: None  # where it was let in
        self.stream_id = StreamId("")
        self.estimate: Estimate | None = None  # of who has no rendition of its own
        self.round_trip_s: float | None = None
        self.lost = 0.0  # the share of packets, by its last report
        self._lost = 0  # packets that it asked for again in this second
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
            self.end_of(addresses),
            viewer.video.numbers.ssrc,
            viewer.video.numbers.rtx_ssrc,
            viewer.audio.numbers.ssrc if viewer.audio is not None else 0,
        )

    @property
    def octets(self) -> int:
        """What it was sent, of pictures and sound."""
        audio = self.viewer.audio
        return self.viewer.video.octets + (audio.octets if audio is not None else 0)

    # ---- what it says -------------------------------------------------------------------------

    def _on_rtcp(self, packet: bytes, now: float) -> None:
        for one in rtcp.parse(packet, MAX_LOST - self._lost):
            self._on_feedback(one, now)

    def _on_feedback(self, feedback: rtcp.Feedback, now: float) -> None:
        viewer = self.viewer
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
        self._lost = 0
        octets, since_s = self._sent
        self.sent_bps = 8 * (self.octets - octets) / max(0.1, now - since_s)
        self._sent = (self.octets, now)
        if self.viewer.ended:
            self.end(self.viewer.ended)
        elif self.check_connection(now):
            report = self.viewer.reports(time.time(), now, NAME)
            if report is not None:
                self._send_rtcp(report)
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

    # ---- inside -------------------------------------------------------------------------------

    def _on_connected(self, now: float) -> None:
        self.viewer.start(now)
        self._look(now)

    def _on_rtp(self, datagram: bytes) -> None:
        """Viewers send none that is read."""

    def _on_end(self) -> bytes:
        self.viewer.leave()
        return rtcp.farewell([self.viewer.video.numbers.ssrc])

    def _send(self, packet: bytes) -> None:
        dtls, to = self._dtls, self._peer
        if dtls is not None and to is not None and dtls.is_open:
            try:
                self._host.send(dtls.protect(packet), to)
            except RtpError as error:  # it costs this viewer alone: others' packets follow
                self.viewer.ended = self.viewer.ended or str(error)


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
