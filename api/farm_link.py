"""The API's questions to the supervisor (IO: asyncio), over the child's control link.

The status document is asked for when somebody wants it, at most once a second, and one question at
a time whoever waits for the answer; so are the figures for metrics. Who needs one that is no older
than the request can have it. Both are kept: while a supervisor is replaced, what was known last is
there, marked as old. Nothing is sent while no supervisor can be heard, so that no command waits for
one that comes later.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from common.errors import TfarmError
from common.ipc.command_messages import Answer, Command
from common.ipc.figures import AS, FIGURES, FarmFigures, read_figures

log = logging.getLogger("tfarm.api.farm_link")

T = TypeVar("T")

FRESH_S: Final = 1.0  # a document of this age is given out again
ANSWER_S: Final = 5.0
SILENT_S: Final = 2.5  # without a beat, of which there is one a second
MAX_WAITING: Final = 256  # commands without an answer


class SupervisorAway(TfarmError):
    """No supervisor answers."""


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """What is known of the farm: its status document, or its figures."""

    document: T
    is_current: bool


class _Kept(Generic[T]):
    """What a question was answered last."""

    def __init__(self, arguments: Mapping[str, str], read: Callable[[Any], T]) -> None:
        """`read` gets the JSON document, and may raise TypeError."""
        self.arguments = arguments
        self.read = read
        self.on_new: Callable[[T], object] = lambda document: None
        self.document: T | None = None
        self.asked_s = float("-inf")  # when, for the document
        self.began_s = float("-inf")  # when, last
        self.needed_s = float("-inf")  # of an answer to an earlier question nothing more is known
        self.refresh: asyncio.Task[None] | None = None


class FarmLink:
    """Commands and their answers."""

    def __init__(
        self,
        send: Callable[[Command], bool],
        silent_s: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`silent_s` says how long no supervisor has said anything."""
        self._send = send
        self._silent_s = silent_s
        self._clock = clock
        self._last_request = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._status = _Kept[Mapping[str, Any]]({}, lambda document: document)
        self._figures = _Kept({AS: FIGURES}, read_figures)

    def listen(
        self,
        on_status: Callable[[Mapping[str, Any]], object],
        on_figures: Callable[[FarmFigures], object],
    ) -> None:
        """Have these called with each new status document, and with new figures."""
        self._status.on_new, self._figures.on_new = on_status, on_figures

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

    async def status(self) -> Known[Mapping[str, Any]]:
        """The status document. Raises SupervisorAway where none was ever known."""
        return await self._known(self._status)

    async def status_of_now(self, *, spacing_s: float) -> Known[Mapping[str, Any]]:
        """One that was asked for after this call, and so long after the one before.

        Raises as `status`.
        """
        return await self._known(self._status, self._clock(), spacing_s)

    async def figures(self) -> Known[FarmFigures]:
        """The figures for metrics. Raises SupervisorAway where none were ever known."""
        return await self._known(self._figures)

    def expire(self) -> None:
        """Ask anew for the next who wants to know something."""
        self._status.needed_s = self._figures.needed_s = self._clock()

    def on_answer(self, answer: Answer) -> None:
        """Take an answer of the supervisor's."""
        future = self._waiting.get(answer.request_id)
        if future is not None and not future.done():
            future.set_result(answer)

    def on_new_supervisor(self) -> None:
        """Give up what an earlier supervisor was asked."""
        self.expire()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(
                    SupervisorAway("the supervisor was replaced meanwhile: it may have been done")
                )

    def close(self) -> None:
        for refresh in (self._status.refresh, self._figures.refresh):
            if refresh is not None:
                refresh.cancel()

    async def _known(
        self, kept: "_Kept[T]", since_s: float = float("-inf"), spacing_s: float = 0.0
    ) -> Known[T]:
        since_s = max(since_s, kept.needed_s)
        while self.is_supervised and not self._is_good(kept, since_s):
            if kept.refresh is None:
                if (pause_s := kept.began_s + spacing_s - self._clock()) > 0:
                    await asyncio.sleep(pause_s)
                    continue  # somebody else may have asked meanwhile
                kept.began_s = self._clock()
                kept.refresh = asyncio.get_running_loop().create_task(self._ask(kept))
                kept.refresh.add_done_callback(partial(self._on_refreshed, kept))
            began_s = kept.began_s
            await asyncio.wait({kept.refresh})
            if began_s >= since_s:  # else it was under way before
                break
        if kept.document is None:
            raise SupervisorAway("no supervisor answers, and nothing is known yet")
        is_current = kept.asked_s >= max(kept.needed_s, self._clock() - 2 * ANSWER_S)
        return Known(kept.document, is_current and self.is_supervised)

    def _is_good(self, kept: "_Kept[T]", since_s: float) -> bool:
        """Whether what is kept was asked for lately, and no earlier than it must have been."""
        return kept.asked_s >= since_s and self._clock() - kept.asked_s < FRESH_S

    async def _ask(self, kept: "_Kept[T]") -> None:
        asked_s = kept.began_s
        try:
            answer = await self.command("status", kept.arguments)
            document = kept.read(json.loads(answer.json))
        except (SupervisorAway, ValueError, TypeError) as error:
            log.debug("no status reason=%s", error)
            return
        kept.document, kept.asked_s = document, asked_s
        kept.on_new(document)

    def _on_refreshed(self, kept: "_Kept[T]", task: "asyncio.Task[None]") -> None:
        kept.refresh = None
        if not task.cancelled() and task.exception() is not None:
            log.error("status not read", exc_info=task.exception())
