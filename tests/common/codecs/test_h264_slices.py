"""common/codecs/h264_slices.py: which picture a slice belongs to."""

from dataclasses import replace
from itertools import pairwise

import av
import numpy as np
import pytest

from common.codecs.h264 import nal_type, split_annexb
from common.codecs.h264_slices import SliceHead, SliceReader, begins_at_zero
from tests.kit.h264_bits import INTERLACED_SPS, PLAIN_PPS, PLAIN_SPS, POC_SPS, Picture, slice_nal

PROGRESSIVE = Picture(frame_num=3, order=6)


def reader(sps: bytes = POC_SPS) -> SliceReader:
    slices = SliceReader()
    slices.note(sps)
    slices.note(PLAIN_PPS)
    return slices


@pytest.mark.parametrize(
    ("picture", "first_mb", "head"),
    [
        (Picture(frame_num=0, order=0, is_idr=True, idr_pic_id=5), 0,
         SliceHead(0, True, True, 0, False, False, 5, (0,))),
        (Picture(frame_num=7, order=14), 40,
         SliceHead(40, False, True, 7, False, False, 0, (14,))),
        (Picture(frame_num=7, order=12, is_reference=False), 1,
         SliceHead(1, False, False, 7, False, False, 0, (12,))),
    ],
)  # fmt: skip
def test_the_head_of_a_slice_is_read(picture: Picture, first_mb: int, head: SliceHead) -> None:
    nal = slice_nal(POC_SPS, picture, first_mb)
    assert reader().read(nal) == head
    assert begins_at_zero(nal) is (first_mb == 0)


def test_fields_and_their_parity_are_read() -> None:
    top = Picture(frame_num=2, order=4, is_field=True)
    bottom = replace(top, order=5, is_bottom=True)
    slices = reader(INTERLACED_SPS)
    assert slices.may_have_fields
    heads = [slices.read(slice_nal(INTERLACED_SPS, field, 0)) for field in (top, bottom)]
    assert heads[0] is not None
    assert heads[1] is not None
    assert heads[1].is_second_field_of(heads[0])
    assert not heads[0].is_same_picture(heads[1])
    assert not heads[0].is_second_field_of(heads[0])


def test_two_slices_differ_in_their_picture_by_any_of_its_signs() -> None:
    slices = reader()
    first = slices.read(slice_nal(POC_SPS, PROGRESSIVE, 0))
    assert first is not None
    again = slices.read(slice_nal(POC_SPS, PROGRESSIVE, 30))
    assert again is not None
    assert again.is_same_picture(first)
    for other in (
        replace(PROGRESSIVE, frame_num=4),
        replace(PROGRESSIVE, order=8),
        replace(PROGRESSIVE, is_reference=False),
        replace(PROGRESSIVE, is_idr=True),
    ):
        head = slices.read(slice_nal(POC_SPS, other, 30))
        assert head is not None
        assert not head.is_same_picture(first)


@pytest.mark.parametrize("sets", [(), (PLAIN_SPS,), (PLAIN_PPS,), (b"\x67", b"\x68")])
def test_without_readable_parameter_sets_nothing_is_told(sets: tuple[bytes, ...]) -> None:
    slices = SliceReader()
    for nal in sets:
        slices.note(nal)
    assert slices.read(slice_nal(PLAIN_SPS, PROGRESSIVE, 0)) is None


@pytest.mark.parametrize("nal", [b"\x41", b"\x41\x80", b"\x65" + bytes(40), b"\x41\xff\xff"])
def test_a_slice_that_is_cut_short_tells_nothing_or_something_but_never_raises(nal: bytes) -> None:
    reader().read(nal)


def test_slices_of_x264_are_told_apart_as_its_pictures_are() -> None:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 128, 96, "yuv420p"
    encoder.framerate = 25  # type: ignore[assignment]  # av's stub wants a Fraction, takes both
    encoder.options = {"x264-params": "slices=3:bframes=2:keyint=6:b-adapt=0"}
    slices = SliceReader()
    heads: list[list[SliceHead]] = []
    packets = []
    for index in range(12):
        plane = np.full((144, 128), (index * 40) % 255, np.uint8)
        frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
        frame.pts = index
        packets += encoder.encode(frame)
    for packet in (*packets, *encoder.encode(None)):
        of_packet = []
        for nal in split_annexb(bytes(packet)):
            slices.note(nal)
            if nal_type(nal) in (1, 5):
                head = slices.read(nal)
                assert head is not None
                of_packet.append(head)
        heads.append(of_packet)
    assert [len(of_packet) for of_packet in heads] == [3] * 12
    for before, after in pairwise(heads):
        assert all(head.is_same_picture(before[0]) for head in before)
        assert not after[0].is_same_picture(before[0])
