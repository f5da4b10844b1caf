"""Unregistered user data (H.264 D.1.7, H.265 D.2.7): what a publisher writes on a picture. Pure.

Time codes, positions, questions of a quiz: a UUID of 16 bytes says what the bytes behind it are. A
template names the UUIDs that it passes on; every other message stays behind, since most tell of the
publisher's coding (x264 writes its options so).
"""

from collections.abc import Callable, Iterable
from uuid import UUID

from common.codecs import h265
from common.codecs.h264 import NalType, nal_spans
from common.errors import AvcError
from common.media.units import Data, VideoCodec
from common.sei.messages import USER_DATA_UNREGISTERED, sei_messages, sei_nal

MAX_PICTURE_BYTES = 4096  # of a picture's messages, their UUIDs included; what is beyond is left
_UUID_BYTES = 16

UserData = tuple[bytes, ...]  # each begins with its UUID


def user_data_in(codec: VideoCodec, uuids: Iterable[str]) -> Callable[[Data, int], UserData]:
    """The function that finds messages of these UUIDs in a codec's units.

    It takes a unit and the size of its NAL units' lengths. Its answer holds whole messages in
    their order, at most `MAX_PICTURE_BYTES` of them: one that does not fit is left out. Nothing is
    found in units that cannot be read (the decoder is who complains of them), and in codecs without
    SEI.
    """
    wanted = frozenset(UUID(uuid).bytes for uuid in uuids)
    if not wanted or codec not in (VideoCodec.H264, VideoCodec.H265):
        return _nothing
    find = _in_h265 if codec is VideoCodec.H265 else _in_h264

    def found(unit: Data, length_size: int) -> UserData:
        kept, left = [], MAX_PICTURE_BYTES
        try:
            for payload in find(unit, length_size):
                if payload[:_UUID_BYTES] in wanted and len(payload) <= left:
                    kept.append(payload)
                    left -= len(payload)
        except AvcError:
            return ()
        return tuple(kept)

    return found


def user_data_unit(codec: VideoCodec, messages: Iterable[bytes]) -> bytes:
    """The NAL unit, with its length of four bytes, that has these messages before a picture."""
    nal = sei_nal(codec, ((USER_DATA_UNREGISTERED, message) for message in messages))
    return len(nal).to_bytes(4, "big") + nal


def _nothing(unit: Data, length_size: int) -> UserData:
    del unit, length_size
    return ()


def _in_h264(unit: Data, length_size: int) -> Iterable[bytes]:
    for begin, end in nal_spans(unit, length_size):
        kind = unit[begin] & 0x1F
        if kind == NalType.SEI:
            yield from _unregistered(unit[begin:end], 1)
        elif kind in (NalType.SLICE, NalType.IDR):
            break  # SEI stand before the picture (H.264 7.4.1.2.3)


def _in_h265(unit: Data, length_size: int) -> Iterable[bytes]:
    """Behind a picture too, as suffix SEI (H.265 D.3.1)."""
    for begin, end in nal_spans(unit, length_size):
        if unit[begin] >> 1 & 0x3F in (h265.NalType.PREFIX_SEI, h265.NalType.SUFFIX_SEI):
            yield from _unregistered(unit[begin:end], 2)


def _unregistered(nal: Data, header_bytes: int) -> Iterable[bytes]:
    for kind, payload in sei_messages(bytes(nal), header_bytes):
        if kind == USER_DATA_UNREGISTERED:
            yield payload
