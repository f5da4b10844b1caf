"""H.265 sequence parameter sets (ITU-T H.265 7.3.2.2 and annex E): what a stream's pictures are.

Reads size with the conformance window, sample aspect ratio, rate, depth, reordering, colour. Pure;
raises HevcError for what cannot be read, except that a damaged VUI only loses what it says.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from common.codecs.bits import BitReader
from common.codecs.h264_sps import unescape
from common.codecs.vui import Vui, read_signal
from common.errors import HevcError
from common.media.pictures import PictureFormat

MAX_SPS_BYTES: Final = 4096
MAX_PICTURE_SIDE: Final = 16_384
_SPS: Final = 33
_GENERAL_BITS: Final = 88  # of profile and tier, without the level (7.3.3)
_MAX_SETS: Final = 64  # of short-term reference pictures (7.4.3.2.1)
_MAX_PICTURES: Final = 16  # in the decoded picture buffer (A.4.2)


@dataclass(frozen=True, slots=True)
class HevcSps(PictureFormat):
    """What an SPS tells; `profile` is general_profile_idc, `level` 30 times the level's number."""

    sps_id: int = 0
    temporal_layers: int = 1
    is_temporally_nested: bool = False
    general: bytes = b""  # profile, compatibility, constraints, level: 12 bytes as in a record
    reference_frames: int = 0


@lru_cache(maxsize=256)  # some send theirs with every picture
def parse_sps(nal: bytes) -> HevcSps:  # long: the fields of 7.3.2.2.1, in their order
    """Read an SPS NAL unit, header and emulation prevention included.

    Raises HevcError when it is no SPS, is cut short before its VUI, or has an impossible size.
    """
    if len(nal) < 2 or nal[0] >> 1 & 0x3F != _SPS:
        raise HevcError("NAL unit that is no SPS")
    if len(nal) > MAX_SPS_BYTES:
        raise HevcError(f"SPS of {len(nal)} bytes exceeds {MAX_SPS_BYTES}")
    plain = unescape(nal)
    reader = BitReader(plain[2:], HevcError)
    reader.bits(4)  # sps_video_parameter_set_id
    layers = reader.bits(3) + 1
    is_nested = reader.flag()
    general = plain[3:15]
    profile, level = _skip_profile_tier_level(reader, layers)
    sps_id = _limited(reader.ue(), 15, "SPS id")
    chroma_format = _limited(reader.ue(), 3, "chroma format")
    separate_planes = chroma_format == 3 and reader.flag()
    coded_width, coded_height = reader.ue(), reader.ue()
    window = [reader.ue() for _ in range(4)] if reader.flag() else [0, 0, 0, 0]
    if max(coded_width, coded_height) > MAX_PICTURE_SIDE:
        raise HevcError(f"picture of {coded_width}x{coded_height} exceeds {MAX_PICTURE_SIDE}")
    depth = _limited(reader.ue() + 8, 16, "bit depth")
    depth_chroma = _limited(reader.ue() + 8, 16, "bit depth")
    # ChromaArrayType and its units (6.2): separate planes are coded like monochrome
    array_type = 0 if separate_planes else chroma_format
    unit_x = 2 if array_type in (1, 2) else 1
    unit_y = 2 if array_type == 1 else 1
    width = coded_width - unit_x * (window[0] + window[1])
    height = coded_height - unit_y * (window[2] + window[3])
    if width <= 0 or height <= 0:
        raise HevcError(f"the conformance window leaves a picture of {width}x{height}")
    order_bits = _limited(reader.ue() + 4, 16, "bits of the picture order count")
    buffered, reorder_frames = _read_layers(reader, layers)
    vui = Vui()
    try:
        _skip_coding_tools(reader)
        _skip_reference_sets(reader, order_bits)
        reader.bits(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
        if reader.flag():
            _read_vui(reader, vui)
    except HevcError:
        pass  # what stands there may be told otherwise, or is not needed
    return HevcSps(
        width=width,
        height=height,
        sar=vui.sar,
        profile=profile,
        compat=0,
        level=level,
        fps=vui.fps,
        reorder_frames=reorder_frames,
        interlaced=False,
        chroma_format=chroma_format,
        bit_depth=depth,
        bit_depth_chroma=depth_chroma if chroma_format else depth,
        full_range=vui.full_range,
        colour_primaries=vui.primaries,
        colour_transfer=vui.transfer,
        colour_matrix=vui.matrix,
        sps_id=sps_id,
        temporal_layers=layers,
        is_temporally_nested=is_nested,
        general=general,
        reference_frames=buffered - 1,
    )


def _limited(value: int, most: int, what: str) -> int:
    if value > most:
        raise HevcError(f"{what} {value} exceeds {most}")
    return value


def _skip_profile_tier_level(reader: BitReader, layers: int) -> tuple[int, int]:
    """The general profile and level (7.3.3)."""
    profile = reader.bits(8) & 0x1F
    reader.bits(_GENERAL_BITS - 8)
    level = reader.bits(8)
    present = [(reader.flag(), reader.flag()) for _ in range(layers - 1)]
    if present:
        reader.bits(2 * (8 - len(present)))
    for has_profile, has_level in present:
        reader.bits(_GENERAL_BITS * has_profile + 8 * has_level)
    return profile, level


def _read_layers(reader: BitReader, layers: int) -> tuple[int, int]:
    """Pictures that a decoder keeps, and how many wait for reordering, with all sub-layers."""
    buffered = reorder = 0
    is_of_each = reader.flag()
    for _ in range(layers if is_of_each else 1):
        buffered = _limited(reader.ue() + 1, _MAX_PICTURES, "pictures to be kept")
        reorder = _limited(reader.ue(), _MAX_PICTURES, "pictures to be reordered")
        reader.ue()  # sps_max_latency_increase_plus1
    return buffered, reorder


def _skip_coding_tools(reader: BitReader) -> None:
    for _ in range(6):  # log2_min_luma_coding_block_size_minus3 to the hierarchies' depths
        reader.ue()
    if reader.flag() and reader.flag():
        _skip_scaling_lists(reader)
    reader.bits(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if reader.flag():  # pcm_enabled_flag
        reader.bits(8)
        reader.ue()
        reader.ue()
        reader.flag()


def _skip_scaling_lists(reader: BitReader) -> None:
    for size in range(4):  # 7.3.4
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not reader.flag():
                reader.ue()  # scaling_list_pred_matrix_id_delta
                continue
            if size > 1:
                reader.se()
            for _ in range(min(64, 1 << (4 + (size << 1)))):
                reader.se()


def _skip_reference_sets(reader: BitReader, order_bits: int) -> None:
    deltas: list[int] = []  # NumDeltaPocs of each (7.4.8)
    for index in range(_limited(reader.ue(), _MAX_SETS, "sets of short-term reference pictures")):
        if index and reader.flag():  # inter_ref_pic_set_prediction_flag
            reader.flag()
            reader.ue()
            deltas.append(sum(_is_used(reader) for _ in range(deltas[-1] + 1)))
            continue
        count = _limited(reader.ue(), _MAX_PICTURES, "reference pictures")
        count += _limited(reader.ue(), _MAX_PICTURES, "reference pictures")
        for _ in range(count):
            reader.ue()
            reader.flag()
        deltas.append(count)
    if reader.flag():  # long_term_ref_pics_present_flag
        for _ in range(_limited(reader.ue(), 32, "long-term reference pictures")):
            reader.bits(order_bits + 1)


def _is_used(reader: BitReader) -> bool:
    """Whether a delta of the set that is predicted from stays in this one."""
    return reader.flag() or reader.flag()  # used_by_curr_pic_flag, use_delta_flag


def _read_vui(reader: BitReader, vui: Vui) -> None:
    """Fill `vui` as far as the parameters can be read (E.2.1)."""
    read_signal(reader, vui)
    reader.bits(3)  # neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag
    if reader.flag():
        for _ in range(4):  # the default display window, which is a hint
            reader.ue()
    if reader.flag():
        units, scale = reader.bits(32), reader.bits(32)
        if units and scale:
            vui.fps = Fraction(scale, units)
