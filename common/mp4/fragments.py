"""Movie fragments: `moof` and `mdat` of some samples. Pure.

Section numbers are of ISO/IEC 14496-12. Each fragment says where its samples stand in time and
where they lie from its own begin on, so that one can be played without those before it.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from common.media.units import Data
from common.mp4.boxes import HEADER_BYTES, box, full_box, header

_BASE_IS_MOOF: Final = 0x020000  # of tfhd (8.8.7)
_DATA_OFFSET, _DURATION, _SIZE, _FLAGS, _COMPOSITION = 1, 0x100, 0x200, 0x400, 0x800  # of trun
_RUN_FLAGS: Final = _DATA_OFFSET | _DURATION | _SIZE | _FLAGS | _COMPOSITION
_KEY: Final = 0x02000000  # depends on no other (8.6.4.3)
_NOT_KEY: Final = 0x01010000  # depends on others, is no sync sample (8.8.3.1)
_SAMPLE: Final = struct.Struct(">IIIi")
_TRACK_BYTES: Final = 64  # of traf with its boxes, but for the samples of trun


class Sample(NamedTuple):
    """One coded picture or frame of sound; times in units of its track's timescale."""

    data: Data
    duration: int  # up to the next one's decode time
    composition: int  # PTS - DTS
    is_key: bool


class Run(NamedTuple):
    """Samples of one track, one right behind the other."""

    track: int
    begin: int  # the first one's decode time
    samples: Sequence[Sample]


def fragment(number: int, runs: Sequence[Run]) -> bytes:
    """One fragment; `number` grows from each to the next (8.8.5)."""
    sizes = [sum(len(sample.data) for sample in run.samples) for run in runs]
    head = full_box(b"mfhd", 0, 0, struct.pack(">I", number & 0xFFFFFFFF))
    # offsets count from the begin of moof
    at = 2 * HEADER_BYTES + len(head)
    at += sum(_TRACK_BYTES + _SAMPLE.size * len(run.samples) for run in runs)
    tracks = []
    for run, size in zip(runs, sizes, strict=True):
        tracks.append(_track(run, at))
        at += size
    data = [sample.data for run in runs for sample in run.samples]
    return b"".join((box(b"moof", head, *tracks), header(b"mdat", sum(sizes)), *data))


def _track(run: Run, offset: int) -> bytes:
    samples = b"".join(
        _SAMPLE.pack(duration & 0xFFFFFFFF, len(data), _KEY if is_key else _NOT_KEY, composition)
        for data, duration, composition, is_key in run.samples
    )
    return box(
        b"traf",
        full_box(b"tfhd", 0, _BASE_IS_MOOF, struct.pack(">I", run.track)),
        full_box(b"tfdt", 1, 0, struct.pack(">Q", run.begin)),
        full_box(b"trun", 1, _RUN_FLAGS, struct.pack(">Ii", len(run.samples), offset), samples),
    )
