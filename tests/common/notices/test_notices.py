"""Notices about a source: what is said, since when."""

from common.ipc.status_messages import Notice
from common.notices.notices import Notices


def test_a_notice_is_said_until_it_is_cleared():
    notices = Notices()
    assert not notices
    assert notices.set("long-gop", "keyframes are 8 s apart", 100.0)
    assert notices.set("silence", "the sound is silent", 110.0)
    assert notices.as_tuple(120.0, 5020.0) == (
        Notice("long-gop", "keyframes are 8 s apart", 5000.0),
        Notice("silence", "the sound is silent", 5010.0),
    )
    assert notices.clear("long-gop")
    assert not notices.clear("long-gop")
    assert [notice.code for notice in notices.as_tuple(120.0, 5020.0)] == ["silence"]


def test_other_words_keep_the_start_and_the_place():
    notices = Notices()
    notices.set("long-gop", "keyframes are 8 s apart", 100.0)
    notices.set("silence", "the sound is silent", 110.0)
    assert not notices.set("long-gop", "keyframes are 9 s apart", 120.0)
    assert notices.as_tuple(120.0, 5020.0)[0] == Notice(
        "long-gop", "keyframes are 9 s apart", 5000.0
    )


def test_another_publisher_begins_with_none():
    notices = Notices()
    notices.set("silence", "the sound is silent", 110.0)
    notices.clear_all()
    assert notices.as_tuple(120.0, 5020.0) == ()
