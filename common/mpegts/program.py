"""The tables of a transport stream: which programs there are, and what is in one. Pure.

PAT and PMT are ISO/IEC 13818-1, 2.4.4; their CRC is in annex A. Opus is private data there, named
by a registration descriptor, as FFmpeg and GStreamer write it. SCTE-35 comes in sections of its own
(ANSI/SCTE 35, clause 8), a track that is neither picture nor sound.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from common.codecs.opus import RATE, OpusHead
from common.errors import TransportStreamError

MAX_SECTION_BYTES: Final = 1024  # 2.4.4.1: of PAT and PMT
MAX_TRACKS: Final = 64
PAT_TABLE: Final = 0x00
PMT_TABLE: Final = 0x02
_REGISTRATION, _DVB_AC3, _DVB_EAC3, _DVB_EXTENSION = 0x05, 0x6A, 0x7A, 0x7F
_OPUS_CHANNELS = 0x80  # the extension's tag of Opus' channels
_PRIVATE = 0x06
SPLICES: Final = "scte35"  # as a track's codec
_SPLICES_TYPE: Final = 0x86  # which on Blu-ray discs, known by a registration, is DTS-HD
_DISC: Final = b"HDMV"

# By stream type (13818-1 table 2-34, ATSC A/53): whether it is a picture, and its codec. Codecs of
# `common.media.units` have their names there, others one for people.
_TYPES: Final = {
    0x01: (True, "MPEG-1 video"),
    0x02: (True, "MPEG-2 video"),
    0x10: (True, "MPEG-4 video"),
    0x1B: (True, "h264"),
    0x24: (True, "h265"),
    0x33: (True, "h266"),
    0x21: (True, "JPEG 2000"),
    0xD1: (True, "Dirac"),
    0xEA: (True, "VC-1"),
    0x03: (False, "MPEG audio"),
    0x04: (False, "MPEG audio"),
    0x0F: (False, "aac"),
    0x11: (False, "AAC in LATM"),
    0x81: (False, "ac3"),
    0x87: (False, "eac3"),
}
_REGISTERED: Final = {
    b"HEVC": (True, "h265"),
    b"AV01": (True, "av1"),
    b"Opus": (False, "opus"),
    b"AC-3": (False, "ac3"),
    b"EAC3": (False, "eac3"),
    b"BSSD": (False, "SMPTE 302M"),
}


@dataclass(frozen=True, slots=True)
class Track:
    """An elementary stream."""

    pid: int
    is_video: bool
    codec: str
    record: bytes = b""  # OpusHead

    @property
    def is_sections(self) -> bool:
        """Whether sections come on it, no PES packets."""
        return self.codec == SPLICES


def section_crc(data: bytes) -> int:
    """CRC_32 (annex A): 0 over a section that is whole."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
    return crc


def read_pat(section: bytes) -> list[tuple[int, int]]:
    """The numbers of programs and the pids of their maps; not the network's. Raises."""
    body = _body(section, PAT_TABLE, 8)
    found = []
    for at in range(8, len(body) - 3, 4):
        number = body[at] << 8 | body[at + 1]
        if number:
            found.append((number, (body[at + 2] & 0x1F) << 8 | body[at + 3]))
    return found


def read_pmt(section: bytes) -> tuple[int, list[Track]]:
    """A program's number and its tracks, those of a known kind alone. Raises."""
    body = _body(section, PMT_TABLE, 12)
    number = body[3] << 8 | body[4]
    begin = 12 + ((body[10] & 0x0F) << 8 | body[11])
    is_disc = (_REGISTRATION, _DISC) in _descriptors(body[12:begin])
    at = begin
    tracks: list[Track] = []
    while at + 5 <= len(body) and len(tracks) < MAX_TRACKS:
        stream_type = body[at]
        pid = (body[at + 1] & 0x1F) << 8 | body[at + 2]
        size = (body[at + 3] & 0x0F) << 8 | body[at + 4]
        at += 5
        if stream_type == _SPLICES_TYPE and not is_disc:
            track: Track | None = Track(pid, False, SPLICES)
        else:
            track = _track(pid, stream_type, body[at : at + size])
        if track is not None:
            tracks.append(track)
        at += size
    return number, tracks


def _body(section: bytes, table: int, least: int) -> bytes:
    """A section without its CRC."""
    if len(section) < least + 4 or section[0] != table:
        raise TransportStreamError("no such table")
    if section_crc(section):
        raise TransportStreamError("a table's checksum is wrong")
    return section[:-4]


def _track(pid: int, stream_type: int, info: bytes) -> Track | None:
    descriptors = list(_descriptors(info))
    registered = [body[:4] for tag, body in descriptors if tag == _REGISTRATION]
    kind = _TYPES.get(stream_type)
    if kind is None:
        kind = next((_REGISTERED[name] for name in registered if name in _REGISTERED), None)
    if kind is None and stream_type == _PRIVATE:
        tags = {tag for tag, _ in descriptors}
        kind = (False, "ac3") if _DVB_AC3 in tags else None
        kind = (False, "eac3") if _DVB_EAC3 in tags else kind
    if kind is None:
        return None
    is_video, codec = kind
    record = _opus_head(descriptors) if codec == "opus" else b""
    return Track(pid, is_video, codec, record)


def _descriptors(info: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(info):
        size = info[at + 1]
        yield info[at], info[at + 2 : at + 2 + size]
        at += 2 + size


def _opus_head(descriptors: list[tuple[int, bytes]]) -> bytes:
    """The header that Opus has elsewhere; its channels stand in an extension descriptor."""
    channels = 2
    for tag, body in descriptors:
        if tag == _DVB_EXTENSION and len(body) >= 2 and body[0] == _OPUS_CHANNELS:
            channels = body[1]
    # 0 is dual mono; above 8, and of those above 2, mappings that nothing here can play
    return OpusHead(channels if channels in (1, 2) else 2, 0, RATE, 0, 0).encode()


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1
        table.append(crc & 0xFFFFFFFF)
    return tuple(table)


_CRC: Final = _crc_table()
