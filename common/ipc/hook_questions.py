"""Questions to a hook that wait for their answer, in the process that asks. Pure but for `send`.

Who waits holds nothing of others'. An answer that does not come is given up at a deadline of the
asker's own: the hooks child, or the supervisor between, may have died.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from common.access.refusal import Cause, Refusal, RefusalReason
from common.config.hooks import HookEvent, Hooks, OnError
from common.ipc.hook_messages import HookQuestion, HookSubject, HookVerdict

MARGIN_S = 0.5  # behind the hook's own deadline, for the way there and back
MAX_PENDING = 5_000
GIVEN_UP = HookVerdict(None, detail="the hooks process did not answer in time")
UNSENT = HookVerdict(None, detail="the supervisor cannot be reached")
TOO_MANY = HookVerdict(None, detail="too many wait for an answer")

NO_ANSWER = "the server that decides this does not answer; try again"

T = TypeVar("T")
Send = Callable[[object], object]  # False: it was not sent


def refusal_by(verdict: HookVerdict, hooks: Hooks) -> Refusal | None:
    """Why it is refused; None: it is let in. Without an answer `on_error` says what holds."""
    if verdict.is_allowed is not None:
        if verdict.is_allowed:
            return None
        return Refusal(RefusalReason.DENIED, verdict.words, cause=Cause.HOOK_DENIED)
    if hooks.on_error is OnError.ALLOW:
        return None
    return Refusal(
        RefusalReason.UNAVAILABLE, NO_ANSWER, detail=verdict.detail, cause=Cause.HOOK_FAILED
    )


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    """One question, and who waits for its answer."""

    asker: T
    until_s: float  # CLOCK_MONOTONIC


class HookQuestions(Generic[T]):
    """Those of one process."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._pending: dict[int, Pending[T]] = {}
        self._last_request = 0

    def __len__(self) -> int:
        return len(self._pending)

    def ask(
        self, asker: T, event: HookEvent, subject: HookSubject, hooks: Hooks, now: float
    ) -> HookVerdict | None:
        """Ask; the verdict if it is known at once that no answer comes."""
        if len(self._pending) >= MAX_PENDING:
            return TOO_MANY
        self._last_request += 1
        question = HookQuestion(self._last_request, event, subject)
        if self._send(question) is False:
            return UNSENT
        self._pending[self._last_request] = Pending(asker, now + hooks.deadline_s + MARGIN_S)
        return None

    def answered(self, request_id: int) -> T | None:
        """Take out whom an answer is for, unless that one waits no more."""
        found = self._pending.pop(request_id, None)
        return found.asker if found is not None else None

    def overdue(self, now: float) -> list[T]:
        """Take out those that had no answer in time; their verdict is `GIVEN_UP`."""
        late = [number for number, one in self._pending.items() if now >= one.until_s]
        return [self._pending.pop(number).asker for number in late]

    def forget(self, is_meant: Callable[[T], bool]) -> list[T]:
        """Take out those who wait no more."""
        found = [number for number, one in self._pending.items() if is_meant(one.asker)]
        return [self._pending.pop(number).asker for number in found]
