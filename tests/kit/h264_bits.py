"""H.264 parameter sets and slices made bit by bit: headers as they should be, data of nothing."""

from dataclasses import dataclass

from common.codecs.bits import BitWriter
from common.codecs.h264_sps import parse_sps


@dataclass(frozen=True, slots=True)
class Picture:
    """What slices say of their picture."""

    frame_num: int
    order: int = 0
    is_idr: bool = False
    is_reference: bool = True
    is_field: bool = False
    is_bottom: bool = False
    idr_pic_id: int = 0


def ue(writer: BitWriter, value: int) -> BitWriter:
    """Append an unsigned Exp-Golomb code."""
    return writer.bits(value + 1, 2 * (value + 1).bit_length() - 1)


def escape(nal: bytes) -> bytes:
    """The NAL unit with emulation prevention."""
    out = bytearray()
    zeros = 0
    for byte in nal:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def make_sps(
    *,
    order_type: int = 2,
    interlaced: bool = False,
    width_mbs: int = 20,
    sps_id: int = 0,
    height_mbs: int = 12,
    reference_frames: int = 4,
) -> bytes:
    """A Main profile SPS of 320 luma samples, without VUI."""
    writer = BitWriter().bits(77, 8).bits(0, 8).bits(30, 8)
    ue(writer, sps_id)
    ue(writer, 4)  # frame_num of 8 bits
    ue(writer, order_type)
    if order_type == 0:
        ue(writer, 4)  # 8 bits
    ue(writer, reference_frames)
    writer.bits(0, 1)
    ue(writer, width_mbs - 1)
    ue(writer, height_mbs - 1 if not interlaced else height_mbs // 2 - 1)
    writer.bits(0 if interlaced else 1, 1)
    if interlaced:
        writer.bits(0, 1)
    writer.bits(1, 1).bits(0, 1).bits(0, 1).bits(1, 1)
    return escape(b"\x67" + writer.to_bytes())


def make_pps(pps_id: int = 0, sps_id: int = 0) -> bytes:
    writer = ue(ue(BitWriter(), pps_id), sps_id).bits(1, 1).bits(0, 1)
    for value in (0, 0, 0):
        ue(writer, value)
    return escape(b"\x68" + writer.bits(0, 3).bits(0b1110001, 7).bits(1, 1).to_bytes())


PLAIN_SPS = make_sps()
POC_SPS = make_sps(order_type=0)
INTERLACED_SPS = make_sps(order_type=0, interlaced=True)
PLAIN_PPS = make_pps()


def slice_nal(sps: bytes, picture: Picture, first_mb: int, payload: bytes = b"\x5a") -> bytes:
    """A slice of this picture; `payload` stands for its data."""
    info = parse_sps(sps)
    writer = ue(ue(ue(BitWriter(), first_mb), 7), 0)
    writer.bits(picture.frame_num % (1 << info.frame_num_bits), info.frame_num_bits)
    if info.interlaced:
        writer.bits(picture.is_field, 1)
        if picture.is_field:
            writer.bits(picture.is_bottom, 1)
    if picture.is_idr:
        ue(writer, picture.idr_pic_id)
    if info.picture_order.type == 0:
        bits = info.picture_order.lsb_bits
        writer.bits(picture.order % (1 << bits), bits)
    writer.bits(1, 1)
    kind = 5 if picture.is_idr else 1
    reference = 3 if picture.is_reference or picture.is_idr else 0
    return escape(bytes((reference << 5 | kind,)) + writer.to_bytes() + payload + b"\x80")
