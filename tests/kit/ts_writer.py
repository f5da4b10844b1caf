"""Transport streams of a test's own: tables, PES packets and their packets, as plain as may be."""

import struct
from collections.abc import Sequence

from common.mpegts.demuxer import PACKET_BYTES
from common.mpegts.program import section_crc

PMT_PID, VIDEO_PID, AUDIO_PID, SPLICE_PID = 0x1000, 0x100, 0x101, 0x1F0
H264, HEVC, AAC, PRIVATE, SPLICES = 0x1B, 0x24, 0x0F, 0x06, 0x86
OPUS = bytes((0x05, 4)) + b"Opus" + bytes((0x7F, 2, 0x80, 2))  # descriptors


class TsWriter:
    """One transport stream of one program."""

    def __init__(self) -> None:
        self._counters: dict[int, int] = {}

    def packets(self, pid: int, data: bytes, *, is_section: bool = False) -> bytes:
        """Data that begin in a packet of their own; what is left of the last one is stuffed."""
        data = b"\x00" + data if is_section else data
        out = bytearray()
        is_first = True
        while data:
            counter = self._counters[pid] = (self._counters.get(pid, -1) + 1) & 0x0F
            part, data = data[:184], data[184:]
            head = bytes((0x47, is_first << 6 | pid >> 8, pid & 0xFF))
            if len(part) == 184:
                out += head + bytes((0x10 | counter,)) + part
            elif is_section:
                out += head + bytes((0x10 | counter,)) + part + b"\xff" * (184 - len(part))
            else:
                fill = 183 - len(part)
                stuffing = (b"\x00" + b"\xff" * (fill - 1))[:fill]
                out += head + bytes((0x30 | counter, fill)) + stuffing + part
            is_first = False
        assert len(out) % PACKET_BYTES == 0
        return bytes(out)

    def tables(self, streams: Sequence[tuple[int, int, bytes]]) -> bytes:
        """PAT and PMT of these: pid, stream type, descriptors."""
        pat = struct.pack(">HBBBHH", 1, 0xC1, 0, 0, 1, 0xE000 | PMT_PID)
        pmt = struct.pack(">HBBBHH", 1, 0xC1, 0, 0, 0xE000 | VIDEO_PID, 0xF000)
        for pid, stream_type, info in streams:
            pmt += struct.pack(">BHH", stream_type, 0xE000 | pid, 0xF000 | len(info)) + info
        return self.section(0, 0, pat) + self.section(PMT_PID, 2, pmt)

    def section(self, pid: int, table: int, body: bytes) -> bytes:
        head = struct.pack(">BH", table, 0xB000 | len(body) + 4) + body
        return self.packets(pid, head + struct.pack(">I", _crc(head)), is_section=True)

    def pes(
        self,
        pid: int,
        data: bytes,
        pts: int | None = None,
        dts: int | None = None,
        *,
        is_bounded: bool = True,
    ) -> bytes:
        """A PES packet; of one that is not bounded nothing tells the length."""
        times = b""
        if pts is not None:
            times = _time(0x20 if dts is None else 0x30, pts)
        if dts is not None:
            times += _time(0x10, dts)
        flags = (0x80 if pts is not None else 0) | (0x40 if dts is not None else 0)
        body = bytes((0x80, flags, len(times))) + times + data
        head = b"\x00\x00\x01" + bytes((0xE0 if pid == VIDEO_PID else 0xC0,))
        length = len(body) if is_bounded else 0
        return self.packets(pid, head + struct.pack(">H", length) + body)


def _time(marker: int, value: int) -> bytes:
    value %= 1 << 33
    return struct.pack(
        ">BHH",
        marker | value >> 29 & 0x0E | 1,
        value >> 14 & 0xFFFE | 1,
        value << 1 & 0xFFFE | 1,
    )


def _crc(data: bytes) -> int:
    return section_crc(data)


def adts(raw: bytes, *, rate_index: int = 3, channels: int = 2) -> bytes:
    """An AAC-LC frame with its ADTS header; 3: 48 kHz."""
    size = len(raw) + 7
    return (
        bytes(
            (
                0xFF,
                0xF1,
                1 << 6 | rate_index << 2 | channels >> 2,
                (channels & 3) << 6 | size >> 11,
                size >> 3 & 0xFF,
                (size & 7) << 5 | 0x1F,
                0xFC,
            )
        )
        + raw
    )
