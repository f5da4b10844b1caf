"""What comes of one publisher in RTP, as units for an ingest. Pure; the time is given.

Packets are put in order first (`common/rtp/reorder.py`), repeats by RTX among them. Pictures are
units when they are whole, sound as each packet comes. What is missing of pictures is said to the
ingest: those behind may refer to it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

from common.codecs.h264 import join_avcc
from common.codecs.opus import STEREO_HEAD, packet_samples
from common.errors import OpusError, RtpError
from common.ipc.unit_messages import AUDIO, AUDIO_CONFIG, KEY, LOST, VIDEO, UnitItem
from common.media.units import AudioCodec, VideoCodec
from common.rtp.header import CLOCK_HZ, OPUS_CLOCK_HZ, Packet
from common.rtp.pictures import Picture, PictureLost, PictureReader
from common.rtp.reception import Reception
from common.rtp.reorder import Gap, Reorder
from ingest.whip.keyframes import KeyframeWish
from ingest.whip.times import PICTURES, SOUND, Times

SOUND_WAIT_S: Final = 0.15  # for a packet of sound: what misses it is a gap of 20 ms


class Units:
    """What was made of the packets, for whoever sends it on."""

    def __init__(self) -> None:
        self.items: list[UnitItem] = []
        self.payloads: list[bytes] = []

    def put(self, item: UnitItem, payload: bytes) -> None:
        self.items.append(item)
        self.payloads.append(payload)

    def take(self) -> tuple[list[UnitItem], list[bytes]]:
        """All of it; there is nothing then."""
        made = self.items, self.payloads
        self.items, self.payloads = [], []
        return made


class Track(ABC):
    """One stream of packets; `Pictures` and `Sound` say what is in it."""

    name = ""
    clock_hz = CLOCK_HZ

    def __init__(self, times: Times, units: Units, wait_s: float | None = None) -> None:
        self.reception: Reception | None = None
        self._times, self._units = times, units
        self._wait_s = wait_s
        self._reorder = self._new_reorder()

    @property
    def ssrc(self) -> int | None:
        """The number of what comes; None: nothing came."""
        return self.reception.ssrc if self.reception is not None else None

    @property
    def lost(self) -> int:
        """Packets that did not come in time."""
        return self._reorder.lost

    def add(self, packet: Packet, now: float, *, is_repeat: bool = False) -> None:
        """Take a packet; one of another source begins anew."""
        if self.reception is None or (packet.ssrc != self.reception.ssrc and not is_repeat):
            if self.reception is not None:
                self._begin_anew()
            self.reception = Reception(packet.ssrc, self.clock_hz)
            self.reception.begin(packet.sequence)
        self.reception.on_packet(packet.timestamp, len(packet.payload), now)
        self._take(self._reorder.add(packet.sequence, packet, now, is_repeat=is_repeat), now)

    def check(self, now: float) -> None:
        """Give up what does not come; some times a second."""
        if self._reorder.is_waiting:
            self._take(self._reorder.due(now), now)

    def asks(self, now: float) -> list[int]:
        """Which packets to ask for again now."""
        return self._reorder.asks(now) if self._reorder.is_waiting else []

    @property
    def highest(self) -> int:
        return self._reorder.highest

    def _begin_anew(self) -> None:
        self._reorder = self._new_reorder()
        self._times.begin_anew(self.name)

    def _new_reorder(self) -> Reorder[Packet]:
        return Reorder() if self._wait_s is None else Reorder(self._wait_s)

    @abstractmethod
    def _take(self, packets: Iterable[Packet | Gap], now: float) -> None:
        """These are in order."""


class Pictures(Track):
    """H.264."""

    name = PICTURES

    def __init__(self, times: Times, units: Units, wish: KeyframeWish) -> None:
        super().__init__(times, units)
        self._reader = PictureReader()
        self._wish = wish
        self.pictures = 0

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._put([PictureLost("another source of pictures")], 0.0)
        self._reader = PictureReader()

    def _take(self, packets: Iterable[Packet | Gap], now: float) -> None:
        for packet in packets:
            if isinstance(packet, Gap):
                self._put(self._reader.gap(), now)
            else:
                self._put(self._reader.add(packet), now)

    def _put(self, found: Iterable[Picture | PictureLost], now: float) -> None:
        for one in found:
            if isinstance(one, PictureLost):
                self._wish.on_lost()
                self._units.put(UnitItem(LOST), one.reason.encode("ascii", "replace"))
                continue
            self.pictures += 1
            stamp_ms = self._times.stamp_ms(PICTURES, one.timestamp, now)
            if one.is_key:
                self._wish.on_key(now)
            item = UnitItem(VIDEO, VideoCodec.H264, stamp_ms, 0, KEY * one.is_key, now)
            self._units.put(item, join_avcc(one.nals))


class Sound(Track):
    """Opus."""

    name = SOUND
    clock_hz = OPUS_CLOCK_HZ

    def __init__(self, times: Times, units: Units) -> None:
        super().__init__(times, units, SOUND_WAIT_S)
        self._is_announced = False

    def announce_anew(self) -> None:
        """Another ingest has to be told what it is."""
        self._is_announced = False

    def _take(self, packets: Iterable[Packet | Gap], now: float) -> None:
        for packet in packets:
            if isinstance(packet, Gap):
                continue
            try:
                packet_samples(packet.payload)
            except OpusError:
                continue  # it fills the line, or is no sound
            if not self._is_announced:
                self._is_announced = True
                self._units.put(UnitItem(AUDIO_CONFIG, AudioCodec.OPUS), STEREO_HEAD)
            stamp_ms = self._times.stamp_ms(SOUND, packet.timestamp, now)
            self._units.put(UnitItem(AUDIO, AudioCodec.OPUS, stamp_ms, 0, 0, now), packet.payload)


def repaired(packet: Packet, ssrc: int) -> Packet:
    """The packet that one of RTX repeats (RFC 4588 4). Raises RtpError."""
    if len(packet.payload) < 2:
        raise RtpError("a repeat without its number")
    sequence = int.from_bytes(packet.payload[:2], "big")
    return packet._replace(ssrc=ssrc, sequence=sequence, payload=packet.payload[2:])
