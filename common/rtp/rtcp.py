"""RTCP between a sender of media and its receiver (RFC 3550 6, RFC 4585 6, REMB). Pure.

Both ends' words are read and made: a receiver's reports, what it lacks, that it wants a keyframe,
and its estimate of the line; a sender's reports, its name, its end. A compound packet is read as
far as it can be; each of its parts is bounded by the datagram it came in.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from common.errors import RtpError

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
SOURCE_DESCRIPTION: Final = 202
BYE: Final = 203
TRANSPORT_FEEDBACK: Final = 205  # RTPFB
PAYLOAD_FEEDBACK: Final = 206  # PSFB
_NACK: Final = 1  # of TRANSPORT_FEEDBACK
_PLI, _FIR, _APPLICATION = 1, 4, 15  # of PAYLOAD_FEEDBACK
_REPORT: Final = struct.Struct("!IB3sIIII")
_INFO: Final = struct.Struct("!IQIII")
NTP_EPOCH_S: Final = 2_208_988_800  # of 1900, before 1970
MAX_PARTS: Final = 64  # of a compound packet
MAX_LOST: Final = 1000  # of a packet


@dataclass(frozen=True, slots=True)
class Report:
    """What a viewer has of one stream of packets."""

    ssrc: int
    lost: float  # the share of packets since its report before, 0 to 1
    last_report: int  # the middle 32 bits of the NTP time in the last sender report; 0: none came
    delay: int  # since that came, in units of 1/65536 s
    jitter: int = 0  # in units of the stream's clock
    highest: int = 0  # the highest sequence number, with the count of its rounds


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """Which time of the media belongs to which of the sender's clock (RFC 3550 6.4.1)."""

    ssrc: int
    ntp: int  # 64 bits
    timestamp: int

    @property
    def clock_s(self) -> float:
        """The sender's clock, in seconds since 1900."""
        return self.ntp / 0x1_0000_0000


@dataclass(frozen=True, slots=True)
class Lost:
    """Packets that a viewer lacks."""

    ssrc: int
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeyframeWanted:
    """A viewer cannot go on without a keyframe."""

    ssrc: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a viewer takes its line for (draft-alvestrand-rmcat-remb)."""

    bps: int


@dataclass(frozen=True, slots=True)
class Left:
    """A viewer says that it is gone."""


Feedback = Report | SenderInfo | Lost | KeyframeWanted | Estimate | Left


def parse(packet: bytes, most_lost: int = MAX_LOST) -> list[Feedback]:
    """What a compound packet says; parts that say nothing here are skipped. Raises RtpError.

    `most_lost`: so many lost packets are read at most. A few bytes name many.
    """
    found: list[Feedback] = []
    for kind, count, body in _parts(packet):
        match kind:
            case 200:
                found.append(_sender_info(body))
                found += _reports(body[24:], count)
            case 201:
                found += _reports(body[4:], count)
            case 203:
                found.append(Left())
            case 205 if count == _NACK:
                lost = _lost(body, most_lost)
                most_lost -= len(lost.sequences)
                found.append(lost)
            case 206:
                found += _payload_feedback(count, body)
    return found


def _parts(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    at, seen = 0, 0
    while at < len(packet):
        seen += 1
        if seen > MAX_PARTS:
            raise RtpError(f"RTCP packet of more than {MAX_PARTS} parts")
        head = packet[at : at + 4]
        if len(head) < 4 or head[0] >> 6 != 2:
            raise RtpError(f"no RTCP part at byte {at} of {len(packet)}")
        end = at + 4 + 4 * int.from_bytes(head[2:4], "big")
        if end > len(packet):
            raise RtpError(f"RTCP part ends at byte {end} of {len(packet)}")
        body = packet[at + 4 : end]
        if head[0] & 0x20 and body:
            body = body[: max(0, len(body) - body[-1])]
        yield head[1], head[0] & 0x1F, body
        at = end


def _sender_info(body: bytes) -> SenderInfo:
    if len(body) < _INFO.size:
        raise RtpError(f"sender report of {len(body)} bytes")
    ssrc, ntp, timestamp, _, _ = _INFO.unpack_from(body)
    return SenderInfo(ssrc, ntp, timestamp)


def _reports(body: bytes, count: int) -> list[Feedback]:
    size = _REPORT.size
    if len(body) < count * size:
        raise RtpError(f"{count} RTCP reports in {len(body)} bytes")
    found: list[Feedback] = []
    for at in range(0, count * size, size):
        ssrc, lost, _, highest, jitter, last, delay = _REPORT.unpack_from(body, at)
        found.append(Report(ssrc, lost / 256, last, delay, jitter, highest))
    return found


def _lost(body: bytes, most: int) -> Lost:
    if len(body) < 8 or len(body) % 4:
        raise RtpError(f"NACK of {len(body)} bytes")
    sequences: list[int] = []
    for at in range(8, len(body), 4):
        if len(sequences) >= most:
            break
        first = int.from_bytes(body[at : at + 2], "big")
        mask = int.from_bytes(body[at + 2 : at + 4], "big")
        sequences.append(first)
        bit = 1
        while mask:
            if mask & 1:
                sequences.append((first + bit) & 0xFFFF)
            mask >>= 1
            bit += 1
    return Lost(int.from_bytes(body[4:8], "big"), tuple(sequences[: max(0, most)]))


def _payload_feedback(kind: int, body: bytes) -> list[Feedback]:
    if len(body) < 8:
        raise RtpError(f"RTCP feedback of {len(body)} bytes")
    if kind == _PLI:
        return [KeyframeWanted(int.from_bytes(body[4:8], "big"))]
    if kind == _FIR:
        places = range(8, len(body) - 7, 8)
        return [KeyframeWanted(int.from_bytes(body[at : at + 4], "big")) for at in places]
    if kind == _APPLICATION and body[8:12] == b"REMB" and len(body) >= 16:
        exponent, mantissa = body[13] >> 2, (body[13] & 3) << 16 | body[14] << 8 | body[15]
        return [Estimate(mantissa << exponent)]
    return []


# ---- what a sender says -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent of one stream of packets, at the moment of a report."""

    ssrc: int
    timestamp: int  # of the media that belongs to this moment
    packets: int
    octets: int  # of payload


def ntp_time(unix_s: float) -> int:
    """A moment as 64 bits of NTP time."""
    return int((unix_s + NTP_EPOCH_S) * 0x1_0000_0000) & 0xFFFF_FFFF_FFFF_FFFF


def round_trip_s(report: Report, unix_s: float) -> float | None:
    """The time to a viewer and back, by its report; None: it knows no sender report yet."""
    if not report.last_report:
        return None
    now = ntp_time(unix_s) >> 16 & 0xFFFF_FFFF
    passed = (now - report.last_report - report.delay) & 0xFFFF_FFFF
    return passed / 0x1_0000 if passed < 0x8000_0000 else 0.0


def sender_reports(sent: Sequence[Sent], name: bytes, unix_s: float) -> bytes:
    """The compound packet of a sender: a report of each stream of packets, and their name."""
    ntp = ntp_time(unix_s)
    parts = []
    for one in sent:
        figures = (one.packets & 0xFFFF_FFFF, one.octets & 0xFFFF_FFFF)
        body = _INFO.pack(one.ssrc, ntp, one.timestamp & 0xFFFF_FFFF, *figures)
        parts.append(_part(SENDER_REPORT, 0, body))
    parts.append(_names([one.ssrc for one in sent], name))
    return b"".join(parts)


def farewell(ssrcs: Sequence[int]) -> bytes:
    """The compound packet that ends streams of packets."""
    empty = _part(RECEIVER_REPORT, 0, ssrcs[0].to_bytes(4, "big"))  # a compound begins with one
    return empty + _part(BYE, len(ssrcs), b"".join(ssrc.to_bytes(4, "big") for ssrc in ssrcs))


# ---- what a receiver says ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received:
    """What has come of one stream of packets, at the moment of a report."""

    ssrc: int
    share_lost: float  # since the report before, 0 to 1
    lost: int  # in all
    highest: int  # sequence number, with the count of its rounds
    jitter: int  # in units of the stream's clock
    last_report: int  # the middle 32 bits of the NTP time in the last sender report; 0: none came
    delay: int  # since that came, in units of 1/65536 s


def receiver_report(sender: int, received: Sequence[Received]) -> bytes:
    """The report of a receiver, which begins a compound packet; `sender` is its own number."""
    body = sender.to_bytes(4, "big")
    for one in received:
        share, lost = min(255, int(one.share_lost * 256)), one.lost.to_bytes(3, "big")
        body += _REPORT.pack(
            one.ssrc, share, lost, one.highest, one.jitter, one.last_report, one.delay
        )
    return _part(RECEIVER_REPORT, len(received), body)


def lost_packets(sender: int, ssrc: int, sequences: Sequence[int]) -> bytes:
    """A NACK (RFC 4585 6.2.1): each entry names a packet, and which of the 16 behind it."""
    entries: list[tuple[int, int]] = []
    for one in sequences:
        behind = (one - entries[-1][0]) & 0xFFFF if entries else 0
        if 1 <= behind <= 16:
            first, mask = entries[-1]
            entries[-1] = (first, mask | 1 << (behind - 1))
        else:
            entries.append((one, 0))
    head = sender.to_bytes(4, "big") + ssrc.to_bytes(4, "big")
    return _part(
        TRANSPORT_FEEDBACK, _NACK, head + b"".join(struct.pack("!HH", *entry) for entry in entries)
    )


def keyframe_wanted(sender: int, ssrc: int) -> bytes:
    """A PLI (RFC 4585 6.3.1)."""
    return _part(PAYLOAD_FEEDBACK, _PLI, sender.to_bytes(4, "big") + ssrc.to_bytes(4, "big"))


def estimate(sender: int, ssrcs: Sequence[int], bps: int) -> bytes:
    """A receiver's estimate of the line (draft-alvestrand-rmcat-remb)."""
    exponent = max(0, bps.bit_length() - 18)
    mantissa = bps >> exponent
    body = sender.to_bytes(4, "big") + bytes(4) + b"REMB"
    body += bytes((len(ssrcs), exponent << 2 | mantissa >> 16))
    body += (mantissa & 0xFFFF).to_bytes(2, "big")
    body += b"".join(ssrc.to_bytes(4, "big") for ssrc in ssrcs)
    return _part(PAYLOAD_FEEDBACK, _APPLICATION, body)


def _names(ssrcs: Sequence[int], name: bytes) -> bytes:
    chunks = b""
    for ssrc in ssrcs:
        chunk = ssrc.to_bytes(4, "big") + bytes((1, len(name))) + name + b"\x00"
        chunks += chunk + bytes(-len(chunk) % 4)
    return _part(SOURCE_DESCRIPTION, len(ssrcs), chunks)


def _part(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body
