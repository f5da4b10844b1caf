"""The entrance of an egress with its streams, and one who asks there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from common.access.address_limits import AddressBook
from common.access.bans import Bans
from common.access.peer_address import Networks
from common.access.refusal import Refusal
from common.config.ladder import Template
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.config.settings import Settings
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

MOST = 3  # viewers


class Guest:
    """An asker that notes what becomes of it."""

    def __init__(self, host: str = "192.0.2.1", protocol: str = "toy") -> None:
        self.wish: Wish | Refusal | None = None
        self.wanted: PlayWanted | None = None
        self.host = host
        self.address = f"{host}:1234"
        self.protocol = protocol
        self.is_asking = False
        self.takes = frozenset({"", "h264"})  # video codecs
        self.taken_bytes = 0
        self.got: str = ""  # the rendition that it watches
        self.refusal: Refusal | None = None
        self.ended = ""
        self.on_timeout: Callable[[Asker], None] | None = None

    def takes_video(self, codec: str, /) -> bool:
        return codec in self.takes

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


class EntranceRig:
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

    def open(self, overrides: StreamOverrides = NO_OVERRIDES, codec: str = "h264") -> None:
        """Have the stream with its 360p begun, and whoever waits look again."""
        header, body = key_tag(0)
        self.streams.open(stream_open(overrides=overrides), 5.0)
        self.streams.take(*rendition_open("360p"), 5.0)
        self.streams.take(*tags(0, (header._replace(codec=codec), body), rendition="360p"), 5.0)
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
