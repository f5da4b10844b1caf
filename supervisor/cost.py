"""What a stream costs, and what a device has, in the unit of placement. Pure.

The unit is one megapixel encoded a second; a decoded one counts 0.15. A 720p30 source on the
built-in ladder costs about 51, a 1080p60 reservation for it about 66. A host core is taken as 100
units: libx264 veryfast encodes about 60 720p frames a second on one, scaling and decoding
beside it, with a reserve. Costs by hand (`cost = …`) and capacities by hand (`capacity = …`)
replace these numbers; `tfarm calibrate` measures them.

A stream draws on other resources on each path, so its cost is kept in parts until the path is
known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from common.ladder import Path, SourceFormat, Template, fit_ladder

DECODE_WEIGHT = 0.15
CAPACITY_PER_CORE = 100.0
# Without calibration: about 85 % of the decode ceiling seen on an H100 (3,500 frames/s of 1080p).
GPU_CAPACITY = 900.0
# A session's CUDA memory: fixed part, and NV12 surfaces of the source's size that it holds.
# An estimate until calibration: decoder and encoder of a 1080p stream took 26.6 and 1.8 MiB.
SESSION_MEMORY_BYTES = 64 * 1024**2
SESSION_SURFACES = 24


class Resource(StrEnum):
    """What can run out. LOAD and MEMORY are a device's own, the others the whole host's."""

    LOAD = "load"  # of a GPU, in units
    MEMORY = "memory"  # of a GPU, in bytes
    CORES = "cores"  # the host's cores, in units
    SESSIONS = "encoder sessions"  # NVENC, counted host-wide as GeForce drivers do


HOST_WIDE = frozenset({Resource.CORES, Resource.SESSIONS})

Amounts = Mapping[Resource, float]


@dataclass(frozen=True, slots=True)
class StreamCost:
    """One stream's cost in parts."""

    decode: float  # units
    encode: float  # units
    rungs: int
    source_bytes: float  # of one decoded NV12 picture

    @property
    def total(self) -> float:
        return self.decode + self.encode


def stream_cost(template: Template, source: SourceFormat | None) -> StreamCost:
    """The cost of a source on a template; before the source is known, of the largest it may be.

    A template's cost by hand is for the whole stream, whatever its source; a rendition's replaces
    the pixel rate of its rung.
    """
    max_width, max_height, max_fps = template.max_source
    if source is None:
        source = SourceFormat(max_width, max_height, fps=Fraction(max_fps))
        names = [rendition.name for rendition in template.renditions]
        sizes = {r.name: (r.width, r.height) for r in template.renditions}
    else:
        ladder = fit_ladder(template, source)
        names = [rung.name for rung in ladder.rungs]
        sizes = {rung.name: (rung.width, rung.height) for rung in ladder.rungs}
    source_fps = source.fps or Fraction(max_fps)
    decode = DECODE_WEIGHT * _megapixels(source.width, source.height, source_fps)
    encode = 0.0
    for rendition in template.renditions:
        if rendition.name not in sizes:
            continue
        fps = min(rendition.fps, source_fps) if rendition.fps is not None else source_fps
        by_rate = _megapixels(*sizes[rendition.name], fps)
        encode += rendition.cost if rendition.cost is not None else by_rate
    if template.cost is not None:
        share = template.cost / (decode + encode)
        decode, encode = decode * share, encode * share
    return StreamCost(decode, encode, len(names), source.width * source.height * 1.5)


def amounts(cost: StreamCost, path: Path) -> Amounts:
    """What the stream draws on when it goes that path."""
    memory = SESSION_MEMORY_BYTES + SESSION_SURFACES * cost.source_bytes
    match path:
        case Path.GPU_ONLY:
            return {
                Resource.LOAD: cost.total,
                Resource.MEMORY: memory,
                Resource.SESSIONS: float(cost.rungs),
            }
        case Path.HYBRID:
            return {
                Resource.LOAD: cost.decode,
                Resource.MEMORY: memory,
                Resource.CORES: cost.encode,
            }
        case Path.SOFTWARE:
            return {Resource.CORES: cost.total}
        case Path.PASSTHROUGH | Path.REFUSE:
            return {}


def _megapixels(width: int, height: int, fps: Fraction) -> float:
    return float(width * height * fps) / 1e6
