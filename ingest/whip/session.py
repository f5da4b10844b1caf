"""One publisher's session (IO): its packets in, what it is told of them, its end."""

import secrets
from collections.abc import Callable
from typing import Final

from common.errors import RtpError
from common.ipc.unit_sender import UnitSender
from common.ipc.unit_ways import Way
from common.rtp import header, rtcp
from common.rtp.header import Packet
from common.rtp.rtcp import Left, SenderInfo
from common.webrtc import peer
from common.webrtc.dtls import Certificate
from common.webrtc.offer import Offer
from common.webrtc.peer import Peer
from ingest.whip.answer import Chosen
from ingest.whip.keyframes import KeyframeWish
from ingest.whip.line import LineEstimate
from ingest.whip.times import PICTURES, SOUND, Times
from ingest.whip.tracks import Pictures, Sound, Track, Units, repaired

MAX_PACKETS: Final = 20_000  # a second: 190 Mbit/s in packets of full size


class Session(Peer):
    """One publisher's."""

    def __init__(
        self,
        offer: Offer,
        chosen: Chosen,
        certificate: Certificate,
        host: peer.Host,
        address: str,
        gop_s: float,
    ) -> None:
        super().__init__(offer, certificate, host, address)
        self.way: Way | None = None  # to its ingest; None: there is none just now
        self.label = ""  # its stream, for the log
        self.on_end: Callable[[str], object] = lambda reason: None
        self._sender = UnitSender()
        self._unsent = 0  # units that came while there was no ingest
        self.foreign = 0  # packets that cannot be read
        self.wish = KeyframeWish(gop_s)
        self._own_ssrc = 1 + secrets.randbelow(0xFFFF_FFFF)
        self._units = Units()
        self._times = Times()
        self._line = LineEstimate()
        self._pictures = Pictures(self._times, self._units, self.wish)
        self._sound = Sound(self._times, self._units)
        self._tracks: dict[int, Track] = {chosen.video.payload_type: self._pictures}
        self._repeats: dict[int, Track] = {}
        if chosen.audio is not None:
            self._tracks[chosen.audio.payload_type] = self._sound
        if chosen.video.rtx is not None:
            self._repeats[chosen.video.rtx.payload_type] = self._pictures
        self._packets = 0  # of this second
        self._octets = 0  # by the last look

    @property
    def skipped(self) -> int:
        """Pictures and sound that its ingest did not take."""
        return self._unsent + self._sender.skipped

    @property
    def octets(self) -> int:
        """What came, of pictures and sound."""
        return sum(track.reception.octets for track in self._all() if track.reception is not None)

    @property
    def lost(self) -> int:
        """Packets that did not come in time."""
        return self._pictures.lost + self._sound.lost

    def begin_anew(self, way: Way) -> None:
        """Send to another ingest from now on, which needs a keyframe."""
        self.way = way
        self._sound.announce_anew()
        self.wish.on_lost()

    # ---- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Give up what is lost, and ask for what may still come; some times a second."""
        for track in self._all():
            track.check(now)
        self._send_on()
        self._ask(now)

    def check(self, now: float) -> None:
        """Report, and look whether the publisher is still there; once a second."""
        self._packets = 0
        if not self.check_connection(now):
            return
        octets = self.octets
        received_bps, self._octets = 8 * (octets - self._octets), octets
        received, ssrcs, worst = [], [], 0.0
        for track in self._all():
            if track.reception is not None:
                received.append(track.reception.report(track.highest, now))
                ssrcs.append(track.reception.ssrc)
                worst = max(worst, track.reception.share_lost)
        report = rtcp.receiver_report(self._own_ssrc, received)
        if ssrcs:
            bps = self._line.update(worst, received_bps)
            report += rtcp.estimate(self._own_ssrc, ssrcs, bps)
        self._send_rtcp(report)

    # ---- what comes ---------------------------------------------------------------------------

    def _on_connected(self, now: float) -> None:
        """Its first packets tell its numbers, by which it is asked for a keyframe."""

    def _on_rtp(self, datagram: bytes) -> None:
        self._packets += 1
        if self._packets > MAX_PACKETS or self._dtls is None:
            return
        try:
            packet = header.parse(self._dtls.unprotect(datagram))
        except RtpError:
            self.foreign += 1
            return
        self._came_s = now = self._host.now()
        track = self._tracks.get(packet.payload_type)
        if track is not None:
            track.add(packet, now)
        else:
            self._on_repeat(packet, now)
        if self._units.items:
            self._send_on()
        self._ask(now)

    def _on_repeat(self, packet: Packet, now: float) -> None:
        track = self._repeats.get(packet.payload_type)
        if track is None or track.ssrc is None or len(packet.payload) < 2:
            return  # nobody's, or what fills the line
        track.add(repaired(packet, track.ssrc), now, is_repeat=True)

    def _on_rtcp(self, packet: bytes, now: float) -> None:
        for one in rtcp.parse(packet, 0):
            if isinstance(one, SenderInfo):
                for track, name in ((self._pictures, PICTURES), (self._sound, SOUND)):
                    if track.reception is not None and track.ssrc == one.ssrc:
                        track.reception.on_sender(one, now)
                        self._times.on_report(name, one)
            elif isinstance(one, Left):
                self.end("it has left")
                return

    # ---- inside -------------------------------------------------------------------------------

    def _all(self) -> tuple[Track, ...]:
        return (self._pictures, self._sound)

    def _ask(self, now: float) -> None:
        """Ask for packets that are missing, and for a keyframe."""
        for track in self._all():
            if track.ssrc is not None and (asks := track.asks(now)):
                self._send_rtcp(self._compound(rtcp.lost_packets(self._own_ssrc, track.ssrc, asks)))
        ssrc = self._pictures.ssrc
        if ssrc is not None and self.wish.is_due(now):
            self._send_rtcp(self._compound(rtcp.keyframe_wanted(self._own_ssrc, ssrc)))

    def _compound(self, part: bytes) -> bytes:
        return rtcp.receiver_report(self._own_ssrc, []) + part

    def _send_on(self) -> None:
        items, payloads = self._units.take()
        way = self.way
        if way is None or not items:
            self._unsent += len(items)
            return
        if self._sender.is_behind:
            self.wish.on_lost()
        self._sender.send(way, items, payloads)

    def _on_end(self) -> bytes:
        return rtcp.farewell([self._own_ssrc])
