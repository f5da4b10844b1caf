"""egress/streams/next_generation.py: media of the placement to come."""

from egress.streams.next_generation import (
    MAX_DEFERRED,
    SPLICE_MOST_S,
    SPLICE_WAIT_S,
    NextGeneration,
)
from tests.kit.egress import inter_tag, key_tag, stream_open, tags


def test_what_is_deferred_is_bounded() -> None:
    following = NextGeneration(stream_open(2), is_whole=False)
    for number in range(MAX_DEFERRED + 5):
        following.defer(*tags(number, key_tag(0), generation=2), 0.0)
    assert len(following.deferred) == MAX_DEFERRED


def test_the_one_before_has_time_after_each_of_its_tags_up_to_a_limit() -> None:
    following = NextGeneration(stream_open(2, splice_ms=100), is_whole=False)
    assert following.due_at() is None
    following.defer(*tags(0, key_tag(100), generation=2), 1.0)
    assert following.due_at() == 1.0 + SPLICE_WAIT_S
    following.on_tags_before(1.2)
    assert following.due_at() == 1.2 + SPLICE_WAIT_S
    following.on_tags_before(60.0)
    assert following.due_at() == 1.0 + SPLICE_MOST_S


def test_tags_from_the_splice_point_on_are_the_next_ones() -> None:
    following = NextGeneration(stream_open(2, splice_ms=100), is_whole=False)
    assert not following.has_taken_over(tags(0, inter_tag(60))[0])
    assert following.has_taken_over(tags(0, inter_tag(100))[0])
    assert not NextGeneration(stream_open(2), is_whole=False).has_taken_over(tags(0, key_tag(0))[0])
