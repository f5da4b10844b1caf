"""egress/streams/demand.py: senders are told what is played."""

from collections.abc import Sequence

from common.ipc.envelope import decode
from common.ipc.identity import StreamId
from common.ipc.media_messages import Demand
from egress.streams.demand import Watching

CAM, OTHER = StreamId("live/cam"), StreamId("live/other")


class FakeSender:
    def __init__(self) -> None:
        self.told: list[Demand] = []
        self.closed = False
        self.is_full = False

    def answer(self, frames: Sequence[bytes]) -> bool:
        if self.is_full:
            return False
        self.told.append(decode(frames[0]))
        return True


def test_every_sender_is_told_once_what_is_watched() -> None:
    watching, ingest, worker = Watching(), FakeSender(), FakeSender()
    watching.sends(CAM, ingest)
    watching.tell(CAM, set())
    assert not ingest.told, "nothing is what it assumes"
    watching.tell(CAM, {"360p"})
    watching.sends(CAM, worker)
    watching.sends(CAM, ingest)
    watching.tell(CAM, {"360p"})
    watching.tell(CAM, {"720p", "360p"})
    assert ingest.told == [Demand(CAM, ("360p",)), Demand(CAM, ("360p", "720p"))]
    assert worker.told == ingest.told


def test_who_takes_no_answer_gets_it_at_the_next_call() -> None:
    watching, ingest = Watching(), FakeSender()
    watching.sends(CAM, ingest)
    ingest.is_full = True
    watching.tell(CAM, {"source"})
    ingest.is_full = False
    watching.tell(CAM, {"source"})
    assert ingest.told == [Demand(CAM, ("source",))]


def test_who_is_gone_is_forgotten_and_the_end_is_told() -> None:
    watching, ingest, worker = Watching(), FakeSender(), FakeSender()
    for sender in (ingest, worker):
        watching.sends(CAM, sender)
    watching.tell(CAM, {"source"})
    worker.closed = True
    watching.forget(CAM)
    assert ingest.told[-1] == Demand(CAM, ())
    assert len(worker.told) == 1
    watching.tell(CAM, {"source"})
    assert ingest.told[-1] == Demand(CAM, ()), "it sends no more"


def test_what_is_no_stream_here_is_forgotten_in_the_end_and_not_at_once() -> None:
    watching, worker = Watching(), FakeSender()
    watching.sends(CAM, worker)
    watching.sends(OTHER, worker)
    watching.prune({OTHER})
    watching.tell(CAM, {"360p"})
    assert worker.told == [Demand(CAM, ("360p",))], "the stream may be about to open"
    watching.prune({OTHER})
    watching.tell(CAM, {"720p"})
    watching.tell(OTHER, {"720p"})
    assert worker.told[1:] == [Demand(OTHER, ("720p",))]
