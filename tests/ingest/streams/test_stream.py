"""ingest/streams/stream.py: one stream's life, from its first header to its end."""

import itertools
from dataclasses import replace
from fractions import Fraction

import pytest

from common.codecs.table import codec_string
from common.config.ladder import SOURCE, AwayPicture, SourceFormat
from common.flv import amf0
from common.flv.audio import audio_header_body
from common.flv.video import video_header_body
from common.ipc.control_messages import PublishEnd, SourceFormatReport
from common.ipc.identity import ChildId, Generation
from common.ipc.media_messages import (
    SHARED,
    AccessUnit,
    RenditionOpen,
    StreamClosed,
    StreamEnd,
    StreamOpen,
    StreamPause,
    StreamStart,
    Tags,
    VideoHeader,
)
from common.media.clock import ClockReference
from common.media.gop_buffer import LASTING
from common.media.units import AudioCodec, AudioConfig, DataUnit
from ingest.streams.media_events import Metadata
from ingest.streams.source_gop import MAX_GOP_MS
from ingest.streams.stream import StreamState
from tests.kit.ingest_ports import (
    ANSWER,
    EGRESS,
    SOURCE_VIDEO,
    SPS_720,
    STREAM,
    TEMPLATE,
    WORKER,
    RememberingPort,
    audio_unit,
    config,
)
from tests.kit.stream_rig import AAC, StreamRig


def test_the_source_goes_out_at_once_and_the_worker_gets_the_gop_once_it_is_placed() -> None:
    around = StreamRig()
    around.stream.media.metadata(Metadata(b""))
    around.stream.configure(config(), 100.0)
    around.put(0, key=True)
    around.put(40)
    # the second opening says which Unix time stream time begins at
    opened = ["StreamOpen", "RenditionOpen", "StreamOpen"]
    assert around.egress.kinds() == [*opened, "Tags", "Tags"]
    assert around.worker.sent == []
    assert around.asked == SourceFormatReport(
        10,
        STREAM,
        Generation(1),
        SourceFormat(1920, 1080, Fraction(1), Fraction(25), reference_frames=3, bits_per_pixel=12),
        codec_string(config()),
    )
    around.answer()
    around.put(80)
    assert around.worker.kinds() == ["StreamStart", "AccessUnit", "AccessUnit", "AccessUnit"]
    assert around.egress.of(StreamOpen)[0].renditions == ("360p",)


@pytest.mark.parametrize(
    ("watched", "order"),
    [
        (set(), [WORKER, EGRESS]),
        ({"360p", SHARED}, [WORKER, EGRESS]),
        ({SOURCE, SHARED}, [EGRESS, WORKER]),
    ],
)
def test_a_picture_goes_to_those_first_who_wait_for_it(
    watched: set[str], order: list[ChildId]
) -> None:
    around = StreamRig().live()
    around.egress.watched = watched
    around.egress.order = around.worker.order = []
    around.put(80)
    assert around.worker.order == order


def test_the_start_carries_the_anchor_also_when_the_placement_comes_before_a_picture() -> None:
    around = StreamRig()
    around.stream.configure(config(), 100.0)
    around.answer()
    assert around.worker.sent == []
    around.put(7_200_000, key=True, at_s=101.5)
    around.put(7_200_040, at_s=101.54)
    (start,) = around.worker.of(StreamStart)
    assert start.reference == ClockReference(7_200_000, 101.5)
    assert [u.number for u in around.worker.of(AccessUnit)] == [0, 1]


def test_what_came_before_the_header_opens_the_stream_with_it() -> None:
    around = StreamRig()
    metadata = amf0.encode("onMetaData") + amf0.encode_ecma_array({"framerate": 50.0})
    around.stream.media.metadata(Metadata(metadata, Fraction(50)))
    around.stream.media.audio_configure(AAC)
    around.stream.media.audio_unit(audio_unit(0, b"sound", 100.0))
    around.stream.media.data(DataUnit(0, b"text", 100.0))
    around.stream.media.end_read(100.0)
    assert around.egress.sent == []
    around.stream.configure(config(), 100.0)
    around.stream.media.end_read(100.0)
    assert around.egress.kinds() == ["StreamOpen", "RenditionOpen", "Tags"]
    assert around.egress.sent[1][1][0] == metadata
    assert around.egress.sent[2][1] == (audio_header_body(AAC),), (
        "the header, but no audio without video"
    )
    assert around.asked.format.fps == 25, "the parameter sets know better than the metadata"


def test_metadata_later_changes_the_source_headers() -> None:
    around = StreamRig().live()
    around.stream.media.metadata(Metadata(b"new"))
    message, payloads = around.egress.sent[-1]
    assert message == RenditionOpen(STREAM, Generation(1), SOURCE, 2, SOURCE_VIDEO)
    assert payloads == (b"new", video_header_body(config()))


def test_egress_learns_of_other_renditions_and_of_a_new_generation_first() -> None:
    around = StreamRig().live()
    around.answer(renditions=())
    assert around.egress.of(StreamOpen)[-1].renditions == ("360p",), "that request was answered"
    around.stream.place(
        replace(ANSWER, request_id=0, generation=Generation(2), renditions=(), splice_ms=2000)
    )
    opened = around.egress.of(StreamOpen)[-1]
    assert (opened.generation, opened.renditions, opened.splice_ms) == (Generation(2), (), 2000)
    assert around.egress.of(RenditionOpen)[-1].generation == Generation(2)
    around.put(80)
    assert around.egress.of(Tags)[-1].generation == Generation(2)


def test_passthrough_alone_needs_no_worker() -> None:
    around = StreamRig(replace(ANSWER, worker=None, renditions=()))
    around.stream.configure(config(), 100.0)
    around.answer(worker=None, renditions=())
    around.put(0, key=True)
    assert around.worker.sent == []
    assert around.egress.numbers(SOURCE) == [0]


def test_a_lost_publisher_is_held_and_then_ended() -> None:
    around = StreamRig().live()
    around.stream.leave("reset", 101.0)
    assert around.state() is StreamState.HELD
    assert around.egress.of(StreamClosed) == [
        StreamClosed(STREAM, Generation(1), "reset", TEMPLATE.hold_ms)
    ]
    assert not around.worker.of(StreamEnd), "its sessions wait too"
    assert not around.stream.status(102.0).is_live
    around.stream.tick(101.0 + TEMPLATE.hold_ms / 1000 - 0.1)
    assert around.state() is StreamState.HELD
    around.stream.tick(101.0 + TEMPLATE.hold_ms / 1000)
    assert around.state() is StreamState.ENDED
    assert around.egress.of(StreamClosed)[-1].hold_ms == 0
    assert around.worker.of(StreamEnd)
    (end,) = (message for message in around.told if isinstance(message, PublishEnd))
    assert (end.generation, end.reason) == (Generation(1), "its publisher did not come back")
    assert end.last is not None
    assert end.last.frames == around.stream.media.throughput.frames
    around.stream.tick(200.0)
    assert around.stream.is_over


@pytest.mark.parametrize("sps", [None, SPS_720])
def test_a_publisher_that_returns_goes_on_in_time_with_its_own_headers(sps: bytes | None) -> None:
    around = StreamRig().live()
    around.stream.leave("reset", 101.0)
    around.stream.arrive("192.0.2.1:6000", 105.0)
    assert around.egress.kinds()[-1] == "StreamOpen", "the hold is over"
    around.stream.configure(config(sps) if sps else config(), 105.0)
    around.put(0, key=True, at_s=105.0)
    around.put(40, at_s=105.04)
    times = [entry.dts_ms for message in around.egress.of(Tags) for entry in message.tags]
    assert times == sorted(times)
    assert times[-2] == pytest.approx(5_000, abs=5), "what the clock says"
    headers = around.worker.of(VideoHeader)
    assert len(headers) == (1 if sps else 0)
    assert [u.number for u in around.worker.of(AccessUnit)] == [0, 1, 2, 3]
    assert around.egress.numbers(SOURCE) == [0, 1, 2, 3]
    status = around.stream.status(105.1)
    assert (status.is_live, status.address) == (True, "192.0.2.1:6000")


def test_a_publisher_that_leaves_before_its_header_leaves_nothing() -> None:
    around = StreamRig()
    around.stream.leave("reset", 101.0)
    assert around.state() is StreamState.ENDED
    assert around.egress.sent == []
    (end,) = around.told
    assert isinstance(end, PublishEnd)
    assert (end.stream_id, end.generation, end.reason) == (STREAM, Generation(1), "reset")


def silent_times(around: StreamRig) -> list[int]:
    return [
        tag.dts_ms
        for message in around.egress.of(Tags)
        if message.rendition == SHARED
        for tag in message.tags
        if tag.flags == 0
    ]


def test_while_the_publisher_is_away_its_worker_fills_in_and_there_is_silence() -> None:
    around = StreamRig().live()
    stream = around.stream
    stream.media.audio_configure(AAC)
    stamp = stream.timeline.audio(1000, 101.0)
    stream.media.audio_unit(audio_unit(stamp.dts_ms, b"\x21", 101.0))
    stream.media.end_read(101.2)
    stream.tick(101.2)
    stream.leave("reset", 101.2)
    assert around.worker.of(StreamPause)
    before = len(silent_times(around))
    for step in range(22):
        stream.tick(101.2 + step / 10)
    times = silent_times(around)[before:]
    assert len(times) > 80
    assert all(20 <= b - a <= 22 for a, b in itertools.pairwise(times))
    now_ms = stream.timeline.now_ms(103.3)
    assert now_ms - 250 < times[-1] < now_ms
    stream.arrive("192.0.2.2:5000", 103.4)
    stream.tick(103.5)
    stream.tick(103.6)
    assert len(silent_times(around)) <= before + len(times) + 5
    assert stream.timeline.audio(0, 103.7).dts_ms > times[-1]


def test_other_audio_pauses_while_the_publisher_is_away() -> None:
    around = StreamRig().live()
    around.stream.media.audio_configure(AudioConfig(AudioCodec.MP3))
    around.stream.media.audio_unit(audio_unit(1000, b"\x2f\x21", 101.0, codec=AudioCodec.MP3))
    around.stream.leave("reset", 101.2)
    before = len(silent_times(around))
    around.stream.tick(102.0)
    around.stream.tick(102.1)
    assert len(silent_times(around)) <= before + 1
    assert around.worker.of(StreamPause)


def test_the_last_picture_stands_in_for_a_publisher_that_is_silent_for_a_second() -> None:
    around = StreamRig().live()
    stream = around.stream
    stream.tick(101.0)
    assert not around.worker.of(StreamPause)
    for step in range(30):
        stream.tick(101.1 + step / 10)
    (pause,) = around.worker.of(StreamPause)
    assert pause == StreamPause(STREAM, Generation(1), ClockReference(40, 100.04), may_go_on=True)
    around.put(80, at_s=104.0)
    assert [unit.dts_ms for unit in around.worker.of(AccessUnit)] == [0, 40, 80]
    stream.tick(105.1)
    assert len(around.worker.of(StreamPause)) == 2
    stream.leave("idle", 106.0)
    assert not around.worker.of(StreamPause)[-1].may_go_on
    stream.tick(108.0)
    assert len(around.worker.of(StreamPause)) == 3


def test_a_source_of_few_pictures_is_not_silent_between_them() -> None:
    around = StreamRig().live()
    for second in range(1, 12):
        around.put(2000 * second, key=True)
        around.stream.tick(100 + 2 * second + 1.9)
    assert len(around.worker.of(StreamPause)) <= 3, "until its rate has been measured"
    assert len(around.worker.of(AccessUnit)) == 13


def test_without_a_filler_all_pauses() -> None:
    template = replace(TEMPLATE, away_picture=AwayPicture.NONE)
    around = StreamRig(replace(ANSWER, template=template)).live()
    around.stream.media.audio_configure(AAC)
    around.stream.leave("reset", 101.0)
    around.stream.tick(102.0)
    around.stream.tick(102.1)
    assert not around.worker.of(StreamPause)
    assert not silent_times(around)


@pytest.mark.parametrize("away_picture", list(AwayPicture))
def test_one_that_returns_without_a_keyframe_is_not_shown_to_its_old_worker(
    away_picture: AwayPicture,
) -> None:
    around = StreamRig(replace(ANSWER, template=replace(TEMPLATE, away_picture=away_picture)))
    around.stream.configure(config(), 100.0)
    around.answer(template=replace(TEMPLATE, away_picture=away_picture))
    around.put(0, key=True)
    around.stream.leave("reset", 101.0)
    around.stream.arrive("192.0.2.1:6000", 105.0)
    around.stream.configure(config(), 105.0)
    for at_ms in (0, 40):
        around.put(at_ms, at_s=105 + at_ms / 1000)
    assert [u.number for u in around.worker.of(AccessUnit)] == [0]
    around.put(80, key=True, at_s=105.08)
    around.put(120, at_s=105.12)
    assert [u.number for u in around.worker.of(AccessUnit)] == [0, 3, 4]


def test_without_a_filler_a_silent_publisher_pauses_too() -> None:
    around = StreamRig(
        replace(ANSWER, template=replace(TEMPLATE, away_picture=AwayPicture.NONE))
    ).live()
    around.stream.tick(105.0)
    assert not around.worker.of(StreamPause)


def test_without_a_hold_a_lost_publisher_ends_the_stream() -> None:
    around = StreamRig(replace(ANSWER, template=replace(TEMPLATE, hold_ms=0))).live()
    around.stream.leave("reset", 101.0)
    assert around.state() is StreamState.ENDED
    assert around.egress.of(StreamClosed)[0].hold_ms == 0


def test_the_end_comes_once_whoever_says_it() -> None:
    around = StreamRig().live()
    around.stream.end("kicked")
    around.stream.end("again")
    around.stream.leave("reset", 101.0)
    around.stream.place(replace(ANSWER, request_id=0, generation=Generation(9)))
    assert len(around.egress.of(StreamClosed)) == 1
    assert len([m for m in around.told if isinstance(m, PublishEnd)]) == 1
    assert around.egress.kinds()[-1] == "StreamClosed"


def test_a_new_egress_gets_the_stream_the_headers_and_the_gop() -> None:
    around = StreamRig().live()
    around.peers.running = [RememberingPort(EGRESS)]
    around.stream.peers_changed(101.0)
    around.put(80)
    assert around.egress.kinds() == ["StreamOpen", "RenditionOpen", "Tags", "Tags"]
    assert around.egress.numbers(SOURCE) == [0, 1, 2]


def test_a_new_egress_of_a_held_stream_is_told_how_long() -> None:
    around = StreamRig().live()
    around.stream.leave("reset", 101.0)
    around.peers.running = [RememberingPort(EGRESS)]
    around.stream.peers_changed(105.0)
    assert around.egress.of(StreamClosed)[-1].hold_ms == TEMPLATE.hold_ms - 4000


def test_a_stream_without_a_header_yet_says_nothing_to_a_new_egress() -> None:
    around = StreamRig()
    around.peers.running.append(RememberingPort(EGRESS))
    around.stream.peers_changed(101.0)
    assert all(port.sent == [] for port in around.peers.running)


def test_a_lost_picture_leaves_gaps_and_is_counted_by_its_place() -> None:
    around = StreamRig().live()
    around.stream.media.lose_picture("NAL units beyond their tag")
    around.stream.media.drop("empty audio tag")
    around.put(120)
    assert around.egress.numbers(SOURCE) == [0, 1, 3]
    assert [u.number for u in around.worker.of(AccessUnit)] == [0, 1, 3]
    around.egress.full = True
    around.put(160)
    assert around.stream.status(101.0).dropped == {
        "NAL units beyond their tag": 1,
        "empty audio tag": 1,
        "to egress": 1,
    }


def test_status_tells_what_a_person_wants_to_know() -> None:
    around = StreamRig().live()
    around.stream.media.audio_configure(AAC)
    for step in range(2, 120):
        around.put(step * 40, key=step % 25 == 0)
    status = around.stream.status(104.8)
    assert status.codec == "avc1.640028"
    assert status.audio == "AAC-LC 48 kHz 2ch"
    assert status.fps == pytest.approx(25, rel=0.1)
    assert status.bitrate_bps == pytest.approx(25 * 15 * 8, rel=0.1)
    assert (status.gop_ms, status.frames) == (1000, 120)
    assert status.reference != ClockReference(0, 0.0)
    assert status.worker == WORKER
    assert status.dropped == {}


def test_status_tells_when_another_worker_would_have_nothing_to_begin_with() -> None:
    around = StreamRig().live()
    for step in range(2, 520):
        around.put(step * 40)
        assert around.stream.status(100.0).can_move == (step * 40 <= MAX_GOP_MS * LASTING)
    around.put(520 * 40, key=True)
    assert around.stream.status(100.0).can_move


def test_audio_that_is_left_out_is_said_until_there_is_other() -> None:
    around = StreamRig()
    around.stream.media.audio_omitted("Opus audio")
    assert around.stream.status(100.0).audio == "omitted: Opus audio"
    around.stream.media.audio_configure(AAC)
    around.stream.media.audio_omitted("audio tracks beyond the first")
    assert around.stream.status(100.0).audio == "AAC-LC 48 kHz 2ch"


def test_audio_crosses_once_and_apart_from_the_source() -> None:
    around = StreamRig().live()
    around.stream.media.audio_configure(AAC)
    around.stream.media.audio_unit(audio_unit(50, b"sound", 100.05))
    around.stream.media.data(DataUnit(60, b"text", 100.06))
    around.put(80)
    shared = [message for message in around.egress.of(Tags) if message.rendition == SHARED]
    assert [[entry.type for entry in message.tags] for message in shared] == [[8, 8, 18]]
    assert around.worker.kinds().count("Tags") == 0


def test_what_is_wrong_with_the_source_is_in_status_until_another_publisher_begins():
    rig = StreamRig().live()
    changes = []
    for frame in range(2, 25 * 12):
        at_s = 100 + frame * 0.04
        rig.put(frame * 40, at_s=at_s)
        changes += rig.stream.tick(at_s)
    assert [n.code for n in rig.stream.status(112.0).notices] == ["long-gop", "no-sound"]
    assert [(change.code, change.begins) for change in changes] == [
        ("long-gop", True),
        ("no-sound", True),
    ]
    rig.stream.leave("gone", 113.0)
    assert rig.stream.status(113.0).notices == ()
    rig.stream.arrive("192.0.2.1:5001", 114.0)
    assert rig.stream.status(114.0).notices == ()
