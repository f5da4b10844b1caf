"""Tags to the egresses that want a stream, and what a full or gone one means."""

from collections.abc import Sequence
from typing import cast

from common.ipc.control_messages import EgressRoutes, Endpoint, Subscription
from common.ipc.egress_homes import home
from common.ipc.egresses import Egresses, Frames, Rendition
from common.ipc.identity import BootId, ChildId, Generation, StreamId
from common.ipc.media_messages import SHARED
from common.ipc.tag_link import TagLink
from tests.kit.children import CPU0, EGRESS0, EGRESS1

RENDITION: Rendition = (StreamId("live/a"), Generation(1), "360p")
OTHER: Rendition = (StreamId("live/a"), Generation(1), "480p")


class FakeLink:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_full = False
        self.is_closed = False
        self.lazy: list[bytes] = []  # those of `sent` that may come later
        self.watched: set[str] = set()
        self.flushed: list[int] = []  # how many were sent by then

    def flush(self) -> None:
        self.flushed.append(len(self.sent))

    def has_players(self, stream_id: StreamId, rendition: str) -> bool:
        return rendition in self.watched or (rendition == SHARED and bool(self.watched))

    def send(self, frames: Sequence[bytes], batched: bool = False) -> bool:
        if self.is_full:
            return False
        self.sent.append(b"".join(frames))
        if batched:
            self.lazy.append(self.sent[-1])
        return True

    def close(self) -> None:
        self.is_closed = True


EVERYWHERE = EgressRoutes(((RENDITION[0], (EGRESS0, EGRESS1)),))
NOWHERE_ELSE = EgressRoutes(())


def egress(index: int, boot: str = "b") -> Endpoint:
    return Endpoint(ChildId("egress", index=index), BootId(boot), tags=f"ipc://{index}{boot}")


class Kept:
    """What is kept of a rendition."""

    def __init__(self, *frames: bytes) -> None:
        self._frames = frames

    def catch_up(self, *, with_last: bool = False) -> list[Frames]:
        last = [b"last"] if with_last else []
        return [[frame] for frame in [*last, *self._frames]]


def make(
    catch_up: Sequence[tuple[Rendition, Kept]] = (),
) -> tuple[Egresses, dict[str, FakeLink]]:
    links: dict[str, FakeLink] = {}

    def connect(address: str, *, is_plain: bool) -> TagLink:
        return cast(TagLink, links.setdefault(address, FakeLink()))

    return Egresses(lambda: catch_up, connect), links


def test_every_egress_that_wants_a_stream_gets_its_messages_and_other_children_none() -> None:
    egresses, links = make()
    egresses.route(EVERYWHERE)
    worker = Endpoint(CPU0, BootId("b"), media="ipc://w")
    egresses.update([egress(0), egress(1), worker])
    egresses.send(RENDITION, [b"open"])
    assert {name: push.sent for name, push in links.items()} == {
        "ipc://0b": [b"open"],
        "ipc://1b": [b"open"],
    }


def test_a_new_incarnation_is_caught_up_before_anything_else_and_the_old_one_closed() -> None:
    egresses, links = make([(RENDITION, Kept(b"open", b"gop"))])
    egresses.update([egress(0)])
    egresses.update([egress(0)])
    egresses.update([egress(0, "c")])
    egresses.send_tags(RENDITION, [b"live"], is_start=False)
    assert links["ipc://0b"].is_closed
    assert links["ipc://0b"].sent == [b"open", b"gop"]
    assert links["ipc://0c"].sent == [b"open", b"gop", b"live"]
    assert len(egresses) == 1
    egresses.close()
    assert links["ipc://0c"].is_closed


def test_a_full_egress_gets_nothing_of_the_rendition_up_to_a_keyframe() -> None:
    egresses, links = make()
    egresses.update([egress(0), egress(1)])
    egresses.route(EVERYWHERE)
    slow, fast = links["ipc://0b"], links["ipc://1b"]
    slow.is_full = True
    egresses.send_tags(RENDITION, [b"1"], is_start=False)
    slow.is_full = False
    egresses.send_tags(RENDITION, [b"2"], is_start=False)
    egresses.send_tags(OTHER, [b"other"], is_start=False)
    egresses.send_tags(RENDITION, [b"key"], is_start=True)
    egresses.send_tags(RENDITION, [b"3"], is_start=False)
    assert slow.sent == [b"other", b"key", b"3"]
    assert fast.sent == [b"1", b"2", b"other", b"key", b"3"]
    assert egresses.dropped == 2


def test_an_ended_generation_is_forgotten() -> None:
    egresses, links = make()
    egresses.update([egress(0)])
    links["ipc://0b"].is_full = True
    egresses.send_tags(RENDITION, [b"1"], is_start=False)
    egresses.forget(RENDITION[0], RENDITION[1])
    links["ipc://0b"].is_full = False
    egresses.send_tags(RENDITION, [b"2"], is_start=False)
    assert links["ipc://0b"].sent == [b"2"]


def test_a_stream_goes_to_its_home_and_is_caught_up_where_it_is_wanted_too() -> None:
    egresses, links = make([(RENDITION, Kept(b"open", b"gop"))])
    egresses.update([egress(0), egress(1)])
    first = home(RENDITION[0], [EGRESS0, EGRESS1])
    names = ["ipc://0b", "ipc://1b"]
    keeper, other = (links[name] for name in (names if first == EGRESS0 else names[::-1]))
    egresses.send_tags(RENDITION, [b"1"], is_start=False)
    egresses.route(EVERYWHERE)
    egresses.send_tags(RENDITION, [b"2"], is_start=False)
    egresses.route(NOWHERE_ELSE)
    egresses.send_tags(RENDITION, [b"3"], is_start=False)
    assert keeper.sent == [b"open", b"gop", b"1", b"2", b"3"]
    assert other.sent == [b"open", b"gop", b"2"]


def test_tags_go_at_once_to_where_they_are_watched_and_what_opens_a_rendition_always() -> None:
    egresses, links = make()
    egresses.update([egress(0), egress(1)])
    egresses.route(EVERYWHERE)
    links["ipc://1b"].watched = {RENDITION[2]}
    egresses.send(RENDITION, [b"open"])
    egresses.send_tags(RENDITION, [b"key"], is_start=True)
    egresses.send_tags(OTHER, [b"other"], is_start=True)
    assert links["ipc://0b"].lazy == [b"key", b"other"]
    assert links["ipc://1b"].lazy == [b"other"]


def test_a_stream_is_watched_if_any_of_it_is_at_any_egress() -> None:
    egresses, links = make()
    assert not egresses.has_players(RENDITION[0])
    egresses.update([egress(0), egress(1)])
    assert not egresses.has_players(RENDITION[0])
    links["ipc://1b"].watched = {RENDITION[2]}
    assert egresses.has_players(RENDITION[0])


def test_a_child_of_another_kind_gets_its_rendition_alone_and_what_all_share() -> None:
    stream, generation, name = RENDITION
    egresses, links = make([(RENDITION, Kept(b"open")), (OTHER, Kept(b"other open"))])
    tap = ChildId("tap")
    egresses.update([egress(0), Endpoint(tap, BootId("b"), tags="ipc://tap")])
    assert links["ipc://tap"].sent == []
    egresses.route(EgressRoutes((), (Subscription(tap, stream, (name,)),)))
    egresses.send_tags(RENDITION, [b"1"], is_start=False)
    egresses.send_tags(OTHER, [b"other"], is_start=False)
    egresses.send((stream, generation, SHARED), [b"end"])
    assert links["ipc://tap"].sent == [b"open", b"1", b"end"]
    assert b"other" in links["ipc://0b"].sent


def test_who_cuts_segments_is_caught_up_with_the_last_gop() -> None:
    egresses, links = make([(RENDITION, Kept(b"gop"))])
    web = ChildId("web")
    egresses.route(EgressRoutes((), (Subscription(web, RENDITION[0], ()),)))
    egresses.update([egress(0)])
    assert not egresses.takes_last_gop
    egresses.update([egress(0), Endpoint(web, BootId("b"), tags="ipc://web")])
    assert egresses.takes_last_gop
    assert links["ipc://0b"].sent == [b"gop"]
    assert links["ipc://web"].sent == [b"last", b"gop"]


def test_what_opens_a_rendition_goes_together_with_the_tags_that_are_gathered_behind_it() -> None:
    egresses, links = make()
    egresses.update([egress(0)])
    (link,) = links.values()
    link.watched = {"360p"}
    egresses.gather()
    egresses.send(RENDITION, [b"opening"])
    egresses.send_tags(RENDITION, [b"gop"], is_start=True)
    assert (link.lazy, link.flushed) == ([b"opening", b"gop"], [])
    egresses.flush()
    assert link.flushed == [2]
    egresses.send(RENDITION, [b"alone"])
    assert (link.sent[-1], link.lazy[-1]) == (b"alone", b"gop")


def test_what_is_gathered_goes_together_to_those_who_have_players_of_it() -> None:
    egresses, links = make()
    egresses.route(EVERYWHERE)
    egresses.update([egress(0), egress(1)])
    played = links["ipc://0b"]
    played.watched = {"360p"}
    egresses.gather()
    for name in (SHARED, "360p"):
        rendition: Rendition = (RENDITION[0], RENDITION[1], name)
        egresses.send_tags(rendition, [name.encode() or b"sound"], is_start=True)
    assert played.flushed == []
    assert played.lazy == [b"sound", b"360p"]
    egresses.flush()
    assert [link.flushed for link in links.values()] == [[2], []]
    egresses.send_tags(RENDITION, [b"alone"], is_start=True)
    assert played.lazy == [b"sound", b"360p"]
