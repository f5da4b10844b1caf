"""How HDR and wide gamut become what renditions of 8 bits show: BT.709, by its functions. Pure.

Renditions are SDR. A source of PQ (SMPTE ST 2084), of HLG (ARIB STD-B67), both as ITU-R BT.2100 has
them, or of BT.2020's primaries is brought there sample by sample:

1. R'G'B' to light in cd/m²: PQ by its EOTF; HLG by its inverse OETF and an OOTF for a display of
   `PEAK_NITS`, gamma 1.2; all else by BT.1886 (gamma 2.4) with white at `WHITE_NITS`, the diffuse
   white of BT.2408.
2. What is brighter than that is compressed by the EETF of BT.2390 (5.4.1): in PQ, from `PEAK_NITS`
   to `WHITE_NITS`, the largest of R, G and B leading, so that hues stay. What is darker than the
   knee, about 90 cd/m², stays as it is.
3. BT.2020's primaries to BT.709's (BT.2087); what lies outside is cut off.
4. Light to R'G'B' by the inverse of BT.1886.

What the source says of its mastering display is not looked at: of two sources with the same samples
renditions are the same.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.media.pictures import PictureFormat

BT709: Final = 1
BT2020: Final = 9  # primaries, and the matrix without constant luminance
PQ: Final = 16
HLG: Final = 18
PEAK_NITS: Final = 1000.0
WHITE_NITS: Final = 203.0
GAMMA: Final = 2.4
HLG_GAMMA: Final = 1.2

# ST 2084
PQ_M1: Final = 2610 / 16384
PQ_M2: Final = 2523 / 4096 * 128
PQ_C1: Final = 3424 / 4096
PQ_C2: Final = 2413 / 4096 * 32
PQ_C3: Final = 2392 / 4096 * 32
PQ_NITS: Final = 10_000.0
# ARIB STD-B67
HLG_A: Final = 0.17883277
HLG_B: Final = 1 - 4 * HLG_A
HLG_C: Final = 0.55991073
LUMA_2020: Final = (0.2627, 0.6780, 0.0593)
# BT.2087, table 2: linear light of BT.2020 to BT.709
TO_709: Final = (
    (1.660491, -0.587641, -0.072850),
    (-0.124550, 1.132900, -0.008349),
    (-0.018151, -0.100579, 1.118730),
)

Samples = NDArray[np.float64]


def needs_mapping(pictures: PictureFormat) -> bool:
    """Whether renditions cannot show a source's samples as they are."""
    return pictures.colour_transfer in (PQ, HLG) or pictures.colour_primaries == BT2020


def shown_format(pictures: PictureFormat) -> PictureFormat:
    """What renditions of a source are made of: 4:2:0 of 8 bits; of BT.709 where it is mapped."""
    shown = replace(_plain(pictures), chroma_format=1, bit_depth=8, bit_depth_chroma=8)
    if not needs_mapping(pictures):
        return shown
    return replace(
        shown,
        full_range=False,
        colour_primaries=BT709,
        colour_transfer=BT709,
        colour_matrix=BT709,
    )


def _plain(pictures: PictureFormat) -> PictureFormat:
    """What all codecs tell of pictures, without what one alone tells."""
    names = PictureFormat.__dataclass_fields__
    return PictureFormat(**{name: getattr(pictures, name) for name in names})


def pq_to_nits(samples: Samples) -> Samples:
    """The EOTF of ST 2084."""
    root = np.maximum(samples, 0.0) ** (1 / PQ_M2)
    light = np.maximum(root - PQ_C1, 0.0) / (PQ_C2 - PQ_C3 * root)
    return np.asarray(PQ_NITS * light ** (1 / PQ_M1))


def nits_to_pq(nits: Samples) -> Samples:
    """Its inverse."""
    root = np.maximum(nits / PQ_NITS, 0.0) ** PQ_M1
    return np.asarray(((PQ_C1 + PQ_C2 * root) / (1 + PQ_C3 * root)) ** PQ_M2)


def hlg_to_nits(rgb: Samples) -> Samples:
    """The inverse OETF and the OOTF of BT.2100; the last axis is R, G, B."""
    samples = np.clip(rgb, 0.0, 1.0)
    scene = np.where(
        samples <= 0.5, samples**2 / 3, (np.exp((samples - HLG_C) / HLG_A) + HLG_B) / 12
    )
    luma = scene @ np.array(LUMA_2020)
    return np.asarray(PEAK_NITS * luma[..., None] ** (HLG_GAMMA - 1) * scene)


def compressed(nits: Samples) -> Samples:
    """BT.2390's EETF from `PEAK_NITS` to `WHITE_NITS`, both black at 0."""
    peak = float(nits_to_pq(np.array(PEAK_NITS)))
    most = float(nits_to_pq(np.array(WHITE_NITS))) / peak
    knee = 1.5 * most - 0.5
    level = np.minimum(nits_to_pq(nits) / peak, 1.0)
    t = np.clip((level - knee) / (1 - knee), 0.0, 1.0)
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return pq_to_nits(np.where(level < knee, level, curve) * peak)


def to_sdr(rgb: Samples, transfer: int) -> Samples:
    """R'G'B' of BT.2020 and this transfer to R'G'B' of BT.709, both from 0 to 1, last axis RGB."""
    if transfer == PQ:
        nits = pq_to_nits(rgb)
    elif transfer == HLG:
        nits = hlg_to_nits(rgb)
    else:
        nits = WHITE_NITS * np.clip(rgb, 0.0, 1.0) ** GAMMA
    if transfer in (PQ, HLG):
        largest = np.maximum(nits.max(axis=-1, keepdims=True), 1e-6)
        nits = nits * (compressed(largest) / largest)
    light = (nits / WHITE_NITS) @ np.array(TO_709).T
    return np.asarray(np.clip(light, 0.0, 1.0) ** (1 / GAMMA))


@lru_cache(maxsize=3)
def colour_table(size: int, transfer: int) -> Samples:
    """`to_sdr` at every step of a cube: shape (blue, green, red, 3)."""
    steps = np.linspace(0.0, 1.0, size)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    return to_sdr(np.stack([red, green, blue], axis=-1), transfer)
