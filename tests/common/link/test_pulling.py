"""common/link/pulling.py, with the other end at its other side"""

import pytest

from common.errors import LinkError
from common.ipc.envelope import encode
from common.ipc.plain.frames import to_parts
from common.link.messages import (
    LinkClosed,
    LinkGreeting,
    LinkRefused,
    LinkTags,
    LinkUnwanted,
    LinkWanted,
    read_message,
)
from common.link.pulling import KEEP_S, Pulling, arrived
from common.link.serving import Demanded
from tests.kit.host_link import EDGE, OTHER, OWNER, STREAM, LinkRig, opened, picture


@pytest.fixture
def rig() -> LinkRig:
    rig = LinkRig()
    rig.connect()
    return rig


def test_a_rendition_is_pulled_while_it_is_watched_and_a_while_after(rig: LinkRig) -> None:
    rig.want("720p")
    rig.pulling.demand(STREAM, ("720p", "360p"), rig.edge_now)
    rig.carry()
    assert rig.demanded[-1] == Demanded(STREAM, ("360p", "720p"))
    rig.now += 100
    rig.pulling.tick(rig.edge_now)
    rig.pulling.demand(STREAM, ("360p",), rig.edge_now)
    rig.now += KEEP_S - 0.1
    rig.pulling.tick(rig.edge_now)
    assert set(rig.pulling.wanted(STREAM)) == {"720p", "360p"}
    rig.now += 0.2
    rig.pulling.tick(rig.edge_now)
    rig.carry()
    assert rig.demanded[-1] == Demanded(STREAM, ("360p",))
    rig.pulling.demand(STREAM, (), rig.edge_now)
    rig.now += KEEP_S + 1
    rig.pulling.tick(rig.edge_now)
    rig.carry()
    assert rig.demanded[-1] == Demanded(STREAM, ())
    rig.pulling.demand(STREAM, ("720p",), rig.edge_now)  # somebody is back
    rig.carry()
    assert rig.demanded[-1] == Demanded(STREAM, ("720p",))
    rig.pulling.drop(STREAM)
    rig.carry()
    assert rig.demanded[-1] == Demanded(STREAM, ())
    assert rig.serving.streams == ()


def test_ages_are_times_of_the_host_that_they_arrive_at(rig: LinkRig) -> None:
    rig.want("720p")
    rig.serving.opened(opened())
    rig.serving.tags(STREAM, "720p", [picture(0, is_key=True, came_s=rig.now - 0.25)])
    rig.carry()
    message = rig.came[-1][0]
    assert isinstance(message, LinkTags)
    (tag,) = arrived(message.tags, rig.edge_now)
    assert tag.received_s == pytest.approx(rig.edge_now - 0.25)
    assert (tag.type, tag.codec, tag.dts_ms, tag.flags) == (9, "h264", 0, 1)


def test_media_of_an_owner_before_is_dropped(rig: LinkRig) -> None:
    rig.want("720p", epoch=9)
    rig.serving.opened(opened(epoch=8))
    rig.serving.tags(STREAM, "720p", [picture(0, is_key=True)])
    rig.serving.closed(STREAM, "fenced", 0)
    rig.carry()
    assert (rig.came, rig.pulling.stale) == ([], 3)
    rig.serving.opened(opened(epoch=9, generation=5))
    rig.serving.tags(STREAM, "720p", [picture(0, is_key=True)])
    rig.serving.opened(opened(epoch=9, generation=4))
    rig.carry()
    assert (len(rig.came), rig.pulling.stale) == (2, 4)


def test_media_goes_on_while_its_host_has_not_heard_of_its_claim_anew(rig: LinkRig) -> None:
    rig.want("720p", epoch=8)
    rig.serving.opened(opened(epoch=8))
    rig.serving.tags(STREAM, "720p", [picture(0, is_key=True)])
    rig.carry()
    rig.want("720p", epoch=9)
    rig.serving.tags(STREAM, "720p", [picture(40)])
    rig.carry()
    assert (len(rig.came), rig.pulling.stale) == (3, 0)
    rig.serving.opened(opened(epoch=9))
    rig.serving.tags(STREAM, "720p", [picture(80)])
    rig.carry()
    assert (len(rig.came), rig.pulling.stale) == (5, 0)


def test_another_connection_is_told_all_that_is_wanted(rig: LinkRig) -> None:
    rig.want("720p")
    rig.want("360p", stream=OTHER)
    rig.pulling.lost()
    again = LinkRig()
    again.pulling = rig.pulling
    again.connect()
    assert {watched.stream: watched.renditions for watched in again.demanded} == {
        STREAM: ("720p",),
        OTHER: ("360p",),
    }


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (LinkGreeting(1, "farm", "host-c", "c"), "not 'host-a'"),
        (LinkGreeting(1, "other", "host-a", "a"), "of the cluster 'other'"),
        (LinkGreeting(0, "farm", "host-a", "a"), "version 0"),
        (LinkRefused("its certificate names host-c"), "refuses this host: its certificate"),
        (LinkUnwanted(STREAM), "does not greet"),
    ],
)
def test_another_host_than_the_one_that_was_meant_is_refused(message: object, words: str) -> None:
    pulling = Pulling(EDGE, "host-a")
    pulling.connected(lambda parts: None)
    with pytest.raises(LinkError, match=words):
        pulling.feed(b"".join(to_parts(encode(message))), 0.0)


def test_the_owner_asks_for_nothing(rig: LinkRig) -> None:
    for message in (LinkWanted(STREAM, ("720p",)), OWNER):
        with pytest.raises(LinkError, match="from the end that serves"):
            rig.pulling.feed(b"".join(to_parts(encode(message))), 0.0)


def test_what_comes_of_a_stream_that_is_not_wanted_any_more_is_left_alone(rig: LinkRig) -> None:
    rig.want("720p")
    rig.serving.opened(opened())
    rig.pulling.drop(STREAM)
    rig.carry()
    rig.serving.closed(STREAM, "over", 0)
    assert rig.came == []
    with pytest.raises(LinkError):
        read_message(encode(LinkClosed("x", 1, "", 0)), [])
