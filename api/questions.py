"""The API's questions to egresses and workers (IO: asyncio), by way of the supervisor.

Who the players are is asked of every egress; a picture of the stream's worker, once however many
wait for it.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any, Final

from api.farm_link import SupervisorAway
from api.operations import ApiError
from api.pictures import FRESH_S, Picture, Pictures
from common.ipc.api_messages import (
    PlayerList,
    PlayerStatus,
    PlayersWanted,
    Snapshot,
    SnapshotWanted,
)
from common.ipc.identity import ChildId, StreamId

PLAYERS_S: Final = 2.0  # for all egresses to answer
PICTURE_S: Final = 3.0  # for a worker to have decoded the next picture
MAX_ASKED: Final = 256


class Questions:
    """Those on their way."""

    def __init__(
        self,
        child: ChildId,
        send: Callable[[Any], bool],
        egresses: Callable[[], Collection[ChildId]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`egresses` are those that run."""
        self._child = child
        self._send = send
        self._egresses = egresses
        self._clock = clock
        self._last_request = 0
        self._lists: dict[int, asyncio.Queue[PlayerList]] = {}
        self._pictures = Pictures()
        self._awaited: dict[StreamId, asyncio.Future[Snapshot]] = {}

    # ---- players ------------------------------------------------------------------------------

    async def players(self, stream_id: StreamId, ends: str = "") -> list[PlayerStatus]:
        """Those of a stream, of all where it is empty; the one that was ended, if one should be."""
        self._last_request += 1
        request_id = self._last_request
        answers = self._lists[request_id] = asyncio.Queue[PlayerList]()
        missing = set(self._egresses())
        found: list[PlayerStatus] = []
        try:
            self._ask(PlayersWanted(request_id, self._child, stream_id, ends))
            async with asyncio.timeout(PLAYERS_S):
                while missing:
                    answer = await answers.get()
                    missing.discard(answer.egress)
                    found += answer.players
        except TimeoutError:
            pass  # what the others said is something
        finally:
            del self._lists[request_id]
        return found

    def on_players(self, answer: PlayerList) -> None:
        answers = self._lists.get(answer.request_id)
        if answers is not None:
            answers.put_nowait(answer)

    # ---- pictures -----------------------------------------------------------------------------

    async def picture(self, stream_id: StreamId) -> Picture:
        """A picture of a stream, a fresh one if it comes in time. Raises ApiError."""
        found = self._pictures.get(stream_id, self._clock(), FRESH_S)
        if found is not None:
            return found
        future = self._awaited.get(stream_id)
        if future is None:
            future = self._want(stream_id)
        problem = "its next picture has not come in time"
        try:
            async with asyncio.timeout(PICTURE_S):
                problem = (await asyncio.shield(future)).problem
        except TimeoutError:
            self._awaited.pop(stream_id, None)  # who comes next asks anew
        found = self._pictures.get(stream_id, self._clock())
        if found is None:
            raise ApiError(503, "no-picture", f"there is no picture: {problem}")
        return found

    def on_snapshot(self, answer: Snapshot, jpeg: bytes) -> None:
        if jpeg:
            self._pictures.put(answer.stream_id, jpeg, self._clock())
        future = self._awaited.pop(answer.stream_id, None)
        if future is not None and not future.done():
            future.set_result(answer)

    # ---- inside -------------------------------------------------------------------------------

    def _want(self, stream_id: StreamId) -> "asyncio.Future[Snapshot]":
        if len(self._awaited) >= MAX_ASKED:
            raise ApiError(503, "busy", "too many pictures are asked for at once")
        self._last_request += 1
        self._ask(SnapshotWanted(self._last_request, self._child, stream_id))
        future = asyncio.get_running_loop().create_future()
        self._awaited[stream_id] = future
        return future

    def _ask(self, message: PlayersWanted | SnapshotWanted) -> None:
        if not self._send(message):
            raise SupervisorAway("no supervisor answers; try again in a second")
