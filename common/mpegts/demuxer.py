"""Packets of a transport stream to the PES packets of its first picture and sound. Pure.

ISO/IEC 13818-1, 2.4.3. Of the first program the first track of pictures is taken, and of sound the
first that can be served, else the first; others are counted. A gap in a track's continuity
counters costs the PES packet that it is in, and is told. A PES packet of a known length comes out
with its last byte, one without (pictures) when the next one of its track begins. Sections of
SCTE-35 come out as they are, each once however often it is repeated in a row.

Nothing that is read raises but what ends a stream: `TransportStreamError` says why.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from common.errors import TransportStreamError
from common.mpegts.program import MAX_SECTION_BYTES, Track, read_pat, read_pmt

PACKET_BYTES: Final = 188
SYNC: Final = 0x47
MAX_PES_BYTES: Final = 16 * 1024 * 1024
MAX_FOREIGN_BYTES: Final = 64 * 1024  # in a row that are no packets
MAX_SPLICE_BYTES: Final = 4096  # of a section of SCTE-35
MAX_SPLICE_PIDS: Final = 4
TIME_BITS: Final = 33  # of the 90 kHz clock
_PAT_PID, _NULL_PID = 0x0000, 0x1FFF
_PES_START: Final = b"\x00\x00\x01"
# Stream ids of PES packets without the optional header (2.4.3.7).
_BARE: Final = frozenset((0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF))


@dataclass(slots=True)  # not frozen: one is made for each picture
class PesPacket:
    """One PES packet of a track. Times are of the 90 kHz clock, in 33 bits."""

    track: Track
    pts: int | None
    dts: int | None  # the PTS where none is said
    data: bytes
    is_random_access: bool  # by its adaptation field
    received_s: float  # when its last byte came in


@dataclass(frozen=True, slots=True)
class SpliceSection:
    """A section of SCTE-35; nobody has looked whether it is whole."""

    data: bytes
    received_s: float


@dataclass(frozen=True, slots=True)
class PacketsLost:
    """A track has a gap here."""

    track: Track
    reason: str


@dataclass(frozen=True, slots=True)
class TracksChosen:
    """What is taken from now on, and how many tracks are not."""

    video: Track | None
    audio: Track | None
    omitted: int = 0


TsEvent = PesPacket | PacketsLost | SpliceSection | TracksChosen


@dataclass(slots=True)
class _Section:
    """A table, or a section of SCTE-35, that is being put together."""

    max_bytes: int = MAX_SECTION_BYTES
    is_splices: bool = False
    parts: bytearray = field(default_factory=bytearray)
    last: bytes = b""  # the one read last, which comes again and again


@dataclass(slots=True)
class _Pes:
    """A track's PES packet that is being put together."""

    track: Track
    counter: int | None = None  # the last continuity counter
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    length: int = 0  # of all of it; 0: not told
    is_open: bool = False  # it has begun, and nothing of it was lost
    is_random_access: bool = False
    received_s: float = 0.0

    def drop(self) -> None:
        self.parts.clear()
        self.size = self.length = 0
        self.is_open = False


class TransportStream:
    """One transport stream, in the order of arrival."""

    def __init__(self, served_audio: Collection[str] = ()) -> None:
        """`served_audio`: codecs of which a track goes ahead of one of another."""
        self.packets = 0
        self.lost = 0  # gaps in the tracks that are taken
        self._served = served_audio
        self._rest = b""
        self._foreign = 0  # bytes in a row that are no packets
        self._sections: dict[int, _Section] = {_PAT_PID: _Section()}
        self._program = 0  # 0: none chosen yet
        self._map_pid = _NULL_PID
        self._tracks: dict[int, _Pes] = {}  # those taken, by pid
        self._events: list[TsEvent] = []

    def feed(self, data: bytes, now: float) -> Sequence[TsEvent]:
        """Take bytes as they come, in pieces of any size; `now` is when they came.

        Raises:
            TransportStreamError: it is none, or it is scrambled.
        """
        if self._rest:
            data = self._rest + data
        at, last = 0, len(data) - PACKET_BYTES
        tracks = self._tracks
        while at <= last:
            if data[at] != SYNC:
                at = self._skip(data, at)
                continue
            second = data[at + 1]
            pid = (second & 0x1F) << 8 | data[at + 2]
            if pid in tracks:
                self._track_packet(data, at, tracks[pid], now)
            elif pid in self._sections:
                self._section_packet(data, at, pid, now)
                tracks = self._tracks
            self.packets += 1
            at += PACKET_BYTES
        self._rest = data[at:]
        events, self._events = self._events, []
        return events

    def lose(self) -> Sequence[TsEvent]:
        """Packets are missing here, as whoever brought them knows.

        Continuity counters have four bits: one gap in sixteen does not show in them.
        """
        self._rest = b""
        for pes in self._tracks.values():
            self._lose(pes, "packets did not come in time")
            pes.counter = None
        for section in self._sections.values():
            section.parts.clear()
        events, self._events = self._events, []
        return events

    def flush(self) -> Sequence[TsEvent]:
        """What waits for the next of its track: nothing more comes, or not soon."""
        for pes in self._tracks.values():
            self._finish(pes)
        events, self._events = self._events, []
        return events

    # ---- packets ------------------------------------------------------------------------------

    def _skip(self, data: bytes, at: int) -> int:
        """Where the next packet may begin."""
        found = data.find(SYNC, at + 1)
        last = len(data) - PACKET_BYTES  # behind it the next packet's first byte is not here yet
        while 0 <= found < last and data[found + PACKET_BYTES] != SYNC:
            found = data.find(SYNC, found + 1)
        to = found if found >= 0 else len(data)
        self._foreign += to - at
        if self._foreign > MAX_FOREIGN_BYTES:
            raise TransportStreamError("what comes is no MPEG transport stream")
        return to

    def _track_packet(self, data: bytes, at: int, pes: _Pes, now: float) -> None:
        second, fourth = data[at + 1], data[at + 3]
        if second & 0x80:  # it is known to be broken: the gap shows at the next one
            return
        if fourth & 0xC0:
            raise TransportStreamError("the transport stream is scrambled")
        begin, is_set_anew, is_random_access = at + 4, False, False
        if fourth & 0x20:
            size = data[begin]
            if size:
                flags = data[begin + 1]
                is_set_anew, is_random_access = bool(flags & 0x80), bool(flags & 0x40)
            begin += 1 + size
        if not fourth & 0x10:
            return
        end = at + PACKET_BYTES
        counter, known = fourth & 0x0F, pes.counter
        if known is not None and not is_set_anew:
            if counter == known:  # sent twice, which is allowed once
                return
            if counter != (known + 1) & 0x0F:
                self._lose(pes, f"{(counter - known - 1) & 0x0F} packets are missing, or 16 more")
        pes.counter = counter
        if begin > end:
            self._lose(pes, "an adaptation field beyond its packet")
            return
        if second & 0x40:
            self._finish(pes)
            self._begin(pes, data[begin:end], is_random_access)
        elif pes.is_open:
            pes.parts.append(data[begin:end])
            pes.size += end - begin
            if pes.size > MAX_PES_BYTES:
                self._lose(pes, f"more than {MAX_PES_BYTES} bytes of one picture")
                return
        pes.received_s = now
        if pes.length and pes.size >= pes.length:
            self._finish(pes)

    def _lose(self, pes: _Pes, reason: str) -> None:
        pes.drop()
        self.lost += 1
        self._events.append(PacketsLost(pes.track, reason))

    def _begin(self, pes: _Pes, data: bytes, is_random_access: bool) -> None:
        if len(data) < 6 or data[:3] != _PES_START:
            pes.drop()
            return
        length = data[4] << 8 | data[5]
        pes.parts, pes.size = [data], len(data)
        pes.length = length + 6 if length else 0
        pes.is_open, pes.is_random_access = True, is_random_access

    def _finish(self, pes: _Pes) -> None:
        if not pes.is_open:
            return
        self._foreign = 0
        data = b"".join(pes.parts)
        if pes.length:
            data = data[: pes.length]
        pes.drop()
        if len(data) < 9 or data[3] in _BARE:
            return
        pts = dts = None
        flags, begin = data[7], 9 + data[8]
        if flags & 0x80 and begin >= 14 and len(data) >= begin:
            pts = dts = _time(data, 9)
            if flags & 0x40 and begin >= 19:
                dts = _time(data, 14)
        packet = PesPacket(pes.track, pts, dts, data[begin:], pes.is_random_access, pes.received_s)
        self._events.append(packet)

    # ---- tables -------------------------------------------------------------------------------

    def _section_packet(self, data: bytes, at: int, pid: int, now: float) -> None:
        fourth = data[at + 3]
        begin, end = at + 4, at + PACKET_BYTES
        if fourth & 0x20:
            begin += 1 + data[begin]
        if data[at + 1] & 0x80 or not fourth & 0x10 or begin >= end:
            return
        known = self._sections[pid]
        if data[at + 1] & 0x40:
            begin += 1 + data[begin]  # behind what is left of the section before
            known.parts[:] = data[begin:end]
        elif known.parts:
            known.parts += data[begin:end]
        parts = known.parts
        if len(parts) < 3:
            return
        size = 3 + ((parts[1] & 0x0F) << 8 | parts[2])
        if size > known.max_bytes:
            parts.clear()
        elif len(parts) >= size:
            section = bytes(parts[:size])
            parts.clear()
            if section != known.last:
                known.last = section
                if known.is_splices:
                    self._events.append(SpliceSection(section, now))
                else:
                    self._read(pid, section)

    def _read(self, pid: int, section: bytes) -> None:
        try:
            if pid == _PAT_PID:
                self._choose_program(read_pat(section))
            else:
                number, tracks = read_pmt(section)
                if number == self._program:
                    self._choose_tracks(tracks)
            self._foreign = 0
        except TransportStreamError:
            self._sections[pid].last = b""  # it comes again

    def _choose_program(self, programs: list[tuple[int, int]]) -> None:
        if not programs or (self._program, self._map_pid) in programs:
            return
        self._program, self._map_pid = programs[0]
        self._sections = {_PAT_PID: self._sections[_PAT_PID], self._map_pid: _Section()}

    def _choose_tracks(self, tracks: list[Track]) -> None:
        video = next((track for track in tracks if track.is_video), None)
        splices = [track.pid for track in tracks if track.is_sections][:MAX_SPLICE_PIDS]
        tracks = [track for track in tracks if not track.is_sections]
        sounds = [track for track in tracks if not track.is_video]
        served = [track for track in sounds if track.codec in self._served]
        audio = next(iter(served or sounds), None)
        chosen = [track for track in (video, audio) if track is not None]
        known = {pid: pes for pid, pes in self._tracks.items() if pes.track in chosen}
        for pid, pes in self._tracks.items():
            if pid not in known:
                self._finish(pes)
        self._tracks = {track.pid: known.get(track.pid) or _Pes(track) for track in chosen}
        self._choose_splices(splices)
        self._events.append(TracksChosen(video, audio, len(tracks) - len(chosen)))

    def _choose_splices(self, pids: list[int]) -> None:
        sections = {pid: self._sections[pid] for pid in (_PAT_PID, self._map_pid)}
        for pid in pids:
            before = self._sections.get(pid)
            if pid not in sections:
                is_known = before is not None and before.is_splices
                made = _Section(MAX_SPLICE_BYTES, is_splices=True)
                sections[pid] = before if is_known and before is not None else made
        self._sections = sections


def _time(data: bytes, at: int) -> int:
    """A PTS or DTS (2.4.3.7): 33 bits among marker bits."""
    return (
        (data[at] & 0x0E) << 29
        | data[at + 1] << 22
        | (data[at + 2] & 0xFE) << 14
        | data[at + 3] << 7
        | data[at + 4] >> 1
    )
