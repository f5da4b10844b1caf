"""Both ends of a link between two hosts, without a socket: what is written waits to be carried."""

from collections.abc import Sequence

from common.config.settings import Settings
from common.ipc.identity import Generation
from common.ipc.media_messages import HEADER, KEY, RenditionVideo
from common.link.messages import VERSION, LinkGreeting, LinkOpened, LinkTags
from common.link.pulling import Media, Pulling
from common.link.serving import Demanded, Serving
from egress.streams.tag import AUDIO, DATA, VIDEO, Tag

STREAM = "ab" * 32
OTHER = "cd" * 32
TEMPLATE = Settings().templates[0].without_access()
VIDEO_FACTS = RenditionVideo("h264", 1280, 720, 2_000_000, 30)
OWNER = LinkGreeting(VERSION, "farm", "host-a", "a" * 16)
EDGE = LinkGreeting(VERSION, "farm", "host-b", "b" * 16)


def opened(stream: str = STREAM, epoch: int = 7, generation: int = 3) -> LinkOpened:
    names = ("720p", "360p")
    own = stream, epoch, Generation(generation), TEMPLATE, names
    return LinkOpened(*own, zero_unix_ms=1_800_000_000_000)


def picture(dts_ms: int, *, is_key: bool = False, size: int = 100, came_s: float = 0.0) -> Tag:
    return Tag(VIDEO, "h264", dts_ms, 0, KEY if is_key else 0, b"v" * size, came_s)


def sound(dts_ms: int) -> Tag:
    return Tag(AUDIO, "aac", dts_ms, 0, 0, b"a%d" % dts_ms)


def sound_header() -> Tag:
    return Tag(AUDIO, "aac", 0, 0, HEADER, b"header")


def data(dts_ms: int, text: bytes = b"d") -> Tag:
    return Tag(DATA, "", dts_ms, 0, 0, text)


class LinkRig:
    """One owner, one edge, and the two directions between them."""

    def __init__(self, certified: frozenset[str] = frozenset(("host-b",))) -> None:
        self.now = 100.0
        self.to_owner, self.to_edge = bytearray(), bytearray()
        self.writes = 0  # of the owner's
        self._certified = certified
        self.serving = Serving(OWNER, certified, self._to_edge, lambda: self.now)
        # another clock: nothing may depend on both being one
        self.pulling = Pulling(EDGE, "host-a")
        self.demanded: list[Demanded] = []
        self.came: list[tuple[Media, Sequence[bytes]]] = []

    @property
    def edge_now(self) -> float:
        return self.now + 5_000.0

    def lose(self, reason: str = "it broke") -> None:
        """The connection breaks; `connect` makes another one."""
        received = self.serving.receiving.on_received
        self.to_owner.clear()
        self.to_edge.clear()
        self.serving = Serving(OWNER, self._certified, self._to_edge, lambda: self.now)
        self.serving.receiving.on_received = received
        self.pulling.lost(reason)

    def connect(self) -> None:
        self.pulling.connected(self._to_owner)
        self.carry()

    def carry(self, most: int = 1 << 40) -> None:
        """Bring both directions over, `most` bytes of each, until nothing is left to be said."""
        while self.to_owner or self.to_edge:
            asked, self.to_owner = bytes(self.to_owner[:most]), self.to_owner[most:]
            self.demanded += self.serving.feed(asked)
            told, self.to_edge = bytes(self.to_edge[:most]), self.to_edge[most:]
            self.came += self.pulling.feed(told, self.edge_now)

    def want(self, *names: str, stream: str = STREAM, epoch: int = 7) -> None:
        self.pulling.pull(stream, epoch, names, self.edge_now)
        self.carry()

    def times(self, rendition: str) -> list[int]:
        """The times of a rendition's tags, as they came."""
        return [
            tag.dts_ms
            for message, _ in self.came
            if isinstance(message, LinkTags) and message.rendition == rendition
            for tag in message.tags
        ]

    def _to_owner(self, parts: Sequence[bytes]) -> None:
        self.to_owner += b"".join(parts)

    def _to_edge(self, parts: Sequence[bytes]) -> None:
        self.writes += 1
        self.to_edge += b"".join(parts)
