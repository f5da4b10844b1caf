"""A rendition with real headers for WebRTC, and what a viewer makes of its packets."""

from dataclasses import replace

from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.media_messages import KEY
from common.rtp.h264 import Depacketiser
from common.rtp.header import FIRST_SEQUENCE_END, Packet, parse, unwrap
from egress.rtc.channel import Channel
from egress.rtc.track import Numbers
from egress.rtc.viewer import Viewer
from egress.streams.rendition import Rendition
from egress.streams.tag import VIDEO
from tests.kit.egress import egress_rendition, made_tag
from tests.kit.ingest_ports import record

STEP_MS = 40
FIRST_SEQUENCE = FIRST_SEQUENCE_END - 100  # so that the numbers of longer tests wrap
FIRST_TIMESTAMP = 2**32 - 90 * 1000  # likewise
VIDEO_NUMBERS = Numbers(11, 102, 90, FIRST_SEQUENCE, FIRST_TIMESTAMP, 12, 103)
AUDIO_NUMBERS = Numbers(13, 111, 48, 7, 0)


def nal(number: int, *, key: bool = False, size: int = 40) -> bytes:
    """A NAL unit that carries the number of its picture."""
    return (b"\x65" if key else b"\x41") + number.to_bytes(4, "big") + bytes(size)


class PictureFeed:
    """A rendition of pictures that carry their number, a keyframe every `gop` of them."""

    def __init__(self, gop: int = 25, size: int = 3000, name: str = "720p") -> None:
        self.rendition: Rendition = egress_rendition()
        self.rendition.name = name
        self.rendition.open(b"", avc_sequence_header(record()), 0)
        self.gop, self.size, self.number = gop, size, 0
        self.channel = Channel(self.rendition)

    def next(self, count: int = 1, *, composition_ms: int = 0) -> None:
        for _ in range(count):
            key = self.number % self.gop == 0
            data = nal(self.number, key=key, size=self.size)
            body = avc_nalus(len(data).to_bytes(4, "big") + data, composition_ms, key)
            tag = made_tag(VIDEO, self.number * STEP_MS, KEY if key else 0, body)
            tag = replace(tag, composition_ms=composition_ms)
            self.rendition.tags(self.number, [tag], 0.0)
            self.rendition.flush()
            self.number += 1


class Screen:
    """A browser: packets in any order, pictures out."""

    def __init__(self) -> None:
        self.packets: dict[int, Packet] = {}  # of pictures, by their whole number
        self.repeats: list[Packet] = []
        self.sound: list[Packet] = []
        self._newest = FIRST_SEQUENCE

    def take(self, data: bytes) -> None:
        packet = parse(data)
        if packet.payload_type == 103:
            self.repeats.append(packet)
            number = int.from_bytes(packet.payload[:2], "big")
            packet = packet._replace(sequence=number, payload=packet.payload[2:])
        elif packet.payload_type == 111:
            self.sound.append(packet)
            return
        whole = unwrap(packet.sequence, self._newest)
        self._newest = max(self._newest, whole)
        self.packets[whole] = packet

    @property
    def lost(self) -> list[int]:
        """The numbers that have not come between those that have."""
        return [at for at in range(FIRST_SEQUENCE, self._newest + 1) if at not in self.packets]

    def pictures(self) -> list[tuple[int, int]]:
        """The number of each picture, and its time in ms, as timestamps have it."""
        assert not self.lost
        reader, found = Depacketiser(), []
        stamp = FIRST_TIMESTAMP
        for at in sorted(self.packets):
            packet = self.packets[at]
            whole = unwrap(packet.timestamp, stamp, 2**32)
            assert whole >= stamp, "a timestamp goes back"
            stamp = whole
            for unit in reader.add(packet.payload):
                if unit[0] & 0x1F in (1, 5):
                    number = int.from_bytes(unit[1:5], "big")
                    assert packet.is_marked
                    found.append((number, round((stamp - FIRST_TIMESTAMP) / 90)))
        return found

    def numbers(self) -> list[int]:
        return [number for number, _ in self.pictures()]


class Watching:
    """A viewer with its screen, in a time of its own."""

    def __init__(self, feed: PictureFeed, *, is_live_start: bool = False) -> None:
        self.now = 100.0
        self.screen = Screen()
        self.loses = 0  # packets, of those that follow
        self.viewer = Viewer(
            VIDEO_NUMBERS, AUDIO_NUMBERS, self._send, lambda: self.now, is_live_start=is_live_start
        )
        self.feeds = [feed]
        self.viewer.watch(feed.channel)

    def _send(self, packet: bytes) -> None:
        if self.loses:
            self.loses -= 1
        else:
            self.screen.take(packet)

    def run(self, pictures: int, *, late: int = 0) -> None:
        """Let pictures come in real time; the last feed's are `late` pictures behind the others."""
        for _ in range(pictures):
            for at, feed in enumerate(self.feeds):
                is_late = late and at == len(self.feeds) - 1
                if not is_late or self.feeds[0].number - feed.number > late:
                    feed.next()
            self.pass_ms(STEP_MS)

    def pass_ms(self, passed_ms: int) -> None:
        for _ in range(passed_ms // 5):
            self.now += 0.005
            if self.viewer.is_timed:
                self.viewer.tick(self.now)
