"""H.264 slice headers, as far as they tell which picture a slice belongs to (ITU-T H.264 7.3.3).

`SliceReader` knows the parameter sets; `SliceHead.is_same_picture` is the comparison of 7.4.1.2.4.
Pure. What cannot be read gives None, since a slice whose parameter sets are unknown is no fault.
"""

from dataclasses import dataclass

from common.codecs.bits import BitReader
from common.codecs.h264_sps import SpsInfo, parse_sps, unescape
from common.errors import AvcError

_HEAD_BYTES = 32  # more than all fields read here can take, emulation prevention included
_IDR = 5


@dataclass(frozen=True, slots=True)
class SliceHead:
    """What a slice says of its picture."""

    first_mb: int
    is_idr: bool
    is_reference: bool
    frame_num: int
    is_field: bool
    is_bottom: bool
    idr_pic_id: int
    order: tuple[int, ...]  # of the picture order count, whatever its type

    def is_same_picture(self, other: "SliceHead") -> bool:
        """Whether both are slices of one picture (one field, where fields are coded)."""
        return (
            self.frame_num == other.frame_num
            and self.is_idr == other.is_idr
            and self.is_reference == other.is_reference
            and self.is_field == other.is_field
            and self.is_bottom == other.is_bottom
            and self.idr_pic_id == other.idr_pic_id
            and self.order == other.order
        )

    def is_second_field_of(self, first: "SliceHead") -> bool:
        """Whether this is the other field of the frame whose first field is `first`."""
        return (
            self.is_field
            and first.is_field
            and self.is_bottom != first.is_bottom
            and self.frame_num == first.frame_num
            and (not self.is_idr or first.is_idr)
        )


@dataclass(frozen=True, slots=True)
class _Pps:
    sps_id: int
    has_bottom_delta: bool  # bottom_field_pic_order_in_frame_present_flag


class SliceReader:
    """Reads slice headers with the parameter sets that were noted; the last of an id counts."""

    def __init__(self) -> None:
        self._sps: dict[int, SpsInfo] = {}
        self._pps: dict[int, _Pps] = {}
        self.may_have_fields = False  # an SPS allows them

    def note(self, nal: bytes) -> None:
        """Take a parameter set; one that cannot be read is ignored."""
        try:
            match nal[0] & 0x1F:
                case 7:
                    sps = parse_sps(nal)
                    self._sps[sps.sps_id] = sps
                    self.may_have_fields = any(known.interlaced for known in self._sps.values())
                case 8:
                    reader = BitReader(unescape(nal[:_HEAD_BYTES])[1:], AvcError)
                    pps_id, sps_id = reader.ue(), reader.ue()
                    reader.flag()  # entropy_coding_mode_flag
                    if pps_id < 256:
                        self._pps[pps_id] = _Pps(sps_id, reader.flag())
                case _:
                    pass
        except AvcError:
            return

    def read(self, nal: bytes) -> SliceHead | None:
        """The head of a slice (NAL unit types 1, 2 and 5)."""
        reader = BitReader(unescape(nal[:_HEAD_BYTES])[1:], AvcError)
        try:
            return self._read(reader, nal[0])
        except AvcError:
            return None

    def _read(self, reader: BitReader, header: int) -> SliceHead | None:
        first_mb = reader.ue()
        reader.ue()  # slice_type
        pps = self._pps.get(reader.ue())
        sps = self._sps.get(pps.sps_id) if pps is not None else None
        if pps is None or sps is None:
            return None
        if sps.separate_planes:
            reader.bits(2)  # colour_plane_id
        frame_num = reader.bits(sps.frame_num_bits)
        is_field = sps.interlaced and reader.flag()
        is_bottom = is_field and reader.flag()
        is_idr = header & 0x1F == _IDR
        idr_pic_id = reader.ue() if is_idr else 0
        picture_order = sps.picture_order
        order: list[int] = []
        has_bottom_delta = pps.has_bottom_delta and not is_field
        if picture_order.type == 0:
            order.append(reader.bits(picture_order.lsb_bits))
            if has_bottom_delta:
                order.append(reader.se())
        elif picture_order.type == 1 and not picture_order.delta_always_zero:
            order.append(reader.se())
            if has_bottom_delta:
                order.append(reader.se())
        is_reference = header & 0x60 != 0
        return SliceHead(
            first_mb,
            is_idr,
            is_reference,
            frame_num,
            is_field,
            is_bottom,
            idr_pic_id,
            tuple(order),
        )


def begins_at_zero(nal: bytes) -> bool:
    """Whether a slice's first_mb_in_slice is 0: one bit of it tells."""
    return len(nal) > 1 and nal[1] & 0x80 != 0
