"""A driver's cap on encoder sessions that was met: when to try again, and what is news."""

from worker.session.encoder_limit import NEAR_S, TOLD_S, EncoderLimit


def test_it_is_near_for_a_while_or_until_a_session_ends() -> None:
    cap = EncoderLimit()
    assert not cap.is_near(0.0)
    cap.met(100.0)
    assert cap.is_near(100.0 + NEAR_S - 1)
    assert not cap.is_near(100.0 + NEAR_S)
    cap.met(200.0)
    cap.freed()
    assert not cap.is_near(200.0)


def test_other_tries_for_a_lost_rendition_are_news_by_count_or_when_the_last_expire() -> None:
    cap = EncoderLimit()
    assert cap.is_news(4, 0.0, is_again=True)
    assert not any(cap.is_news(4, at_s, is_again=True) for at_s in (30.0, 60.0, TOLD_S - 1))
    assert cap.is_news(3, 100.0, is_again=True)
    assert not cap.is_news(3, 99.0 + TOLD_S, is_again=True)
    assert cap.is_news(3, 100.0 + TOLD_S, is_again=True)
    assert not cap.is_news(3, 101.0 + TOLD_S, is_again=True)


def test_a_new_session_that_is_refused_is_news() -> None:
    cap = EncoderLimit()
    assert all(cap.is_news(4, at_s, is_again=False) for at_s in (0.0, 1.0, 2.0))
    assert not cap.is_news(4, 3.0, is_again=True)


def test_another_supervisor_knows_nothing() -> None:
    cap = EncoderLimit()
    cap.is_news(4, 0.0, is_again=True)
    cap.forget_told()
    assert cap.is_news(4, 1.0, is_again=True)
