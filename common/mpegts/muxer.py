"""Units to packets of a transport stream, for every receiver of a rendition at once. Pure.

ISO/IEC 13818-1, 2.4.3. One program, of a track of pictures and one of sound. Its tables stand
before each keyframe, so that a receiver begins there, and where a track changes. Sections of
SCTE-35 have a track of their own from the first one on. The clock (PCR) goes with the pictures,
`LEAD_MS` before their DTS; between pictures that are far apart it goes alone.
"""

import struct
from typing import Final

from common.errors import ProtocolError
from common.media.units import AudioConfig, AudioUnit, VideoConfig, VideoUnit
from common.mpegts.demuxer import PACKET_BYTES, SYNC, TIME_BITS
from common.mpegts.elementary import Elementary, picture_writer, sound_writer
from common.mpegts.program import PAT_TABLE, PMT_TABLE, section_crc
from common.scte35 import section as scte35

PMT_PID, VIDEO_PID, AUDIO_PID = 0x1000, 0x100, 0x101  # FFmpeg's
SPLICE_PID: Final = 0x1F0
PROGRAM: Final = 1
LEAD_MS: Final = 150  # of the clock, before a picture's DTS
BEGIN_MS: Final = 1000  # of the time that stands in the stream, at stream time 0
PCR_MS: Final = 80  # between two; 100 at most (2.7.2)
JUMP_MS: Final = 1000  # so far back goes a time that is set anew
_PAYLOAD: Final = PACKET_BYTES - 4
_TIMES: Final = 1 << TIME_BITS
_TICKS: Final = 90  # a millisecond
_MAX_PES: Final = 0xFFFF
# 13818-1, 2.6.8: whoever looks for SCTE-35 looks for this in the program's map (SCTE 35, 8.1).
_SPLICES_ARE_THERE: Final = bytes((0x05, len(scte35.IDENTIFIER))) + scte35.IDENTIFIER
_HAS_PCR, _IS_RANDOM = 0x10, 0x40


class _Track:
    """A pid with its continuity counter."""

    def __init__(self, pid: int) -> None:
        self._counter = 0
        self._begin = bytes((SYNC, 0x40 | pid >> 8, pid & 0xFF))
        self._heads = [bytes((SYNC, pid >> 8, pid & 0xFF, 0x10 | at)) for at in range(16)]

    def packets(self, data: bytes, field: bytes = b"") -> list[bytes]:
        """The packets of a PES packet or a table; `field`: of the first one's adaptation."""
        first = _PAYLOAD - (1 + len(field) if field else 0)
        found = [self._packet(self._begin, data[:first], field)]
        at, size, heads = first, len(data), self._heads
        counter = self._counter
        while at + _PAYLOAD <= size:
            found.append(heads[counter])
            found.append(data[at : at + _PAYLOAD])
            counter = counter + 1 & 0x0F
            at += _PAYLOAD
        self._counter = counter
        if at < size:
            found.append(self._packet(heads[0][:3], data[at:]))
        return found

    def section_packets(self, section: bytes) -> list[bytes]:
        """The packets of a section, what is left of the last one stuffed (2.4.4)."""
        data = b"\x00" + section
        return self.packets(data.ljust(-(-len(data) // _PAYLOAD) * _PAYLOAD, b"\xff"))

    def field_alone(self, field: bytes) -> bytes:
        """A packet without payload, which does not count (2.4.3.3)."""
        body = field.ljust(_PAYLOAD - 1, b"\xff")
        counter = self._counter - 1 & 0x0F
        return b"".join((self._heads[0][:3], bytes((0x20 | counter, len(body))), body))

    def _packet(self, head: bytes, payload: bytes, field: bytes = b"") -> bytes:
        counter, need = self._counter, _PAYLOAD - len(payload)
        self._counter = counter + 1 & 0x0F
        if not need:
            return b"".join((head, bytes((0x10 | counter,)), payload))
        if need > 1:
            field = (field or b"\x00").ljust(need - 1, b"\xff")
        return b"".join((head, bytes((0x30 | counter, need - 1)), field, payload))


class Muxer:
    """One rendition's transport stream; its counters go on whatever is configured."""

    def __init__(self) -> None:
        self.has_start = False  # tables have gone out for what is configured
        self._tables, self._map = _Track(0), _Track(PMT_PID)
        self._video, self._audio = _Track(VIDEO_PID), _Track(AUDIO_PID)
        self._splices = _Track(SPLICE_PID)
        self._has_splices = False
        self._pictures: Elementary | None = None
        self._sound: Elementary | None = None
        self._version = -1
        self._pmt = b""
        self._pat = _section(PAT_TABLE, PROGRAM, 0, struct.pack(">HH", PROGRAM, 0xE000 | PMT_PID))
        self._pcr_ms: int | None = None

    def configure(self, video: VideoConfig | None, audio: AudioConfig | None) -> None:
        """Use this from the next unit on; sound that is not carried is left out.

        Raises:
            ProtocolError: the pictures cannot be carried, with words.
        """
        self._pictures = picture_writer(video) if video is not None else None
        try:
            self._sound = sound_writer(audio) if audio is not None else None
        except ProtocolError:
            self._sound = None
        self._look_at_map()

    def _look_at_map(self) -> None:
        body = self._map_body()
        if body != self._pmt:
            self._pmt, self._version = body, self._version + 1 & 0x1F
            self.has_start = False

    def splice(self, section: bytes, at_ms: int) -> list[bytes]:
        """The packets of a section of SCTE-35, whose splice is at `at_ms` of stream time."""
        if not self._has_splices:
            self._has_splices = True
            self._look_at_map()
        found = self.tables() if not self.has_start else []
        section = scte35.at_time(section, _ticks(at_ms))
        return found + self._splices.section_packets(section)

    def tables(self) -> list[bytes]:
        """The packets of the tables."""
        self.has_start = True
        pmt = _section(PMT_TABLE, PROGRAM, self._version, self._pmt)
        return [*self._tables.packets(b"\x00" + self._pat), *self._map.packets(b"\x00" + pmt)]

    def add(self, unit: VideoUnit | AudioUnit) -> list[bytes]:
        """The packets of a unit, with tables where they are due; empty: it is left out.

        Raises:
            ProtocolError: the unit cannot be read.
        """
        if isinstance(unit, VideoUnit):
            if self._pictures is None:
                return []
            data = self._pictures.write(unit.data, unit.is_key)
            found = self.tables() if unit.is_key or not self.has_start else []
            pts, dts = unit.pts_ms, unit.dts_ms
            flags = _HAS_PCR | (_IS_RANDOM if unit.is_key else 0)
            pes = _pes(self._pictures.stream_id, data, pts, dts)
            return found + self._video.packets(pes, bytes((flags,)) + self._clock(dts))
        if self._sound is None:
            return []
        data = self._sound.write(unit.data, True)
        found = self.tables() if not self.has_start else []
        pes = _pes(self._sound.stream_id, data, unit.dts_ms, unit.dts_ms)
        if self._pcr_ms is not None and unit.dts_ms - self._pcr_ms < PCR_MS:
            return found + self._audio.packets(pes)
        field = bytes((_HAS_PCR,)) + self._clock(unit.dts_ms - PCR_MS)  # pictures may be behind it
        if self._pictures is None:
            return found + self._audio.packets(pes, field)
        return [*found, self._video.field_alone(field), *self._audio.packets(pes)]

    def _clock(self, ms: int) -> bytes:
        """The clock at a DTS; it does not go back for a unit that comes out of order."""
        last_ms = self._pcr_ms
        if last_ms is None or not 0 < last_ms - ms < JUMP_MS:
            self._pcr_ms = last_ms = ms
        return _pcr(last_ms)

    def _map_body(self) -> bytes:
        tracks = [(VIDEO_PID, self._pictures), (AUDIO_PID, self._sound)]
        there = [(pid, track) for pid, track in tracks if track is not None]
        clock = there[0][0] if there else 0x1FFF
        info = _SPLICES_ARE_THERE if self._has_splices else b""
        parts = [struct.pack(">HH", 0xE000 | clock, 0xF000 | len(info)), info]
        for pid, track in there:
            size = 0xF000 | len(track.descriptors)
            parts.append(struct.pack(">BHH", track.stream_type, 0xE000 | pid, size))
            parts.append(track.descriptors)
        if self._has_splices:
            parts.append(struct.pack(">BHH", scte35.STREAM_TYPE, 0xE000 | SPLICE_PID, 0xF000))
        return b"".join(parts)


def _section(table: int, number: int, version: int, body: bytes) -> bytes:
    """A table's section with its checksum (2.4.4)."""
    size = 5 + len(body) + 4
    head = struct.pack(">BHHBBB", table, 0xB000 | size, number, 0xC1 | version << 1, 0, 0)
    return head + body + struct.pack(">I", section_crc(head + body))


def _ticks(ms: int) -> int:
    return (ms + BEGIN_MS) * _TICKS % _TIMES


def _time(mark: int, ms: int) -> bytes:
    """A PTS or DTS (2.4.3.7)."""
    at = _ticks(ms)
    return struct.pack(
        ">BHH", mark << 4 | at >> 29 & 0x0E | 1, at >> 14 & 0xFFFE | 1, at << 1 & 0xFFFE | 1
    )


def _pcr(ms: int) -> bytes:
    return struct.pack(">IH", (at := _ticks(ms - LEAD_MS)) >> 1, (at & 1) << 15 | 0x7E00)


def _pes(stream_id: int, data: bytes, pts_ms: int, dts_ms: int) -> bytes:
    """A PES packet (2.4.3.6); its length stands in it where it can, so nobody waits for more."""
    if pts_ms == dts_ms:
        flags, times = 0x80, _time(2, pts_ms)
    else:
        flags, times = 0xC0, _time(3, pts_ms) + _time(1, dts_ms)
    size = 3 + len(times) + len(data)
    length = size if size <= _MAX_PES else 0
    head = struct.pack(">IHBBB", 0x100 | stream_id, length, 0x84, flags, len(times))
    return b"".join((head, times, data))
