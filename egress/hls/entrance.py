"""Who may watch by HLS (IO): judged at a first playlist, by the rules of all viewers.

A viewer holds a place under the limits as a session. Whom a hook is asked about waits, and holds
none until then.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from common.access.authorise import used_before
from common.access.peer_address import Networks
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.refusals import Attempted, RefusalStatus
from common.access.wrong_keys import WrongKeys
from common.config.hooks import Hooks
from common.config.limits import too_many_players
from common.config.settings import Settings
from common.ipc.hook_messages import HookVerdict
from common.ipc.hook_questions import refusal_by
from common.ipc.identity import StreamId, split_stream_id, stream_id
from common.process.log import stream_label
from egress.access import (
    PlayWanted,
    Viewer,
    Wish,
    hook_subject,
    judge,
    most_players,
    stream_is_full,
)
from egress.hls.sessions import Sessions
from egress.output import OutputContext

T = TypeVar("T")
MAX_ASKING: Final = 1_000  # who wait for a hook, or for their refusal


@dataclass(frozen=True, slots=True)
class LetIn:
    """What a viewer may watch."""

    stream_id: StreamId
    renditions: tuple[str, ...]
    wait_s: float  # for the stream
    place: object  # who it is, for `claims` and hooks


class Denied(Exception):
    """Refused, and why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.refusal = refusal


class Entrance:
    """Decides about all who ask."""

    def __init__(self, protocol: str, context: OutputContext, sessions: Sessions) -> None:
        self._protocol = protocol
        self._context = context
        self._sessions = sessions
        self._settings = Settings()
        self._wrong_keys = WrongKeys()
        self._asking = 0
        self.refused = 0

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings
        self._wrong_keys.configure(Networks(settings.ingest.exempt_networks))

    async def let_in(self, wish: Wish, names: Sequence[str], host: str) -> LetIn:
        """Grant what of these renditions a viewer may watch, none named: what there will be.

        Raises Denied.
        """
        try:
            return await self._let_in(wish, names, host)
        except Denied as error:
            if error.refusal.is_wrong_key:
                delay_s = self._wrong_keys.delay(host, self._context.clock())
                await self._patiently(asyncio.sleep(delay_s))
            self._on_refused(wish, host, error.refusal)
            raise

    def refuses(self, wish: Wish, name: str, host: str) -> Refusal | None:
        """Why a viewer who is let in may not watch this rendition too; None: he may."""
        viewer, stream = Viewer(host, time.time()), self._context.streams.get(wish.stream_id)
        found = judge(self._settings, replace(wish, rendition=name), viewer, stream)
        return found if isinstance(found, Refusal) else None

    def _beyond_limits(self, stream: StreamId, host: str) -> Refusal | None:
        """Why a stream has no place for one more from this address; None: it has."""
        banned = self._context.bans.refusal(host, stream)
        if banned is not None:
            return banned
        most = self._settings.web.max_viewers
        if len(self._sessions) >= most:
            words = f"{most} watch already, as many as may (web.max_viewers); try again later"
            return Refusal(RefusalReason.FULL, words)
        if self._context.by_address.is_reached(host):
            limit = self._settings.egress.max_players_per_address
            words = f"{limit} players are here from this address, as many as one may"
            return Refusal(RefusalReason.DENIED, words, cause=Cause.LIMIT)
        of_stream = most_players(self._settings, stream, self._context.streams.get(stream))
        if 0 < of_stream <= self._sessions.count(stream):
            return stream_is_full(of_stream)
        app = split_stream_id(stream)[0]
        template = self._settings.template(app)
        if template is not None and template.limits.players:
            players = sum(split_stream_id(one.stream_id)[0] == app for one in self._sessions)
            if players >= template.limits.players:
                words = f"{too_many_players(template.limits)}; try again later"
                return Refusal(RefusalReason.FULL, words)
        return None

    async def _let_in(self, wish: Wish, names: Sequence[str], host: str) -> LetIn:
        wanted, granted = self._judge(wish, names, host)
        place = object()
        full = self._beyond_limits(wanted.stream_id, host)
        if full is not None:
            raise Denied(full)
        claims, now_unix = self._context.claims, time.time()
        if not claims.claim(place, wanted.use, wanted.until_unix, now_unix):
            raise Denied(used_before())
        try:
            if wanted.needs_hook:
                wanted = await self._by_hook(place, wanted, wish, host)
                full = self._beyond_limits(wanted.stream_id, host)
                if full is not None:
                    raise Denied(full)
        except BaseException:
            claims.release(place)
            self._context.hooks.forget(place)
            raise
        claims.keep(place)
        return LetIn(wanted.stream_id, granted, wanted.wait_ms / 1000, place)

    def _judge(
        self, wish: Wish, names: Sequence[str], host: str
    ) -> tuple[PlayWanted, tuple[str, ...]]:
        """What a viewer is granted, and of which renditions. Raises Denied."""
        stream = self._context.streams.get(wish.stream_id)
        if not names:
            template = self._settings.template(wish.app)
            names = stream.transcoded if stream is not None else ()
            names = names or (tuple(r.name for r in template.renditions) if template else ())
            names = names or ("",)
        viewer, refusal = Viewer(host, time.time()), None
        wanted: PlayWanted | None = None
        granted = []
        for name in names:
            found = judge(self._settings, replace(wish, rendition=name), viewer, stream)
            if isinstance(found, Refusal):
                refusal = refusal or found
            else:
                wanted = wanted or found
                granted.append(found.rendition)
        if wanted is None:
            assert refusal is not None
            raise Denied(refusal)
        return wanted, tuple(granted)

    async def _by_hook(
        self, place: object, wanted: PlayWanted, wish: Wish, host: str
    ) -> PlayWanted:
        """Ask the app's hook. Raises Denied."""
        subject = hook_subject(self._settings, wish, host, self._protocol)
        answer: asyncio.Future[HookVerdict] = asyncio.get_running_loop().create_future()

        def on_verdict(verdict: HookVerdict) -> None:
            if not answer.done():
                answer.set_result(verdict)

        hooks = self._context.hooks
        hooks.ask(place, subject, on_verdict)
        timer = asyncio.get_running_loop().call_later(
            hooks.longest_s(wish.app), partial(hooks.give_up, place)
        )
        try:
            verdict = await self._patiently(answer)
        finally:
            timer.cancel()
        template = self._settings.template(wanted.app)
        refusal = refusal_by(verdict, template.hooks if template is not None else Hooks())
        if refusal is not None:
            raise Denied(refusal)
        if verdict.key:
            return replace(wanted, stream_id=stream_id(wanted.app, verdict.key))
        return wanted

    async def _patiently(self, what: Awaitable[T]) -> T:
        """Wait, among a bounded number of others. Raises Denied where these are too many."""
        if self._asking >= MAX_ASKING:
            if asyncio.iscoroutine(what):
                what.close()
            words = "too many ask just now; try again later"
            raise Denied(Refusal(RefusalReason.UNAVAILABLE, words))
        self._asking += 1
        try:
            return await what
        finally:
            self._asking -= 1

    def _on_refused(self, wish: Wish, host: str, refusal: Refusal) -> None:
        self.refused += 1
        is_known = self._settings.template(wish.app) is not None
        label = stream_label(wish.stream_id) if is_known else ""
        self._context.refusals.add(
            RefusalStatus(
                Attempted.PLAY,
                refusal.reason,
                refusal.for_log,
                host,
                time.time(),
                label,
                cause=refusal.cause.value,
            )
        )
