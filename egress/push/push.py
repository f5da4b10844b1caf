"""One rendition of one stream to one address: when it is called, and called again. Pure.

It calls as soon as the rendition can begin, and again after an end, whatever the reason: after
`FIRST_S`, then each time after twice as long, `MOST_S` at most, each somewhat more or less, so that
many do not call at once. A connection that stood for `GOOD_S` begins anew with `FIRST_S`.
"""

from collections.abc import Callable
from typing import Final, Protocol

from common.config.pushes import PushRule
from common.ipc.identity import StreamId
from common.ipc.push_messages import PushState, PushStatus
from common.retries import DoublingWait
from egress.streams.rendition import Rendition

FIRST_S: Final = 1.0
MOST_S: Final = 30.0
GOOD_S: Final = 10.0
JITTER: Final = 0.25
CALL_S: Final = 10.0  # for a target to send, from its call on
OVER: Final = "the stream is over"


class Target(Protocol):
    """A connection to one address, from the call to its end."""

    @property
    def is_sending(self) -> bool:
        """Whether it has been let in, and takes the rendition."""

    @property
    def ended(self) -> str:
        """Why it is over; "": it is not."""

    @property
    def sent_bytes(self) -> int: ...

    @property
    def dropped(self) -> int:
        """Pictures that the line was too slow for."""

    @property
    def line(self) -> tuple[float, int]:
        """The round trip in ms, and packets that were sent again; zeros: nobody knows."""

    def check(self, now: float) -> None:
        """Do what is due; once a second."""

    def close(self, reason: str) -> None:
        """End it, and take nothing more of the rendition. Does nothing the second time."""


class Push:
    """One of a process."""

    def __init__(
        self,
        stream_id: StreamId,
        rule: PushRule,
        shown: str,
        call: Callable[[Rendition], Target],
        chance: Callable[[], float],
        now: float,
    ) -> None:
        """`call` makes a target of the rendition; `chance` gives 0 to 1; `shown`: the address."""
        self.stream_id, self.rule, self.shown = stream_id, rule, shown
        self.state = PushState.WAITING
        self.reason = ""
        self.calls = 0
        self._call, self._chance = call, chance
        self._target: Target | None = None
        self._rendition: Rendition | None = None
        self._since_s = now
        self._again_s = 0.0
        self._wait = DoublingWait(FIRST_S, MOST_S)
        self._sent_bytes = self._dropped = 0  # by targets that are over

    def check(self, rendition: Rendition | None, now: float) -> None:
        """Go on; `rendition` is the stream's by that name, None: there is none now."""
        target = self._target
        if target is not None:
            target.check(now)
            if rendition is not self._rendition:
                self._end(OVER if rendition is None else "the stream has begun anew", now)
            elif target.ended:
                self._end(target.ended, now)
            elif target.is_sending:
                self._follow(PushState.SENDING, now)
                if now - self._since_s >= GOOD_S:
                    self._wait.begin_anew()
            elif now - self._since_s >= CALL_S:
                self._end("it did not answer in time", now)
        if self._target is None and now >= self._again_s:
            if rendition is None or not rendition.has_start:
                self._follow(PushState.WAITING, now)
            else:
                self.calls += 1
                self._rendition = rendition
                self._target = self._call(rendition)
                self._follow(PushState.CALLING, now)

    def close(self, reason: str, now: float) -> None:
        """End it for good."""
        if self._target is not None:
            self._end(reason, now)

    def status(self, now: float) -> PushStatus:
        target = self._target
        rtt_ms, repeated = target.line if target is not None else (0.0, 0)
        return PushStatus(
            self.stream_id,
            self.rule.rendition,
            self.shown,
            self.state,
            self.reason,
            round(now - self._since_s, 1),
            self.calls,
            self._sent_bytes + (target.sent_bytes if target is not None else 0),
            self._dropped + (target.dropped if target is not None else 0),
            round(rtt_ms, 1),
            repeated,
        )

    # ---- inside -------------------------------------------------------------------------------

    def _follow(self, state: PushState, now: float) -> None:
        if state is not self.state:
            self.state, self._since_s = state, now

    def _end(self, reason: str, now: float) -> None:
        target, self._target, self._rendition = self._target, None, None
        assert target is not None
        target.close(reason)
        self._sent_bytes += target.sent_bytes
        self._dropped += target.dropped
        self.reason = reason
        self._follow(PushState.RETRYING, now)
        self._again_s = now + self._wait.take() * (1 + JITTER * (2 * self._chance() - 1))
