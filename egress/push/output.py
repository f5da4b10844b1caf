"""All pushes of a process, as an output of its egress (IO by their targets)."""

import logging
import random
from collections.abc import Callable, Mapping

from common.config.pushes import PushRule
from common.ipc.identity import StreamId, split_stream_id
from common.ipc.push_messages import PushState, PushStatus
from common.process.log import PeerLines, more, stream_label
from egress.assigned import AssignedOutput
from egress.output import OutputContext
from egress.push.push import OVER, Push, Target
from egress.push.target_context import TargetContext
from egress.push.targets import CALLERS, CallUrl, scheme_of, shown
from egress.streams.rendition import Rendition
from egress.streams.stream import Stream

log = logging.getLogger("tfarm.egress.push.output")


class PushOutput(AssignedOutput):
    """An `Output` that lets nobody in: it calls."""

    protocol = "push"

    def __init__(self, context: OutputContext, targets: TargetContext) -> None:
        super().__init__(context)
        self._targets = targets
        self._callers: dict[str, CallUrl] = {}
        self._lines = PeerLines()
        self._pushes: dict[tuple[StreamId, PushRule], Push] = {}

    def status(self) -> tuple[PushStatus, ...]:
        """All pushes."""
        now = self._context.clock()
        return tuple(push.status(now) for push in self._pushes.values())

    # ---- an output ----------------------------------------------------------------------------

    @property
    def counters(self) -> Mapping[str, int]:
        states = [push.state for push in self._pushes.values()]
        return {f"push {state}": states.count(state) for state in PushState}

    def serves(self) -> bool:
        return bool(self._pushes)

    def on_stream(self, stream: Stream) -> None:
        """The next check looks."""

    def check(self, now: float) -> None:
        for push in self._pushes.values():
            self._context.request_stream(push.stream_id, push.rule.rendition)
            before = push.state
            push.check(self._rendition_of(push.stream_id, push.rule.rendition), now)
            if push.state is not before:
                self._log(push)

    async def stop(self, reason: str) -> None:
        self.close(reason)

    def close(self, reason: str) -> None:
        now = self._context.clock()
        for push in self._pushes.values():
            push.close(reason, now)
        self._pushes.clear()

    # ---- inside -------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Begin what is new, end what is over."""
        now = self._context.clock()
        wanted = {
            (stream, rule): rule.url_of(app, key)
            for stream in self._streams
            for app, key in [split_stream_id(stream)]
            if (template := self._settings.template(app)) is not None
            for rule in template.pushes
            if rule.takes(key)
        }
        for place in self._pushes.keys() - wanted.keys():
            self._pushes.pop(place).close(OVER, now)
        for (stream, rule), url in wanted.items():
            if (stream, rule) not in self._pushes:
                made = Push(stream, rule, shown(url), self._caller(url), random.random, now)
                self._pushes[stream, rule] = made

    def _caller(self, url: str) -> Callable[[Rendition], Target]:
        scheme = scheme_of(url)

        def call(rendition: Rendition) -> Target:
            if scheme not in self._callers:
                self._callers[scheme] = CALLERS[scheme](self._targets)
            return self._callers[scheme](url, rendition)

        return call

    def _log(self, push: Push) -> None:
        stream, rendition = stream_label(push.stream_id), push.rule.rendition
        if push.state is PushState.SENDING:
            log.info("push sends stream=%s rendition=%s address=%s", stream, rendition, push.shown)
        elif push.state is PushState.RETRYING:
            held = self._lines.allow(f"{stream} {push.shown}", self._context.clock())
            if held is not None:
                log.warning(
                    "push ended stream=%s rendition=%s address=%s reason=%s%s",
                    stream,
                    rendition,
                    push.shown,
                    push.reason,
                    more(held),
                )
