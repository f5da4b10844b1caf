"""HDR and wide gamut to SDR on the host: a part of a filter graph (IO: libavfilter).

`haldclut` looks each sample of R'G'B' up in a cube of `worker.devices.tone_mapping.to_sdr` and
interpolates between its corners. It is done behind scaling: a rendition has fewer samples than its
source.
"""

from fractions import Fraction
from functools import lru_cache
from typing import Final

import av.filter
import numpy as np
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from worker.devices.tone_mapping import colour_table

LEVEL: Final = 8  # of the Hald image: the cube's side is its square
_FORMAT: Final = "gbrp10le"
_MOST: Final = 1023


def add_tone_mapping(
    graph: av.filter.Graph, scaled: FilterContext
) -> tuple[FilterContext, FilterContext]:
    """Link what maps tones behind `scaled`; its end, and where `hald_image` is pushed in once."""
    side = LEVEL**3
    image = graph.add(
        "buffer",
        f"video_size={side}x{side}:pix_fmt={_FORMAT}:time_base=1/1000:pixel_aspect=1/1"
        ":colorspace=0:range=2",
    )
    rgb = graph.add("format", _FORMAT)
    mapped = graph.add("haldclut", "clut=first")
    back = graph.add("scale", "flags=bicubic:out_color_matrix=bt709:out_range=tv")
    scaled.link_to(rgb)
    rgb.link_to(mapped, 0, 0)
    image.link_to(mapped, 0, 1)
    mapped.link_to(back)
    return back, image


@lru_cache(maxsize=3)
def hald_image(transfer: int) -> VideoFrame:
    """The cube as `haldclut` wants it: red changes fastest, then green, then blue."""
    side = LEVEL**3
    table = np.rint(colour_table(LEVEL * LEVEL, transfer) * _MOST).astype(np.uint16)
    rows = table.reshape(side, side, 3)
    frame = VideoFrame(side, side, _FORMAT)
    # libavfilter 8 takes the planes of a Hald image for R, G, B, whatever the format calls them
    for channel, plane in enumerate(frame.planes):
        padded = np.zeros((side, plane.line_size // 2), np.uint16)
        padded[:, :side] = rows[:, :, channel]
        plane.update(padded.tobytes())
    frame.pts, frame.time_base = 0, Fraction(1, 1000)
    return frame
