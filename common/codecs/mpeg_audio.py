"""MPEG audio frames (MP3 and its sisters): how long they are. ISO/IEC 11172-3, 13818-3. Pure."""

from functools import lru_cache

from common.media.units import Data

_HEADER_BYTES = 4
_MAX_FRAMES = 64  # of a message: what is more is not looked at
_RATES = (44_100, 48_000, 32_000)
_VERSION_1, _VERSION_2, _VERSION_2_5 = 3, 2, 0
_LAYER_1, _LAYER_2, _LAYER_3 = 3, 2, 1
# kbit/s by version 1 or a later one, and layer (11172-3 2.4.2.3, 13818-3 2.4.2.3)
_LOW_LAYER_1 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBITS = {
    (True, _LAYER_1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, _LAYER_2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER_3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER_1): _LOW_LAYER_1,
    (False, _LAYER_2): _LOW,
    (False, _LAYER_3): _LOW,
}


def mpeg_audio_ms(data: Data) -> float | None:
    """The length of all frames in a message, in ms; None where they cannot be read."""
    total_ms = 0.0
    at = 0
    for _ in range(_MAX_FRAMES):
        header = bytes(data[at : at + _HEADER_BYTES])
        if len(header) < _HEADER_BYTES:
            break
        frame = _frame(header)
        if frame is None:
            break
        length_ms, size = frame
        total_ms += length_ms
        if not size:  # free format: nothing tells where the next one begins
            break
        at += size
    return total_ms or None


@lru_cache(maxsize=1024)
def _frame(header: bytes) -> tuple[float, int] | None:
    """The length in ms and the size in bytes, 0 for one that is not told, of a frame."""
    if header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate_index, bitrate_index = header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or layer == 0 or rate_index == 3 or bitrate_index == 15:
        return None
    is_1 = version == _VERSION_1
    rate = _RATES[rate_index] // {_VERSION_1: 1, _VERSION_2: 2, _VERSION_2_5: 4}[version]
    if layer == _LAYER_1:
        samples, slot = 384, 4
    else:
        samples, slot = (1152 if is_1 or layer == _LAYER_2 else 576), 1
    bits = _KBITS[is_1, layer][bitrate_index] * 1000
    size = (samples // 8 // slot * bits // rate + (header[2] >> 1 & 1)) * slot
    return samples * 1000 / rate, size if bits else 0
