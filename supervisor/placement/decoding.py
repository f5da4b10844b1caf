"""What a device decodes, as its worker announces it, and whether a source is that. Pure.

So a stream begins where it can be decoded, and not where that is found out when it is opened. What
is not announced here, a device may still refuse (`supervisor/farm/recovery/unfit_devices.py`).
"""

from collections.abc import Sequence
from typing import Final

from common.config.ladder import SourceFormat
from common.media.pictures import DecodeLimits
from common.media.units import VideoCodec

_CODECS: Final = {"avc1": VideoCodec.H264, "hvc1": VideoCodec.H265, "av01": VideoCodec.AV1}
_CHROMA: Final = {0: "monochrome", 1: "4:2:0", 2: "4:2:2", 3: "4:4:4"}


def why_not_decoded(
    announced: Sequence[DecodeLimits], source: SourceFormat | None, codec: str
) -> str:
    """Why a device cannot decode a source, in words; "": it can, or that is not known.

    `codec` is an RFC 6381 name. A device that announces nothing decodes all that is taken in.
    """
    known = _CODECS.get(codec[:4])
    if not announced or source is None or known is None:
        return ""
    of_codec = [limits for limits in announced if limits.codec is known]
    if not of_codec:
        return f"it decodes no {known.label}"
    if source.chroma_format != 1:
        chroma = _CHROMA.get(source.chroma_format, str(source.chroma_format))
        return f"it decodes no {known.label} of {chroma}"
    of_depth = [limits for limits in of_codec if limits.bit_depth == source.bit_depth]
    if not of_depth:
        return f"it decodes no {known.label} of {source.bit_depth} bits"
    profile = _profile(known, codec)
    fitting = [one for one in of_depth if not one.profiles or profile in (None, *one.profiles)]
    if not fitting:
        return f"it decodes no {known.label} of profile {profile}"
    return "" if any(_has_size(one, source) for one in fitting) else _size_words(fitting, source)


def _profile(known: VideoCodec, codec: str) -> int | None:
    """H.264's profile_idc; None where it is not told, and of other codecs."""
    if known is not VideoCodec.H264:
        return None
    try:
        return int(codec[5:7], 16)
    except ValueError:
        return None


def _has_size(limits: DecodeLimits, source: SourceFormat) -> bool:
    return (
        limits.min_width <= source.width <= limits.max_width
        and limits.min_height <= source.height <= limits.max_height
    )


def _size_words(fitting: Sequence[DecodeLimits], source: SourceFormat) -> str:
    limits = fitting[0]
    return (
        f"{source.width}x{source.height} is not within the {limits.min_width}x{limits.min_height}"
        f" to {limits.max_width}x{limits.max_height} that it decodes"
    )
