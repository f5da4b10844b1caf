"""ingest/rtmp/to_units.py: parameter sets in sequence headers and in band."""

import time

from common.codecs.bits import BitWriter
from common.codecs.h264 import AvcConfig, join_avcc, parse_sps, split_avcc
from common.flv.video import avc_nalus, avc_sequence_header
from common.media.units import MediaKind, VideoConfig, VideoUnit
from ingest.rtmp.to_units import Demuxer
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import Dropped
from tests.ingest.rtmp.test_to_units import (
    CONFIG,
    IDR,
    NOW,
    PICTURES,
    RECORD,
    avcc,
    fresh,
    record_of,
    videos,
)


def test_parameter_sets_in_band_that_differ_come_out_ahead_of_their_unit() -> None:
    other = AvcConfig.parse(record_of(videos(640)))
    demuxer = fresh(RECORD)
    data = avcc(*other.sps, *other.pps) + IDR
    config, unit = demuxer.video(0, avc_nalus(data, 0, True), NOW)
    assert isinstance(config, VideoConfig)
    assert isinstance(unit, VideoUnit)
    assert config.width == 640
    assert AvcConfig.parse(config.record) == other
    assert unit.data == data
    (again,) = demuxer.video(40, avc_nalus(data, 0, True), NOW)
    assert isinstance(again, VideoUnit)
    back, _ = demuxer.video(80, avc_nalus(avcc(*CONFIG.sps, *CONFIG.pps) + IDR, 0, True), NOW)
    assert isinstance(back, VideoConfig)
    assert back.width == 320


def test_parameter_sets_in_band_like_the_records_say_nothing() -> None:
    sets = (*CONFIG.sps, b"\x28" + CONFIG.pps[0][1:], CONFIG.sps[0] + b"\x00")
    (unit,) = fresh(RECORD).video(0, avc_nalus(avcc(*sets) + IDR, 0, True), NOW)
    assert isinstance(unit, VideoUnit)


def test_a_picture_parameter_set_of_another_id_is_added() -> None:
    pps_one = bytes((0x68, 0x40 | CONFIG.pps[0][1] >> 2)) + CONFIG.pps[0][2:]  # ue(1) = 010
    config, _ = fresh(RECORD).video(0, avc_nalus(avcc(pps_one) + IDR, 0, True), NOW)
    assert isinstance(config, VideoConfig)
    read = AvcConfig.parse(config.record)
    assert read.pps == (CONFIG.pps[0], pps_one)
    assert read.sps == CONFIG.sps


def test_an_empty_record_waits_for_parameter_sets_in_band() -> None:
    demuxer = Demuxer(Timeline())
    empty = AvcConfig(100, 0, 31, 4, (), ()).encode()
    assert demuxer.video(0, avc_sequence_header(empty), NOW) == [
        Dropped(MediaKind.VIDEO, "sequence header without parameter sets")
    ]
    assert demuxer.video(0, avc_nalus(IDR, 0, True), NOW) == [
        Dropped(MediaKind.VIDEO, "video before its parameter sets")
    ]
    data = avcc(*CONFIG.sps, *CONFIG.pps) + IDR
    config, unit = demuxer.video(40, avc_nalus(data, 0, True), NOW)
    assert isinstance(config, VideoConfig)
    assert isinstance(unit, VideoUnit)


def test_an_empty_record_with_other_lengths_is_a_change_and_units_are_read_by_it() -> None:
    demuxer = fresh(RECORD)
    empty = AvcConfig(100, 0, 31, 2, (), ()).encode()
    (config,) = demuxer.video(0, avc_sequence_header(empty), NOW)
    assert isinstance(config, VideoConfig)
    read = AvcConfig.parse(config.record)
    assert (read.sps, read.nal_length_size) == (CONFIG.sps, 2)
    (unit,) = demuxer.video(0, avc_nalus(join_avcc(split_avcc(IDR), 2), 0, True), NOW)
    assert isinstance(unit, VideoUnit)
    assert demuxer.video(0, avc_sequence_header(empty), NOW) == [
        Dropped(MediaKind.VIDEO, "sequence header without parameter sets")
    ]


def test_an_unreadable_record_does_not_change_how_units_are_read() -> None:
    demuxer = fresh(RECORD)
    broken = AvcConfig(100, 0, 31, 1, (b"\x67\x64",), CONFIG.pps).encode()
    (dropped,) = demuxer.video(0, avc_sequence_header(broken), NOW)
    assert isinstance(dropped, Dropped)
    (unit,) = demuxer.video(0, PICTURES[0].payload, NOW)
    assert isinstance(unit, VideoUnit)
    assert split_avcc(bytes(unit.data)) == split_avcc(IDR)


def test_parameter_sets_in_a_tag_of_their_own_take_no_time() -> None:
    demuxer = fresh(RECORD)
    other = AvcConfig.parse(record_of(videos(640)))
    (config,) = demuxer.video(0, avc_nalus(avcc(*other.sps, *other.pps), 0, True), NOW)
    assert isinstance(config, VideoConfig)
    (unit,) = demuxer.video(0, PICTURES[0].payload, NOW)
    assert isinstance(unit, VideoUnit)
    assert unit.dts_ms == 0


def slow_sps(sps_id: int) -> bytes:
    """320x320 Baseline, with a picture order cycle of 255 offsets, as slow to read as can be."""
    writer = BitWriter().bits(0x67, 8).bits(66, 8).bits(0, 8).bits(31, 8)
    code = sps_id + 1
    writer.bits(code, 2 * code.bit_length() - 1)
    writer.bits(0b1_010_0_1_1, 7).bits(256, 17).bits((1 << 255) - 1, 255)
    return writer.bits(0b1_0, 2).bits(20, 9).bits(20, 9).bits(0b1_1_0_0, 4).bits(1, 1).to_bytes()


def test_known_parameter_sets_are_not_read_again_for_every_new_one() -> None:
    config = AvcConfig.from_parameter_sets([slow_sps(i) for i in range(31)], CONFIG.pps)
    assert parse_sps(config.sps[30]).sps_id == 30
    demuxer = fresh(config.encode())
    began = time.process_time()
    for number in range(1000):
        pps = b"\x68\x80" + number.to_bytes(2, "big") + b"\x01"
        result, _ = demuxer.video(number * 40, avc_nalus(avcc(pps) + IDR, 0, True), NOW)
        assert isinstance(result, VideoConfig)
    assert time.process_time() - began < 2.0  # 33 times an SPS each time: 5 s
