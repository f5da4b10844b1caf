"""The hooks process put together (IO): questions and notices in, HTTP requests out, answers back.

A process of its own, so that a hook that is slow, dead or lying costs no stream anything: ingest
and egress wait for an answer without anything of others', and have deadlines of their own.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

from common.config.limits import StreamLimits
from common.config.settings import Settings
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from common.ipc.hook_messages import HookNotice, HookQuestion
from common.process.log import PeerLines, more, stream_label
from hooks.answers import Answered, answer_of, no_answer
from hooks.dispatch import Action, Deliver, Dispatcher, Event, Lost, Reply
from hooks.documents import body_of, failure_of, headers_of, is_final
from hooks.http_client import Answer, HookFailed, HttpClient
from hooks.limits import limits_of

log = logging.getLogger("tfarm.hooks.run")

TICK_S = 0.2
LAST_S = 2.0  # for what is queued when the farm ends


class HookCaller:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._dispatcher = Dispatcher()
        self._client = HttpClient()
        self._epoch = int(time.time())
        self._limits: dict[str, StreamLimits] = {}  # by template
        self._lines = PeerLines()
        self._something = asyncio.Event()  # has come
        self._taken = asyncio.Event()  # something was

    def hello(self) -> Hello:
        return self._process.new_hello(Endpoint(self._process.child, self._process.boot_id))

    def heartbeat(self) -> Heartbeat:
        waiting = {"waiting": len(self._dispatcher)}
        return self._process.new_heartbeat(counters={**self._dispatcher.counts, **waiting})

    def configure(self, settings: Settings) -> None:
        self._limits = {template.name: template.limits for template in settings.templates}
        self._client.forget_certificates()
        self._dispatcher.configure(
            {template.name: template.hooks for template in settings.templates if template.hooks.url}
        )

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None: ...

    def on_welcome(self) -> None: ...

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        now = time.monotonic()
        match message:
            case HookQuestion():
                self._do(self._dispatcher.ask(message, now, time.time()))
            case HookNotice():
                self._do(self._dispatcher.report(message, now))
            case _:
                log.warning("unexpected control message kind=%s", type(message).__name__)
        self._something.set()

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._tick(),)

    async def end(self) -> None:
        """Give what is on its way a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await self._emptied()
        if len(self._dispatcher):
            log.warning("hooks end with events that nobody took count=%d", len(self._dispatcher))
        await self._client.close()

    def close(self) -> None: ...

    async def _emptied(self) -> None:
        while len(self._dispatcher):
            self._taken.clear()
            await self._taken.wait()

    # ---- inside -------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            if not len(self._dispatcher):
                self._something.clear()
                await self._something.wait()
            await asyncio.sleep(TICK_S)
            self._do(self._dispatcher.tick(time.monotonic()))

    def _do(self, actions: Sequence[Action]) -> None:
        self._taken.set()
        for action in actions:
            match action:
                case Deliver():
                    self._process.spawn(self._deliver(action))
                case Reply(answer, question):
                    if answer.verdict.is_allowed is None:
                        self._warn(question, answer.verdict.detail)
                    self._process.send(answer)
                case Lost(notice, why):
                    self._warn(notice, f"nobody took it: {why}")

    def _warn(self, event: Event, why: str) -> None:
        held_back = self._lines.allow(event.subject.app, time.monotonic())
        if held_back is not None:
            log.warning(
                "hook failed what=%s stream=%s reason=%s%s",
                event.event.value,
                stream_label(event.subject.stream),
                why,
                more(held_back),
            )

    async def _deliver(self, one: Deliver) -> None:
        failure, answer = await self._post(one)
        now = time.monotonic()
        if isinstance(one.event, HookQuestion):
            found = no_answer(failure) if answer is None else self._judge(one.event, answer)
            self._do(self._dispatcher.answered(one.number, found, now))
            return
        if answer is not None:
            failure = failure_of(answer.status)
            if failure and is_final(answer.status):
                self._warn(one.event, f"{failure}, which is final")
                failure = ""
        self._do(self._dispatcher.delivered(one.number, failure, now))

    async def _post(self, one: Deliver) -> tuple[str, Answer | None]:
        """Send it; why there is no answer, or the answer."""
        body = body_of(one.event, one.sequence, self._epoch, one.at_unix)
        headers = headers_of(one.hooks.secret, body, time.time())
        url, timeout_s, ca_file = one.hooks.url, one.timeout_s, one.hooks.ca_file
        try:
            return "", await self._client.post(url, headers, body, timeout_s, ca_file)
        except HookFailed as error:
            return f"{urlsplit(url).hostname}: {error}", None
        except Exception as error:  # a fault here must not keep a stream's queue for ever
            log.exception("a request failed app=%s", one.event.subject.app)
            return type(error).__name__, None

    def _judge(self, question: HookQuestion, answer: Answer) -> Answered:
        app = question.subject.app
        try:
            return answer_of(answer.status, answer.body, self._limits, app, limits_of)
        except Exception:  # whatever a hook sends, who asks gets an answer
            log.exception("an answer cannot be read app=%s", app)
            return no_answer("its answer cannot be read")
