"""ingest/streams/publish_requests.py: publish requests that wait for the supervisor."""

from common.access.credentials import Credentials
from common.ipc.control_messages import PublishEnd, PublishRequest
from common.ipc.identity import Generation, StreamId
from ingest.streams.admission import PublishAdmitted, PublishAttempt
from ingest.streams.publish_requests import ASK_TIMEOUT_S, PublishRequests
from tests.kit.ingest_ports import STREAM
from tests.kit.registry_rig import FakeConnection

OTHER = StreamId("live/other")
WHO = Credentials("203.0.113.7", "")
REQUEST = PublishAttempt(7, "live", "cam")


def asked(told: list[object]) -> tuple[PublishRequests, FakeConnection, FakeConnection]:
    """Two that wait, one for each stream, since 100 and 101 s."""
    asks = PublishRequests(lambda message, payloads=(), /: told.append(message))
    first, second = FakeConnection(), FakeConnection()
    asks.ask(1, first, REQUEST, PublishAdmitted(STREAM, WHO), 100.0, is_at_limit=False)
    asks.ask(2, second, REQUEST, PublishAdmitted(OTHER, WHO), 101.0, is_at_limit=True)
    return asks, first, second


def test_each_is_asked_and_found_by_its_stream_and_its_connection() -> None:
    told: list[object] = []
    asks, first, second = asked(told)
    assert told == [
        PublishRequest(1, STREAM, first.peer, False, WHO),
        PublishRequest(2, OTHER, second.peer, True, WHO),
    ]
    assert [ask.request_id for ask in asks.all()] == [1, 2]
    assert asks.of(OTHER) is asks.by(second)
    assert asks.of(StreamId("live/third")) is None
    assert asks.by(FakeConnection()) is None


def test_an_answer_takes_one_out_once() -> None:
    asks, first, _ = asked([])
    answered = asks.answered(1)
    assert answered is not None
    assert answered.connection is first
    assert asks.answered(1) is None
    assert asks.of(STREAM) is None


def test_what_is_given_up_gives_its_reservation_back() -> None:
    told: list[object] = []
    asks, first, _ = asked(told)
    ask = asks.by(first)
    assert ask is not None
    asks.give_up(ask, "its publisher left")
    assert told[-1] == PublishEnd(STREAM, Generation(0), "its publisher left")
    assert asks.answered(1) is None


def test_those_without_an_answer_in_time_are_overdue() -> None:
    asks, _, _ = asked([])
    assert asks.overdue(99.9 + ASK_TIMEOUT_S) == []
    assert [ask.request_id for ask in asks.overdue(100.0 + ASK_TIMEOUT_S)] == [1]


def test_one_that_is_queued_waits_longer_for_its_answer() -> None:
    asks, _, _ = asked([])
    asks.queued(1, 10.0, 100.5)
    asks.queued(99, 10.0, 100.5)
    assert [ask.request_id for ask in asks.overdue(101.0 + ASK_TIMEOUT_S)] == [2]
    assert asks.overdue(110.4 + ASK_TIMEOUT_S)[0].request_id == 2
    assert {ask.request_id for ask in asks.overdue(110.5 + ASK_TIMEOUT_S)} == {1, 2}
