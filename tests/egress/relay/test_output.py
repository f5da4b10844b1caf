"""egress/relay/output.py: what hosts demand, of streams that come, change and go"""

from dataclasses import replace

import pytest

from common.ipc.cluster_messages import OwnerWanted, StreamOwner
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import GenerationEnd, StreamClosed, StreamOpen
from common.link.messages import LinkClosed, LinkOpened, LinkTags
from common.link.serving import Demanded
from egress.output import OutputContext
from egress.relay.output import ASK_AGAIN_S, LEAVE_S, RelayOutput
from egress.streams.registry import Streams
from egress.streams.tag import VIDEO
from egress.streams.waiting import WaitingViewers
from tests.kit.egress import METADATA, VIDEO_HEADER
from tests.kit.host_link import STREAM, TEMPLATE, LinkRig, picture

ID = StreamId("live/cam")
HERE = StreamOwner(STREAM, ID, "host-a", "10.0.0.1:1936", 7, is_here=True)


class Rig:
    """An egress with one host that plays its streams."""

    def __init__(self) -> None:
        self.link = LinkRig()
        self.streams, self.waiting = Streams(), WaitingViewers()
        self.asked: list[OwnerWanted] = []
        self.requested: list[StreamId] = []
        context = OutputContext(
            child=ChildId("relay"),
            streams=self.streams,
            waiting=self.waiting,
            by_address=None,  # type: ignore[arg-type]  # hosts have no limit by address
            clock=lambda: self.link.now,
            endpoint=lambda name, scheme: "",
            report_demand=self.requested.append,
            request_stream=lambda stream, *names: None,
        )
        self.output = RelayOutput(context, self.asked.append)
        self.output.arrived(self.link.serving)
        self.link.connect()

    def want(self, *names: str) -> None:
        self.link.want(*names)
        self.hear()

    def hear(self) -> None:
        self.link.carry()
        for demanded in self.link.demanded:
            self.output.demanded(self.link.serving, demanded)
        self.link.demanded.clear()

    def open(self, generation: int = 3) -> None:
        message = StreamOpen(ID, Generation(generation), TEMPLATE, ("720p", "360p"))
        stream, _ = self.streams.open(message, self.link.now)
        assert stream is not None
        self.output.on_stream(stream)
        self.waiting.on_stream(ID)

    def put(self, rendition: str, *times: int) -> None:
        found = self.streams.by_id[ID].renditions[rendition]
        found.open(METADATA, VIDEO_HEADER, 0)
        tags = [picture(t, is_key=t % 1000 == 0) for t in times]
        found.tags((found._expected or 0), tags, self.link.now)
        found.flush()

    def end(self) -> None:
        closed = StreamClosed(ID, Generation(9), "its publisher stopped", 0)
        stream = self.streams.close(closed, self.link.now)
        assert stream is not None
        self.streams.remove(ID)
        for rendition in stream.renditions.values():
            rendition.end(stream.reason)

    def kinds(self) -> list[str]:
        self.link.carry()
        return [type(message).__name__ for message, _ in self.link.came]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_host_that_comes_first_waits_for_the_stream_and_is_sent_it_then(rig: Rig) -> None:
    rig.want("720p")
    assert rig.asked == [OwnerWanted(digest=STREAM)]
    assert not rig.waiting
    rig.output.on_owner(HERE)
    assert rig.requested == [ID]
    assert rig.waiting.renditions(ID) == {"720p"}
    rig.open()
    assert not rig.waiting
    rig.put("720p", 0, 40)
    rig.put("360p", 0, 40)
    rig.link.carry()
    assert (rig.link.times("720p"), rig.link.times("360p")) == ([0, 40], [])
    opened = rig.link.came[0][0]
    assert isinstance(opened, LinkOpened)
    assert (opened.epoch, opened.generation, opened.renditions) == (7, 3, ("720p", "360p"))
    assert rig.output.audience(ID)["720p"].players == 1
    assert rig.output.serves()


def test_a_rendition_that_is_wanted_later_begins_with_its_gop(rig: Rig) -> None:
    rig.output.on_owner(HERE)  # nobody has asked yet
    rig.want("720p")
    rig.output.on_owner(HERE)
    rig.open()
    rig.put("360p", 0, 40)
    rig.link.pulling.demand(STREAM, ("720p", "360p"), rig.link.edge_now)
    rig.hear()
    rig.put("360p", 80)
    rig.link.carry()
    assert rig.link.times("360p") == [0, 40, 80]
    rig.link.pulling.drop(STREAM)
    rig.hear()
    rig.put("360p", 120)
    rig.link.carry()
    assert rig.link.times("360p") == [0, 40, 80]
    assert not rig.output.serves()


def test_another_generation_is_said_and_an_end_and_another_beginning(rig: Rig) -> None:
    rig.want("720p")
    rig.output.on_owner(HERE)
    rig.open()
    rig.open(generation=4)
    rig.put("720p", 0)
    rig.end()
    rig.open(generation=5)
    rig.put("720p", 1000)
    assert rig.kinds() == [
        *("LinkOpened", "LinkOpened", "LinkHeaders", "LinkTags"),
        *("LinkClosed", "LinkOpened", "LinkHeaders", "LinkTags"),
    ]
    closed = rig.link.came[4][0]
    assert isinstance(closed, LinkClosed)
    assert (closed.reason, closed.hold_ms) == ("its publisher stopped", 0)


ELSEWHERE = StreamOwner(STREAM, ID, "host-c", "10.0.0.3:1936", 9)


def test_a_stream_that_another_host_has_is_sent_up_to_its_last_picture(rig: Rig) -> None:
    rig.want("720p")
    rig.output.on_owner(HERE)
    rig.open()
    rig.put("720p", 0)
    rig.output.on_owner(ELSEWHERE)
    rig.put("720p", 40)
    rig.output.check(rig.link.now)
    assert rig.kinds()[-1] == "LinkTags"
    assert rig.link.times("720p") == [0, 40]
    rig.streams.close(StreamClosed(ID, Generation(3), "it goes on there", 10_000), 0.0)
    rig.put("720p", 80)  # its worker has not sent all of it yet
    rig.output.check(rig.link.now)
    assert rig.link.times("720p") == [0, 40]
    rig.link.carry()
    assert rig.link.times("720p") == [0, 40, 80]
    rig.streams.take(GenerationEnd(ID, Generation(3), "that was all"), (), rig.link.now)
    rig.output.check(rig.link.now)
    assert rig.kinds()[-2:] == ["LinkClosed", "LinkInstead"]  # its owner is to be asked anew
    assert rig.output.audience(ID) == {}


@pytest.mark.parametrize("is_there", [True, False])
def test_a_stream_that_another_host_has_ends_there_in_time(rig: Rig, is_there: bool) -> None:
    rig.want("720p")
    rig.output.on_owner(HERE)
    if is_there:
        rig.open()
        rig.put("720p", 0)
    rig.output.on_owner(ELSEWHERE)
    rig.link.now += LEAVE_S if is_there else 0.0
    rig.output.check(rig.link.now)
    assert rig.kinds()[-1] == "LinkInstead"


def test_who_comes_for_a_stream_that_another_host_has_is_sent_there(rig: Rig) -> None:
    rig.want("720p")
    rig.output.on_owner(HERE)
    rig.open()
    rig.output.on_owner(ELSEWHERE)
    second = LinkRig(frozenset(("host-b",)))
    rig.output.arrived(second.serving)
    second.connect()
    second.want("720p")
    for demanded in second.demanded:
        rig.output.demanded(second.serving, demanded)
    second.carry()
    assert [type(message).__name__ for message, _ in second.came] == ["LinkInstead"]
    rig.output.on_owner(replace(HERE, epoch=11))  # it has come back
    rig.put("720p", 0)
    assert rig.kinds()[-1] == "LinkTags"


def test_a_claim_that_is_to_be_made_anew_ends_nothing(rig: Rig) -> None:
    """etcd has lost its data: the epoch stays until there is a higher one."""
    rig.want("720p")
    rig.output.on_owner(HERE)
    rig.open()
    rig.put("720p", 0)
    rig.output.on_owner(replace(HERE, epoch=0, is_certain=False))
    rig.output.on_owner(StreamOwner(STREAM))
    rig.put("720p", 40)
    rig.output.on_owner(replace(HERE, epoch=9))
    rig.put("720p", 80)
    rig.link.carry()
    assert rig.link.times("720p") == [0, 40, 80]
    assert [m.epoch for m, _ in rig.link.came if isinstance(m, LinkTags)] == [7, 7, 9]


def test_who_has_a_stream_is_asked_again_while_it_is_wanted(rig: Rig) -> None:
    rig.want("720p")
    for _ in range(12):
        rig.link.now += 1.0
        rig.output.check(rig.link.now)
    assert len(rig.asked) == 1 + 12 // int(ASK_AGAIN_S)
    rig.output.left(rig.link.serving)
    rig.link.now += ASK_AGAIN_S
    asked = len(rig.asked)
    rig.output.check(rig.link.now)
    assert len(rig.asked) == asked
    assert rig.output.counters["relay hosts"] == 0


def test_whose_a_stream_is_is_asked_at_once_when_it_is_newly_wanted(rig: Rig) -> None:
    rig.want("720p")
    rig.link.pulling.drop(STREAM)
    rig.hear()
    rig.want("720p")
    assert rig.asked == [OwnerWanted(digest=STREAM)] * 2


def test_a_host_that_leaves_takes_nothing_more(rig: Rig) -> None:
    rig.want("720p")
    rig.output.on_owner(HERE)
    rig.open()
    rendition = rig.streams.by_id[ID].renditions["720p"]
    assert rendition.is_subscribed
    rig.output.close("the end")
    assert not rendition.is_subscribed
    assert Demanded(STREAM, ()) not in rig.link.demanded
    assert VIDEO == 9
    assert not any(isinstance(m, LinkTags) for m, _ in rig.link.came)
