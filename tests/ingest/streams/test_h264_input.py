"""ingest/streams/h264_input.py: a publisher's H.264 as units, whatever its messages look like."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.codecs.h264 import AvcConfig, join_avcc, split_avcc
from common.codecs.h264_access_units import MessageFacts
from common.media.units import MediaKind, VideoConfig, VideoUnit
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from ingest.streams.h264_input import H264Input
from ingest.streams.media_events import Dropped
from tests.kit.h264_bits import PLAIN_PPS, POC_SPS, Picture, make_sps, slice_nal

SC = b"\x00\x00\x00\x01"
CONFIG = AvcConfig.from_parameter_sets([POC_SPS], [PLAIN_PPS])
IDR = [slice_nal(POC_SPS, Picture(0, 0, is_idr=True), 60 * index) for index in range(3)]
INTER = [slice_nal(POC_SPS, Picture(1, 2), 60 * index) for index in range(3)]


def facts(timestamp: int, *, is_flagged: bool = False) -> MessageFacts:
    return MessageFacts(timestamp, 0, is_flagged, 100 + timestamp / 1000)


def made(record: bytes | None = None) -> H264Input:
    source = H264Input(SourceTimes(Timeline()))
    (config,) = source.record(record if record is not None else CONFIG.encode())
    assert isinstance(config, VideoConfig)
    return source


def units(results: list[VideoConfig | VideoUnit | Dropped]) -> list[tuple[int, bool, list[bytes]]]:
    return [
        (result.dts_ms, result.is_key, split_avcc(bytes(result.data)))
        for result in results
        if isinstance(result, VideoUnit)
    ]


def test_whole_pictures_pass_as_they_are() -> None:
    data = memoryview(join_avcc(IDR))
    (unit,) = made().message(data, facts(40))
    assert isinstance(unit, VideoUnit)
    assert unit.data is data
    assert (unit.dts_ms, unit.is_key) == (40, True)


@pytest.mark.parametrize(
    "data",
    [
        bytes(4) + join_avcc(IDR),
        join_avcc([SC.join(IDR)]),
        join_avcc([IDR[0] + bytes(3), *IDR[1:]]),
        join_avcc(IDR) + b"\x00\x00",
        b"".join(SC + nal for nal in IDR),
    ],
)
def test_harmless_oddities_are_put_right(data: bytes) -> None:
    assert units(made().message(data, facts(0))) == [(0, True, IDR)]


def test_slices_in_messages_of_their_own_are_joined() -> None:
    source = made()
    out = [source.message(join_avcc([nal]), facts(0, is_flagged=True)) for nal in IDR]
    out += [source.message(join_avcc([nal]), facts(33)) for nal in INTER]
    out.append(source.message(join_avcc([b"\x09\xf0"]), facts(66)))
    told = [units(results) for results in out]
    # the first picture in part, as it could be the whole of one; then as it is, a key again
    assert told == [[(0, True, IDR[:1])], [], [], [(1, True, IDR)], [], [], [(33, False, INTER)]]
    assert not any(isinstance(result, Dropped) for results in out[:6] for result in results)


def test_a_record_that_holds_both_sets_in_one_entry_is_put_right() -> None:
    odd = replace(CONFIG, sps=(POC_SPS + SC + PLAIN_PPS,), pps=()).encode()
    source = H264Input(SourceTimes(Timeline()))
    (config,) = source.record(odd)
    assert isinstance(config, VideoConfig)
    assert config.record == CONFIG.encode()


def test_parameter_sets_in_one_unit_with_the_picture_are_a_new_configuration() -> None:
    other = make_sps(order_type=0, width_mbs=40)
    data = join_avcc([other + SC + PLAIN_PPS + SC + IDR[0], *IDR[1:]])
    config, unit = made().message(data, facts(0))
    assert isinstance(config, VideoConfig)
    assert (config.width, isinstance(unit, VideoUnit)) == (640, True)


def test_parameter_sets_of_no_use_reach_nobody() -> None:
    source = made()
    results = source.message(join_avcc([b"\x67\x64"]), facts(0))
    assert [result.reason for result in results if isinstance(result, Dropped)] == [
        "unreadable parameter sets in band"
    ]
    assert units(source.message(join_avcc(IDR), facts(0))) == [(0, True, IDR)]


AUD, SEI = b"\x09\x10", b"\x06\x05\x01\x00\x80"


def test_filler_is_nothing_lost() -> None:
    source = made()
    for _ in range(3):
        assert source.message(join_avcc([b"\x0c\xff\x80"]), facts(0)) == []
        assert len(units(source.message(join_avcc(IDR), facts(0)))) == 1
    (dropped,) = source.message(b"", facts(0))
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "video tag without a picture"


@pytest.mark.parametrize("ahead", [[AUD], [SEI], [AUD, SEI], [*CONFIG.sps, *CONFIG.pps], [b"\x6d"]])
def test_what_comes_alone_ahead_of_its_picture_goes_with_it_and_counts_as_nothing(
    ahead: list[bytes],
) -> None:
    source = made()
    for at_ms in (0, 33):
        for nal in ahead:
            assert source.message(join_avcc([nal]), facts(at_ms)) == []
        (unit,) = units(source.message(join_avcc(IDR), facts(at_ms)))
        assert unit == (at_ms, True, [*ahead, *IDR])


def test_what_cannot_be_read_breaks_references() -> None:
    (dropped,) = made().message(b"\xff\xff\xff\xff", facts(0))
    assert isinstance(dropped, Dropped)
    assert (dropped.kind, dropped.breaks_references) == (MediaKind.VIDEO, True)


def test_a_declared_rate_tells_a_wrong_clock() -> None:
    source = made()
    source.declare_rate(Fraction(30))
    times = []
    for number in range(150):
        message = MessageFacts(round(number * 60), 0, False, 100 + number / 30)
        times += [unit[0] for unit in units(source.message(join_avcc(IDR), message))]
    assert times[-1] - times[60] == pytest.approx(89 * 1000 / 30, abs=60)


def test_what_waits_for_more_is_given_when_nothing_more_came() -> None:
    source = made()
    for nal in IDR:
        source.message(join_avcc([nal]), facts(0, is_flagged=True))
    for nal in INTER:
        assert units(source.message(join_avcc([nal]), facts(33)))[1:] == []
    assert source.flush(100.033) == []
    assert units(source.flush(100.034)) == [(33, False, INTER)]
    assert source.flush(200.0) == []


@pytest.mark.parametrize(
    "messages",
    [
        [join_avcc([POC_SPS, PLAIN_PPS, *IDR])],
        [b"".join(SC + nal for nal in (POC_SPS, PLAIN_PPS, *IDR))],
        [join_avcc([POC_SPS]), join_avcc([PLAIN_PPS]), join_avcc(IDR)],
        [join_avcc([POC_SPS, PLAIN_PPS]), join_avcc(IDR)],
    ],
)
def test_parameter_sets_in_band_do_where_no_record_came(messages: list[bytes]) -> None:
    source = H264Input(SourceTimes(Timeline()))
    (early,) = source.message(join_avcc(INTER), facts(0))
    assert isinstance(early, Dropped)
    results = [result for data in messages for result in source.message(data, facts(40))]
    (config,) = [result for result in results if isinstance(result, VideoConfig)]
    assert config.record == CONFIG.encode()
    assert [(at, is_key) for at, is_key, _ in units(results)] == [(40, True)]


@pytest.mark.parametrize(("said", "size"), [(1, 300), (1, 5_000), (2, 70_000), (3, 5_000)])
def test_a_record_that_is_wrong_about_the_lengths_is_put_right(said: int, size: int) -> None:
    large = [IDR[0] + b"\x5a" * size]
    source = made(replace(CONFIG, nal_length_size=said).encode())
    config, unit = source.message(join_avcc(large), facts(0))
    assert isinstance(config, VideoConfig)
    assert AvcConfig.parse(config.record).nal_length_size == 4
    assert units([unit]) == [(0, True, large)]
    (broken,) = source.message(join_avcc(INTER)[:-1], facts(33))
    assert isinstance(broken, Dropped)


@pytest.mark.parametrize(
    "record",
    [
        b"\x00" + CONFIG.encode()[1:],
        replace(CONFIG, sps=(SC + POC_SPS,), pps=(SC[1:] + PLAIN_PPS,)).encode(),
    ],
)
def test_what_players_could_not_read_in_a_record_does_not_reach_them(record: bytes) -> None:
    (config,) = H264Input(SourceTimes(Timeline())).record(record)
    assert isinstance(config, VideoConfig)
    assert config.record == CONFIG.encode()


def test_a_recovery_point_is_a_keyframe_unless_every_picture_has_one() -> None:
    source = made()
    point = b"\x06\x06\x01\xc4\x80"
    told = []
    for number, is_point in enumerate((True, False, True, True, False)):
        data = join_avcc([point] * is_point + INTER)
        told += units(source.message(data, facts(33 * number)))
    assert [is_key for _, is_key, _ in told] == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("fps", "composition_ms", "given_ms"),
    [(30, 500, 500), (30, -500, -500), (30, 3_000, 0), (60, 3_000, 0), (1, 9_000, 9_000),
     (None, 9_000, 9_000), (None, 11_000, 0)],
)  # fmt: skip
def test_composition_times_that_no_reordering_explains_are_none(
    fps: int | None, composition_ms: int, given_ms: int
) -> None:
    source = made()
    source.declare_rate(Fraction(fps) if fps else None)
    (unit,) = source.message(join_avcc(IDR), MessageFacts(20_000, composition_ms, True, 100.0))
    assert isinstance(unit, VideoUnit)
    assert unit.composition_ms == given_ms


def test_a_picture_that_comes_again_whole_is_shown_behind_its_part() -> None:
    source = made()
    shown = []
    for index, nal in enumerate([*IDR, INTER[0]]):
        message = MessageFacts(0 if index < 3 else 33, 66, False, 100.0)
        results = source.message(join_avcc([nal]), message)
        shown += [r.dts_ms + r.composition_ms for r in results if isinstance(r, VideoUnit)]
    assert shown == [66, 67]
