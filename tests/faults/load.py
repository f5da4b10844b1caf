"""Publishers and players by the dozen on one thread with one selector, lean and steerable.

What is kept of a player is when which picture came: by its DTS, which is stream time, so that
every picture missing shows as a step of more than one frame. The thread owns all sockets; a fault
steers from outside by `Load.ask`, which runs a function there and returns what it gives.
"""

import contextlib
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self, TypeVar

from common.errors import ProtocolError
from common.flv.clock32 import Unwrapper
from common.rtmp.client import ClientSession, Ended, Playing, Published, Refused
from common.rtmp.events import AudioReceived, VideoReceived
from tests.kit.clients import FlvTag

T = TypeVar("T")

FRAME_MS = 40
RETRY_S = 0.05
CONNECT_TIMEOUT_S = 5.0
RECEIVE_BYTES = 1 << 18
MAX_UNSENT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Picture:
    """One video tag as it came to a player."""

    came_s: float
    dts_ms: int
    is_key: bool
    is_header: bool
    body: bytes = b""  # kept only where asked


class Connection:
    """One RTMP connection; connects without blocking, and again if it is told to."""

    def __init__(
        self, load: "Load", url: str, mode: Literal["publish", "play"], local: str
    ) -> None:
        self.url = url
        self.is_in = False
        self.since_s = 0.0  # when the server agreed, the last time
        self.asked_s = 0.0
        self.losses = 0  # connections that the farm ended
        self.refusals: list[str] = []
        self.again = True  # connect again when it is lost
        self.ports: list[int] = []  # of its own end, a connection each
        self._load = load
        self._mode: Literal["publish", "play"] = mode
        self._local = local
        self._unsent = bytearray()
        self._socket: socket.socket | None = None
        self._session: ClientSession | None = None

    def connect(self) -> None:
        self.drop()
        self.asked_s = time.monotonic()
        session = self._session = ClientSession(self.url, self._mode, 65536)
        peer = self._socket = socket.socket()
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._local:
            peer.bind((self._local, 0))
        peer.connect_ex((session.address.host, session.address.port))
        self.ports.append(int(peer.getsockname()[1]))
        session.start()
        self._unsent += session.data_to_send()
        self._load.register(peer, self)

    def is_in_for(self, seconds: float) -> bool:
        return self.is_in and time.monotonic() - self.since_s > seconds

    def leave(self) -> None:
        """Close the socket for good."""
        self.again = False
        self.drop()

    def drop(self) -> None:
        """Close the socket, if there is one."""
        self.is_in = False
        self._unsent.clear()
        peer, self._socket = self._socket, None
        if peer is not None:
            self._load.unregister(peer)
            peer.close()

    def abandon(self) -> socket.socket | None:
        """Forget the connection without a FIN: who gets the socket closes it when all is over."""
        self.is_in = False
        self._unsent.clear()
        peer, self._socket = self._socket, None
        if peer is not None:
            self._load.unregister(peer)
        return peer

    def on_ready(self, now: float) -> None:
        """Something came, or can be written."""
        peer, session = self._socket, self._session
        if peer is None or session is None:
            return
        try:
            while True:
                data = peer.recv(RECEIVE_BYTES)
                if not data:
                    self._lost(now)
                    return
                session.receive_data(data, now)
                if len(data) < RECEIVE_BYTES:
                    break
        except BlockingIOError:
            pass
        except (OSError, ProtocolError):
            self._take_events(session, now)
            self._lost(now)
            return
        self._take_events(session, now)
        if self._socket is not None:
            self.send(session.data_to_send())

    def send(self, data: bytes = b"") -> None:
        peer = self._socket
        self._unsent += data
        if peer is None or not self._unsent:
            return
        try:
            sent = peer.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lost(time.monotonic())
            return
        del self._unsent[:sent]
        assert len(self._unsent) < MAX_UNSENT_BYTES, "the farm does not read"
        self._load.want_writes(peer, self, bool(self._unsent))

    def tick(self, now: float) -> None:
        if self._socket is None:
            if self.again and now - self.asked_s >= RETRY_S:
                self.connect()
        elif not self.is_in and now - self.asked_s > CONNECT_TIMEOUT_S:
            self._lost(now)

    def _take_events(self, session: ClientSession, now: float) -> None:
        for event in session.events_received():
            match event:
                case Published() | Playing():
                    self.is_in = True
                    self.since_s = now
                    self.on_in(now)
                case Refused(code, description):
                    self.refusals.append(f"{code}: {description}")
                    self.drop()
                    return
                case Ended():
                    self._lost(now)
                    return
                case VideoReceived(timestamp, payload):
                    self.on_video(timestamp, payload, now)
                case AudioReceived(timestamp, payload):
                    self.on_audio(timestamp, payload, now)
                case _:
                    pass

    def _lost(self, now: float) -> None:
        self.losses += self.is_in
        self.drop()
        self.asked_s = max(self.asked_s, now - RETRY_S / 2)

    def on_in(self, now: float) -> None: ...

    def on_video(self, timestamp: int, payload: bytes, now: float) -> None: ...

    def on_audio(self, timestamp: int, payload: bytes, now: float) -> None: ...


class LoadPlayer(Connection):
    """Plays one rendition and notes what comes."""

    def __init__(self, load: "Load", url: str, key: str, rendition: str, keep: bool) -> None:
        super().__init__(load, url, "play", "")
        self.key = key
        self.rendition = rendition
        self.pictures: list[Picture] = []
        self.sounds: list[tuple[float, int, bytes]] = []  # when it came, DTS, body if kept
        self._keep = keep
        self._clock = Unwrapper()

    def on_video(self, timestamp: int, payload: bytes, now: float) -> None:
        if len(payload) > 5:
            is_header = payload[1] == 0
            is_key = payload[0] >> 4 == 1
            body = payload if self._keep else b""
            dts_ms = self._clock.unwrap(timestamp)
            self.pictures.append(Picture(now, dts_ms, is_key, is_header, body))

    def on_audio(self, timestamp: int, payload: bytes, now: float) -> None:
        if len(payload) > 2 and payload[1] == 1:
            body = payload if self._keep else b""
            self.sounds.append((now, self._clock.unwrap(timestamp), body))


@dataclass
class Script:
    """What a publisher sends: a clip over and over, its timestamps moved."""

    tags: Sequence[FlvTag]
    length_ms: int
    headers: Sequence[FlvTag] = field(init=False)
    media: Sequence[FlvTag] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = [tag for tag in self.tags if tag.type == 18 or tag.is_header]
        self.media = [tag for tag in self.tags if tag.type != 18 and not tag.is_header]


class LoadPublisher(Connection):
    """Publishes a script at its own pace from the moment the server agrees."""

    def __init__(self, load: "Load", url: str, key: str, script: Script, local: str = "") -> None:
        super().__init__(load, url, "publish", local)
        self.key = key
        self.script = script
        self.start_ms = 0  # the first timestamp
        self.is_silent = False  # sends nothing, as one whose host is gone
        self.harm: Callable[[FlvTag], FlvTag | None] | None = None  # done to each tag on its way
        self.sent_pictures = 0
        self._begun_s = 0.0
        self._index = 0
        self._round_ms = 0
        self._next_script: Script | None = None

    def on_in(self, now: float) -> None:
        self._begun_s = now
        self._index = 0
        self._round_ms = 0
        self._send_headers(self.start_ms)

    def jump(self, by_ms: int) -> None:
        """Timestamps step from the next tag on; the pace stays."""
        self.start_ms += by_ms

    def change(self, script: Script) -> None:
        """Send another clip after this one's last tag."""
        self._next_script = script

    def next_due(self) -> float | None:
        if not self.is_in or self.is_silent:
            return None
        return self._begun_s + (self.script.media[self._index].dts_ms + self._round_ms) / 1000

    def pump(self, now: float) -> None:
        """Send what is due."""
        while (due := self.next_due()) is not None and due <= now:
            tag = self.script.media[self._index]
            if self._next_script is not None and tag.is_key:
                # The clips have their keyframes at the same times.
                self.script, self._next_script = self._next_script, None
                self._send_headers(self.start_ms + self._round_ms + tag.dts_ms)
                tag = self.script.media[self._index]
                assert tag.is_key
            self._send_tag(tag, self.start_ms + self._round_ms + tag.dts_ms)
            self._index += 1
            if self._index == len(self.script.media):
                self._index = 0
                self._round_ms += self.script.length_ms

    def _send_headers(self, at_ms: int) -> None:
        for tag in self.script.headers:
            self._send_tag(tag, at_ms)

    def _send_tag(self, tag: FlvTag, at_ms: int) -> None:
        session = self._session
        assert session is not None
        if self.harm is not None and tag.type == 9 and not tag.is_header:
            harmed = self.harm(tag)
            if harmed is None:
                return
            tag = harmed
        match tag.type:
            case 8:
                session.send_audio(at_ms, tag.body)
            case 9:
                session.send_video(at_ms, tag.body)
                self.sent_pictures += not tag.is_header
            case _:
                session.send_metadata(tag.body, at_ms)
        self.send(session.data_to_send())


class Load:
    """All publishers and players, on a thread of their own while the `with` block lasts."""

    def __init__(self) -> None:
        self.publishers: dict[str, LoadPublisher] = {}
        self.players: list[LoadPlayer] = []
        self.late_s = 0.0  # the most that a picture was sent too late
        self._selector = selectors.DefaultSelector()
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._stop = False
        self._error: BaseException | None = None
        self._abandoned: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop = True
        self._wake.send(b"x")
        self._thread.join(10)
        for peer in self._abandoned:
            peer.close()
        self._wake.close()
        self._woken.close()
        self._selector.close()
        if self._error is not None and kind is None:
            raise self._error

    def ask(self, what: Callable[[], T]) -> T:
        """Run a function on the load's thread and give its result."""
        done: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._asked.put(lambda: done.put(what()))
        self._wake.send(b"x")
        try:
            return done.get(timeout=10)
        except queue.Empty:
            raise AssertionError(f"the load does not answer: {self._error}") from self._error

    def publish(self, url: str, key: str, script: Script, start_ms: int = 0) -> LoadPublisher:
        publisher = LoadPublisher(self, url, key, script)
        publisher.start_ms = start_ms
        self.ask(lambda: self.publishers.__setitem__(key, publisher))
        return publisher

    def play(self, url: str, key: str, rendition: str, *, keep: bool = False) -> LoadPlayer:
        player = LoadPlayer(self, url, key, rendition, keep)
        self.ask(lambda: self.players.append(player))
        return player

    def vanish(self, publisher: LoadPublisher) -> None:
        """The publisher's host is gone: no FIN comes, nothing is read any more."""

        def leave() -> None:
            publisher.again = False
            peer = publisher.abandon()
            if peer is not None:
                self._abandoned.append(peer)

        self.ask(leave)

    # ---- for connections, on the thread -------------------------------------------------------

    def register(self, peer: socket.socket, connection: Connection) -> None:
        self._selector.register(peer, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

    def unregister(self, peer: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(peer)

    def want_writes(self, peer: socket.socket, connection: Connection, wanted: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        if self._selector.get_key(peer).events != events:
            self._selector.modify(peer, events, connection)

    def _run(self) -> None:
        try:
            while not self._stop:
                self._turn()
        except BaseException as error:
            self._error = error
        finally:
            for connection in (*self.publishers.values(), *self.players):
                connection.drop()

    def _turn(self) -> None:
        now = time.monotonic()
        due = [at for p in self.publishers.values() if (at := p.next_due()) is not None]
        wait = min([RETRY_S, *(at - now for at in due)])
        for key, events in self._selector.select(max(0.0, wait)):
            now = time.monotonic()
            connection = key.data
            if connection is None:
                self._serve_asked()
                continue
            if events & selectors.EVENT_WRITE:
                connection.send()
            if events & selectors.EVENT_READ:
                connection.on_ready(now)
        now = time.monotonic()
        for publisher in self.publishers.values():
            at = publisher.next_due()
            if at is not None:
                self.late_s = max(self.late_s, now - at)
                publisher.pump(now)
        for connection in (*self.publishers.values(), *self.players):
            connection.tick(now)

    def _serve_asked(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while not self._asked.empty():
            self._asked.get_nowait()()
