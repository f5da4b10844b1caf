"""Tags to the egresses that want a stream, and what a full or gone one means."""

from collections.abc import Sequence
from typing import cast

from common.control_messages import Endpoint, StreamRoutes
from common.egress_routes import home
from common.identity import BootId, ChildName, Generation, StreamId
from common.media_link import Outlet
from worker.egresses import Egresses, Frames, Rendition

RENDITION: Rendition = (StreamId("live/a"), Generation(1), "360p")
OTHER: Rendition = (StreamId("live/a"), Generation(1), "480p")


class FakeOutlet:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_full = False
        self.is_closed = False

    def send(self, frames: Sequence[bytes]) -> bool:
        if self.is_full:
            return False
        self.sent.append(b"".join(frames))
        return True

    def close(self) -> None:
        self.is_closed = True


EVERYWHERE = StreamRoutes(((RENDITION[0], (ChildName("egress:0"), ChildName("egress:1"))),))
NOWHERE_ELSE = StreamRoutes(())


def egress(index: int, boot: str = "b") -> Endpoint:
    return Endpoint(ChildName(f"egress:{index}"), BootId(boot), tags=f"unix://{index}{boot}")


def make(
    catch_up: Sequence[tuple[Rendition, Frames]] = (),
) -> tuple[Egresses, dict[str, FakeOutlet]]:
    outlets: dict[str, FakeOutlet] = {}

    def connect(address: str) -> Outlet:
        return cast(Outlet, outlets.setdefault(address, FakeOutlet()))

    return Egresses(lambda: catch_up, connect), outlets


def test_every_egress_that_wants_a_stream_gets_its_messages_and_other_children_none() -> None:
    egresses, outlets = make()
    egresses.route(EVERYWHERE)
    worker = Endpoint(ChildName("worker:cpu:0"), BootId("b"), media="unix://w")
    egresses.update([egress(0), egress(1), worker])
    egresses.send(RENDITION, [b"open"], is_start=True)
    assert {name: push.sent for name, push in outlets.items()} == {
        "unix://0b": [b"open"],
        "unix://1b": [b"open"],
    }


def test_a_new_incarnation_is_caught_up_before_anything_else_and_the_old_one_closed() -> None:
    egresses, outlets = make([(RENDITION, [b"open"]), (RENDITION, [b"gop"])])
    egresses.update([egress(0)])
    egresses.update([egress(0)])
    egresses.update([egress(0, "c")])
    egresses.send(RENDITION, [b"live"], is_start=False)
    assert outlets["unix://0b"].is_closed
    assert outlets["unix://0b"].sent == [b"open", b"gop"]
    assert outlets["unix://0c"].sent == [b"open", b"gop", b"live"]
    assert len(egresses) == 1
    egresses.close()
    assert outlets["unix://0c"].is_closed


def test_a_full_egress_gets_nothing_of_the_rendition_up_to_a_keyframe() -> None:
    egresses, outlets = make()
    egresses.update([egress(0), egress(1)])
    egresses.route(EVERYWHERE)
    slow, fast = outlets["unix://0b"], outlets["unix://1b"]
    slow.is_full = True
    egresses.send(RENDITION, [b"1"], is_start=False)
    slow.is_full = False
    egresses.send(RENDITION, [b"2"], is_start=False)
    egresses.send(OTHER, [b"other"], is_start=False)
    egresses.send(RENDITION, [b"key"], is_start=True)
    egresses.send(RENDITION, [b"3"], is_start=False)
    assert slow.sent == [b"other", b"key", b"3"]
    assert fast.sent == [b"1", b"2", b"other", b"key", b"3"]
    assert egresses.dropped == 2


def test_an_ended_generation_is_forgotten() -> None:
    egresses, outlets = make()
    egresses.update([egress(0)])
    outlets["unix://0b"].is_full = True
    egresses.send(RENDITION, [b"1"], is_start=False)
    egresses.forget(RENDITION[0], RENDITION[1])
    outlets["unix://0b"].is_full = False
    egresses.send(RENDITION, [b"2"], is_start=False)
    assert outlets["unix://0b"].sent == [b"2"]


def test_a_stream_goes_to_its_home_and_is_caught_up_where_it_is_wanted_too() -> None:
    egresses, outlets = make([(RENDITION, [b"open"]), (RENDITION, [b"gop"])])
    egresses.update([egress(0), egress(1)])
    first = home(RENDITION[0], [ChildName("egress:0"), ChildName("egress:1")])
    names = ["unix://0b", "unix://1b"]
    keeper, other = (outlets[name] for name in (names if first == "egress:0" else names[::-1]))
    egresses.send(RENDITION, [b"1"], is_start=False)
    egresses.route(EVERYWHERE)
    egresses.send(RENDITION, [b"2"], is_start=False)
    egresses.route(NOWHERE_ELSE)
    egresses.send(RENDITION, [b"3"], is_start=False)
    assert keeper.sent == [b"open", b"gop", b"1", b"2", b"3"]
    assert other.sent == [b"open", b"gop", b"2"]
