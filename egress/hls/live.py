"""The streams that are cut for viewers of HLS just now, and who waits for them (IO: the loop)."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Final

from common.config.ladder import SOURCE
from common.config.settings import WebSettings
from common.ipc.identity import StreamId
from egress.hls.numbering import Earlier
from egress.hls.readiness import GRACE_S, due_s, first_asked, lacks
from egress.hls.reload import Wanted
from egress.hls.sessions import Session
from egress.hls.stream import SOUND, HlsStream, TrackState
from egress.hls.window import WindowLimits
from egress.output import OutputContext
from egress.streams.stream import Stream, StreamState

UNUSED_S: Final = 10.0  # that a stream is cut for nobody: he may come back
ENDED_S: Final = 30.0  # that the end of a stream can be asked for
IDLE_TARGETS: Final = 2  # target durations without a request: a viewer has left
MIN_IDLE_S: Final = 3.0
LOOK_S: Final = 0.1  # between looks whether enough of a stream is there
ASK_AGAIN_S: Final = 2.0
MAX_WAITING_OF_ONE: Final = 64  # requests of a viewer, whom a player lets wait with four
MAX_EARLIER: Final = 1_000  # streams whose discontinuities are remembered

Waiting = asyncio.Future[bool]  # False: it has waited for long enough
Hls = HlsStream[Waiting]
Track = TrackState[Waiting]


class NotThere(Exception):
    """A stream, or a track of it, that has not come in time; the words say what."""


class LiveStreams:
    """Those of one process."""

    def __init__(self, context: OutputContext) -> None:
        self.settings = WebSettings()
        self.expired = 0  # requests that have waited for too long
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._streams: dict[StreamId, Hls] = {}
        self._used_s: dict[StreamId, float] = {}  # when somebody last had a stream
        self._ended_s: dict[StreamId, float] = {}
        self._earlier: dict[StreamId, Earlier] = {}  # of streams that are not cut now
        self._changes: dict[StreamId, set[Waiting]] = {}  # who waits for a stream, or its tracks
        self._is_stopping = False

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, stream_id: object) -> bool:
        return stream_id in self._streams

    @property
    def size(self) -> int:
        """Bytes of all windows."""
        return sum(hls.size for hls in self._streams.values())

    @property
    def blocked(self) -> int:
        """How many requests wait."""
        return sum(len(t.blocked) for hls in self._streams.values() for t in hls.tracks.values())

    def find(self, stream_id: StreamId) -> Hls | None:
        """The stream, if it is cut here."""
        return self._streams.get(stream_id)

    def on_stream(self, stream: Stream, *, is_used: bool) -> None:
        """A stream has new renditions; `is_used`: somebody has it."""
        hls = self._streams.get(stream.stream_id)
        if hls is not None and hls.stream is stream:
            hls.follow()
        elif stream.stream_id in self._changes or is_used:
            self._open(stream)
        self._wake(stream.stream_id)

    def check(self, now: float, count: Callable[[StreamId], int]) -> None:
        """Look for what has waited for too long, and what nobody has; `count`: who has a stream."""
        for hls in self._streams.values():
            for track in hls.tracks.values():
                expired = track.blocked.expired(now)
                self.expired += len(expired)
                _answer(expired, found=False)
            hls.rest_unasked(now, idle_s(hls))
        for stream_id, hls in tuple(self._streams.items()):
            if count(stream_id) or stream_id in self._changes:
                self._used_s[stream_id] = now
            if hls.has_ended and hls.tracks:
                self._ended_s.setdefault(stream_id, now)
            is_unused = now - self._used_s.setdefault(stream_id, now) > UNUSED_S
            if is_unused or now - self._ended_s.get(stream_id, now) > ENDED_S:
                self._close(stream_id)

    def stop(self) -> None:
        """End all of them, and let nobody wait."""
        self._is_stopping = True
        for stream_id in tuple(self._streams):
            self._close(stream_id)
        for stream_id in tuple(self._changes):
            self._wake(stream_id)

    def ask_all(self, stream_id: StreamId) -> None:
        """Somebody may go to any rendition of a stream at any time: have all of them made."""
        hls = self._streams.get(stream_id)
        if hls is not None:
            for name in hls.listed:
                hls.ask(name, self._context.clock())

    async def open(
        self, stream_id: StreamId, names: Sequence[str], wait_s: float, *, takes_all: bool = False
    ) -> Hls:
        """The stream, with something to play in these tracks, none named: the listed ones.

        Of those on demand, where none is named, one is made if none is; with `takes_all` all are.
        It waits until most of them can be played. Raises NotThere.
        """
        until_s = self._context.clock() + wait_s
        first_s = None
        while True:
            now = self._context.clock()
            hls = self._current(stream_id)
            if hls is not None:
                hls.follow(with_source=SOURCE in names)
                if any(name != SOUND and name not in hls.stream.renditions for name in names):
                    raise NotThere(_what_lacks(hls, names))
                wanted = names or (hls.listed if takes_all else first_asked(hls))
                for name in wanted:
                    hls.ask(name, now)
                # of a stream's very first segment nothing is listed before it is whole
                until_s = max(until_s, due_s(hls, wanted))
                if wanted and not lacks(hls, wanted, now, to_list=not names and not takes_all):
                    return hls
                if any(hls.is_playable(name) for name in wanted):
                    first_s = first_s if first_s is not None else now
                    if now - first_s >= GRACE_S and (not names or hls.is_playable(names[0])):
                        return hls
            if now >= until_s or self._is_stopping:
                raise NotThere(_what_lacks(hls, names))
            if hls is None:
                self._context.request_stream(stream_id)
            left_s = until_s - now
            pause_s = LOOK_S if hls is not None else ASK_AGAIN_S
            await self._change(stream_id, min(left_s, pause_s))

    async def wait(self, track: Track, wanted: Wanted, session: Session) -> bool:
        """Wait for what is to come of a playlist; False: for too long, or too many do."""
        return await self._blocked(self.block(track, wanted, session), track, session)

    async def wait_for_part(self, track: Track, msn: int, index: int, session: Session) -> bool:
        """Wait for a part, as `wait` does."""
        waiting = self.block(track, Wanted(msn, index), session, is_for_part=True)
        return await self._blocked(waiting, track, session)

    def block(
        self, track: Track, wanted: Wanted, session: Session, *, is_for_part: bool = False
    ) -> Waiting | None:
        """Let a request of a viewer wait, until `unblock`; None: too many do."""
        if session.waiting >= MAX_WAITING_OF_ONE:
            return None
        waiting: Waiting = self._loop.create_future()
        now = self._context.clock()
        if not track.blocked.add(track.window, wanted, waiting, now, is_for_part=is_for_part):
            return None
        session.waiting += 1
        return waiting

    def unblock(self, waiting: Waiting, track: Track, session: Session) -> None:
        """A request of a viewer does not wait any more."""
        if not waiting.done() or waiting.cancelled():
            track.blocked.remove(waiting)
        session.waiting -= 1
        session.seen_s = self._context.clock()

    async def _blocked(self, waiting: Waiting | None, track: Track, session: Session) -> bool:
        if waiting is None:
            return False
        try:
            return await waiting
        finally:
            self.unblock(waiting, track, session)

    def _current(self, stream_id: StreamId) -> Hls | None:
        """The stream that is published now; made, where it is not cut yet."""
        stream = self._context.streams.get(stream_id)
        if stream is None or stream.state in (StreamState.ENDING, StreamState.ENDED):
            return None
        hls = self._streams.get(stream_id)
        return hls if hls is not None and hls.stream is stream else self._open(stream)

    def _open(self, stream: Stream) -> Hls:
        """Begin to cut a stream, in place of an older one of its name."""
        self._close(stream.stream_id)
        web = self.settings
        limits = WindowLimits(web.window_s, web.window_bytes, web.part_s)
        offset_s = time.time() - self._context.clock()
        before = self._earlier.pop(stream.stream_id, None)
        now = self._context.clock()
        forms = self._context.sounds()
        hls: Hls = HlsStream(stream, limits, offset_s, self._on_change, now, before, forms)
        self._streams[stream.stream_id] = hls
        self._used_s[stream.stream_id] = self._context.clock()
        hls.follow()
        self._context.request_stream(stream.stream_id)
        return hls

    def _close(self, stream_id: StreamId) -> None:
        hls = self._streams.pop(stream_id, None)
        if hls is None:
            return
        hls.leave()
        while len(self._earlier) >= MAX_EARLIER:
            del self._earlier[next(iter(self._earlier))]
        self._earlier[stream_id] = hls.numbering.earlier
        for track in hls.tracks.values():
            _answer(track.blocked.take_all(), found=False)
        self._used_s.pop(stream_id, None)
        self._ended_s.pop(stream_id, None)

    def _on_change(self, hls: Hls, name: str) -> None:
        track = hls.tracks[name]
        _answer(track.blocked.ready(track.window), found=True)
        self._wake(hls.stream.stream_id)

    async def _change(self, stream_id: StreamId, timeout_s: float) -> None:
        """Wait until something of a stream has changed; for so long at most."""
        waiting: Waiting = self._loop.create_future()
        self._changes.setdefault(stream_id, set()).add(waiting)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await waiting
        finally:
            others = self._changes.get(stream_id)
            if others is not None:
                others.discard(waiting)
                if not others:
                    del self._changes[stream_id]

    def _wake(self, stream_id: StreamId) -> None:
        if stream_id in self._changes:
            _answer(self._changes.pop(stream_id), found=True)


def idle_s(hls: Hls) -> float:
    """How long a viewer may ask for nothing, and a rendition not be asked for."""
    return max(MIN_IDLE_S, IDLE_TARGETS * ceil(hls.gop_ms / 1000) + 1)


def _answer(waiting: Iterable[Waiting], *, found: bool) -> None:
    for one in waiting:
        if not one.done():
            one.set_result(found)


def _what_lacks(hls: Hls | None, names: Sequence[str]) -> str:
    if hls is None:
        return "nobody publishes this stream, or it has no video"
    known = (*hls.stream.renditions,)
    for name in names:
        if name not in known and name not in hls.tracks:
            return f"this stream has no {name}; there are {', '.join(known)}"
    problems = next(iter(hls.problems.values()), "")
    return problems or "this stream has no picture yet"
