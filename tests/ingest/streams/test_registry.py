"""ingest/streams/registry.py: who may publish, who takes over, what the supervisor says of whom."""

import logging
from dataclasses import replace

import pytest

from common.access.credentials import credentials
from common.access.refusal import Refusal, RefusalReason
from common.codecs.h264 import AvcConfig, join_avcc
from common.config.ladder import Takeover
from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.control_messages import (
    EndStream,
    GopTransfer,
    Placement,
    PublishEnd,
    PublisherBack,
    PublishRequest,
    Refused,
    SourceFormatReport,
    StreamRevoke,
)
from common.ipc.identity import Generation, StreamId
from common.rtmp.events import AudioReceived, VideoReceived
from ingest.streams.admission import REMEMBER_S
from ingest.streams.publish_requests import ASK_TIMEOUT_S
from tests.kit.h264_bits import PLAIN_PPS, POC_SPS, Picture, slice_nal
from tests.kit.ingest_ports import ANSWER, STREAM, TEMPLATE, header, picture
from tests.kit.registry_rig import FakeConnection, RegistryRig

HERE = credentials(FakeConnection.host, "")


def _end(stream: StreamId, reason: RefusalReason, words: str) -> EndStream:
    return EndStream(stream, Refusal(reason, words, is_lasting=True))


def test_the_supervisor_hears_at_once_of_a_publisher_that_is_back() -> None:
    around = RegistryRig()
    around.streams.lost(around.live(), "connection reset", 101.0)
    assert not around.count(PublisherBack)
    around.publish(now=102.0)
    assert around.last(PublisherBack) == PublisherBack(
        STREAM, ANSWER.generation, FakeConnection.peer, HERE
    )


def test_a_publisher_that_is_lost_as_it_is_answered_is_not_told_to_be_back() -> None:
    around = RegistryRig()
    around.streams.lost(around.live(), "connection reset", 101.0)
    peer = FakeConnection(on_accept=lambda: around.streams.lost(peer, "broken pipe", 102.0))
    around.publish(now=102.0, peer=peer)
    assert not around.streams.statuses(102.0)[0].is_live
    assert not around.count(PublisherBack)


@pytest.mark.parametrize("is_back", [False, True])
def test_who_gave_its_room_away_may_come_back_at_once(is_back: bool) -> None:
    around = RegistryRig()
    around.streams.lost(around.live(), "connection reset", 101.0)
    back = around.publish(now=101.5) if is_back else None
    end = EndStream(STREAM, Refusal(RefusalReason.FULL, "gave its room"))
    around.from_supervisor.end_stream(end, 102.0)
    assert len(around.streams) == 0
    if back is not None:
        assert back.told[-1] == ("NetStream.Failed", "gave its room")
    asks = around.count(PublishRequest)
    around.publish(now=102.1)
    assert around.count(PublishRequest) == asks + 1


def test_at_its_limit_at_other_ingests_the_supervisor_has_the_last_word() -> None:
    around = RegistryRig(max_publishes_per_address=1)
    around.publish()
    assert not around.last(PublishRequest).is_at_limit
    around = RegistryRig(max_publishes_per_address=1)
    around.admission.set_usage_elsewhere({FakeConnection.host: (1, 1)})
    own = around.publish()
    assert around.last(PublishRequest).is_at_limit
    around.place()
    assert around.streams.is_publishing(own)
    other = around.publish("live/other")
    assert other.told[0][0] == "NetStream.Publish.Denied", "one is here"


def test_a_publisher_is_accepted_once_the_supervisor_has_room() -> None:
    around = RegistryRig()
    peer = around.publish()
    assert around.told == [PublishRequest(1, STREAM, "203.0.113.7:5000", credentials=HERE)]
    assert peer.accepted == []
    around.place()
    assert peer.accepted == [7]
    assert around.streams.is_publishing(peer)
    around.media(peer, [header(), picture(0, key=True)], 100.0)
    assert around.count(SourceFormatReport) == 1
    (status,) = around.streams.statuses(100.0)
    assert (status.stream_id, status.is_live) == (STREAM, True)


def test_what_the_supervisor_refuses_is_told_in_its_words() -> None:
    around = RegistryRig()
    peer = around.publish()
    around.from_supervisor.refused_by_supervisor(
        Refused(1, STREAM, Refusal(RefusalReason.DENIED, "the farm is full")), 100.0
    )
    assert peer.told == [("NetStream.Publish.Denied", "the farm is full")]
    assert len(around.streams) == 0
    again = around.publish()
    assert again.told == [], "there may be room now: it is asked again"


@pytest.mark.parametrize(
    ("path", "code", "word"),
    [
        ("live/", "NetStream.Publish.BadName", "stream key"),
        ("live/" + "k" * 1000, "NetStream.Publish.BadName", "longer"),
        ("live/a/b", "NetStream.Publish.BadName", "parts"),
        ("live/a b", "NetStream.Publish.BadName", "letters"),
        ("nope/cam", "NetStream.Publish.Denied", "nope"),
        ("locked/cam", "NetStream.Publish.Denied", "missing"),
        ("locked/cam?key=guess", "NetStream.Publish.Denied", "wrong"),
    ],
)
def test_what_cannot_be_published_is_refused_before_anyone_is_asked(
    path: str, code: str, word: str
) -> None:
    around = RegistryRig()
    ((told_code, description),) = around.publish(path).told
    assert told_code == code
    assert word in description
    assert "guess" not in description
    assert around.told == []


def test_the_right_key_opens() -> None:
    around = RegistryRig()
    around.publish("locked/cam?key=sesame")
    assert around.last(PublishRequest).stream_id == StreamId("locked/cam")


def test_a_supervisor_that_does_not_answer_is_not_waited_for() -> None:
    around = RegistryRig()
    peer = around.publish()
    around.streams.tick(100.0 + ASK_TIMEOUT_S - 0.1)
    assert peer.told == []
    around.streams.tick(100.0 + ASK_TIMEOUT_S)
    ((code, description),) = peer.told
    assert code == "NetStream.Failed"
    assert "supervisor" in description
    assert around.last(PublishEnd) == PublishEnd(
        STREAM, Generation(0), "the supervisor does not answer; try again"
    )
    around.place(104.0)
    assert around.count(PublishEnd) == 1
    assert peer.accepted == []


def test_a_publisher_that_leaves_while_it_is_asked_for_gives_back_what_comes() -> None:
    around = RegistryRig()
    peer = around.publish()
    around.streams.lost(peer, "reset", 100.5)
    around.place()
    assert peer.accepted == []
    assert len(around.streams) == 0
    assert around.count(PublishEnd) == 1


def test_one_that_takes_its_request_back_and_asks_anew_gets_its_own_answer() -> None:
    around = RegistryRig()
    peer = around.publish()
    around.streams.ended(peer, "deleteStream")
    other = around.publish()
    assert [type(message) for message in around.told] == [
        PublishRequest,
        PublishEnd,
        PublishRequest,
    ]
    around.from_supervisor.placed(ANSWER, 100.1)
    assert other.accepted == []
    around.place(100.2, generation=Generation(2))
    assert other.accepted == [7]
    assert around.count(PublishEnd) == 1


def test_a_move_that_crosses_the_end_is_given_back_unless_the_key_is_asked_for_again() -> None:
    around = RegistryRig()
    peer = around.live()
    late = replace(ANSWER, request_id=0, generation=Generation(2))
    around.streams.ended(peer, "FCUnpublish")
    around.from_supervisor.placed(late, 101.0)
    assert around.last(PublishEnd).generation == Generation(2)
    around.publish(now=102.0)
    around.from_supervisor.placed(late, 102.1)
    assert around.count(PublishEnd) == 2


def test_the_key_is_in_use_from_the_first_ask_on() -> None:
    around = RegistryRig()
    around.publish()
    assert around.publish().told == [("NetStream.Publish.BadName", "the stream key is in use")]
    around.place()
    assert around.publish().told[0][0] == "NetStream.Publish.BadName"
    assert around.count(PublishRequest) == 1


@pytest.mark.parametrize(
    ("takeover", "after_s", "takes_over"),
    [
        (Takeover.IDLE, 2.9, False),
        (Takeover.IDLE, 3.0, True),
        (Takeover.NEVER, 30.0, False),
        (Takeover.ALWAYS, 0.0, True),
    ],
)
def test_a_second_publisher_takes_over_as_the_template_says(
    takeover: Takeover, after_s: float, takes_over: bool
) -> None:
    around = RegistryRig(takeover)
    first = around.live()
    second = around.publish(now=100.0 + after_s)
    assert bool(second.accepted) is takes_over
    assert bool(first.told) is takes_over
    assert around.count(PublishRequest) == 1, "its placement is still there"
    assert around.streams.is_publishing(first) is not takes_over
    assert around.count(PublishEnd) == 0
    around.streams.lost(first, "closed", 100.0 + after_s)
    assert len(around.streams) == 1


def test_a_stream_that_never_had_video_leaves_nothing() -> None:
    around = RegistryRig()
    peer = around.publish()
    around.place()
    around.from_supervisor.revoke(StreamRevoke(3, ANSWER.stream_id), 110.0)
    assert peer.told
    assert around.count(GopTransfer) == 0


def test_a_dropped_publisher_finds_its_stream_again() -> None:
    around = RegistryRig()
    first = around.live()
    around.streams.lost(first, "reset", 101.0)
    assert around.closed() == [TEMPLATE.hold_ms]
    second = around.publish(now=105.0)
    assert second.accepted == [7]
    around.media(second, [header(), picture(0, key=True)], 105.0)
    assert around.count(PublishRequest) == 1
    assert around.closed() == [TEMPLATE.hold_ms]


def test_a_held_stream_ends_and_its_key_is_asked_for_anew() -> None:
    around = RegistryRig()
    around.streams.lost(around.live(), "reset", 101.0)
    around.streams.tick(101.0 + TEMPLATE.hold_ms / 1000)
    assert around.closed() == [TEMPLATE.hold_ms, 0]
    assert around.count(PublishEnd) == 1
    assert len(around.streams) == 0
    around.publish(now=120.0)
    assert around.count(PublishRequest) == 2


def test_a_publisher_that_says_goodbye_ends_its_stream_at_once() -> None:
    around = RegistryRig()
    peer = around.live()
    around.streams.ended(peer, "FCUnpublish")
    around.streams.lost(peer, "closed", 100.2)
    assert around.closed() == [0]
    assert around.count(PublishEnd) == 1


def test_a_codec_that_cannot_be_served_is_refused_before_start_the_next_time() -> None:
    around = RegistryRig()
    peer = around.publish()
    around.place()
    around.media(peer, [VideoReceived(0, b"\x12" + bytes(30))], 100.0)
    ((code, description),) = peer.told
    assert (code, "H.263" in description) == ("NetStream.Publish.Rejected", True)
    assert around.count(PublishEnd) == 1
    assert around.publish(now=100.0 + REMEMBER_S - 1).told == [(code, description)]
    assert around.publish(now=100.0 + REMEMBER_S).told == []


def test_a_format_that_fits_nowhere_ends_the_publisher() -> None:
    around = RegistryRig()
    peer = around.live()
    asked = around.last(SourceFormatReport)
    refused = Refused(asked.request_id, STREAM, Refusal(RefusalReason.DENIED, "4K fits nowhere"))
    around.from_supervisor.refused_by_supervisor(refused, 101.0)
    assert peer.told == [("NetStream.Publish.Denied", "4K fits nowhere")]
    assert around.publish(now=102.0).told[0][1] == "4K fits nowhere"

    around = RegistryRig(first_video_timeout_s=10.0, idle_timeout_s=15.0)
    silent = around.publish()
    around.place()
    around.streams.tick(110.0)
    assert "no video" in silent.told[0][1]
    assert around.count(PublishEnd) == 1
    live = around.live(120.0)
    around.streams.tick(136.0)
    assert "no media" in live.told[0][1]
    assert around.closed() == [TEMPLATE.hold_ms], "it may be back"
    assert around.publish(now=137.0).accepted == [7]


def test_publishers_of_one_address_are_counted_and_given_back() -> None:
    around = RegistryRig(max_publishes_per_address=1)
    first = around.publish()
    assert around.publish("live/other").told[0][0] == "NetStream.Publish.Denied"
    around.place()
    assert around.publish("live/other").told[0][0] == "NetStream.Publish.Denied"
    around.streams.ended(first, "FCUnpublish")
    assert around.publish("live/other").told == []


def test_a_message_for_a_stream_that_nobody_knows_is_harmless() -> None:
    around = RegistryRig()
    unknown = StreamId("live/unknown")
    around.from_supervisor.end_stream(_end(unknown, RefusalReason.FAILED, "why"), 100.0)
    around.from_supervisor.refused_by_supervisor(
        Refused(9, unknown, Refusal(RefusalReason.FAILED, "why")), 100.0
    )
    around.from_supervisor.placed(
        Placement(9, unknown, Generation(1), TEMPLATE, None, (), ""), 100.0
    )
    assert around.told == []


def test_the_end_of_the_process_tells_everyone() -> None:
    around = RegistryRig()
    live = around.live()
    asking = around.publish("live/other")
    around.streams.close("the server is stopping", 101.0)
    assert live.told == [("NetStream.Unpublish.Success", "the server is stopping")]
    assert asking.told == [("NetStream.Failed", "the server is stopping")]
    assert around.closed() == [0]
    assert len(around.streams) == 0
    assert around.count(PublishEnd) == 2


def test_streams_do_not_touch_one_another() -> None:
    around = RegistryRig()
    one = around.live()
    other = around.publish("live/other")
    around.place(generation=Generation(5))
    around.media(other, [header(), picture(0, key=True)], 100.0)
    around.streams.lost(one, "reset", 101.0)
    assert around.streams.is_publishing(other)
    assert [s.is_live for s in around.streams.statuses(101.0)] == [False, True]


def test_what_is_left_out_of_a_publish_is_logged_with_its_stream_and_peer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    around = RegistryRig()
    peer = around.live()
    flac = AudioReceived(0, b"\x91fLaC" + bytes(10))
    caplog.clear()  # of what came before, where an earlier test has set the level to INFO
    with caplog.at_level(logging.WARNING):
        around.media(peer, [flac], 100.1)
        around.media(peer, [flac], 100.2)
    (line,) = caplog.messages
    assert "FLAC audio is omitted" in line
    assert peer.peer in line
    assert "live/cam" not in line, "a stream key"


def test_who_sends_a_file_at_once_is_read_in_real_time() -> None:
    around = RegistryRig()
    peer = around.live()
    around.media(peer, [picture(at_ms) for at_ms in range(500, 5_500, 500)], 100.0)
    assert peer.held_back == []
    around.media(peer, [picture(at_ms) for at_ms in range(5_500, 8_500, 500)], 100.0)
    assert peer.held_back == [7.0]


def test_who_has_as_many_streams_as_one_may_can_still_take_its_own_over() -> None:
    around = RegistryRig(max_publishes_per_address=1)
    first = around.live()
    assert "as many as one may" in around.publish("live/other").told[0][1]
    second = around.publish(now=104.0)
    assert second.accepted == [7]
    assert first.told
    assert "as many as one may" in around.publish("live/other", now=104.0).told[0][1]


def test_a_publisher_whose_end_was_not_read_yet_is_not_in_the_way() -> None:
    around = RegistryRig(takeover=Takeover.NEVER)
    first = around.live()
    first.on_look = lambda: around.streams.lost(first, "the peer closed the connection", 101.0)
    second = around.publish(now=101.0)
    assert second.told == []
    assert second.accepted == [7]


def slices(rig: RegistryRig, peer: FakeConnection, number: int, count: int, now: float) -> None:
    """A picture's slices, each a message of its own."""
    shape = Picture(number, 2 * number, is_idr=number == 0)
    for index in range(count):
        data = join_avcc([slice_nal(POC_SPS, shape, 60 * index)])
        message = VideoReceived(40 * number, avc_nalus(data, 0, number == 0))
        rig.media(peer, [message], now)


@pytest.mark.parametrize("end", ["stops", "is lost", "pauses", "is taken over"])
def test_the_last_of_pictures_in_slices_is_handed_on_when_no_more_comes(end: str) -> None:
    rig = RegistryRig()
    peer = rig.publish()
    rig.place()
    record = AvcConfig.from_parameter_sets([POC_SPS], [PLAIN_PPS]).encode()
    rig.media(peer, [VideoReceived(0, avc_sequence_header(record))], 100.0)
    slices(rig, peer, 0, 3, 100.0)
    slices(rig, peer, 1, 3, 100.04)
    rig.tick(100.3)
    stream = rig.streams.get(STREAM)
    assert stream is not None
    throughput = stream.media.throughput
    before = throughput.frames
    match end:
        case "stops":
            rig.streams.ended(peer, "FCUnpublish")
        case "is lost":
            rig.streams.lost(peer, "reset", 100.3)
        case "pauses":
            rig.tick(100.6)
        case _:
            rig.publish(now=104.0, peer=FakeConnection())
    assert throughput.frames == before + 1
