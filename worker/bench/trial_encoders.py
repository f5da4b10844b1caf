"""The encoder processes of a calibration's trials, as a farm has them (IO: a loop, links, pools).

Where the host encodes a GPU's pictures, the leader is the one process that opens the GPU: its
sessions scale into pools as a worker's do, and encoder processes without a GPU library
(`trial_encoder.py`) encode. Both ends are the farm's own code, `worker/encoders/` and
`worker/encoder/`; the tags go nowhere, since no egress is announced.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import uvloop

from common.ipc.bus import Bus
from common.ipc.control_messages import Endpoint
from common.ipc.encoder_messages import EncodedPicture
from common.ipc.identity import cpu_worker
from worker.encoders.processes import EncodedSession, EncoderProcesses
from worker.session.context import SessionKey
from worker.session.events import EncodingWanted, Ended, Event, PicturesScaled

LEADER: Final = cpu_worker(0)  # what encoder processes take the leader for
START_S: Final = 20.0
_KEPT: Final = 64  # pictures of a session that are on their way, at most

# the session, its rendition and when the picture's access unit was due
OnCoded = Callable[[SessionKey, int, float], None]


class TrialEncoders:
    """The leader's end: hands sessions' pictures over, on a loop of its own."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        find: Callable[[SessionKey], EncodedSession | None],
        on_coded: OnCoded,
    ) -> None:
        """`find` gives a session, `on_coded` hears of each coded picture; both on the loop."""
        self._find = find
        self._on_coded = on_coded
        self._coded: dict[SessionKey, _Coded] = {}
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="encoders", daemon=True)
        self._thread.start()
        self._bus, self._processes = self._ask(self._open, list(endpoints))

    def post(self, key: SessionKey, event: Event) -> None:
        """Take what a session posts; from any thread."""
        match event:
            case EncodingWanted() | PicturesScaled() | Ended():
                with suppress(RuntimeError):  # closed
                    self._loop.call_soon_threadsafe(self._on_event, key, event)
            case _:
                pass

    def close(self) -> None:
        self._ask(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _ask(self, what: Callable[..., Any], *arguments: Any) -> Any:
        """Call it on the loop; what it gives."""

        async def call() -> Any:
            return what(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(START_S)

    # ---- on the loop --------------------------------------------------------------------------

    def _open(self, endpoints: Sequence[Endpoint]) -> tuple[Bus, EncoderProcesses]:
        bus = Bus()
        processes = EncoderProcesses(bus, LEADER)
        processes.update(endpoints)
        return bus, processes

    def _close(self) -> None:
        self._processes.close()
        self._bus.close()

    def _on_event(self, key: SessionKey, event: Event) -> None:
        match event:
            case EncodingWanted():
                coded = _Coded(partial(self._find, key), partial(self._on_coded, key))
                self._coded[key] = coded
                self._processes.open(key, event, coded)
            case PicturesScaled():
                self._coded[key].expect(event.pts_ms, event.received_s)
                self._processes.hand_over(key, event)
            case Ended(reason=reason):
                self._processes.end(key, reason)
                self._coded.pop(key, None)
            case _:
                pass


class _Coded:
    """An `EncodedSession` that tells of each coded picture, then its session."""

    def __init__(
        self,
        find: Callable[[], EncodedSession | None],
        on_coded: Callable[[int, float], None],
    ) -> None:
        self._find = find
        self._on_coded = on_coded
        self._received_s: dict[int, float] = {}  # by pts_ms, of pictures that are on their way

    def expect(self, pts_ms: int, received_s: float) -> None:
        """Note when a picture's access unit was due."""
        self._received_s[pts_ms] = received_s
        if len(self._received_s) > _KEPT:
            del self._received_s[next(iter(self._received_s))]

    def on_picture_done(self, rendition: int, done: EncodedPicture | None) -> None:
        if done is not None and done.size and done.pts_ms in self._received_s:
            self._on_coded(rendition, self._received_s[done.pts_ms])
        if (session := self._find()) is not None:
            session.on_picture_done(rendition, done)

    def on_rendition_lost(self, rendition: int, pts_ms: int, reason: str) -> None:
        if (session := self._find()) is not None:
            session.on_rendition_lost(rendition, pts_ms, reason)

    def on_encoder_changed(self) -> None:
        if (session := self._find()) is not None:
            session.on_encoder_changed()

    def on_no_encoder(self, reason: str) -> None:
        if (session := self._find()) is not None:
            session.on_no_encoder(reason)
