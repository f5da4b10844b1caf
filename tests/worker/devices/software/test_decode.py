"""libavcodec as a decoder: order, delay, damage, interlacing."""

from dataclasses import replace
from fractions import Fraction
from itertools import chain

import numpy as np
import pytest

from common.codecs.bits import BitReader, BitWriter
from common.codecs.h264 import AvcConfig, join_avcc, parse_sps, unescape
from common.errors import AvcError, DecodeFailed
from tests.kit.session_driver import Source, SourceSpec, make_source
from worker.devices.software.decode import SoftDecoder, SoftPicture
from worker.frames.picture_content import COLUMNS, ROWS


def decoder(source: Source) -> SoftDecoder:
    config = AvcConfig.parse(source.record)
    return SoftDecoder(config, parse_sps(config.sps[0]))


def by_call(source: Source, machine: SoftDecoder | None = None) -> list[list[int]]:
    """The PTS that each call gave, and the flush."""
    machine = machine or decoder(source)
    calls = [
        [picture.pts_ms for picture in machine.decode(unit.data, unit.dts_ms, unit.pts_ms)]
        for unit in source.units
    ]
    return [*calls, [picture.pts_ms for picture in machine.flush()]]


def test_without_reordering_each_picture_comes_out_of_its_units_call() -> None:
    source = make_source(SourceSpec(frames=20))
    assert by_call(source) == [[unit.pts_ms] for unit in source.units] + [[]]


def test_b_frames_come_out_in_display_order() -> None:
    source = make_source(SourceSpec(frames=30, b_frames=3, start_ms=500))
    assert any(
        unit.pts_ms < source.units[index].pts_ms for index, unit in enumerate(source.units[1:])
    )
    calls = by_call(source)
    assert list(chain(*calls)) == source.pts_ms
    # no more delay than the stream's own reordering
    assert calls[2]


def without_vui(source: Source) -> Source:
    """The same stream, with an SPS of Main profile that says nothing about reordering."""
    config = AvcConfig.parse(source.record)
    sps = unescape(config.sps[0])
    reader = BitReader(sps[1:], AvcError)
    for field in (24, "ue", "ue", "ue", "ue", "ue", 1, "ue", "ue", 1, 1):
        reader.ue() if field == "ue" else reader.bits(int(field))
    if reader.flag():
        for _ in range(4):
            reader.ue()  # cropping
    length = len(sps[1:]) * 8 - reader.remaining
    head = int.from_bytes(sps[1:], "big") >> reader.remaining
    # the VUI flag becomes 0, then comes the stop bit
    body = BitWriter().bits(head, length).bits(0, 1).bits(1, 1).to_bytes()
    silent = replace(config, sps=(sps[:1] + body,))
    assert parse_sps(silent.sps[0]).reorder_frames is None
    return replace(source, record=silent.encode())


def test_where_the_sps_is_silent_composition_times_tell_of_reordering() -> None:
    spec = SourceSpec(frames=30, b_frames=2, profile="main", start_ms=500)
    source = without_vui(make_source(spec))
    assert list(chain(*by_call(source))) == source.pts_ms


def test_pictures_carry_the_sources_sample_aspect_ratio_and_size() -> None:
    source = make_source(SourceSpec(frames=2, sar=Fraction(4, 3)))
    (picture,) = decoder(source).decode(source.units[0].data, 0, 0)
    assert (picture.width, picture.height, picture.sar) == (320, 180, Fraction(4, 3))
    assert not picture.is_damaged


def test_garbage_fails_and_what_follows_the_next_idr_is_whole() -> None:
    source = make_source(SourceSpec(frames=60, gop_frames=30))
    machine = decoder(source)
    shown: list[SoftPicture] = []
    failures = 0
    for index, unit in enumerate(source.units):
        data = unit.data
        if index == 10:
            data = b"\x00\x00\x00\xff" + data[4:]  # a length beyond the unit
        if index == 12:
            data = bytes(40)
        try:
            shown += machine.decode(data, unit.dts_ms, unit.pts_ms)
        except DecodeFailed:
            failures += 1
    assert failures >= 1
    late = [picture for picture in shown if picture.pts_ms >= source.units[30].pts_ms]
    assert len(late) == 30
    assert not any(picture.is_damaged for picture in late)


def test_a_damaged_picture_is_marked() -> None:
    source = make_source(SourceSpec(frames=30, width=640, height=360))
    machine = decoder(source)
    rng = np.random.default_rng(7)
    marked = 0
    for index, unit in enumerate(source.units):
        data = bytearray(unit.data)
        if index == 5:
            for at in rng.integers(len(data) // 2, len(data), 200):
                data[at] ^= 0x55
        try:
            pictures = machine.decode(bytes(data), unit.dts_ms, unit.pts_ms)
        except DecodeFailed:
            marked += 1
            continue
        marked += any(picture.is_damaged for picture in pictures)
    assert marked


def test_interlaced_pictures_are_deinterlaced_one_each_with_their_own_times() -> None:
    spec = SourceSpec(frames=20, interlaced=True, fps=Fraction(25), start_ms=1000)
    source = make_source(spec)
    machine = decoder(source)
    pictures = [
        picture
        for unit in source.units
        for picture in machine.decode(unit.data, unit.dts_ms, unit.pts_ms)
    ]
    assert len(pictures) == 19  # the filter holds one
    pictures += machine.flush()
    assert [picture.pts_ms for picture in pictures] == source.pts_ms
    assert not any(picture.frame.interlaced_frame for picture in pictures)


def test_progressive_pictures_of_an_interlaced_stream_soon_pass_without_delay() -> None:
    interlaced = make_source(SourceSpec(frames=10, interlaced=True, fps=Fraction(25)))
    progressive = make_source(SourceSpec(frames=80, fps=Fraction(25), start_ms=400))
    machine = decoder(interlaced)
    for unit in interlaced.units:
        machine.decode(unit.data, unit.dts_ms, unit.pts_ms)
    config = AvcConfig.parse(progressive.record)
    given = [picture.pts_ms for picture in machine.reconfigure(config, parse_sps(config.sps[0]))]
    assert given == [360]
    assert by_call(progressive, machine) == [[pts_ms] for pts_ms in progressive.pts_ms] + [[]]


def test_reconfiguring_gives_what_was_inside_and_goes_on_at_the_other_size() -> None:
    first = make_source(SourceSpec(frames=10, b_frames=2))
    second = make_source(SourceSpec(frames=10, width=480, height=270, start_ms=400))
    machine = decoder(first)
    got = [
        picture
        for unit in first.units
        for picture in machine.decode(unit.data, unit.dts_ms, unit.pts_ms)
    ]
    config = AvcConfig.parse(second.record)
    got += machine.reconfigure(config, parse_sps(config.sps[0]))
    assert [picture.pts_ms for picture in got] == first.pts_ms
    (picture,) = machine.decode(second.units[0].data, 400, 400)
    assert (picture.width, picture.height) == (480, 270)


def test_after_a_flush_it_decodes_from_the_next_idr() -> None:
    source = make_source(SourceSpec(frames=60, gop_frames=30))
    machine = decoder(source)
    for unit in source.units[:10]:
        machine.decode(unit.data, unit.dts_ms, unit.pts_ms)
    assert machine.flush() == []
    got = [
        picture.pts_ms
        for unit in source.units[30:]
        for picture in machine.decode(unit.data, unit.dts_ms, unit.pts_ms)
    ]
    assert got == source.pts_ms[30:]


def test_a_stream_that_libavcodec_cannot_open_is_refused_or_fails_by_unit() -> None:
    source = make_source(SourceSpec(frames=2))
    config = AvcConfig.parse(source.record)
    sps = parse_sps(config.sps[0])
    broken = AvcConfig(100, 0, 31, 4, (config.sps[0],), (b"\x68",))
    with pytest.raises(DecodeFailed):
        SoftDecoder(broken, sps).decode(source.units[0].data, 0, 0)


def test_larger_pictures_than_the_parameter_sets_told_of_are_refused() -> None:
    small = make_source(SourceSpec(frames=1, width=64, height=64))
    large = make_source(SourceSpec(frames=1, width=1280, height=720))
    config = AvcConfig.parse(large.record)
    in_band = join_avcc([*config.sps, *config.pps]) + large.units[0].data
    with pytest.raises(DecodeFailed):
        decoder(small).decode(in_band, 0, 0)
    assert decoder(large).decode(in_band, 0, 0)


@pytest.mark.parametrize("size", [(320, 180), (64, 36), (1280, 720), (98, 50)])
def test_a_look_gives_samples_of_the_luma(size: tuple[int, int]) -> None:
    source = make_source(SourceSpec(frames=2, width=size[0], height=size[1]))
    machine = decoder(source)
    (picture,) = machine.decode(source.units[0].data, 0, 0)
    grid = machine.look(picture)
    assert grid is not None
    luma = picture.frame.to_ndarray()[: size[1], : size[0]]
    row = luma[size[1] // (2 * ROWS)]
    step = size[0] // COLUMNS
    assert list(grid[:COLUMNS]) == list(row[step // 2 :: step][:COLUMNS])
    assert luma.min() <= min(grid) <= max(grid) <= luma.max()


def test_luma_of_more_bits_looks_like_that_of_eight() -> None:
    looks = []
    for pixel_format, profile in (("yuv420p10le", "high10"), ("yuv420p", "main")):
        source = make_source(SourceSpec(frames=2, pixel_format=pixel_format, profile=profile))
        machine = decoder(source)
        (picture,) = machine.decode(source.units[0].data, 0, 0)
        looks.append(machine.look(picture))
    assert looks[0] is not None
    assert looks[1] is not None
    assert max(abs(a - b) for a, b in zip(*looks, strict=True)) <= 12
