"""egress/hls/sessions.py: a viewer is a session, by his token or by where he comes from."""

from itertools import count

import pytest

from common.ipc.identity import StreamId
from egress.hls.sessions import Session, Sessions, is_token

CAM, OTHER = StreamId("live/cam"), StreamId("live/other")


def sessions() -> Sessions:
    names = count()
    return Sessions(lambda: f"t{next(names)}")


def idle(_: Session) -> float:
    return 4.0


def test_a_token_is_good_for_its_stream() -> None:
    made = sessions()
    one = made.begin(CAM, "720p", "192.0.2.1", 0.0)
    assert made.find(one.token, CAM) is one
    assert made.find(one.token, OTHER) is None
    assert made.find("unknown", CAM) is None
    assert (made.count(CAM), made.count(OTHER), len(made)) == (1, 0, 1)


def test_who_does_not_ask_any_more_has_left() -> None:
    made = sessions()
    one, two = (made.begin(CAM, "720p", "192.0.2.1", 0.0) for _ in range(2))
    two.seen_s = 3.0
    assert made.expire(4.1, idle) == [one]
    assert made.find(one.token, CAM) is None
    assert made.count(CAM) == 1
    two.waiting = 1  # a reload that blocks
    assert made.expire(60.0, idle) == []


def test_a_token_of_a_process_before_goes_on_but_never_for_two() -> None:
    made = sessions()
    one = made.begin(CAM, "720p", "192.0.2.1", 0.0, token="from-before")
    assert made.find("from-before", CAM) is one
    assert made.begin(CAM, "720p", "192.0.2.2", 0.0, token="from-before").token != "from-before"


def test_who_has_no_token_is_known_by_his_origin() -> None:
    made = sessions()
    one = made.begin(CAM, "720p", "192.0.2.1", 0.0, origin=("192.0.2.1", "ffmpeg"))
    assert made.find_by_origin(("192.0.2.1", "ffmpeg"), CAM) is one
    assert made.find_by_origin(("192.0.2.1", "ffmpeg"), OTHER) is None
    made.end(one)
    made.end(one)
    assert made.find_by_origin(("192.0.2.1", "ffmpeg"), CAM) is None
    assert len(made) == 0


def test_a_session_shows_no_key() -> None:
    assert "cam" not in repr(sessions().begin(CAM, "720p", "192.0.2.1", 0.0))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("aZ09_-", True),
        ("", False),
        ("a" * 65, False),
        ("a b", False),
        ('a"', False),
        ("a/b", False),
    ],
)
def test_what_can_be_a_token(text: str, good: bool) -> None:
    assert is_token(text) is good
