"""Requests that wait for their answers."""

import pytest

from common.errors import UsageError
from common.rtmp.events import PlayRequested, PublishRequested
from common.rtmp.requests import PendingConnect, Requests


def publish(request_id: int) -> PublishRequested:
    return PublishRequested(request_id, 1, "live", "rtmp://host/live", "key", "live")


def play(request_id: int) -> PlayRequested:
    return PlayRequested(request_id, 1, "live", "rtmp://host/live", "key", -2.0, True)


def test_a_request_is_answered_once() -> None:
    requests = Requests()
    connect = PendingConnect(1.0)
    request_id = requests.next_id()
    requests.add(request_id, connect)
    assert requests.answer(request_id) is connect
    with pytest.raises(UsageError):
        requests.answer(request_id)


def test_what_was_never_asked_has_no_answer() -> None:
    with pytest.raises(UsageError, match="no request 7"):
        Requests().answer(7)
    assert Requests().forget(7) is None


def test_a_play_request_is_known_until_it_is_answered() -> None:
    requests = Requests()
    asked = play(requests.next_id())
    requests.add(asked.request_id, asked)
    assert requests.play is asked
    requests.answer(asked.request_id)
    assert requests.play is None


def test_a_withdrawn_publish_may_be_answered_once_more() -> None:
    requests = Requests()
    for _ in range(2):
        asked = publish(requests.next_id())
        requests.add(asked.request_id, asked)
        requests.withdraw_publish()
        assert requests.answer(asked.request_id) is None
        with pytest.raises(UsageError):
            requests.answer(asked.request_id)


def test_withdrawing_a_publish_leaves_other_requests() -> None:
    requests = Requests()
    asked = play(requests.next_id())
    requests.add(asked.request_id, asked)
    requests.withdraw_publish()
    assert requests.answer(asked.request_id) is asked


def test_ids_go_on_after_a_resumed_request() -> None:
    requests = Requests()
    requests.resume(play(5))
    assert requests.play == play(5)
    assert requests.next_id() == 6
