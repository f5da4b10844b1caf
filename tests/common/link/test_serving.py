"""common/link/serving.py, with the other end at its other side"""

from itertools import pairwise

import pytest

from common.errors import LinkError
from common.ipc.envelope import encode
from common.ipc.media_messages import REPLAY, SHARED
from common.ipc.plain.frames import to_parts
from common.link.backlog import WINDOW_BYTES
from common.link.messages import (
    LinkClosed,
    LinkGreeting,
    LinkHeaders,
    LinkOpened,
    LinkTags,
    LinkTaken,
    LinkWanted,
)
from common.link.serving import SIGN_OF_LIFE_S, Demanded, refusal
from tests.kit.host_link import (
    EDGE,
    OTHER,
    OWNER,
    STREAM,
    VIDEO_FACTS,
    LinkRig,
    data,
    opened,
    picture,
    sound,
    sound_header,
)


@pytest.fixture
def rig() -> LinkRig:
    rig = LinkRig()
    rig.connect()
    return rig


@pytest.mark.parametrize(
    ("theirs", "certified", "words"),
    [
        (EDGE, {"host-b"}, ""),
        (LinkGreeting(9, "farm", "host-b", "b"), {"host-b"}, ""),  # a newer one speaks this, too
        (LinkGreeting(0, "farm", "host-b", "b"), {"host-b"}, "version 0"),
        (LinkGreeting(1, "other", "host-b", "b"), {"host-b"}, "of the cluster 'other'"),
        (EDGE, {"host-c"}, "its certificate names host-c"),
        (EDGE, set(), "its certificate names nobody"),
        (LinkGreeting(1, "farm", "host-a", "b"), {"host-a"}, "as this host is"),
    ],
)
def test_who_is_no_peer_is_told_why(theirs: LinkGreeting, certified: set[str], words: str) -> None:
    found = refusal(OWNER, theirs, frozenset(certified))
    assert (words in found) if words else found == ""


def test_who_does_not_greet_or_greets_as_another_wants_nothing_here() -> None:
    rig = LinkRig(frozenset(("host-c",)))
    with pytest.raises(LinkError, match="its certificate names host-c"):
        rig.connect()
    rig = LinkRig()
    with pytest.raises(LinkError, match="does not greet"):
        rig.serving.feed(b"".join(to_parts(encode(LinkWanted(STREAM, ("720p",))))))


def test_what_is_wanted_is_told_once_and_a_gop_comes_first(rig: LinkRig) -> None:
    rig.want("720p")
    assert rig.demanded == [Demanded(STREAM, ("720p",))]
    rig.want("720p")
    assert len(rig.demanded) == 1

    serving = rig.serving
    serving.opened(opened())
    serving.opened(opened())
    serving.headers(STREAM, "720p", VIDEO_FACTS, b"script", b"header")
    serving.tags(STREAM, "720p", [picture(0, is_key=True), picture(40)], is_replay=True)
    serving.tags(STREAM, "720p", [picture(80)])
    rig.carry()
    kinds = [type(message) for message, _ in rig.came]
    assert kinds == [LinkOpened, LinkHeaders, LinkTags, LinkTags]
    assert rig.came[1][1] == [b"script", b"header"]
    replayed, live = (m for m, _ in rig.came if isinstance(m, LinkTags))
    assert [tag.flags & REPLAY for tag in replayed.tags] == [REPLAY, REPLAY]
    assert [tag.flags for tag in live.tags] == [0]


def test_nothing_crosses_that_is_not_wanted_or_not_open(rig: LinkRig) -> None:
    rig.serving.opened(opened())
    rig.serving.tags(STREAM, "720p", [picture(0, is_key=True)])
    rig.want("720p")
    rig.serving.tags(STREAM, "720p", [picture(0, is_key=True)])
    rig.serving.tags(OTHER, "720p", [picture(0, is_key=True)])
    rig.carry()
    assert rig.came == []


def test_sound_and_data_cross_once_though_every_rendition_has_them(rig: LinkRig) -> None:
    rig.want("720p", "360p")
    rig.serving.opened(opened())
    head = sound_header()
    first, second = data(30, b"one"), data(30, b"two")
    tags = [sound(0), first, second, sound(40)]
    for name in ("720p", "360p"):
        rig.serving.sound_header(STREAM, head)
        rig.serving.tags(STREAM, name, [tags[0], picture(0, is_key=True), *tags[1:], picture(40)])
    rig.carry()
    assert rig.times(SHARED) == [0, 0, 30, 30, 40]
    assert rig.times("720p") == rig.times("360p") == [0, 40]
    rig.serving.tags(STREAM, "360p", [sound(40), sound(63), picture(80)])
    rig.carry()
    assert rig.times(SHARED)[-2:] == [40, 63]


def test_a_picture_and_the_sound_before_it_are_written_in_one_go(rig: LinkRig) -> None:
    rig.want("720p")
    rig.serving.opened(opened())
    rig.writes = 0
    rig.serving.tags(STREAM, "720p", [sound(0), picture(0, is_key=True)])
    assert rig.writes == 1
    rig.serving.tags(STREAM, "720p", [sound(0)])  # it crossed before
    assert rig.writes == 1
    rig.carry()
    assert (rig.times(SHARED), rig.times("720p")) == ([0], [0])


def test_a_silent_stream_shows_that_it_is_there(rig: LinkRig) -> None:
    rig.want("720p")
    rig.serving.opened(opened())
    rig.serving.tick()
    rig.now += SIGN_OF_LIFE_S
    rig.serving.tick()
    rig.serving.tick()
    rig.carry()
    assert [m.tags for m, _ in rig.came if isinstance(m, LinkTags)] == [()]


def test_a_stream_that_is_over_may_come_again(rig: LinkRig) -> None:
    rig.want("720p")
    rig.serving.opened(opened())
    rig.serving.tags(STREAM, "720p", [sound(900), picture(900, is_key=True)])
    rig.serving.closed(STREAM, "the publisher left", 2_000)
    rig.serving.closed(STREAM, "the publisher left", 2_000)
    rig.serving.opened(opened(generation=4))
    rig.serving.tags(STREAM, "720p", [sound(0), picture(0, is_key=True)])
    rig.carry()
    closed = [message for message, _ in rig.came if isinstance(message, LinkClosed)]
    assert closed == [LinkClosed(STREAM, 7, "the publisher left", 2_000)]
    assert rig.times(SHARED) == [900, 0]


def test_a_link_that_takes_nothing_has_a_window_and_then_loses_gops(rig: LinkRig) -> None:
    rig.want("720p")
    serving = rig.serving
    serving.opened(opened())
    size = WINDOW_BYTES // 50
    for number in range(200):
        serving.tags(STREAM, "720p", [picture(number * 100, is_key=number % 20 == 0, size=size)])
    assert WINDOW_BYTES <= serving.backlog.on_their_way < WINDOW_BYTES + 2 * size
    assert serving.backlog.dropped > 0
    assert len(rig.to_edge) < WINDOW_BYTES + 2 * size
    while rig.to_edge:  # the edge reports what it took
        rig.carry()
        rig.now += 1.0
        rig.pulling.tick(rig.edge_now)
        rig.carry()
    times = rig.times("720p")
    for before, after in pairwise(times):
        assert after == before + 100 or after % 2_000 == 0
    assert times[-1] == 19_900


def test_one_that_wants_without_end_or_speaks_out_of_turn_is_refused(rig: LinkRig) -> None:
    for number in range(4096):
        rig.pulling.pull(f"{number:064x}", 1, ("720p",), 0.0)
    rig.carry()
    rig.pulling.pull("f" * 64, 1, ("720p",), 0.0)
    with pytest.raises(LinkError, match="more than 4096"):
        rig.carry()
    for message in (opened(), LinkClosed(STREAM, 1, "", 0), EDGE):
        with pytest.raises(LinkError, match="from the end that pulls"):
            rig.serving.feed(b"".join(to_parts(encode(message))))
    rig.serving.feed(b"".join(to_parts(encode(LinkTaken(1 << 40)))))  # more than there was
    assert rig.serving.backlog.on_their_way == 0
