"""ingest/outputs/egress_output.py: batches, order, and egresses that come later."""

from dataclasses import replace

import pytest

from common.config.ladder import SOURCE
from common.flv.video import video_header_body
from common.ipc.identity import BootId, ChildId, Generation
from common.ipc.media_messages import (
    HEADER,
    KEY,
    REPLAY,
    SHARED,
    RenditionOpen,
    StreamClosed,
    StreamOpen,
    TagHeader,
    Tags,
)
from common.media.units import AudioCodec, AudioConfig, AudioUnit, DataUnit, VideoUnit
from ingest.outputs.egress_output import PIGGYBACK_S, RELEASE_MS, SIGN_OF_LIFE_S, EgressOutput
from ingest.streams.media_events import Metadata
from ingest.streams.source_gop import GopItem, SourceGop
from tests.kit.children import EGRESS1
from tests.kit.ingest_ports import (
    SOURCE_VIDEO,
    STREAM,
    TEMPLATE,
    FakePeers,
    RememberingPort,
    audio_unit,
    config,
    video_unit,
)

ONE = Generation(1)
OPEN = StreamOpen(STREAM, ONE, TEMPLATE, ("360p",))
AUDIO = AudioConfig(AudioCodec.AAC, b"\x11\x90")


def unit(at_ms: int, *, key: bool = False, at_s: float = 1.0) -> VideoUnit:
    return video_unit(at_ms, key=key, data=b"picture", received_s=at_s)


def sound(at_ms: int) -> AudioUnit:
    return audio_unit(at_ms)


class Around:
    def __init__(self) -> None:
        self.peers = FakePeers()
        self.side = EgressOutput(STREAM, ONE, self.peers, lambda: 1.002)
        self.gop = SourceGop()
        self.gop.set_metadata(Metadata(b"meta"))
        self.gop.add(config())
        self.side.follow()
        self.side.open(OPEN)
        self.side.open_source(self.gop)

    @property
    def port(self) -> RememberingPort:
        return self.peers.running[0]

    def put(self, *tags: GopItem) -> None:
        for item in tags:
            self.gop.add(item)
            self.side.put(item)

    def batches(self) -> list[tuple[str, list[int]]]:
        return [(m.rendition, [entry.dts_ms for entry in m.tags]) for m in self.port.of(Tags)]


def test_what_a_picture_spends_in_ingest_is_counted_but_not_what_audio_waits() -> None:
    around = Around()
    around.put(sound(0))
    around.side.tick(1.1)
    assert around.side.stages.quantiles() == {}
    around.put(unit(0, key=True))
    around.side.end_read(1.0)
    assert around.side.stages.quantiles()["ingest"][0] == pytest.approx(2.0, rel=0.13)
    assert {message.sent_s for message in around.port.of(Tags)} == {1.002}


def test_the_stream_opens_before_its_source_and_its_tags() -> None:
    around = Around()
    around.put(unit(0, key=True))
    around.side.end_read(1.0)
    assert around.port.kinds() == ["StreamOpen", "RenditionOpen", "Tags"]
    opened, payloads = around.port.sent[1]
    assert opened == RenditionOpen(STREAM, ONE, SOURCE, 0, SOURCE_VIDEO)
    assert payloads == (b"meta", video_header_body(config()))


def test_one_read_goes_out_as_runs_of_a_rendition_in_the_order_of_arrival() -> None:
    around = Around()
    around.put(unit(0, key=True), unit(40), sound(41), sound(62), unit(80))
    around.side.end_read(1.0)
    assert around.batches() == [(SOURCE, [0, 40]), (SHARED, [41, 62]), (SOURCE, [80])]
    assert around.port.of(Tags)[0].tags[0] == TagHeader(9, "h264", 0, 0, KEY, 1.0)


def test_audio_rides_with_the_next_picture_while_pictures_come() -> None:
    around = Around()
    around.put(unit(0, key=True))
    around.side.end_read(1.0)
    around.put(sound(20))
    around.side.end_read(1.0 + PIGGYBACK_S / 2)
    assert around.batches() == [(SOURCE, [0])]
    around.put(unit(40))
    around.side.end_read(1.04)
    assert around.batches() == [(SOURCE, [0]), (SHARED, [20]), (SOURCE, [40])]


def test_audio_goes_at_once_when_pictures_are_rare_and_a_tick_sends_what_waits_in_vain() -> None:
    around = Around()
    around.put(unit(0, key=True))
    around.side.end_read(1.0)
    around.put(sound(20))
    around.side.end_read(1.01)
    around.side.tick(1.02)
    assert around.batches() == [(SOURCE, [0])]
    around.side.tick(1.0 + 2 * PIGGYBACK_S)
    assert around.batches()[-1] == (SHARED, [20])
    around.put(sound(120))
    around.side.end_read(1.0 + 2 * PIGGYBACK_S)
    assert around.batches()[-1] == (SHARED, [120])


def test_egresses_are_told_again_and_again_that_the_stream_is_there() -> None:
    around = Around()
    away = RememberingPort(EGRESS1)
    around.peers.running.append(away)
    around.side.follow()
    around.peers.unwanted.append(away)
    around.side.follow()
    told = len(away.sent)
    around.port.full = True
    around.put(unit(0, key=True))
    around.side.end_read(1.0)
    around.port.full = False
    for now in (10.0, 10.5, 10.0 + SIGN_OF_LIFE_S):
        around.put(unit(round(now * 1000)))  # of no use to an egress that missed the keyframe
        around.side.end_read(now)
        around.side.show_life(now)
    assert around.batches() == [(SHARED, []), (SHARED, [])]
    assert len(away.sent) == told, "an egress that does not want the stream lets go of it"
    around.put(unit(20_000, key=True))
    around.side.end_read(20.0)
    assert around.port.numbers(SOURCE) == [4]


def test_a_later_egress_gets_headers_and_the_last_gop_marked_as_a_replay() -> None:
    around = Around()
    text = DataUnit(50, b"text", 1.0)
    around.put(AUDIO, unit(0, key=True), sound(10), text, unit(40))
    around.side.end_read(1.0)
    late = RememberingPort(EGRESS1)
    around.peers.running.append(late)
    (feed,) = around.side.follow()
    around.side.replay(feed, OPEN, around.gop)
    around.put(unit(80))
    around.side.end_read(1.0)
    assert late.kinds()[:2] == ["StreamOpen", "RenditionOpen"]
    assert [(m.rendition, m.tags) for m in late.of(Tags)] == [
        (SHARED, (TagHeader(8, "aac", 0, 0, HEADER | REPLAY, 0.0),)),
        (SOURCE, (TagHeader(9, "h264", 0, 0, KEY | REPLAY, 1.0),)),
        (SHARED, (TagHeader(8, "aac", 10, 0, REPLAY, 1.0), TagHeader(18, "", 50, 0, REPLAY, 1.0))),
        (SOURCE, (TagHeader(9, "h264", 40, 0, REPLAY, 1.0),)),
        (SOURCE, (TagHeader(9, "h264", 80, 0, 0, 1.0),)),
    ]
    assert late.numbers(SOURCE) == [0, 1, 2]
    assert around.port.numbers(SOURCE) == [0, 1, 2], "who was there gets nothing twice"


def test_who_cuts_segments_gets_the_sound_before_the_gop_too() -> None:
    around = Around()
    around.put(AUDIO, unit(0, key=True), sound(10), unit(2000, key=True), sound(2010))
    around.side.end_read(1.0)
    late = RememberingPort(ChildId("web"))
    around.peers.running.append(late)
    (feed,) = around.side.follow()
    around.side.replay(feed, OPEN, around.gop)
    times = [(m.rendition, [tag.dts_ms for tag in m.tags]) for m in late.of(Tags)]
    assert times == [(SHARED, [0, 10]), (SOURCE, [2000]), (SHARED, [2010])]


def test_another_incarnation_is_another_peer_and_the_old_ones_drops_stay_counted() -> None:
    around = Around()
    around.port.full = True
    around.put(unit(0, key=True))
    around.side.end_read(1.0)
    around.peers.running[0] = RememberingPort(around.port.child, BootId("next"))
    assert len(around.side.follow()) == 1
    assert around.side.follow() == []
    assert around.side.dropped == 1


def test_a_new_generation_marks_tags_and_numbers_go_on() -> None:
    around = Around()
    around.put(unit(0, key=True))
    two = Generation(2)
    around.side.open(StreamOpen(STREAM, two, TEMPLATE, (), splice_ms=40))
    around.side.open_source(around.gop)
    around.put(unit(40))
    around.side.end_read(1.0)
    assert [(m.generation, m.first_number) for m in around.port.of(Tags)] == [(ONE, 0), (two, 1)]
    assert around.port.of(RenditionOpen)[-1] == RenditionOpen(STREAM, two, SOURCE, 1, SOURCE_VIDEO)


def test_what_was_put_goes_before_the_close_and_nothing_after_the_last_one() -> None:
    around = Around()
    around.put(unit(0, key=True))
    around.side.close(StreamClosed(STREAM, ONE, "away", 5000))
    around.put(unit(40))
    around.side.close(StreamClosed(STREAM, ONE, "over", 0))
    around.put(unit(80))
    around.side.end_read(1.0)
    assert around.port.kinds()[2:] == ["Tags", "StreamClosed", "Tags", "StreamClosed"]


def test_a_last_close_is_owed_to_a_full_egress_until_it_takes_it_or_is_gone() -> None:
    around = Around()
    around.port.full = True
    around.side.close(StreamClosed(STREAM, ONE, "over", 0))
    around.side.tick(1.0)
    assert around.side.has_unsent
    around.port.full = False
    around.side.tick(1.0)
    assert not around.side.has_unsent
    assert around.port.kinds()[-1] == "StreamClosed"

    around = Around()
    around.port.full = True
    around.side.close(StreamClosed(STREAM, ONE, "over", 0))
    around.peers.running.clear()
    around.side.tick(1.0)
    assert not around.side.has_unsent


def test_an_egress_without_players_gets_nothing_and_is_brought_up_to_date_later() -> None:
    around = Around()
    around.put(unit(0, key=True))
    around.side.end_read(1.0)
    port = around.port
    around.peers.unwanted = [port]
    assert around.side.follow() == []
    (closed,) = port.of(StreamClosed)
    assert closed.hold_ms == RELEASE_MS
    around.put(unit(40), unit(80))
    around.side.end_read(1.0)
    assert around.batches() == [(SOURCE, [0])]
    around.peers.unwanted = []
    (feed,) = around.side.follow()
    around.side.replay(feed, OPEN, around.gop)
    around.put(unit(120))
    around.side.end_read(1.0)
    assert around.batches()[1:] == [(SOURCE, [0, 40, 80]), (SOURCE, [120])]
    # the numbers go on: what was not wanted has used some up
    assert [message.first_number for message in port.of(Tags)] == [0, 3, 6]
    around.peers.unwanted = [port]
    around.side.follow()
    around.side.close(StreamClosed(STREAM, ONE, "over", 0))
    assert around.side.follow() == []


def test_who_wants_a_coded_rendition_alone_gets_no_source_until_it_wants_that_too() -> None:
    around = Around()
    tap = RememberingPort(ChildId("tap"))
    around.peers.running.append(tap)
    around.peers.without_source.append(tap.child)
    (feed,) = around.side.follow()
    around.side.replay(feed, OPEN, around.gop)
    around.put(unit(0, key=True), sound(10))
    around.side.flush()
    assert tap.kinds() == ["StreamOpen", "Tags"]
    assert tap.numbers(SOURCE) == []
    assert tap.numbers(SHARED) == [0]
    around.peers.without_source.clear()
    assert around.side.follow() == [feed]
    around.side.replay(feed, OPEN, around.gop)
    assert tap.kinds()[2:4] == ["StreamOpen", "RenditionOpen"]
    around.put(unit(40))
    around.side.flush()
    assert tap.numbers(SOURCE)[-1] > 0
    assert around.side.follow() == []


def test_of_a_stream_that_rests_egresses_get_headers_and_the_first_player_gets_its_gop() -> None:
    around = Around()
    side = around.side
    around.put(AUDIO, unit(0, key=True), sound(20), sound(45), unit(30))
    side.rest(around.gop)  # in front of a keyframe
    side.rest(around.gop)
    sent = len(around.port.sent)
    resting, payloads = around.port.sent[-1]
    assert (resting.rendition, resting.is_resting, payloads) == (SOURCE, True, (b"", b""))
    around.put(unit(60, key=True), sound(62), sound(85), unit(90))
    side.end_read(1.0)
    around.put(sound(107), unit(120, key=True), sound(125), unit(150))
    side.end_read(1.0)
    assert len(around.port.sent) == sent
    around.put(replace(AUDIO, record=b"\x12\x10"))
    side.end_read(1.0)
    side.show_life(10.0)
    assert [len(message.tags) for message in around.port.of(Tags)[-2:]] == [1, 0]
    sent = len(around.port.of(Tags))
    around.port.watched.add(SOURCE)
    side.wake()
    side.wake()
    around.put(unit(180))
    side.end_read(1.0)
    woken = around.port.of(Tags)[sent:]
    assert [(m.rendition, e.dts_ms) for m in woken for e in m.tags if not e.flags & HEADER] == [
        (SOURCE, 120),
        (SHARED, 125),
        (SOURCE, 150),
        (SOURCE, 180),
    ]
    flags = [e.flags for m in woken for e in m.tags if m.rendition == SOURCE]
    assert flags == [KEY | REPLAY, REPLAY, 0]
    assert around.port.numbers(SOURCE) == [0, 1, 2, 3, 4], "no gap: the keyframe goes on"
    assert side.dropped == 0


def test_the_sound_of_a_stream_that_rests_comes_with_the_picture_that_it_is_ahead_of() -> None:
    around = Around()
    around.put(AUDIO, unit(0, key=True))
    around.side.rest(around.gop)
    around.put(unit(40, key=True), sound(60), sound(85), sound(110), unit(80, key=True), unit(120))
    around.side.wake()
    assert [e.dts_ms for m in around.port.of(Tags) for e in m.tags if e.flags & REPLAY][1:] == [
        85,
        110,
        80,
        120,
    ]


def test_only_homes_let_a_stream_rest() -> None:
    around = Around()
    around.peers.running.append(RememberingPort(ChildId("web", "0", 0)))
    around.side.follow()
    around.side.rest(around.gop)
    assert not around.side.is_resting


def wake_by(around: Around, how: str) -> None:
    match how:
        case "another egress":
            around.peers.running.append(RememberingPort(EGRESS1))
            around.side.follow()
        case "a lost picture":
            around.side.lose()
        case "its publisher leaves":
            around.side.close(StreamClosed(STREAM, ONE, "gone", 10_000))


@pytest.mark.parametrize("how", ["another egress", "a lost picture", "its publisher leaves"])
def test_a_stream_rests_no_more_where_something_would_be_lost(how: str) -> None:
    around = Around()
    around.put(unit(0, key=True))
    around.side.rest(around.gop)
    around.put(unit(40, key=True), unit(80))
    wake_by(around, how)
    assert not around.side.is_resting
    assert [e.dts_ms for m in around.port.of(Tags) for e in m.tags] == [0, 40, 80]
