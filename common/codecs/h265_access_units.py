"""Access units as H.265 means them, whatever the borders of the messages that carried them.

As `h264_access_units` in short: a message with a whole picture gives it at once. Only when a
message goes on with the picture before it (its first slice is not the first of a picture) is it
known that this publisher splits pictures. That one comes again, whole (`replaces_last`); from then
on each picture waits for what tells its end, until `CALM` of them came in messages of their own.

Start codes in place of lengths, or inside a NAL unit, empty NAL units, and zero bytes behind one
are put right. Pure. Data that cannot be read raise a ProtocolError, and change nothing.
"""

from dataclasses import dataclass, field
from typing import Final

from common.codecs.h264 import (
    MAX_NAL_UNITS,
    join_avcc,
    looks_like_annexb,
    nal_spans,
    split_annexb,
)
from common.codecs.h264_access_units import (
    CALM,
    MAX_AHEAD_BYTES,
    MAX_UNIT_BYTES,
    MessageFacts,
    holds_recovery_point,
)
from common.codecs.h265 import LAST_SLICE, NalType, is_irap
from common.media.units import Data

_START_CODE: Final = b"\x00\x00\x01"
_HEADER_BYTES: Final = 2
_FIRST_SLICE: Final = 0x80  # first_slice_segment_in_pic_flag, behind the header
_SETS: Final = frozenset({NalType.VPS, NalType.SPS, NalType.PPS})
# What stands behind its picture's slices (7.4.2.4.4); all else begins the next access unit.
_TRAILING: Final = frozenset(
    {NalType.END_OF_SEQUENCE, NalType.END_OF_BITSTREAM, NalType.FILLER, NalType.SUFFIX_SEI}
)


@dataclass(slots=True)
class HevcUnit:
    """One coded picture and what belongs to it. Nobody changes one."""

    data: Data  # length-prefixed; the message's own bytes where nothing had to be changed
    message: MessageFacts  # that of its first slice; `received_s` is that of the last one
    kind: int  # NAL unit type of its first slice
    parameter_sets: tuple[bytes, ...]
    replaces_last: bool = False  # the unit before was a part of it
    is_recovery_point: bool = False  # no IRAP picture, and decoders can begin here (an SEI says so)

    @property
    def is_irap(self) -> bool:
        return is_irap(self.kind)


@dataclass(slots=True)
class _Draft:
    nals: list[bytes]
    message: MessageFacts
    kind: int
    replaces_last: bool = False
    is_split: bool = False
    size: int = field(default=0)

    def add(self, nal: bytes) -> None:
        self.nals.append(nal)
        self.size += len(nal)

    @property
    def is_full(self) -> bool:
        return len(self.nals) >= MAX_NAL_UNITS or self.size >= MAX_UNIT_BYTES


class HevcAssembler:
    """One publisher's video messages, in order, to access units."""

    def __init__(self) -> None:
        self.has_nals = False  # the last message held any
        self.length_size = 4
        self._ahead: list[bytes] = []  # NAL units that wait for the picture behind them
        self._draft: _Draft | None = None
        self._last: HevcUnit | None = None  # the last one given
        self._splits_pictures = False
        self._calm = 0  # pictures in a row that came whole

    def add(self, data: Data, message: MessageFacts) -> list[HevcUnit]:
        """Take a message's NAL units; the access units that are complete by it.

        Raises ProtocolError: the data are no NAL units.
        """
        nals, is_clean = clean_nals(data, self.length_size)
        self.has_nals = bool(nals)
        if self._draft is None and not self._ahead and not self._splits_pictures:
            unit = self._whole(nals, data if is_clean else None, message)
            if unit is not None:
                self._last = unit
                return [unit]
        return self._assemble(nals, message)

    def flush(self) -> list[HevcUnit]:
        """What waits for more: nothing of it comes any more, or not soon."""
        return self._end_draft()

    @property
    def waiting_since_s(self) -> float | None:
        """When the last part came of a picture that waits for its end."""
        return self._draft.message.received_s if self._draft is not None else None

    @property
    def parameter_sets_ahead(self) -> tuple[bytes, ...]:
        """Those that wait for their picture."""
        return tuple(nal for nal in self._ahead if nal[0] >> 1 in _SETS)

    def drop_parameter_sets_ahead(self) -> None:
        """Leave out those that wait for their picture: they are of no use."""
        self._ahead = [nal for nal in self._ahead if nal[0] >> 1 not in _SETS]

    def _whole(
        self, nals: list[bytes], data: Data | None, message: MessageFacts
    ) -> HevcUnit | None:
        """The picture that these are, if they are one and nothing of another."""
        kind = -1
        for nal in nals:
            one = nal[0] >> 1
            if one <= LAST_SLICE:
                if _is_first(nal) == (kind >= 0):
                    return None
                kind = one if kind < 0 else kind
            elif kind >= 0 and one not in _TRAILING:
                return None
        return self._unit(nals, data, message, kind) if kind >= 0 else None

    def _unit(
        self,
        nals: list[bytes],
        data: Data | None,
        message: MessageFacts,
        kind: int,
        replaces_last: bool = False,
    ) -> HevcUnit:
        if data is None:
            data = join_avcc(nals, self.length_size)
        sets = tuple(nal for nal in nals if nal[0] >> 1 in _SETS)
        is_point = not is_irap(kind) and any(map(_is_recovery_point, nals))
        return HevcUnit(data, message, kind, sets, replaces_last, is_point)

    def _assemble(self, nals: list[bytes], message: MessageFacts) -> list[HevcUnit]:
        done: list[HevcUnit] = []
        for nal in nals:
            kind = nal[0] >> 1
            if kind <= LAST_SLICE:
                done += self._slice(nal, kind, message)
            elif kind in _TRAILING:
                if self._draft is not None:
                    self._draft.add(nal)
            else:
                done += self._end_draft()
                if sum(map(len, self._ahead)) + len(nal) > MAX_AHEAD_BYTES:
                    self._ahead.clear()
                self._ahead.append(nal)
        if not self._splits_pictures:
            done += self._end_draft()
        return done

    def _slice(self, nal: bytes, kind: int, message: MessageFacts) -> list[HevcUnit]:
        done: list[HevcUnit] = []
        if self._draft is None and not _is_first(nal):
            self._reopen_last()
        if self._draft is None or _is_first(nal) or self._draft.is_full:
            done = self._end_draft()
            self._draft = _Draft([], message, kind)
            for ahead in self._ahead:
                self._draft.add(ahead)
            self._ahead.clear()
        draft = self._draft
        draft.add(nal)
        if message is not draft.message:
            before = draft.message
            draft.message = MessageFacts(
                before.timestamp, before.composition_ms, before.is_flagged, message.received_s
            )
            draft.is_split = True
        return done

    def _reopen_last(self) -> None:
        """Make a draft of the last unit again: its picture goes on."""
        last, self._last = self._last, None
        if last is None or self._splits_pictures:
            return
        nals, _ = clean_nals(last.data, self.length_size)
        self._draft = _Draft(nals, last.message, last.kind, replaces_last=True)
        self._draft.size = len(last.data)
        self._splits_pictures = True
        self._calm = 0

    def _end_draft(self) -> list[HevcUnit]:
        draft, self._draft = self._draft, None
        if draft is None:
            return []
        self._calm = 0 if draft.is_split else self._calm + 1
        if self._calm >= CALM:
            self._splits_pictures = False
        self._last = self._unit(draft.nals, None, draft.message, draft.kind, draft.replaces_last)
        return [self._last]


def _is_first(nal: bytes) -> bool:
    return len(nal) > _HEADER_BYTES and nal[_HEADER_BYTES] & _FIRST_SLICE != 0


def _is_recovery_point(nal: bytes) -> bool:
    return nal[0] >> 1 == NalType.PREFIX_SEI and holds_recovery_point(nal, _HEADER_BYTES)


def clean_nals(data: Data, length_size: int) -> tuple[list[bytes], bool]:
    """A message's NAL units without its oddities, and whether it had none.

    What is no NAL unit, by its forbidden bit or for want of a header, is left out.
    Raises ProtocolError as `nal_spans` and `split_annexb` do.
    """
    data = bytes(data)  # a view cannot be searched
    if looks_like_annexb(data, length_size):
        return _possible(split_annexb(data)), False
    spans = nal_spans(data, length_size)
    nals: list[bytes] = []
    is_clean = sum(end - begin + length_size for begin, end in spans) == len(data)
    for begin, end in spans:
        if data[end - 1] and data.find(_START_CODE, begin, end) < 0:
            nals.append(data[begin:end])
        else:
            is_clean = False
            nals += [part.rstrip(b"\x00") for part in data[begin:end].split(_START_CODE)]
    kept = _possible(nals)
    return kept, is_clean and len(kept) == len(nals)


def _possible(nals: list[bytes]) -> list[bytes]:
    return [nal for nal in nals if len(nal) >= _HEADER_BYTES and not nal[0] & 0x80]
