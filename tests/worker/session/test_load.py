"""worker/session/load.py: when a stream is alone, and when the host is full."""

from worker.session.load import StreamLoad


def test_a_host_is_saturated_once_it_has_a_stream_for_every_core() -> None:
    load = StreamLoad(cores=4)
    load.own = 2
    load.elsewhere = 1
    assert not load.is_saturated
    load.elsewhere = 2
    assert load.is_saturated


def test_a_session_is_alone_among_its_workers_whatever_others_do() -> None:
    load = StreamLoad(cores=4)
    load.own = 1
    load.elsewhere = 10
    assert load.is_alone
    load.own = 2
    assert not load.is_alone
