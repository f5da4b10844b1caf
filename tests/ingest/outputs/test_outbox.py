"""ingest/outputs/outbox.py: numbering, and what is dropped when a peer takes no more."""

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.ladder import SOURCE
from common.ipc.identity import Generation
from common.ipc.media_messages import (
    HEADER,
    KEY,
    SHARED,
    AccessUnit,
    RenditionOpen,
    StreamClosed,
    StreamEnd,
    StreamOpen,
    StreamStart,
    TagHeader,
    Tags,
    VideoHeader,
)
from common.media.clock import ClockReference
from common.media.units import VideoCodec, VideoUnit
from ingest.outputs.outbox import MAX_KEPT, EgressFeed, WorkerFeed
from tests.kit.ingest_ports import (
    EGRESS,
    SOURCE_VIDEO,
    STREAM,
    TEMPLATE,
    WORKER,
    RememberingPort,
    config,
    video_unit,
)

ONE = Generation(1)
START = StreamStart(STREAM, ONE, TEMPLATE, VideoCodec.H264, ClockReference(0, 0.0))
OPEN = StreamOpen(STREAM, ONE, TEMPLATE, ("360p",))
CLOSED = StreamClosed(STREAM, ONE, "over", 0)


def unit(at_ms: int, *, key: bool = False) -> VideoUnit:
    return video_unit(at_ms, key=key, data=str(at_ms).encode())


def sound(at_ms: int, flags: int = 0, received_s: float = 1.0) -> TagHeader:
    return TagHeader(8, "aac", at_ms, 0, flags, received_s)


def tag(at_ms: int, flags: int = 0) -> TagHeader:
    return TagHeader(9, "h264", at_ms, 0, flags, 1.0)


def worker_feed() -> tuple[WorkerFeed, RememberingPort]:
    port = RememberingPort(WORKER)
    return WorkerFeed(STREAM, ONE, port), port


def egress_feed() -> tuple[EgressFeed, RememberingPort]:
    port = RememberingPort(EGRESS)
    feed = EgressFeed(STREAM, port)
    feed.open(OPEN)
    return feed, port


def put(
    feed: EgressFeed, *entries: TagHeader, rendition: str = SOURCE, is_piggybacked: bool = False
) -> None:
    feed.tags(ONE, rendition, entries, [b"body"] * len(entries), is_piggybacked=is_piggybacked)


def test_a_worker_gets_the_start_the_last_gop_and_what_follows() -> None:
    feed, port = worker_feed()
    feed.start(START, b"record", [unit(0, key=True), unit(40)], is_repeat=True)
    feed.unit(unit(80))
    feed.end("over")
    assert port.sent[0] == (START, (b"record",))
    units = port.of(AccessUnit)
    assert [(u.number, u.dts_ms, u.is_key, u.replay) for u in units] == [
        (0, 0, True, True),
        (1, 40, False, True),
        (2, 80, False, False),
    ]
    assert port.sent[1][1] == (b"0",), "the NAL units without the tag's header"
    assert port.sent[-1][0] == StreamEnd(STREAM, ONE, "over")
    assert feed.retry()
    assert feed.dropped == 0


def test_a_worker_is_not_offered_what_comes_before_the_first_keyframe() -> None:
    feed, port = worker_feed()
    feed.start(START, b"record", [], is_repeat=False)
    feed.unit(unit(0))
    feed.unit(unit(40, key=True))
    assert [u.number for u in port.of(AccessUnit)] == [0]
    assert feed.dropped == 0


def test_a_full_worker_misses_units_up_to_the_next_keyframe_and_sees_the_gap() -> None:
    feed, port = worker_feed()
    feed.start(START, b"record", [unit(0, key=True)], is_repeat=False)
    port.full = True
    feed.unit(unit(40))
    port.full = False
    feed.unit(unit(80))
    feed.unit(unit(120, key=True))
    feed.unit(unit(160))
    assert [u.number for u in port.of(AccessUnit)] == [0, 3, 4]
    assert feed.dropped == 2


def test_a_start_and_new_headers_wait_for_a_full_worker() -> None:
    feed, port = worker_feed()
    port.full = True
    feed.start(START, b"record", [unit(0, key=True), unit(40)], is_repeat=False)
    feed.header(replace(config(), record=b"other"))
    assert not feed.retry()
    port.full = False
    feed.unit(unit(80))
    feed.unit(unit(120, key=True))
    assert port.kinds() == ["StreamStart", "VideoHeader", "AccessUnit"]
    assert port.of(VideoHeader)
    assert port.of(AccessUnit)[0].number == 3


def test_an_end_is_owed_until_it_is_taken() -> None:
    feed, port = worker_feed()
    feed.start(START, b"record", [], is_repeat=False)
    port.full = True
    feed.end("over")
    assert not feed.retry()
    port.full = False
    assert feed.retry()
    assert port.kinds() == ["StreamStart", "StreamEnd"]


def test_a_lost_unit_leaves_a_gap_in_the_numbers_but_never_a_drop_before_the_start() -> None:
    feed, port = worker_feed()
    feed.start(START, b"record", [], is_repeat=False)
    feed.lose()
    feed.unit(unit(0, key=True))
    feed.lose()
    feed.unit(unit(80))
    assert [u.number for u in port.of(AccessUnit)] == [0, 2]


def test_what_waits_for_a_dead_peer_is_bounded() -> None:
    feed, port = egress_feed()
    port.full = True
    for number in range(3 * MAX_KEPT):
        feed.open_source(ONE, SOURCE_VIDEO, b"", str(number).encode())
    port.full = False
    assert feed.retry()
    opens = [payloads for message, payloads in port.sent if isinstance(message, RenditionOpen)]
    assert len(opens) == MAX_KEPT
    assert opens[-1] == (b"", str(3 * MAX_KEPT - 1).encode()), "the latest are what matters"


def test_renditions_are_numbered_apart_and_told_where_they_go_on() -> None:
    feed, port = egress_feed()
    put(feed, tag(0, KEY), tag(40))
    put(feed, sound(0), rendition=SHARED)
    put(feed, tag(80))
    feed.open_source(ONE, SOURCE_VIDEO, b"meta", b"header")
    assert port.numbers(SOURCE) == [0, 1, 2]
    assert port.numbers(SHARED) == [0]
    assert port.sent[-1] == (
        RenditionOpen(STREAM, ONE, SOURCE, 3, SOURCE_VIDEO),
        (b"meta", b"header"),
    )


def test_a_full_egress_misses_pictures_up_to_the_next_keyframe_inside_a_batch_too() -> None:
    feed, port = egress_feed()
    put(feed, tag(0, KEY))
    port.full = True
    put(feed, tag(40), tag(80))
    port.full = False
    put(feed, tag(120), tag(160, KEY), tag(200))
    assert port.numbers(SOURCE) == [0, 4, 5]
    assert feed.dropped == 3
    last = port.of(Tags)[-1]
    assert [entry.dts_ms for entry in last.tags] == [160, 200]
    assert len(port.sent[-1][1]) == 2


def test_audio_that_is_not_taken_is_dropped_alone_and_its_header_never() -> None:
    feed, port = egress_feed()
    port.full = True
    put(
        feed,
        sound(0, HEADER, 0.0),
        sound(0),
        rendition=SHARED,
    )
    port.full = False
    put(feed, sound(23), rendition=SHARED)
    assert [(message.first_number, message.tags) for message in port.of(Tags)] == [
        (0, (sound(0, HEADER, 0.0),)),
        (2, (sound(23),)),
    ]
    assert feed.dropped == 1


def test_a_lost_picture_leaves_a_gap_in_the_source() -> None:
    feed, port = egress_feed()
    put(feed, tag(0, KEY))
    feed.lose()
    put(feed, tag(80))
    assert port.numbers(SOURCE) == [0, 2]


def test_a_close_is_owed_until_it_is_taken() -> None:
    feed, port = egress_feed()
    port.full = True
    feed.close(CLOSED)
    assert not feed.retry()
    port.full = False
    assert feed.retry()
    assert port.of(StreamClosed) == [CLOSED]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_whatever_a_peer_takes_its_pictures_follow_on_one_another_or_begin_at_a_key(
    steps: list[tuple[bool, bool]],
) -> None:
    egress, egress_port = egress_feed()
    worker, worker_port = worker_feed()
    worker.start(START, b"record", [], is_repeat=False)
    for at, (key, full) in enumerate(steps):
        egress_port.full = worker_port.full = full
        put(egress, tag(at, KEY if key else 0))
        worker.unit(unit(at, key=key))
    keys = {at for at, (key, _) in enumerate(steps) if key}
    took = [message.first_number for message in egress_port.of(Tags)]
    for before, after in zip([-1, *took], took, strict=False):
        assert after == before + 1 or after in keys
    assert len(took) + egress.dropped == len(steps)
    units = worker_port.of(AccessUnit)
    for one, other in itertools.pairwise(units):
        assert other.number == one.number + 1 or other.is_key
    assert not units or units[0].is_key
    offered = len(steps) - (min(keys) if keys else len(steps))
    assert len(units) + worker.dropped == offered


def test_tags_may_come_later_where_nobody_plays_them_and_all_else_goes_at_once() -> None:
    feed, port = egress_feed()
    feed.open_source(ONE, SOURCE_VIDEO, b"metadata", b"header")
    put(feed, tag(0, KEY))
    assert port.lazy == port.of(Tags)
    port.watched = {SOURCE}
    put(feed, tag(40, 0))
    put(feed, sound(40), rendition=SHARED)
    assert [tags.rendition for tags in port.lazy] == [SOURCE, SHARED]


def test_audio_that_somebody_waits_for_takes_the_picture_along_that_nobody_plays() -> None:
    feed, port = egress_feed()
    feed.open_source(ONE, SOURCE_VIDEO, b"metadata", b"header")
    port.watched = {SHARED}
    put(feed, tag(0, KEY))
    put(feed, sound(20), rendition=SHARED, is_piggybacked=True)
    put(feed, tag(40, 0))
    put(feed, tag(80, 0))
    port.watched = set()
    put(feed, sound(90), rendition=SHARED, is_piggybacked=True)
    put(feed, tag(120, 0))
    at_once = [tags.tags[0].dts_ms for tags in port.of(Tags) if tags not in port.lazy]
    assert at_once == [40], "with what was sent lazily before it"


def test_audio_goes_at_once_to_who_gets_no_source() -> None:
    """There is no picture to take it along: it came 0.2 s late to viewers by WebRTC."""
    feed, port = egress_feed()
    feed.takes_source = False
    feed.open_source(ONE, SOURCE_VIDEO, b"metadata", b"header")
    port.watched = {SHARED}
    put(feed, tag(0, KEY))
    put(feed, sound(20), rendition=SHARED, is_piggybacked=True)
    put(feed, tag(40, 0))
    assert [tags.rendition for tags in port.of(Tags) if tags not in port.lazy] == [SHARED]
