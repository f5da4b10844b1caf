"""The API's questions to the supervisor (IO: asyncio), over the child's control link.

The status document is asked for when somebody wants it, at most once a second, and one question at
a time whoever waits for the answer. It is kept: while a supervisor is replaced, what was known last
is there, marked as old. Nothing is sent while no supervisor can be heard, so that no command waits
for one that comes later.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from common.errors import TfarmError
from common.ipc.command_messages import Answer, Command

log = logging.getLogger("tfarm.api.farm_link")

FRESH_S: Final = 1.0  # a document of this age is given out again
ANSWER_S: Final = 5.0
SILENT_S: Final = 2.5  # without a beat, of which there is one a second
MAX_WAITING: Final = 256  # commands without an answer


class SupervisorAway(TfarmError):
    """No supervisor answers."""


@dataclass(frozen=True, slots=True)
class KnownStatus:
    """The status document that is known."""

    document: Mapping[str, Any]
    is_current: bool


@dataclass(slots=True)
class _Kept:
    document: Mapping[str, Any] = field(default_factory=dict)
    asked_s: float = float("-inf")


class FarmLink:
    """Commands and their answers; `on_status` is called with each new status document."""

    def __init__(
        self,
        send: Callable[[Command], bool],
        silent_s: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`silent_s` says how long no supervisor has said anything."""
        self.on_status: Callable[[Mapping[str, Any]], object] = lambda document: None
        self._send = send
        self._silent_s = silent_s
        self._clock = clock
        self._last_request = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._kept = _Kept()
        self._refresh: asyncio.Task[None] | None = None

    @property
    def is_supervised(self) -> bool:
        """True while a supervisor can be heard."""
        return self._silent_s() < SILENT_S

    async def command(self, name: str, arguments: Mapping[str, str] | None = None) -> Answer:
        """Give a command; its answer, which may be no. Raises SupervisorAway."""
        if not self.is_supervised:
            raise SupervisorAway("no supervisor answers: nothing was done; try again in a second")
        if len(self._waiting) >= MAX_WAITING:
            raise SupervisorAway("the supervisor is behind: nothing was done; try again later")
        self._last_request += 1
        request_id = self._last_request
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        try:
            if not self._send(Command(request_id, name, dict(arguments or {}))):
                raise SupervisorAway("the supervisor takes no more: nothing was done")
            async with asyncio.timeout(ANSWER_S):
                return await future
        except TimeoutError:
            raise SupervisorAway(
                f"the supervisor has not answered within {ANSWER_S:g} s: it may have been done"
            ) from None
        finally:
            del self._waiting[request_id]

    async def status(self) -> KnownStatus:
        """The status document. Raises SupervisorAway where none was ever known."""
        if self._clock() - self._kept.asked_s >= FRESH_S and self.is_supervised:
            if self._refresh is None:
                self._refresh = asyncio.get_running_loop().create_task(self._ask())
                self._refresh.add_done_callback(self._on_refreshed)
            await asyncio.wait({self._refresh})
        if not self._kept.document:
            raise SupervisorAway("no supervisor answers, and nothing is known yet")
        is_current = self.is_supervised and self._clock() - self._kept.asked_s < 2 * ANSWER_S
        return KnownStatus(self._kept.document, is_current)

    def expire(self) -> None:
        """Ask anew for the next who wants the status."""
        self._kept.asked_s = float("-inf")

    def on_answer(self, answer: Answer) -> None:
        """Take an answer of the supervisor's."""
        future = self._waiting.get(answer.request_id)
        if future is not None and not future.done():
            future.set_result(answer)

    def on_new_supervisor(self) -> None:
        """Give up what an earlier supervisor was asked."""
        self._kept.asked_s = float("-inf")
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(
                    SupervisorAway("the supervisor was replaced meanwhile: it may have been done")
                )

    def close(self) -> None:
        if self._refresh is not None:
            self._refresh.cancel()

    async def _ask(self) -> None:
        asked_s = self._clock()
        try:
            answer = await self.command("status")
            document = json.loads(answer.json)
        except (SupervisorAway, ValueError) as error:
            log.debug("no status reason=%s", error)
            return
        self._kept = _Kept(document, asked_s)
        self.on_status(document)

    def _on_refreshed(self, task: "asyncio.Task[None]") -> None:
        self._refresh = None
        if not task.cancelled() and task.exception() is not None:
            log.error("status not read", exc_info=task.exception())
