"""AV1 outside the decoder, as far as fMP4 needs it: the AV1 configuration record.

AV1CodecConfigurationRecord is 2.3.3 of "AV1 Codec ISO Media File Format Binding". The pictures of
this codec are not taken in, so no OBU is read. Pure; Av1Error for what cannot be read.
"""

from typing import Final

from common.errors import Av1Error

_HEAD_BYTES: Final = 4
_VERSION_1: Final = 0x81  # behind a marker bit
_PLAIN: Final = (0, "110")  # colour, and 4:2:0 whose place is not told


def codec_string_of_record(record: bytes) -> str:
    """The RFC 6381 codec string (section 5 there), such as "av01.0.04M.08". Raises Av1Error.

    Colour is not told: what it is stands in the sequence header.
    """
    if len(record) < _HEAD_BYTES:
        raise Av1Error(
            f"AV1 configuration of {len(record)} bytes, {_HEAD_BYTES} at least are needed"
        )
    if record[0] != _VERSION_1:
        raise Av1Error(f"AV1 configuration begins with {record[0]:02x}, 81 is known")
    profile, level = record[1] >> 5, record[1] & 0x1F
    flags = record[2]
    bits = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    name = f"av01.{profile}.{level:02}{'H' if flags & 0x80 else 'M'}.{bits:02}"
    is_monochrome = flags >> 4 & 1
    sampling = f"{flags >> 3 & 1}{flags >> 2 & 1}{flags & 3 if flags & 0xC == 0xC else 0}"
    # all that is optional, or nothing of it; the last four are what is meant where they are absent
    if (is_monochrome, sampling) == _PLAIN:
        return name
    return f"{name}.{is_monochrome}.{sampling}.01.01.01.0"
