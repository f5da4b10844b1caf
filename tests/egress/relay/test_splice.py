"""egress/relay/splice.py: one rendition over two hosts"""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ipc.media_messages import KEY, TagHeader
from egress.relay.splice import WAIT_S, Splice

STEP = 40


class Picture(NamedTuple):
    head: TagHeader
    host: str


def pictures(host: str, *times: int, gop: int = 1000) -> list[Picture]:
    return [
        Picture(TagHeader(9, "h264", t, 0, KEY if t % gop == 0 else 0, 0.0), host) for t in times
    ]


def sent(*found: Picture) -> list[tuple[str, int]]:
    return [(picture.host, picture.head.dts_ms) for picture in found]


def begun(last_ms: int | None = 840) -> Splice[Picture]:
    return Splice(last_ms, STEP, needs_key=True)


def test_the_next_host_waits_for_the_last_pictures_of_the_one_before() -> None:
    splice = begun()
    assert not splice.next(pictures("c", 1000, 1040), 1.0)
    assert sent(*splice.before(pictures("a", 880, 920, 960))) == [
        ("a", 880),
        ("a", 920),
        ("a", 960),
    ]
    assert sent(*splice.take(1.1)) == [("c", 1000), ("c", 1040)]
    assert splice.is_over
    assert not splice.before(pictures("a", 1000))
    assert sent(*splice.next(pictures("c", 1080), 1.2)) == [("c", 1080)]


@pytest.mark.parametrize("last_ms", [None, 960])
def test_it_goes_on_at_once_where_nothing_belongs_in_between(last_ms: int | None) -> None:
    splice = begun(last_ms)
    assert sent(*splice.next(pictures("c", 960, 1000, 1040), 1.0)) == [("c", 1000), ("c", 1040)]


def test_what_is_before_its_first_keyframe_or_was_sent_is_left_out() -> None:
    splice = begun(1080)
    assert not splice.next(pictures("c", 1000, 1040, 1080, 1120), 1.0)
    assert sent(*splice.before(pictures("a", 1120, 1160))) == [("a", 1120), ("a", 1160)]
    assert not splice.next(pictures("c", 1160, 1200), 1.1)
    assert not splice.is_over


def test_a_host_that_has_come_beyond_that_keyframe_itself_is_left_there() -> None:
    splice = begun()
    assert not splice.next(pictures("c", 1000), 1.0)
    assert sent(*splice.before(pictures("a", 880, 1000, 1040))) == [("a", 880)]
    assert sent(*splice.take(1.0)) == [("c", 1000)]


@pytest.mark.parametrize("ends", [True, False])
def test_it_waits_no_longer_than_the_host_before_is_there_and_half_a_second(ends: bool) -> None:
    splice = begun(600)
    assert not splice.next(pictures("c", 1000), 1.0)
    if ends:
        splice.end_before()
        assert sent(*splice.take(1.0)) == [("c", 1000)]
    else:
        assert not splice.take(0.9 + WAIT_S)
        found = splice.next(pictures("c", 1040), 1.0 + WAIT_S)
        assert sent(*found) == [("c", 1000), ("c", 1040)]


def test_sound_begins_anywhere_behind_the_last() -> None:
    splice = Splice[Picture](840, 20, needs_key=False)
    assert sent(*splice.next(pictures("c", 840, 860), 1.0)) == [("c", 860)]


@given(st.data())
def test_nothing_is_lost_or_repeated_whoever_is_ahead(data: st.DataObject) -> None:
    """Of a cut at a keyframe, whatever comes in between whatever; the next one may begin before."""
    cut = data.draw(st.sampled_from([1000, 2000]))
    begin = data.draw(st.integers(min_value=0, max_value=cut // STEP)) * STEP
    old = pictures("a", *range(STEP, cut, STEP))
    new = pictures("c", *range(begin, 3000, STEP))
    splice = Splice[Picture](0, STEP, needs_key=True)
    found: list[Picture] = []
    while old or new:
        takes_old = bool(old) and (not new or data.draw(st.booleans()))
        run = data.draw(st.integers(min_value=1, max_value=9))
        if takes_old:
            found += splice.before(old[:run])
            found += splice.take(0.0)
            old = old[run:]
            if not old:
                splice.end_before()
                found += splice.take(0.0)
        else:
            found += splice.next(new[:run], 0.0)
            new = new[run:]
    times = [picture.head.dts_ms for picture in found]
    assert times == list(range(STEP, 3000, STEP))
    hosts = [picture.host for picture in found]
    assert hosts == sorted(hosts)
    assert found[hosts.index("c")].head.flags & KEY
