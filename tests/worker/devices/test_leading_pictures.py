"""worker/devices/leading_pictures.py: RASL pictures without what they refer to."""

import pytest

from common.codecs.h264 import join_avcc
from common.codecs.h265 import NalType
from worker.devices.leading_pictures import LeadingPictures

IDR, CRA, BLA = NalType.IDR_N_LP, NalType.CRA, NalType.BLA_W_LP
TRAIL, RASL, RADL = 1, NalType.RASL_R, NalType.RADL_R
GAP = 100  # added to a type: units before it were lost


def taken(*kinds: int) -> list[bool]:
    gate = LeadingPictures(4)
    return [
        gate.takes(join_avcc([b"\x46\1\x50", bytes((kind % GAP << 1, 1, 0x80))]), kind >= GAP)
        for kind in kinds
    ]


@pytest.mark.parametrize(
    ("kinds", "omitted"),
    [
        ((IDR, TRAIL, CRA, RASL, RASL, TRAIL), ()),
        ((CRA, RASL, RADL, RASL, TRAIL, CRA, RASL), (1, 3)),
        ((BLA, RASL, TRAIL), (1,)),
        ((IDR, TRAIL, GAP + CRA, RASL, TRAIL, CRA, RASL), (3,)),
        ((IDR, GAP + TRAIL, TRAIL, CRA, RASL, TRAIL), (4,)),
        ((IDR, CRA, GAP + RASL, TRAIL, CRA, RASL), (5,)),
        ((IDR, GAP + IDR, TRAIL, CRA, RASL), ()),
        ((TRAIL, RASL, CRA, RASL), (3,)),
    ],
)
def test_what_refers_to_what_was_never_there_is_left_out(
    kinds: tuple[int, ...], omitted: tuple[int, ...]
) -> None:
    assert taken(*kinds) == [index not in omitted for index in range(len(kinds))]


def test_what_cannot_be_read_is_the_decoders_to_judge() -> None:
    gate = LeadingPictures(4)
    assert gate.takes(b"\0\0\0\x09ab", False)
    assert gate.takes(b"", True)
