"""NAL units as RTP payloads, as H.264 and H.265 have them (RFC 6184, RFC 7798). Pure.

A NAL unit is a payload of its own where it fits, and fragments where it does not. The parameter
sets, which a picture that can be joined at has in front, are one payload together: who joins there
has them in one packet. What no decoder of a browser looks at is omitted: delimiters, fillers, SEI.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from common.media.units import Data

MAX_PAYLOAD_BYTES: Final = 1200  # with SRTP, UDP and IPv6 below the 1280 bytes of every path
START: Final = 0x80  # of a fragment's flags: the first of a NAL unit
END: Final = 0x40  # the last


@dataclass(frozen=True, slots=True)
class NalForm:
    """What one codec has of its own."""

    header_bytes: int  # of a NAL unit
    kind: Callable[[Data], int]  # the type of a NAL unit
    sets: frozenset[int]  # the types of parameter sets
    omitted: frozenset[int]
    fragment: Callable[[Data], bytes]  # what a fragment of this NAL unit has in front of its flags
    together: Callable[[Sequence[bytes]], bytes]  # what these sets have in front, as one payload


def packetise(
    form: NalForm,
    nals: Iterable[Data],
    sets: Sequence[bytes] = (),
    max_bytes: int = MAX_PAYLOAD_BYTES,
) -> list[bytes]:
    """The payloads of one picture; the last one's packet is to be marked.

    `sets` are the parameter sets in force, which a picture that can be joined at is given; its own
    count more. No payload is longer than `max_bytes`. Empty, where there is nothing to decode.
    """
    own: list[bytes] = []
    payloads: list[bytes] = []
    for nal in nals:
        kind = form.kind(nal)
        if kind in form.sets:
            own.append(bytes(nal))
        elif kind not in form.omitted:
            _append(form, payloads, nal, max_bytes)
    if not payloads:
        return []
    sets = own or sets
    return [*_together(form, sets, max_bytes), *payloads] if sets else payloads


def _append(form: NalForm, payloads: list[bytes], nal: Data, max_bytes: int) -> None:
    """One NAL unit, in fragments where it is too long (RFC 6184 5.8, RFC 7798 4.4.3)."""
    size = len(nal)
    if size <= max_bytes:
        payloads.append(bytes(nal))
        return
    front, kind = form.fragment(nal), form.kind(nal)
    step = max_bytes - len(front) - 1
    flags = START
    for begin in range(form.header_bytes, size, step):
        end = begin + step
        if end >= size:
            flags = END
        payloads.append(front + bytes((flags | kind,)) + nal[begin:end])
        flags = 0


def _together(form: NalForm, sets: Sequence[bytes], max_bytes: int) -> list[bytes]:
    """Parameter sets in one packet (5.7.1, 4.4.2), or on their own where they do not fit."""
    size = form.header_bytes + sum(2 + len(one) for one in sets)
    if len(sets) == 1 or size > max_bytes:
        alone: list[bytes] = []
        for one in sets:
            _append(form, alone, one, max_bytes)
        return alone
    parts = [form.together(sets)]
    for one in sets:
        parts += (len(one).to_bytes(2, "big"), one)
    return [b"".join(parts)]
