"""A driver's limit on encoder sessions that was reached: when to try again, and what is news."""

from worker.session.encoder_limit import NEAR_S, REPORTED_S, EncoderLimit


def test_it_is_near_for_a_while_or_until_a_session_ends() -> None:
    limit = EncoderLimit()
    assert not limit.is_near(0.0)
    limit.reached(100.0)
    assert limit.is_near(100.0 + NEAR_S - 1)
    assert not limit.is_near(100.0 + NEAR_S)
    limit.reached(200.0)
    limit.freed()
    assert not limit.is_near(200.0)


def test_other_tries_for_a_lost_rendition_are_news_by_count_or_when_the_last_expire() -> None:
    limit = EncoderLimit()
    assert limit.is_news(4, 0.0, is_again=True)
    assert not any(limit.is_news(4, at_s, is_again=True) for at_s in (30.0, 60.0, REPORTED_S - 1))
    assert limit.is_news(3, 100.0, is_again=True)
    assert not limit.is_news(3, 99.0 + REPORTED_S, is_again=True)
    assert limit.is_news(3, 100.0 + REPORTED_S, is_again=True)
    assert not limit.is_news(3, 101.0 + REPORTED_S, is_again=True)


def test_a_new_session_that_is_refused_is_news() -> None:
    limit = EncoderLimit()
    assert all(limit.is_news(4, at_s, is_again=False) for at_s in (0.0, 1.0, 2.0))
    assert not limit.is_news(4, 3.0, is_again=True)


def test_another_supervisor_knows_nothing() -> None:
    limit = EncoderLimit()
    limit.is_news(4, 0.0, is_again=True)
    limit.forget_reports()
    assert limit.is_news(4, 1.0, is_again=True)
