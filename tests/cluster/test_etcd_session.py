"""cluster/etcd_session.py: when a host is in touch with etcd, and when it is settled."""

import pytest

from cluster.actions import Self, What
from cluster.etcd_session import NOT_YET, EtcdSession
from cluster.keys import Keys
from cluster.view import View
from common.etcd import messages


def session() -> EtcdSession:
    return EtcdSession(Self("c", "a", "f1", b"0123456789abcdef", 5), View(Keys("c")), 1.8e9)


@pytest.mark.parametrize(
    ("is_registered", "answer_s", "is_in_touch"),
    [(True, 99.0, True), (True, 97.5, True), (True, 97.4, False), (False, 100.0, False)],
)
def test_in_touch_is_who_is_registered_and_had_an_answer_of_late(
    is_registered: bool, answer_s: float, is_in_touch: bool
) -> None:
    one = session()
    assert not one.is_in_touch(0.0)
    one.is_registered, one.answer_s = is_registered, answer_s
    assert one.is_in_touch(100.0) is is_in_touch


def test_time_counts_as_far_as_etcd_has_answered() -> None:
    one = session()
    one.is_registered, one.answer_s = True, 100.0
    assert one.reason == NOT_YET
    assert one.follow(100.0, 2e9)
    assert (one.in_touch_s, one.since_unix, one.reason) == (100.0, 2e9, "")
    one.answer_s = 104.9
    assert not one.is_settled(106.0), "a TTL has passed here, but not of being in touch"
    one.answer_s = 105.0
    assert one.is_settled(106.0)
    assert one.follow(108.0, 3e9)
    assert (one.in_touch_s, one.since_unix) == (None, 3e9)
    assert one.reason == "etcd does not answer"
    assert not one.follow(109.0, 4e9)


def test_a_kind_of_call_waits_for_its_answer_and_after_a_failure() -> None:
    one = session()
    assert one.is_due(What.LEASE, 100.0)
    assert len(one.call(What.LEASE, messages.keep_alive(1), 100.0)) == 1
    assert not one.is_due(What.LEASE, 100.0)
    assert one.is_due(What.HOST, 100.0)
    one.busy[What.LEASE], one.retry_s[What.LEASE] = 0, 100.5
    assert [one.is_due(What.LEASE, now) for now in (100.4, 100.5)] == [False, True]
