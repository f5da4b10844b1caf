"""supervisor/farm/registry/forwards.py"""

from dataclasses import replace

from common.config.settings import Settings
from common.ipc.control_messages import PublishRequest
from common.ipc.forward_messages import ForwardLost, ForwardTo
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.status_messages import PublisherStatus
from common.media.clock import ClockReference
from supervisor.farm.actions import Send
from supervisor.farm.registry.forwards import Forwards
from supervisor.farm.state import FarmState

INGEST0, INGEST1 = ChildId("ingest"), ChildId("ingest", index=1)
A = StreamId("live/a")
ASKED = PublishRequest(5, A, "203.0.113.7:5000")
HOST = "h2", "h2:1936"


def made() -> Forwards:
    return Forwards(FarmState(Settings(), 4))


def to(forwards: Forwards, ingest: ChildId = INGEST0, epoch: int = 7) -> ForwardTo:
    (action,) = forwards.to(ingest, ASKED, HOST, epoch=epoch, replaces=3, now=1.0)
    assert isinstance(action, Send)
    assert action.child == ingest
    assert isinstance(action.message, ForwardTo)
    return action.message


def status(generation: Generation) -> PublisherStatus:
    reference = ClockReference(0, 0.0)
    return PublisherStatus(A, generation, None, "p:1", 0.0, True, reference, forwarded_to="h2")


def lost(generation: Generation, request_id: int = 0) -> ForwardLost:
    return ForwardLost(request_id, A, generation, "it broke")


def test_a_way_is_known_until_its_publisher_is_gone() -> None:
    forwards = made()
    message = to(forwards)
    assert (message.host, message.relay, message.replaces) == ("h2", "h2:1936", 3)
    way = forwards.lost(INGEST0, lost(message.generation, 5))
    assert way is not None
    assert (way.request, way.epoch, way.tries) == (ASKED, 7, 1)
    assert forwards.lost(INGEST1, lost(message.generation)) is None
    forwards.forget(INGEST0, A)
    assert forwards.lost(INGEST0, lost(message.generation)) is None


def test_what_is_said_of_an_earlier_way_means_nothing() -> None:
    forwards = made()
    first, second = to(forwards), to(forwards)
    assert second.generation > first.generation
    assert forwards.lost(INGEST0, lost(first.generation)) is None
    way = forwards.lost(INGEST0, lost(second.generation))
    assert way is not None
    assert way.tries == 2
    assert way.request == replace(ASKED, request_id=0)


def test_tries_count_anew_for_who_is_let_in() -> None:
    forwards = made()
    to(forwards)
    message = to(forwards)
    forwards.adopt(INGEST0, [status(message.generation)])
    way = forwards.lost(INGEST0, lost(message.generation))
    assert way is not None
    assert (way.tries, way.epoch) == (0, 7)


def test_an_ingest_that_is_gone_has_nothing_forwarded() -> None:
    forwards = made()
    to(forwards, INGEST0)
    to(forwards, INGEST1)
    forwards.forget_ingest(INGEST0)
    assert len(forwards) == 1


def test_an_app_that_is_not_here_is_not_forwarded() -> None:
    forwards = made()
    asked = replace(ASKED, stream_id=StreamId("other/a"))
    assert forwards.to(INGEST0, asked, HOST, now=1.0) == []
