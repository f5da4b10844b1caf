"""H.265 outside the decoder, as far as fMP4 needs it: the HEVC configuration record.

HEVCDecoderConfigurationRecord is ISO/IEC 14496-15's (8.3.3.1). The pictures of this codec are not
taken in, so no parameter set is read. Pure; HevcError for what cannot be read.
"""

from typing import Final

from common.errors import HevcError

_HEAD_BYTES: Final = 23  # up to the number of arrays
_COMPLETE: Final = 0x80  # array_completeness
_CONSTRAINTS: Final = slice(6, 12)


def codec_string_of_record(record: bytes) -> str:
    """The RFC 6381 codec string (14496-15, E.3), such as "hvc1.1.6.L93.B0". Raises HevcError."""
    _check(record)
    space, tier, profile = record[1] >> 6, record[1] >> 5 & 1, record[1] & 0x1F
    flags = int(f"{int.from_bytes(record[2:6], 'big'):032b}"[::-1], 2)  # in reverse order
    parts = [
        "hvc1",
        f"{('', 'A', 'B', 'C')[space]}{profile}",
        f"{flags:X}",
        f"{'H' if tier else 'L'}{record[12]}",
    ]
    parts += [f"{byte:X}" for byte in record[_CONSTRAINTS].rstrip(b"\0")]
    return ".".join(parts)


def with_complete_arrays(record: bytes) -> bytes:
    """The record as a sample entry `hvc1` has it: all parameter sets stand in it (8.4.1.1).

    Raises HevcError.
    """
    _check(record)
    written = bytearray(record)
    at = _HEAD_BYTES
    for _ in range(record[_HEAD_BYTES - 1]):
        if at + 3 > len(record):
            raise HevcError(f"HEVC configuration of {len(record)} bytes ends within its arrays")
        written[at] |= _COMPLETE
        count = int.from_bytes(record[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            at += 2 + int.from_bytes(record[at : at + 2], "big")
            if at > len(record):
                raise HevcError(f"NAL unit ends beyond the HEVC configuration of {len(record)}")
    return bytes(written)


def _check(record: bytes) -> None:
    if len(record) < _HEAD_BYTES:
        raise HevcError(
            f"HEVC configuration of {len(record)} bytes, {_HEAD_BYTES} at least are needed"
        )
    if record[0] > 1:  # 0 by early encoders
        raise HevcError(f"HEVC configuration version {record[0]}, 1 is known")
