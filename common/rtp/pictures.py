"""Packets of H.264 in order as the NAL units of pictures (RFC 6184). Pure.

A picture ends with its marked packet, or with the first one of another time. One that lacks a
packet is dropped whole; where packets are missing between two pictures, nobody knows how many
pictures were in them: `PictureLost` says so, and what comes may refer to them.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from common.codecs.h264 import NalType
from common.errors import RtpError
from common.rtp.h264 import MAX_UNIT_BYTES, Depacketiser
from common.rtp.header import TIMESTAMPS, Packet, unwrap

MAX_UNITS: Final = 4096  # of one picture
_FIRST_SLICE: Final = 0x80  # first_mb_in_slice is 0: the begin of a picture's first slice
_SLICES: Final = range(NalType.SLICE, NalType.IDR + 1)


class Picture(NamedTuple):
    """The NAL units of one time; there may be parameter sets alone."""

    nals: list[bytes]
    timestamp: int  # that never wraps
    is_key: bool  # an IDR picture


@dataclass(frozen=True, slots=True)
class PictureLost:
    """One at least is missing here."""

    reason: str


class PictureReader:
    """Of one stream of packets."""

    def __init__(self) -> None:
        self._depacketiser = Depacketiser()
        self._nals: list[bytes] = []
        self._bytes = 0
        self._timestamp: int | None = None  # of the picture, or of the last one
        self._is_open = False  # packets of it came, and its end did not
        self._is_broken = False  # some of it is missing
        self._is_after_gap = False

    def gap(self) -> list[Picture | PictureLost]:
        """Packets are missing here."""
        self._is_after_gap = True
        if self._is_open:
            self._is_broken = True
        return [PictureLost("packets were lost")]

    def add(self, packet: Packet) -> list[Picture | PictureLost]:
        """Take the next packet."""
        if not packet.payload:
            return []  # it fills the line
        found: list[Picture | PictureLost] = []
        timestamp = packet.timestamp
        if self._timestamp is not None:
            timestamp = unwrap(timestamp, self._timestamp, TIMESTAMPS)
        if not self._is_open or timestamp != self._timestamp:
            is_rest = not self._is_open and self._is_broken and timestamp == self._timestamp
            if self._is_open:
                found += self._end()
            self._begin(timestamp)
            self._is_broken = is_rest or (self._is_after_gap and not _begins(packet.payload))
            self._is_after_gap = False
        self._read(packet.payload, found)
        if packet.is_marked:
            found += self._end()
        return found

    def _begin(self, timestamp: int) -> None:
        self._timestamp, self._is_open, self._bytes = timestamp, True, 0
        self._nals = []
        self._depacketiser.reset()

    def _read(self, payload: bytes, found: list[Picture | PictureLost]) -> None:
        if self._is_broken:
            return
        try:
            nals = self._depacketiser.add(payload)
            self._bytes += sum(map(len, nals))
            if self._bytes > MAX_UNIT_BYTES or len(self._nals) + len(nals) > MAX_UNITS:
                raise RtpError("a picture that is too large")
            self._nals += nals
        except RtpError as error:
            self._is_broken = True
            self._nals = []
            found.append(PictureLost(str(error)))

    def _end(self) -> list[Picture | PictureLost]:
        nals, self._nals, self._is_open = self._nals, [], False
        if self._is_broken or not nals or self._timestamp is None:
            return []
        is_key = any(nal[0] & 0x1F == NalType.IDR for nal in nals)
        return [Picture(nals, self._timestamp, is_key)]


def _begins(payload: bytes) -> bool:
    """Whether a payload is surely the first of its picture's slices, or comes before those."""
    kind, at = payload[0] & 0x1F, 1
    if kind == 28 and len(payload) > 2:  # FU-A
        if not payload[1] & 0x80:
            return False
        kind, at = payload[1] & 0x1F, 2
    if kind in _SLICES:
        return len(payload) > at and payload[at] & _FIRST_SLICE != 0
    return True
