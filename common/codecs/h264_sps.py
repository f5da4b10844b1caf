"""H.264 sequence parameter sets (ITU-T H.264 7.3.2.1.1 and annex E): what a stream's pictures are.

Reads size with cropping, sample aspect ratio, rate, reorder depth, colour. Pure; raises AvcError
for what cannot be read, except that a damaged VUI, which some encoders write, only loses what it
says.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from common.codecs.bits import BitReader
from common.codecs.vui import Vui, read_signal
from common.errors import AvcError
from common.media.pictures import PictureFormat

# Profiles whose SPS carries chroma format, bit depths and scaling matrices (7.3.2.1.1).
HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})

MAX_SPS_BYTES = 4096
MAX_PICTURE_SIDE = 16_384  # the largest side of level 6.2

# Intra-only when constraint_set3 is set, so nothing is reordered (E.2.1, max_num_reorder_frames).
_INTRA_CAPABLE_PROFILES = frozenset({44, 86, 100, 110, 122, 244})


@dataclass(frozen=True, slots=True)
class PictureOrder:
    """How slice headers tell the order of pictures (8.2.1)."""

    type: int = 2
    lsb_bits: int = 0  # type 0
    delta_always_zero: bool = False  # type 1


@dataclass(frozen=True, slots=True)
class SpsInfo(PictureFormat):
    """What an SPS tells; where frame_mbs_only_flag is 0, fields or MBAFF may occur."""

    sps_id: int = 0
    separate_planes: bool = False
    frame_num_bits: int = 4
    picture_order: PictureOrder = PictureOrder()
    reference_frames: int = 0


def unescape(nal: bytes) -> bytes:
    """The NAL unit without its emulation prevention bytes (7.4.1: 00 00 03 stands for 00 00)."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00")


@lru_cache(maxsize=256)  # some send theirs with every picture, and a long one takes milliseconds
def parse_sps(nal: bytes) -> SpsInfo:  # long: the fields of 7.3.2.1.1, in their order
    """Read an SPS NAL unit, header byte and emulation prevention included.

    Raises AvcError when it is no SPS, is cut short before its VUI, or has an impossible size.
    """
    if not nal or nal[0] & 0x1F not in (7, 15):
        raise AvcError("NAL unit that is no SPS")
    if len(nal) > MAX_SPS_BYTES:
        raise AvcError(f"SPS of {len(nal)} bytes exceeds {MAX_SPS_BYTES}")
    reader = BitReader(unescape(nal)[1:], AvcError)
    profile, compat, level = reader.bits(8), reader.bits(8), reader.bits(8)
    sps_id = reader.ue()
    if sps_id > 31:
        raise AvcError(f"SPS id {sps_id} exceeds 31")
    chroma_format, separate_planes, depth_luma, depth_chroma = 1, False, 8, 8
    if profile in HIGH_PROFILES:
        chroma_format = reader.ue()
        if chroma_format > 3:
            raise AvcError(f"chroma format {chroma_format} exceeds 3")
        separate_planes = chroma_format == 3 and reader.flag()
        depth_luma, depth_chroma = reader.ue() + 8, reader.ue() + 8
        if max(depth_luma, depth_chroma) > 14:
            raise AvcError(f"bit depth {max(depth_luma, depth_chroma)} exceeds 14")
        reader.flag()  # qpprime_y_zero_transform_bypass_flag
        if reader.flag():
            _skip_scaling_lists(reader, 12 if chroma_format == 3 else 8)
    frame_num_bits = reader.ue() + 4
    order = _read_picture_order(reader)
    reference_frames = reader.ue()
    reader.flag()  # gaps_in_frame_num_value_allowed_flag
    width_mbs, height_units = reader.ue() + 1, reader.ue() + 1
    frame_mbs_only = reader.flag()
    if not frame_mbs_only:
        reader.flag()  # mb_adaptive_frame_field_flag
    reader.flag()  # direct_8x8_inference_flag
    crop = [reader.ue() for _ in range(4)] if reader.flag() else [0, 0, 0, 0]
    # ChromaArrayType, as 7.4.2.1.1 has it: separate planes are coded like monochrome.
    chroma_array = 0 if separate_planes else chroma_format
    crop_x = 2 if chroma_array in (1, 2) else 1
    crop_y = (2 if chroma_array == 1 else 1) * (1 if frame_mbs_only else 2)
    coded_width = 16 * width_mbs
    coded_height = 16 * height_units * (1 if frame_mbs_only else 2)
    if max(coded_width, coded_height) > MAX_PICTURE_SIDE:
        raise AvcError(f"picture of {coded_width}x{coded_height} exceeds {MAX_PICTURE_SIDE}")
    width = coded_width - crop_x * (crop[0] + crop[1])
    height = coded_height - crop_y * (crop[2] + crop[3])
    if width <= 0 or height <= 0:
        raise AvcError(f"cropping leaves a picture of {width}x{height}")
    vui = Vui()
    if reader.remaining and reader.flag():
        _read_vui(reader, vui)
    intra_only = profile in _INTRA_CAPABLE_PROFILES and bool(compat & 0x10)
    if vui.reorder_frames is None and (order.type == 2 or intra_only):
        vui.reorder_frames = 0
    return SpsInfo(
        width=width,
        height=height,
        sar=vui.sar,
        profile=profile,
        compat=compat,
        level=level,
        fps=vui.fps,
        reorder_frames=vui.reorder_frames,
        interlaced=not frame_mbs_only,
        chroma_format=chroma_format,
        bit_depth=depth_luma,
        bit_depth_chroma=depth_chroma,
        full_range=vui.full_range,
        colour_primaries=vui.primaries,
        colour_transfer=vui.transfer,
        colour_matrix=vui.matrix,
        sps_id=sps_id,
        separate_planes=separate_planes,
        frame_num_bits=frame_num_bits,
        picture_order=order,
        reference_frames=reference_frames,
    )


def _skip_scaling_lists(reader: BitReader, count: int) -> None:
    for index in range(count):
        if not reader.flag():
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + reader.se()) % 256
            last = following or last


def _read_picture_order(reader: BitReader) -> PictureOrder:
    poc_type = reader.ue()
    match poc_type:
        case 0:
            return PictureOrder(0, lsb_bits=reader.ue() + 4)
        case 1:
            delta_always_zero = reader.flag()
            reader.se()  # offset_for_non_ref_pic
            reader.se()  # offset_for_top_to_bottom_field
            cycle = reader.ue()
            if cycle > 255:
                raise AvcError(f"picture order cycle of {cycle} exceeds 255")
            for _ in range(cycle):
                reader.se()
            return PictureOrder(1, delta_always_zero=delta_always_zero)
        case 2:
            return PictureOrder(2)
        case _:
            raise AvcError(f"picture order type {poc_type} exceeds 2")


def _read_vui(reader: BitReader, vui: Vui) -> None:
    """Fill `vui` as far as the parameters can be read (E.1.1)."""
    try:
        _read_vui_fields(reader, vui)
    except AvcError:
        return


def _read_vui_fields(reader: BitReader, vui: Vui) -> None:
    read_signal(reader, vui)
    if reader.flag():
        units, scale = reader.bits(32), reader.bits(32)
        reader.flag()  # fixed_frame_rate_flag
        if units and scale:
            vui.fps = Fraction(scale, 2 * units)  # a tick is a field's time
    nal_hrd = reader.flag()
    if nal_hrd:
        _skip_hrd(reader)
    vcl_hrd = reader.flag()
    if vcl_hrd:
        _skip_hrd(reader)
    if nal_hrd or vcl_hrd:
        reader.flag()  # low_delay_hrd_flag
    reader.flag()  # pic_struct_present_flag
    if reader.flag():
        reader.flag()  # motion_vectors_over_pic_boundaries_flag
        for _ in range(4):
            reader.ue()  # max_bytes_per_pic_denom to log2_max_mv_length_vertical
        reorder = reader.ue()
        vui.reorder_frames = reorder if reorder <= 16 else None


def _skip_hrd(reader: BitReader) -> None:
    count = reader.ue() + 1
    if count > 32:
        raise AvcError(f"HRD of {count} buffers exceeds 32")
    reader.bits(8)  # bit_rate_scale, cpb_size_scale
    for _ in range(count):
        reader.ue()  # bit_rate_value_minus1
        reader.ue()  # cpb_size_value_minus1
        reader.flag()  # cbr_flag
    reader.bits(20)  # four fields of 5 bits
