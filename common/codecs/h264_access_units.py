"""Access units as H.264 means them, whatever the borders of the messages that carried them.

Publishers put empty NAL units into a message, start codes inside a length-prefixed NAL unit, zero
bytes behind one, a picture's slices into messages of their own, parameter sets and delimiters
wherever they like. `AccessUnitAssembler` takes messages and gives clean access units: each holds
one coded frame (or the two fields of one), and what ITU-T H.264 7.4.1.2.3 puts in front of it.

When a unit comes out:

1. A message that ends with a picture gives it at once: nearly all publishers send whole pictures.
2. Only when a message continues the picture before it (7.4.1.2.4: the slice headers tell the same
   picture, the first one does not begin at macroblock 0, and the time is much the same) is it known
   that this publisher splits pictures. That picture has gone out in part, and comes again, whole
   (`replaces_last`). From then on each picture waits for what tells its end: the first slice of
   another picture, or a delimiter, parameter set or SEI behind it. `CALM` pictures in messages of
   their own end that.
3. A single field waits for the other one of its frame, unless `LONE_FIELDS` in a row had none.
4. `flush` gives what waits: the publisher has ended, or paused. If more of that picture comes after
   all, it comes again, whole, as by rule 2.

Trailing delimiters, parameter sets and SEI of a message belong to the next picture. Where slice
headers cannot be read, first_mb_in_slice and the message's time must do.

Pure. Data that cannot be read raise AvcError, and change nothing.
"""

import re
from dataclasses import dataclass, field, replace

from common.codecs.h264 import (
    MAX_NAL_UNITS,
    AvcConfig,
    NalType,
    join_avcc,
    looks_like_annexb,
    nal_spans,
    parameter_sets_in,
    split_annexb,
)
from common.codecs.h264_slices import SliceHead, SliceReader, begins_at_zero
from common.errors import AvcError
from common.media.units import Data

_START_CODE = b"\x00\x00\x01"
_has_start_code = re.compile(_START_CODE).search  # twice as fast as bytes.find
_SETS = frozenset({NalType.SPS, NalType.PPS})
_SLICES = frozenset({NalType.SLICE, NalType.PARTITION_A, NalType.IDR})
# Of the picture whose slice came before them, always.
_CONTINUING = frozenset(
    {NalType.PARTITION_B, NalType.PARTITION_C, NalType.AUXILIARY, NalType.EXTENSION}
)
_TRAILING = frozenset({NalType.END_OF_SEQUENCE, NalType.END_OF_STREAM, NalType.FILLER})
# The first of these behind a picture's slices begins the next access unit (7.4.1.2.3). A prefix
# NAL unit (14) stands ahead of each slice of a picture: it tells nothing.
_BEGINNING = frozenset(
    {NalType.SEI, NalType.SPS, NalType.PPS, NalType.AUD, NalType.SUBSET_SPS, 16, 17, 18}
)
# What a NAL unit behind a start code may begin with: nal_ref_idc is 0 for SEI and delimiters, and
# is not for IDR slices and parameter sets (7.4.1). All else is the payload of a sloppy encoder.
_BEGINS_NAL = frozenset(
    reference << 5 | kind
    for kind, references in ((1, (0, 1, 2, 3)), (5, (1, 2, 3)), (6, (0,)), (7, (1, 2, 3)),
                             (8, (1, 2, 3)), (9, (0,)))
    for reference in references
)  # fmt: skip
CALM = 100
LONE_FIELDS = 4
SAME_TIME_MS = 2  # some count up their messages
PART_TIME_MS = 10  # … and more where the slice headers themselves tell what they belong to
_RECOVERY_POINT = 6  # SEI payload types, and how payloads are written (H.264 7.3.2.3)
_SEI_MORE, _SEI_STOP = 0xFF, 0x80
MAX_AHEAD_BYTES = 64 * 1024  # of NAL units that wait for their picture
MAX_UNIT_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)  # this one and the next, one a picture: frozen, they cost twice as much
class MessageFacts:
    """What a message says besides its NAL units. Nobody changes one."""

    timestamp: int
    composition_ms: int
    is_flagged: bool  # as a keyframe
    received_s: float  # CLOCK_MONOTONIC


@dataclass(slots=True)
class AccessUnit:
    """One coded frame and what belongs to it. Nobody changes one."""

    data: Data  # length-prefixed; the message's own bytes where nothing had to be changed
    message: MessageFacts  # that of its first slice; `received_s` is that of the last one
    is_idr: bool
    parameter_sets: tuple[bytes, ...]  # SPS and PPS in it
    replaces_last: bool = False  # the unit before was a part of it
    is_recovery_point: bool = False  # no IDR picture, and decoders can begin here (an SEI says so)


@dataclass(slots=True)
class _Draft:
    """An access unit that is being put together."""

    nals: list[bytes]
    message: MessageFacts
    head: SliceHead | None
    fields: int = 1
    replaces_last: bool = False
    is_idr: bool = False
    is_recovery_point: bool = False
    last_mb: int = 0  # first_mb_in_slice of its last slice
    sets: list[bytes] = field(default_factory=list)
    size: int = 0
    is_ended: bool = False  # a NAL unit of the next one has come
    is_split: bool = False  # over messages
    latest: int = 0  # timestamp of the last message

    def add(self, nal: bytes) -> None:
        self.nals.append(nal)
        self.size += len(nal)
        kind = nal[0] & 0x1F
        if kind == NalType.IDR:
            self.is_idr = True
        elif kind in _SETS:
            self.sets.append(nal)
        elif kind == NalType.SEI and is_recovery_point(nal):
            self.is_recovery_point = True

    @property
    def is_single_field(self) -> bool:
        return self.head is not None and self.head.is_field and self.fields == 1

    @property
    def is_full(self) -> bool:
        return len(self.nals) >= MAX_NAL_UNITS or self.size >= MAX_UNIT_BYTES


class AccessUnitAssembler:
    """One publisher's video messages, in order, to access units."""

    def __init__(self) -> None:
        self.has_nals = False  # the last message held any
        self._length_size = 4
        self._slices = SliceReader()
        self._ahead: list[bytes] = []  # NAL units that wait for the picture behind them
        self._draft: _Draft | None = None
        self._last: AccessUnit | None = None  # the last one given, if it may be continued
        self._latest = 0  # timestamp of the last message of that
        self._is_flushed = False  # the last one given waited for more
        self.splits_pictures = False  # this publisher does …
        self._lone_fields = 0  # in a row
        self._calm = 0  # … and so many pictures came whole since it did

    def configure(self, config: AvcConfig) -> None:
        """The publisher's record: the lengths' size, and parameter sets."""
        self._length_size = config.nal_length_size
        for nal in (*config.sps, *config.pps):
            self._slices.note(nal)

    def add(self, data: Data, message: MessageFacts) -> list[AccessUnit]:
        """Take a message's NAL units; the access units that are complete by it.

        Raises:
            AvcError: the data are no NAL units. What came before is not lost by it.
        """
        nals, is_clean = clean_nals(data, self._length_size)
        self.has_nals = bool(nals)
        if self._draft is None and not self._ahead and self._is_whole(nals):
            unit = self._whole(data if is_clean else None, nals, message)
            return [unit]
        return self._assemble(nals, message)

    def flush(self) -> list[AccessUnit]:
        """What waits for more: nothing of it comes any more, or not soon."""
        done = self._end_draft()
        self._is_flushed = self._is_flushed or bool(done)
        return done

    @property
    def parameter_sets_ahead(self) -> tuple[bytes, ...]:
        """SPS and PPS that wait for their picture."""
        return tuple(nal for nal in self._ahead if nal[0] & 0x1F in _SETS)

    def drop_parameter_sets_ahead(self) -> None:
        """Leave out those that wait for their picture: they are of no use."""
        self._ahead = [nal for nal in self._ahead if nal[0] & 0x1F not in _SETS]

    @property
    def waiting_since_s(self) -> float | None:
        """When the last part came of a picture that waits for its end."""
        return self._draft.message.received_s if self._draft is not None else None

    # ---- whole pictures, as nearly all are ----------------------------------------------------

    def _is_whole(self, nals: list[bytes]) -> bool:
        """Whether these are one picture and nothing of another, as far as can be told at once."""
        if self.splits_pictures or self._slices.may_have_fields:
            return False
        has_slice = False
        for nal in nals:
            kind = nal[0] & 0x1F
            if kind in _SLICES:
                if begins_at_zero(nal) == has_slice:
                    return False
                has_slice = True
            elif kind in _SETS:
                self._slices.note(nal)
                if has_slice or self._slices.may_have_fields:
                    return False
            elif has_slice and kind in _BEGINNING:
                return False
        return has_slice

    def _whole(self, data: Data | None, nals: list[bytes], message: MessageFacts) -> AccessUnit:
        kinds = {nal[0] & 0x1F for nal in nals}
        sets: tuple[bytes, ...] = ()
        if kinds & _SETS:
            sets = tuple(nal for nal in nals if nal[0] & 0x1F in _SETS)
        if data is None:
            data = join_avcc(nals, self._length_size)
        is_idr = NalType.IDR in kinds
        can_begin = not is_idr and NalType.SEI in kinds and any(map(is_recovery_point, nals))
        unit = AccessUnit(data, message, is_idr, sets, is_recovery_point=can_begin)
        self._last, self._latest = unit, message.timestamp
        return unit

    # ---- all others ---------------------------------------------------------------------------

    def _end_draft(self) -> list[AccessUnit]:
        draft, self._draft = self._draft, None
        return self._finished(draft) if draft is not None else []

    def _assemble(self, nals: list[bytes], message: MessageFacts) -> list[AccessUnit]:
        done: list[AccessUnit] = []
        is_new_message = True  # no slice of it was seen
        for nal in nals:
            kind = nal[0] & 0x1F
            if kind in _SLICES or kind in _CONTINUING:
                if is_new_message and self._draft is None:
                    self._reopen_last(nal, message)
                if self._draft is not None and self._continues(nal, message, is_new_message):
                    self._append(self._draft, nal, message)
                elif kind in _SLICES:
                    done += self._end_draft()
                    self._begin(nal, message)
                is_new_message = False
                if self._draft is not None and self._draft.is_full:
                    done += self._end_draft()
            elif kind in _TRAILING:
                if self._draft is not None and not self._ahead:
                    self._draft.add(nal)
            else:
                self._wait(nal, kind)
        draft = self._draft
        if draft is not None and (
            draft.is_ended or not (self._waits_for_field(draft) or self.splits_pictures)
        ):
            done += self._end_draft()
        return done

    def _waits_for_field(self, draft: _Draft) -> bool:
        return draft.is_single_field and self._lone_fields < LONE_FIELDS

    def _wait(self, nal: bytes, kind: int) -> None:
        if kind in _SETS:
            self._slices.note(nal)
        if sum(len(ahead) for ahead in self._ahead) + len(nal) > MAX_AHEAD_BYTES:
            self._ahead.clear()
        self._ahead.append(nal)
        draft = self._draft
        if draft is not None and kind in _BEGINNING:
            draft.is_ended = not self._waits_for_field(draft)

    def _begin(self, nal: bytes, message: MessageFacts) -> None:
        draft = _Draft([], message, self._slices.read(nal), latest=message.timestamp)
        for ahead in self._ahead:
            draft.add(ahead)
        self._ahead.clear()
        draft.add(nal)
        self._draft = draft

    def _append(self, draft: _Draft, nal: bytes, message: MessageFacts) -> None:
        for ahead in self._ahead:  # prefix NAL units, or what should not stand between slices
            if ahead[0] & 0x1F != NalType.AUD:
                draft.add(ahead)
        self._ahead.clear()
        draft.add(nal)
        draft.is_ended = False
        if message is not draft.message:
            draft.message = replace(draft.message, received_s=message.received_s)
            draft.is_split = True
            draft.latest = message.timestamp

    def _continues(self, nal: bytes, message: MessageFacts, is_new_message: bool) -> bool:
        """Whether a slice belongs to the draft."""
        draft = self._draft
        assert draft is not None
        is_new_time = is_new_message and abs(message.timestamp - draft.latest) > SAME_TIME_MS
        if nal[0] & 0x1F in _CONTINUING:
            return not is_new_time
        head = self._slices.read(nal)
        if head is None or draft.head is None:
            return not begins_at_zero(nal) and not is_new_time
        if head.is_same_picture(draft.head):
            # Twins occur: IDR pictures whose idr_pic_id never changes.
            if is_new_message and head.first_mb == 0:
                return False
            step_ms = abs(message.timestamp - draft.latest)
            is_next_part = head.first_mb >= draft.last_mb
            is_part = not is_new_time or (is_next_part and step_ms <= PART_TIME_MS)
            if is_part:
                draft.last_mb = head.first_mb
            return is_part
        if draft.fields == 1 and head.is_second_field_of(draft.head):
            draft.fields = 2
            draft.head = head
            draft.last_mb = head.first_mb
            return True
        return False

    def _reopen_last(self, nal: bytes, message: MessageFacts) -> None:
        """Make a draft of the last unit again, if this goes on with it."""
        last, self._last = self._last, None
        is_final, self._is_flushed = self.splits_pictures and not self._is_flushed, False
        is_start = nal[0] & 0x1F in _SLICES and begins_at_zero(nal)
        if last is None or is_start or is_final:
            return
        nals = clean_nals(last.data, self._length_size)[0]
        slices = [known for known in nals if known[0] & 0x1F in _SLICES]
        draft = _Draft([], last.message, self._slices.read(slices[-1]), replaces_last=True)
        draft.latest = self._latest
        draft.last_mb = draft.head.first_mb if draft.head is not None else 0
        for known in nals:
            draft.add(known)
        self._draft = draft
        if self._continues(nal, message, is_new_message=True):
            self.splits_pictures = True
            self._calm = 0
        else:
            self._draft = None

    def _finished(self, draft: _Draft) -> list[AccessUnit]:
        self._calm = 0 if draft.is_split else self._calm + 1
        self._lone_fields = self._lone_fields + 1 if draft.is_single_field else 0
        if self._calm >= CALM:
            self.splits_pictures = False
        try:
            data = join_avcc(draft.nals, self._length_size)
        except AvcError:  # a NAL unit out of start codes that is too long for its length
            return []
        sets = tuple(draft.sets)
        unit = AccessUnit(
            data,
            draft.message,
            draft.is_idr,
            sets,
            draft.replaces_last,
            draft.is_recovery_point and not draft.is_idr,
        )
        self._last, self._latest = unit, draft.latest
        return [unit]


def clean_nals(data: Data, length_size: int) -> tuple[list[bytes], bool]:
    """A message's NAL units without its oddities, and whether it had none.

    Raises AvcError as `nal_spans` and `split_annexb` do.
    """
    data = bytes(data)  # a view cannot be searched
    if looks_like_annexb(data, length_size):
        return split_annexb(data), False
    spans = nal_spans(data, length_size)
    nals: list[bytes] = []
    is_clean = sum(end - begin + length_size for begin, end in spans) == len(data)
    for begin, end in spans:
        if data[end - 1] and _has_start_code(data, begin, end) is None:
            nals.append(data[begin:end])
        else:
            parts = _split_at_start_codes(data[begin:end])
            is_clean = is_clean and parts == [data[begin:end]]
            nals += parts
    return nals, is_clean


def is_recovery_point(nal: bytes) -> bool:
    """Whether an SEI NAL unit holds a recovery point (H.264 D.1.8): decoders can begin there.

    Open GOPs and pictures that are refreshed bit by bit have these in place of IDR pictures.
    """
    return nal[0] & 0x1F == NalType.SEI and holds_recovery_point(nal, 1)


def holds_recovery_point(nal: bytes, at: int) -> bool:
    """Whether one of the payloads of an SEI NAL unit, which begin at `at`, is a recovery point.

    H.264 and H.265 write them alike, and give it the same number (H.265 D.3.8).
    """
    size = len(nal)
    while at + 1 < size and nal[at] != _SEI_STOP:
        kind = length = 0
        while at < size and nal[at] == _SEI_MORE:
            kind, at = kind + _SEI_MORE, at + 1
        if at < size:
            kind, at = kind + nal[at], at + 1
        while at < size and nal[at] == _SEI_MORE:
            length, at = length + _SEI_MORE, at + 1
        if kind == _RECOVERY_POINT:
            return True
        if at < size:
            length, at = length + nal[at], at + 1
        at += length
    return False


def fitting_length_size(data: Data, known: int) -> int | None:
    """Another size of lengths than the record's, if by it a message is NAL units to its last byte.

    Some records say 1 or 2 where lengths of 4 bytes come.
    """
    data = bytes(data)
    for length_size in (size for size in (4, 2, 1, 3) if size != known):
        try:
            spans = nal_spans(data, length_size)
        except AvcError:
            continue
        kinds = [data[begin] for begin, _ in spans]
        is_exact = sum(end - begin + length_size for begin, end in spans) == len(data)
        if is_exact and all(
            0 < kind < 0x80 and 0 < kind & 0x1F <= NalType.FILLER for kind in kinds
        ):
            return length_size
    return None


def clean_config(config: AvcConfig) -> AvcConfig:
    """The configuration with each parameter set in its place.

    Some records hold SPS and PPS in the SPS's entry, with start codes between them.
    """
    entries = (*config.sps, *config.pps)
    parts = [part for entry in entries for part in _split_at_start_codes(entry)]
    sps, pps = parameter_sets_in(parts)
    if len(parts) == len(entries):
        return config
    return replace(config, sps=tuple(sps), pps=tuple(pps))


def _split_at_start_codes(nal: bytes) -> list[bytes]:
    """The NAL units in one that holds start codes, without zero bytes at their ends."""
    parts: list[bytes] = []
    begin = 0
    at = nal.find(_START_CODE)
    while at >= 0:
        behind = at + len(_START_CODE)
        if behind < len(nal) and nal[behind] in _BEGINS_NAL:
            parts.append(nal[begin:at])
            begin = behind
        at = nal.find(_START_CODE, behind)
    parts.append(nal[begin:])
    return [stripped for part in parts if (stripped := part.rstrip(b"\x00"))]
