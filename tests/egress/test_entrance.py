"""Who is let in, waits or is refused, whatever they watch by."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from common.access.address_limits import AddressBook
from common.access.bans import Ban, Bans
from common.access.peer_address import Networks
from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import Template
from common.config.limits import StreamLimits
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.config.settings import Settings
from common.ipc.hook_messages import HookQuestion, HookVerdict
from common.ipc.identity import ChildId, StreamId
from egress.access import PlayWanted, Wish
from egress.entrance import Asker, Entrance
from egress.output import OutputContext
from egress.streams.registry import Streams
from egress.streams.rendition import Rendition
from egress.streams.subscribers import Start
from egress.streams.waiting import WaitingViewers
from egress.viewer_hooks import ViewerHooks
from tests.kit.egress import STREAM, TEMPLATE, key_tag, rendition_open, stream_open, tags
from tests.kit.hook_events import HOOKS

MOST = 3


class Guest:
    """An asker that notes what becomes of it."""

    def __init__(self, host: str = "192.0.2.1", protocol: str = "toy") -> None:
        self.wish: Wish | Refusal | None = None
        self.wanted: PlayWanted | None = None
        self.host = host
        self.address = f"{host}:1234"
        self.protocol = protocol
        self.is_asking = False
        self.taken_bytes = 0
        self.got: str = ""  # the rendition that it watches
        self.refusal: Refusal | None = None
        self.ended = ""
        self.on_timeout: Callable[[Asker], None] | None = None

    def wait(self, seconds: float, on_timeout: Callable[[Asker], None], /) -> None:
        self.is_asking, self.on_timeout = True, on_timeout

    def accept(self, rendition: Rendition, start: Start, /) -> None:
        self.is_asking, self.got = False, f"{rendition.name} {start.value}"

    def refuse(self, refusal: Refusal, /) -> None:
        self.is_asking, self.refusal = False, refusal

    def finish(self, reason: str, /) -> None:
        self.ended = reason

    def time_out(self) -> None:
        assert self.on_timeout is not None
        self.on_timeout(self)

    @property
    def why(self) -> str:
        assert self.refusal is not None
        return self.refusal.words


class Rig:
    """An entrance with its streams, at a time of its own."""

    def __init__(self, template: Template = TEMPLATE, **limits: Any) -> None:
        self.sent: list[Any] = []
        self.demanded: list[StreamId] = []
        self.requested: list[tuple[StreamId, tuple[str, ...]]] = []
        self.streams, self.waiting = Streams(), WaitingViewers()
        self.book, self.bans = AddressBook(), Bans(lambda: 1_000.0)
        self.hooks = ViewerHooks(self._send, lambda: 5.0, lambda: 1_000.0)
        self.context = OutputContext(
            child=ChildId("egress"),
            streams=self.streams,
            waiting=self.waiting,
            by_address=self.book.connections,
            clock=lambda: 5.0,
            endpoint=lambda name, scheme: "",
            report_demand=self.demanded.append,
            request_stream=lambda stream, *names: self.requested.append((stream, names)),
            bans=self.bans,
            hooks=self.hooks,
        )
        self.entrance = Entrance(self.context, lambda: 1_000.0, lambda _: MOST)
        egress = replace(Settings().egress, **limits)
        settings = Settings(templates=(template,), egress=egress)
        self.book.configure(egress.max_players_per_address, 0, Networks(()))
        self.hooks.configure(settings)
        self.entrance.configure(settings)

    def _send(self, message: object) -> bool:
        self.sent.append(message)
        return True

    def open(self, overrides: StreamOverrides = NO_OVERRIDES) -> None:
        """Have the stream with its 360p begun, and whoever waits look again."""
        self.streams.open(stream_open(overrides=overrides), 5.0)
        self.streams.take(*rendition_open("360p"), 5.0)
        self.streams.take(*tags(0, key_tag(0), rendition="360p"), 5.0)
        stream = self.streams.get(STREAM)
        assert stream is not None
        stream.renditions["360p"].flush()
        self.waiting.on_stream(STREAM)

    def ask(self, guest: Guest | None = None, rendition: str = "360p", **query: str) -> Guest:
        """Let one come and ask."""
        guest = guest or Guest()
        self.entrance.arrived(guest)
        self.entrance.ask(guest, Wish("live", "cam1", rendition, query))
        return guest


def test_what_is_there_is_given_at_once_and_counted() -> None:
    rig = Rig()
    rig.open()
    assert rig.ask().got == "360p gop"
    assert rig.ask(start="live").got == "360p live"
    assert rig.entrance.counters == {"played": 2, "refused": 0}
    assert len(rig.entrance) == 2


def test_who_comes_before_the_stream_is_let_in_when_it_begins() -> None:
    rig = Rig()
    guest = rig.ask()
    assert (guest.got, guest.refusal, guest.is_asking) == ("", None, True)
    assert rig.demanded == [STREAM]
    rig.open()
    assert guest.got == "360p gop"
    assert not rig.waiting


def test_who_has_waited_long_enough_is_told_why() -> None:
    rig = Rig()
    guest = rig.ask()
    guest.time_out()
    assert "nobody publishes this stream" in guest.why
    rig.entrance.ended(guest, "refused")
    assert not rig.waiting


def test_among_several_egresses_a_stream_that_is_not_here_is_asked_for_once() -> None:
    rig = Rig(processes=2)
    rig.ask()
    rig.ask(Guest("192.0.2.2"))
    assert rig.requested == [(STREAM, ("360p",))]


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ("stopping", RefusalReason.UNAVAILABLE, "stopping"),
        ("banned", RefusalReason.BANNED, ""),
        ("full", RefusalReason.FULL, f"all the {MOST} players"),
        ("address", RefusalReason.DENIED, "1 players are here from this address"),
        ("key", RefusalReason.DENIED, ""),
        ("rendition", RefusalReason.NOT_FOUND, "there is no rendition 99p"),
    ],
)
def test_who_is_kept_out_is_told_why(change: str, reason: RefusalReason, words: str) -> None:
    template = replace(TEMPLATE, play_keys=("0" * 64,)) if change == "key" else TEMPLATE
    rig = Rig(template, **({"max_players_per_address": 1} if change == "address" else {}))
    rig.open()
    match change:
        case "stopping":
            rig.entrance.is_stopping = True
        case "banned":
            rig.bans.replace((Ban(network="192.0.2.0/24"),))
        case "full":
            for number in range(MOST):
                rig.ask(Guest(f"198.51.100.{number}"))
        case "address":
            rig.ask()
        case _:
            pass
    guest = rig.ask(rendition="99p" if change == "rendition" else "360p")
    assert guest.refusal is not None
    assert (guest.refusal.reason, words in guest.why) == (reason, True), guest.why
    assert rig.entrance.counters["refused"] == 1
    assert rig.context.refusals.take()


def test_an_address_that_can_be_nothing_is_refused_as_its_protocol_found_it() -> None:
    rig = Rig()
    guest = Guest()
    rig.entrance.arrived(guest)
    rig.entrance.ask(guest, Refusal(RefusalReason.NOT_FOUND, "the address names no app"))
    assert guest.why == "the address names no app"


def test_a_streams_limit_counts_those_of_every_protocol_and_not_who_left() -> None:
    rig = Rig()
    rig.open(StreamOverrides(limits=StreamLimits(players=2)))
    first = rig.ask(Guest("192.0.2.1", "rtmp"))
    rig.ask(Guest("192.0.2.2", "http-flv"))
    third = Guest("192.0.2.3", "hls")
    assert "the 2 players that it takes" in rig.ask(third).why
    rig.entrance.left(third)
    rig.entrance.ended(first, "it left")
    rig.entrance.left(first)
    assert rig.ask(Guest("192.0.2.4", "hls")).got == "360p gop"


def test_an_apps_limit_likewise() -> None:
    rig = Rig(replace(TEMPLATE, limits=StreamLimits(players=1)))
    rig.open()
    rig.ask()
    assert "max_players" in rig.ask(Guest("192.0.2.2")).why


def test_those_who_are_banned_by_now_are_ended() -> None:
    rig = Rig()
    rig.open()
    guest, other = rig.ask(), rig.ask(Guest("198.51.100.1"))
    rig.entrance.check()
    assert not guest.ended
    rig.bans.replace((Ban(network="192.0.2.0/24"),))
    rig.entrance.check()
    assert guest.ended
    assert not other.ended


@pytest.mark.parametrize("is_let_in", [True, False])
def test_a_hook_decides_before_anything_is_held(is_let_in: bool) -> None:
    rig = Rig(replace(TEMPLATE, hooks=HOOKS, play_rules=()))
    rig.open()
    guest = rig.ask(Guest(protocol="hls"))
    (question,) = [sent for sent in rig.sent if isinstance(sent, HookQuestion)]
    assert question.subject.protocol == "hls"
    assert (guest.wanted, guest.got) == (None, "")
    rig.hooks.answered(question.request_id, HookVerdict(is_let_in))
    assert bool(guest.got) == is_let_in
    assert (guest.refusal is None) == is_let_in
