"""What one viewer is sent of pictures or of sound: numbers and times of its own packets. Pure.

The payloads are everybody's; the header is the viewer's. Sequence numbers have no gap, whatever is
left out or changed before: a gap would be a loss. They are stored as they began to run beside the
numbers of a history's packets, so that a lost one is found there, and made again.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from common.rtp.header import FIRST_SEQUENCE_END, MARKER, PACK, TIMESTAMPS, VERSION, unwrap
from common.rtp.history import Frame, History
from common.rtp.rtcp import Sent

MAX_SPANS: Final = 16
# Repeats that may be sent: some from the begin on, and a share of what was sent, gathered up to a
# large keyframe that was lost whole. More would fill a line that is too thin already.
FIRST_REPEATS: Final = 50
REPEATS_SHARE: Final = 0.35
MAX_REPEATS: Final = 200
REPLAY_SPEED: Final = 4.0  # of what is sent to catch up
CAREFUL_SPEED: Final = 2.0  # likewise, where nobody knows what the line takes


@dataclass(frozen=True, slots=True)
class Numbers:
    """One stream of packets, as the answer names it, and where its numbers begin."""

    ssrc: int
    payload_type: int
    per_ms: int  # of the clock of its timestamps
    first_sequence: int  # below `FIRST_SEQUENCE_END`
    first_timestamp: int
    rtx_ssrc: int = 0
    rtx_payload_type: int = 0  # 0: what is repeated has the number it had


@dataclass(slots=True)
class _Span:
    """Packets in a row that came from one history in a row."""

    first_sequence: int  # whole, as it never wraps here
    history: History
    first_number: int
    until_ms: float  # of its frames those before were sent faster than real time


class Track:
    """One stream of packets to one viewer."""

    def __init__(
        self, numbers: Numbers, send: Callable[[bytes], object], speed: float = REPLAY_SPEED
    ) -> None:
        """`send` takes each packet, yet without encryption; `speed`: of what is replayed."""
        assert numbers.first_sequence < FIRST_SEQUENCE_END
        self.numbers = numbers
        self.speed = speed
        self.packets = self.octets = 0
        self.repeated = 0
        self.until_ms = 0.0  # frames before this time of the media are sent faster
        self.last_ms = 0.0  # of the media: the last frame's
        self._send = send
        self._sequence = numbers.first_sequence
        self._rtx_sequence = numbers.first_sequence
        self._spans: deque[_Span] = deque(maxlen=MAX_SPANS)
        self._repeats = float(FIRST_REPEATS)

    def send(self, history: History, frame: Frame) -> None:
        """Send a frame of a history."""
        spans, sequence = self._spans, self._sequence
        last = spans[-1] if spans else None
        if (
            last is None
            or last.history is not history
            or sequence - last.first_sequence != frame.first - last.first_number
            or last.until_ms != self.until_ms
        ):
            spans.append(_Span(sequence, history, frame.first, self.until_ms))
        numbers, send = self.numbers, self._send
        payload_type, ssrc = numbers.payload_type, numbers.ssrc
        timestamp = self.timestamp(frame.time_ms, self.until_ms)
        payloads = frame.payloads
        for payload in payloads[:-1]:
            send(PACK(VERSION, payload_type, sequence & 0xFFFF, timestamp, ssrc) + payload)
            sequence += 1
        marked = payload_type | MARKER
        send(PACK(VERSION, marked, sequence & 0xFFFF, timestamp, ssrc) + payloads[-1])
        self._sequence = sequence + 1
        self.packets += len(payloads)
        self.octets += frame.octets
        self.last_ms = frame.time_ms
        self._repeats = min(MAX_REPEATS, self._repeats + REPEATS_SHARE * len(payloads))

    def repeat(self, sequence: int) -> bool:
        """Send a packet again; False: it is not kept, or more were asked for than were sent."""
        whole = unwrap(sequence, self._sequence)
        if self._repeats < 1 or not self.numbers.first_sequence <= whole < self._sequence:
            return False
        span = next((one for one in reversed(self._spans) if one.first_sequence <= whole), None)
        if span is None:
            return False
        kept = span.history.packet(span.first_number + whole - span.first_sequence)
        if kept is None:
            return False
        self._repeats -= 1
        self.repeated += 1
        numbers = self.numbers
        timestamp = self.timestamp(kept.frame.time_ms, span.until_ms)
        marker = MARKER if kept.is_last else 0
        if numbers.rtx_payload_type:  # RFC 4588: the number that it had stands before the payload
            kind, number, ssrc = numbers.rtx_payload_type, self._rtx_sequence, numbers.rtx_ssrc
            self._rtx_sequence += 1
            payload = (whole & 0xFFFF).to_bytes(2, "big") + kept.payload
        else:  # the same packet to the last bit: encryption allows no other
            kind, number, ssrc, payload = numbers.payload_type, whole, numbers.ssrc, kept.payload
        self._send(PACK(VERSION, kind | marker, number & 0xFFFF, timestamp, ssrc) + payload)
        return True

    def timestamp(self, time_ms: float, until_ms: float = 0.0) -> int:
        """The timestamp of a time of the media."""
        if time_ms < until_ms:
            time_ms = until_ms - (until_ms - time_ms) / self.speed
        return (self.numbers.first_timestamp + round(time_ms * self.numbers.per_ms)) % TIMESTAMPS

    def sent(self, media_ms: float) -> Sent:
        """What a report says of this track, at a time of the media."""
        numbers = self.numbers
        return Sent(numbers.ssrc, self.timestamp(media_ms), self.packets, self.octets)
