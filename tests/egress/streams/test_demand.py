"""egress/streams/demand.py: senders get a report of what is demanded."""

from collections.abc import Sequence
from math import inf

from common.ipc.envelope import decode
from common.ipc.identity import StreamId
from common.ipc.media_messages import Demand
from egress.fanout.channel import Channel
from egress.streams.demand import DemandReports, demanded
from egress.streams.registry import Streams
from tests.kit.egress import STREAM, MemorySink, egress_rendition, stream_open
from tests.kit.unit_recorder import UnitRecorder

CAM, OTHER = StreamId("live/cam"), StreamId("live/other")


class FakeSender:
    def __init__(self) -> None:
        self.got: list[Demand] = []
        self.closed = False
        self.is_full = False

    def answer(self, frames: Sequence[bytes]) -> bool:
        if self.is_full:
            return False
        self.got.append(decode(frames[0]))
        return True


def test_every_sender_hears_once_what_is_demanded() -> None:
    reports, ingest, worker = DemandReports(), FakeSender(), FakeSender()
    reports.add_sender(CAM, ingest)
    reports.report(CAM, set())
    assert not ingest.got, "nothing is what it assumes"
    reports.report(CAM, {"360p"})
    reports.add_sender(CAM, worker)
    reports.add_sender(CAM, ingest)
    reports.report(CAM, {"360p"})
    reports.report(CAM, {"720p", "360p"})
    assert ingest.got == [Demand(CAM, ("360p",)), Demand(CAM, ("360p", "720p"))]
    assert worker.got == ingest.got


def test_who_takes_no_answer_gets_it_at_the_next_call() -> None:
    reports, ingest = DemandReports(), FakeSender()
    reports.add_sender(CAM, ingest)
    ingest.is_full = True
    reports.report(CAM, {"source"})
    ingest.is_full = False
    reports.report(CAM, {"source"})
    assert ingest.got == [Demand(CAM, ("source",))]


def test_who_is_gone_is_forgotten_and_the_end_is_reported() -> None:
    reports, ingest, worker = DemandReports(), FakeSender(), FakeSender()
    for sender in (ingest, worker):
        reports.add_sender(CAM, sender)
    reports.report(CAM, {"source"})
    worker.closed = True
    reports.forget(CAM)
    assert ingest.got[-1] == Demand(CAM, ())
    assert len(worker.got) == 1
    reports.report(CAM, {"source"})
    assert ingest.got[-1] == Demand(CAM, ()), "it sends no more"


def test_what_is_no_stream_here_is_forgotten_in_the_end_and_not_at_once() -> None:
    reports, worker = DemandReports(), FakeSender()
    reports.add_sender(CAM, worker)
    reports.add_sender(OTHER, worker)
    reports.prune({OTHER})
    reports.report(CAM, {"360p"})
    assert worker.got == [Demand(CAM, ("360p",))], "the stream may be about to open"
    reports.prune({OTHER})
    reports.report(CAM, {"720p"})
    reports.report(OTHER, {"720p"})
    assert worker.got[1:] == [Demand(OTHER, ("720p",))]


def test_what_is_demanded_is_what_is_subscribed_to_by_whatever_kind_and_what_is_awaited() -> None:
    renditions = {name: egress_rendition(name) for name in ("source", "720p", "360p")}
    first, second = UnitRecorder(), MemorySink()
    renditions["source"].subscribe(first)
    second.join(Channel(renditions["360p"]))
    assert demanded(renditions, {"to come"}, 5.0) == {"source", "360p", "to come"}
    assert [r.demanded_since_s for r in renditions.values()] == [5.0, inf, 5.0]
    renditions["source"].unsubscribe(first)
    assert demanded(renditions, {"720p"}, 6.0) == {"720p", "360p"}
    assert [r.demanded_since_s for r in renditions.values()] == [inf, 6.0, 5.0]


def test_a_first_subscriber_is_reported_once_whatever_kind_it_is() -> None:
    asked: list[StreamId] = []
    streams = Streams(asked.append)
    stream, _ = streams.open(stream_open(), 0.0)
    assert stream is not None
    stream.renditions["720p"].subscribe(UnitRecorder())
    assert asked == [STREAM]
    demanded(stream.renditions, set(), 1.0)
    stream.renditions["720p"].subscribe(UnitRecorder())
    MemorySink().join(Channel(stream.renditions["720p"]))
    assert asked == [STREAM]
    MemorySink().join(Channel(stream.renditions["360p"]))
    assert asked == [STREAM, STREAM]
