"""A transport stream's PES packets as units for an ingest. Pure, one `StreamUnits` a publisher.

Pictures get lengths in place of start codes; their parameter sets stay in band, where ingest finds
them. AAC comes out of its ADTS frames, which may go over the borders of PES packets, Opus out of
its control headers. Times are milliseconds from the first one, which is `FIRST_MS`: what begins
ahead of it, such as sound, is not below 0 then. Sections of SCTE-35 have the time of the picture
that came last, and say how far behind that their splice is.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from common.codecs.aac import ADTS_SYNC, adts_header_bytes, config_of_adts
from common.codecs.h264 import join_avcc, split_annexb
from common.codecs.opus import RATE, packet_samples
from common.errors import AvcError, OpusError, SpliceError, TransportStreamError
from common.ipc.unit_messages import (
    AUDIO,
    AUDIO_CONFIG,
    DATA,
    KEY,
    LOST,
    MAX_COMPOSITION_MS,
    SCTE35,
    VIDEO,
    UnitItem,
)
from common.media.units import VideoCodec
from common.mpegts.demuxer import (
    TIME_BITS,
    PacketsLost,
    PesPacket,
    SpliceSection,
    TracksChosen,
    TransportStream,
    TsEvent,
)
from common.mpegts.program import Track
from common.scte35 import section as scte35

FIRST_MS: Final = 1000
TICKS: Final = 90_000  # a second
SERVED_VIDEO: Final = frozenset(("h264", "h265"))
SERVED_AUDIO: Final = frozenset(("aac", "opus"))
_NAMED: Final = frozenset(VideoCodec)
_ADTS_BYTES: Final = 7  # of a header, at least
_MAX_ADTS_BYTES: Final = 8191  # of a frame: its length has 13 bits
_AAC_SAMPLES: Final = 1024  # of a frame


class Clock:
    """A publisher's 90 kHz times of 33 bits as milliseconds that go on."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._last: dict[int, int] = {}  # by pid, unwrapped

    def ticks(self, pid: int, time: int) -> int:
        """Unwrap a track's time, by the last one of its own or, for its first, of any."""
        if self._first is None:
            self._first = time
        last = self._last.get(pid, max(self._last.values(), default=self._first))
        unwrapped = self._last[pid] = last + _difference(time, last)
        return unwrapped

    def near(self, time: int) -> int | None:
        """Unwrap a time that is of no track, by the last one of any; None: there is none."""
        if not self._last:
            return None
        last = max(self._last.values())
        return last + _difference(time, last)

    def ms(self, ticks: float) -> int:
        """Milliseconds of an unwrapped time."""
        return FIRST_MS + round((ticks - (self._first or 0)) * 1000 / TICKS)


class StreamUnits:
    """One publisher's transport stream, in the order of arrival."""

    def __init__(self) -> None:
        self.chosen: TracksChosen | None = None
        self.items: list[UnitItem] = []  # made, for whoever takes them
        self.payloads: list[bytes] = []
        self.stream = TransportStream(SERVED_AUDIO)
        self._clock = Clock()
        self._video_stamp_ms = FIRST_MS
        self._has_pictures = False  # some have come
        self._sound = b""  # a part of an ADTS frame
        self._sound_ticks: float | None = None  # when the next frame is
        self._config = b""  # of the sound, as it was reported

    def feed(self, data: bytes, now: float) -> None:
        """Take bytes as they came.

        Raises:
            TransportStreamError: nothing of it can be served, with words for its publisher.
        """
        self._take_all(self.stream.feed(data, now))

    def lose(self) -> None:
        """Something is missing here, of whichever track."""
        self._take_all(self.stream.lose())

    def end(self) -> None:
        """Nothing more comes: what waits for the next of its track is whole. Raises nothing."""
        with suppress(TransportStreamError):
            self._take_all(self.stream.flush())

    def _take_all(self, events: Sequence[TsEvent]) -> None:
        for event in events:
            if isinstance(event, PesPacket):
                if event.track.is_video:
                    self._picture(event)
                elif event.track.codec == "aac":
                    self._aac(event)
                elif event.track.codec == "opus":
                    self._opus(event)
            elif isinstance(event, PacketsLost):
                self._lost(event)
            elif isinstance(event, SpliceSection):
                self._splice(event)
            else:
                self._choose(event)

    def begin_anew(self) -> None:
        """Say all again to another ingest; parameter sets come with the next keyframe."""
        self._config = b""
        if self.chosen is not None:
            self._announce(self.chosen.audio)

    def take(self) -> tuple[list[UnitItem], list[bytes]]:
        """What was made since the last time."""
        made = self.items, self.payloads
        self.items, self.payloads = [], []
        return made

    # ---- inside -------------------------------------------------------------------------------

    def _put(self, item: UnitItem, payload: bytes) -> None:
        self.items.append(item)
        self.payloads.append(payload)

    def _choose(self, chosen: TracksChosen) -> None:
        video, audio = chosen.video, chosen.audio
        if video is not None and video.codec not in SERVED_VIDEO:
            name = VideoCodec(video.codec).label if video.codec in _NAMED else video.codec
            words = f"{name} in a transport stream is not supported: publish H.264 or H.265"
            raise TransportStreamError(words)
        self.chosen = chosen
        self._sound, self._sound_ticks, self._config = b"", None, b""
        self._announce(audio)

    def _announce(self, audio: Track | None) -> None:
        if audio is not None and audio.codec != "aac":  # AAC says in each frame what it is
            self._put(UnitItem(AUDIO_CONFIG, audio.codec), audio.record)

    def _lost(self, event: PacketsLost) -> None:
        if event.track.is_video:
            self._put(UnitItem(LOST), event.reason.encode())
        else:
            self._sound, self._sound_ticks = b"", None

    def _picture(self, pes: PesPacket) -> None:
        composition_ms = 0
        self._has_pictures = True
        if pes.dts is not None and pes.pts is not None:
            ticks = self._clock.ticks(pes.track.pid, pes.dts)
            shown = ticks + _difference(pes.pts, pes.dts)
            self._video_stamp_ms = self._clock.ms(ticks)
            composition_ms = self._clock.ms(shown) - self._video_stamp_ms
        try:
            data = join_avcc(split_annexb(pes.data))
        except AvcError as error:
            self._put(UnitItem(LOST), str(error).encode())
            return
        if data:
            self._put(
                UnitItem(
                    VIDEO,
                    pes.track.codec,
                    self._video_stamp_ms,
                    composition_ms,
                    KEY * pes.is_random_access,
                    pes.received_s,
                ),
                data,
            )

    def _aac(self, pes: PesPacket) -> None:
        stated: int | None = None  # of the first frame that begins in this PES packet
        if pes.pts is not None:
            stated = self._clock.ticks(pes.track.pid, pes.pts)
        begin = len(self._sound)
        data = self._sound + pes.data if begin else pes.data
        at = 0
        while True:
            at, size = _next_adts(data, at)
            if not size or at + size > len(data):
                break
            frame = data[at : at + size]
            if stated is not None and at >= begin:
                self._sound_ticks, stated = stated, None
            at += size
            config = config_of_adts(frame)
            if config is not None and self._sound_ticks is not None:
                self._aac_frame(pes, frame, config.encode(), config.sample_rate)
        self._sound = data[at:]
        if stated is not None and self._sound and at >= begin:
            self._sound_ticks = stated

    def _aac_frame(self, pes: PesPacket, frame: bytes, record: bytes, rate: int) -> None:
        if record != self._config:
            self._config = record
            self._put(UnitItem(AUDIO_CONFIG, "aac"), record)
        ticks = self._sound_ticks or 0.0
        stamp_ms = self._clock.ms(ticks)
        item = UnitItem(AUDIO, "aac", stamp_ms, 0, 0, pes.received_s)
        self._put(item, frame[adts_header_bytes(frame) :])
        self._sound_ticks = ticks + _AAC_SAMPLES * TICKS / rate

    def _opus(self, pes: PesPacket) -> None:
        if pes.pts is None:
            return
        ticks = self._clock.ticks(pes.track.pid, pes.pts)
        for packet in split_opus(pes.data):
            item = UnitItem(AUDIO, "opus", self._clock.ms(ticks), 0, 0, pes.received_s)
            self._put(item, packet)
            ticks += _opus_ticks(packet)

    def _splice(self, event: SpliceSection) -> None:
        """Pass a section on, for ingest to judge; none before the first picture."""
        pre_roll_ms = 0
        try:
            splice = scte35.parse(event.data)
        except SpliceError:
            splice = None
        if not self._has_pictures or (splice is not None and splice.is_idle):
            return
        if splice is not None and splice.pts is not None:
            ticks = self._clock.near(splice.pts)
            if ticks is not None:
                pre_roll_ms = self._clock.ms(ticks) - self._video_stamp_ms
        if abs(pre_roll_ms) < MAX_COMPOSITION_MS:
            item = UnitItem(DATA, SCTE35, self._video_stamp_ms, pre_roll_ms, 0, event.received_s)
            self._put(item, event.data)


def split_opus(data: bytes) -> Sequence[bytes]:
    """The packets behind their control headers, as far as they can be read."""
    packets: list[bytes] = []
    at = 0
    while at + 3 <= len(data) and data[at] == 0x7F and data[at + 1] & 0xE0 == 0xE0:
        flags = data[at + 1]
        at += 2
        size = 0
        while at < len(data):
            part = data[at]
            size += part
            at += 1
            if part != 0xFF:
                break
        at += 2 * bool(flags & 0x10) + 2 * bool(flags & 0x08)  # what to trim
        if flags & 0x04 and at < len(data):  # an extension
            at += 1 + data[at]
        if not size or at + size > len(data):
            break
        packets.append(data[at : at + size])
        at += size
    return packets


def _opus_ticks(packet: bytes) -> int:
    try:
        return packet_samples(packet) * TICKS // RATE
    except OpusError:
        return 0


def _difference(time: int, before: int) -> int:
    """From one time to another, which may be unwrapped, the short way around."""
    half = 1 << (TIME_BITS - 1)
    return (time - before + half) % (1 << TIME_BITS) - half


def _next_adts(data: bytes, at: int) -> tuple[int, int]:
    """Where the next ADTS frame begins, and its size; size 0: more has to come to tell."""
    while True:
        at = data.find(ADTS_SYNC, at)
        if at < 0:
            return len(data), 0
        if at + _ADTS_BYTES > len(data):
            return at, 0
        size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if data[at + 1] & 0xF6 == 0xF0 and size > _ADTS_BYTES:
            return at, size
        at += 1
