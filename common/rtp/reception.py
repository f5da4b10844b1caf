"""What a receiver reports of one stream of packets (RFC 3550 6.4.1, A.3, A.8). Pure."""

from typing import Final

from common.rtp.header import TIMESTAMPS
from common.rtp.rtcp import Received, SenderInfo

_MIDDLE: Final = 0xFFFF_FFFF


class Reception:
    """Of one stream of packets, from its first on."""

    def __init__(self, ssrc: int, clock_hz: int) -> None:
        self.ssrc = ssrc
        self.packets = self.octets = 0
        self.share_lost = 0.0  # by the last report
        self._clock_hz = clock_hz
        self._first = -1
        self._before = (0, 0)  # expected and received by the last report
        self._transit: int | None = None
        self._jitter = 0.0
        self._sender: tuple[int, float] | None = None  # NTP's middle bits, and when they came

    def on_packet(self, timestamp: int, octets: int, now: float) -> None:
        """A packet has come, in whatever order."""
        self.packets += 1
        self.octets += octets
        transit = (int(now * self._clock_hz) - timestamp) % TIMESTAMPS
        if self._transit is not None:
            change = (transit - self._transit) % TIMESTAMPS
            change = min(change, TIMESTAMPS - change)
            self._jitter += (change - self._jitter) / 16
        self._transit = transit

    def on_sender(self, info: SenderInfo, now: float) -> None:
        """A report of the sender's has come."""
        self._sender = (info.ntp >> 16 & _MIDDLE, now)

    def begin(self, highest: int) -> None:
        """The number of the first packet, of this count of numbers."""
        self._first = highest
        self._before = (0, self.packets)

    def report(self, highest: int, now: float) -> Received:
        """What there is; `highest`: the highest number that came, counted on over its rounds."""
        expected = highest - self._first + 1
        before_expected, before_packets = self._before
        due, came = expected - before_expected, self.packets - before_packets
        self._before = (expected, self.packets)
        self.share_lost = min(1.0, max(0.0, (due - came) / due)) if due > 0 else 0.0
        last, delay = 0, 0
        if self._sender is not None:
            last, since_s = self._sender
            delay = min(_MIDDLE, int((now - since_s) * 0x1_0000))
        lost = max(0, min(expected - self.packets, 0x7F_FFFF))
        return Received(
            self.ssrc, self.share_lost, lost, highest & _MIDDLE, int(self._jitter), last, delay
        )
