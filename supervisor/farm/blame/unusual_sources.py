"""Which sources are out of the usual, so that they run apart for their first seconds. Pure.

What nearly all publishers send is decoded all day long. A header that is out of it, by a fault or
on purpose, reaches code of a decoder that hardly anybody has tried.
"""

from common.config.ladder import SourceFormat

_PROFILES = frozenset({66, 77, 100})  # Baseline, Main, High
_LEVELS = range(9, 53)  # 1b to 5.2
_PIXELS = 4096 * 2304  # of level 5.2
_SHORT_SIDE = 48  # of the smallest pictures that cameras send
_REFERENCES = 8  # x264's "slower"
_BITS = 12  # a pixel: 4:2:0 of 8 bits


def is_large(source: SourceFormat) -> bool:
    """Whether one picture may take the host's cores so long that a worker seems to hang."""
    return source.width * source.height > _PIXELS


def why_unusual(source: SourceFormat, codec: str) -> str:
    """What is out of the usual, in words; "": nothing. `codec` is an RFC 6381 name."""
    if source.width * source.height > _PIXELS or min(source.width, source.height) < _SHORT_SIDE:
        return f"a picture of {source.width}x{source.height}"
    if source.reference_frames > _REFERENCES:
        return f"{source.reference_frames} reference frames"
    if source.bits_per_pixel != _BITS:
        return f"{source.bits_per_pixel} bits a pixel"
    name, _, numbers = codec.partition(".")
    if name != "avc1" or len(numbers) != 6:
        return ""
    profile, level = int(numbers[:2], 16), int(numbers[4:], 16)
    if profile not in _PROFILES:
        return f"H.264 profile {profile}"
    return f"H.264 level {level / 10:g}" if level not in _LEVELS else ""
