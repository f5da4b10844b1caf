"""ingest/streams/supervisor_messages.py: streams that are kicked, let in again, handed over."""

import pytest

from common.access.bans import Ban
from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import Takeover
from common.ipc.control_messages import (
    BanList,
    EndStream,
    GopTransfer,
    PublishEnd,
    PublishRequest,
    Readmit,
    Refused,
    RequestQueued,
    SourceFormatReport,
    StreamRevoke,
    StreamRevoked,
)
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import AccessUnit, StreamStart, Tags
from tests.kit.ingest_ports import ANSWER, STREAM, TEMPLATE, WORKER, header, picture
from tests.kit.registry_rig import FakeConnection, RegistryRig


def _end(stream: StreamId, reason: RefusalReason, words: str) -> EndStream:
    return EndStream(stream, Refusal(reason, words, is_lasting=True))


def handed_over(around: RegistryRig) -> tuple[RegistryRig, FakeConnection]:
    """The stream of a publisher that was lost, at another ingest, where one asks for it."""
    around.from_supervisor.revoke(StreamRevoke(3, ANSWER.stream_id), 102.0)
    other = RegistryRig()
    peer = other.publish(now=102.0)
    other.place(102.0, generation=Generation(2), resume_time=around.last(StreamRevoked).resume_time)
    return other, peer


@pytest.mark.parametrize(
    ("takeover", "after_s", "lets_go"),
    [(Takeover.IDLE, 2.9, False), (Takeover.IDLE, 3.0, True), (Takeover.NEVER, 30.0, False)],
)
def test_another_ingests_publisher_is_let_in_by_the_same_rules(
    takeover: Takeover, after_s: float, lets_go: bool
) -> None:
    around = RegistryRig(takeover)
    first = around.live()
    around.from_supervisor.revoke(StreamRevoke(3, ANSWER.stream_id), 100.0 + after_s)
    answer = around.last(StreamRevoked)
    assert (answer.request_id, answer.stream_id) == (3, ANSWER.stream_id)
    assert bool(answer.refusal) is not lets_go
    assert bool(first.told) is lets_go
    assert len(around.streams) == (0 if lets_go else 1)
    assert around.closed() == ([TEMPLATE.hold_ms] if lets_go else [])
    assert around.count(PublishEnd) == 0


def test_a_held_stream_goes_to_another_ingest_with_its_time() -> None:
    around = RegistryRig()
    first = around.live()
    around.media(first, [picture(400)], 100.4)
    around.streams.lost(first, "reset", 101.0)
    around.from_supervisor.revoke(StreamRevoke(3, ANSWER.stream_id), 102.0)
    answer = around.last(StreamRevoked)
    assert answer.refusal is None
    assert answer.resume_time.end_ms == 400
    time_ms = answer.resume_time.reference.lead_ms
    assert time_ms == pytest.approx(-100_000)
    assert around.closed() == [TEMPLATE.hold_ms]
    assert around.streams.statuses(102.0) == ()


def test_what_was_kept_of_a_stream_goes_to_the_ingest_that_it_goes_to() -> None:
    around = RegistryRig()
    first = around.live()
    around.media(first, [picture(40), picture(80)], 100.1)
    around.streams.lost(first, "reset", 101.0)
    other, peer = handed_over(around)
    assert isinstance(around.told[-1], GopTransfer), "behind the answer"
    other.from_supervisor.take_over(around.told[-1], around.payloads[-1])
    worker = other.peers.workers[WORKER]
    assert [unit.dts_ms for unit in worker.of(AccessUnit)] == [0, 40, 80]
    other.media(peer, [header(), picture(0, key=True)], 103.0)
    assert worker.of(AccessUnit)[-1].dts_ms == 3_000
    assert len(worker.of(StreamStart)) == 1
    assert other.count(SourceFormatReport) == 0, "it is the same source: its room is right"


def test_what_cannot_be_read_of_a_stream_that_was_handed_over_is_left() -> None:
    around = RegistryRig()
    around.streams.lost(around.live(), "reset", 101.0)
    other, peer = handed_over(around)
    other.from_supervisor.take_over(around.told[-1], around.payloads[-1][:-1])
    assert other.peers.workers[WORKER].sent == []
    other.media(peer, [header(), picture(0, key=True)], 103.0)
    assert [tags.tags[0].dts_ms for tags in other.peers.running[0].of(Tags)] == [3_000]


def test_a_stream_that_is_not_known_here_is_released() -> None:
    around = RegistryRig()
    around.from_supervisor.revoke(StreamRevoke(3, ANSWER.stream_id), 100.0)
    assert around.last(StreamRevoked) == StreamRevoked(3, ANSWER.stream_id)


def test_a_publisher_kicked_at_another_ingest_is_kept_out_here_too() -> None:
    around = RegistryRig()
    around.from_supervisor.end_stream(_end(ANSWER.stream_id, RefusalReason.FAILED, "no"), 100.0)
    assert around.publish(now=110.0).told[0][0] == "NetStream.Publish.Failed"


def test_a_kicked_publisher_is_told_why_and_kept_out_for_a_while() -> None:
    around = RegistryRig()
    peer = around.live()
    around.from_supervisor.end_stream(_end(STREAM, RefusalReason.DENIED, "kicked"), 101.0)
    assert peer.told == [("NetStream.Publish.Denied", "kicked")]
    assert around.closed() == [0]
    assert around.publish(now=102.0).told == [("NetStream.Publish.Denied", "kicked")]


def test_one_that_is_let_in_again_is_asked_for_at_once() -> None:
    around = RegistryRig()
    around.streams.lost(around.live(), "reset", 101.0)
    around.from_supervisor.end_stream(_end(STREAM, RefusalReason.FULL, "took down workers"), 102.0)
    around.from_supervisor.readmit(Readmit(STREAM))
    assert around.publish(now=103.0).told == []
    assert around.count(PublishRequest) == 2


def test_a_held_stream_and_one_that_is_asked_for_can_be_ended_too() -> None:
    around = RegistryRig()
    end = _end(STREAM, RefusalReason.DENIED, "kicked")
    around.streams.lost(around.live(), "reset", 101.0)
    around.from_supervisor.end_stream(end, 102.0)
    assert around.closed() == [TEMPLATE.hold_ms, 0]

    around = RegistryRig()
    peer = around.publish()
    around.from_supervisor.end_stream(end, 102.0)
    assert peer.told == [("NetStream.Publish.Denied", "kicked")]


def test_a_source_without_room_ends_and_its_next_attempt_is_for_the_supervisor_to_judge() -> None:
    around = RegistryRig()
    peer = around.live()
    asked = around.last(SourceFormatReport)
    full = Refusal(RefusalReason.FULL, "the farm is full", detail="needs 5 of the 3 units")
    around.from_supervisor.refused_by_supervisor(
        Refused(asked.request_id, ANSWER.stream_id, full), 101.0
    )
    assert peer.told == [("NetStream.Failed", "the farm is full")]
    requests = around.count(PublishRequest)
    assert around.publish(now=102.0).told == []
    assert around.count(PublishRequest) == requests + 1


def test_a_publisher_whose_request_is_queued_waits_for_its_turn() -> None:
    around = RegistryRig()
    peer = around.publish(now=100.0)
    asked = around.last(PublishRequest)
    around.from_supervisor.queued(RequestQueued(asked.request_id, ANSWER.stream_id, 10.0), 100.0)
    around.streams.tick(109.0)
    assert peer.told == []
    around.place(109.5)
    assert peer.accepted == [7]


def test_who_is_banned_is_cut_off_and_its_stream_ends() -> None:
    around = RegistryRig()
    banned, other = around.live(), around.live(path="live/other")
    other.host = "198.51.100.9"
    lost = around.live(path="live/lost")
    around.streams.lost(lost, "reset", 101.0)
    asking = around.publish("live/asking")
    around.from_supervisor.ban(BanList((Ban("203.0.113.7/32"),)), 102.0)
    for peer in (banned, asking):
        assert peer.told == [("NetStream.Publish.Denied", "this address is banned by the operator")]
    assert not other.told
    assert [status.stream_id for status in around.streams.statuses(102.0)] == ["live/other"]
    again = around.publish("live/again", 103.0)
    assert again.told[0][0] == "NetStream.Publish.Denied"
    around.from_supervisor.ban(BanList(()), 104.0)
    assert not around.publish("live/again", 105.0).told


def test_a_banned_stream_is_nobodys() -> None:
    around = RegistryRig()
    banned, other = around.live(), around.live(path="live/other")
    around.from_supervisor.ban(BanList((Ban(stream=STREAM),)), 102.0)
    assert banned.told == [("NetStream.Publish.Denied", "this stream is banned by the operator")]
    assert not other.told
    assert around.publish(now=103.0).told


def test_a_stream_that_another_host_has_ends_and_its_players_are_held_for_it() -> None:
    around = RegistryRig()
    first = around.live()
    refusal = Refusal(RefusalReason.NAME_IN_USE, "host b has it")
    around.from_supervisor.end_stream(EndStream(STREAM, refusal, 5_000), 102.0)
    assert around.closed() == [5_000]
    assert first.told, "why"
    assert around.count(PublishEnd) == 1
    assert len(around.streams) == 0
