"""A viewer's way in for outputs whose requests are coroutines (IO: it waits).

The rules are in `egress.access`; here they are asked in the order in which RTMP players are judged
(`egress/rtmp/play_requests.py`): bans, places, limits of the address, keys and URLs, limits of the
stream, the app's hook, and then a wait for the stream. A place under a limit is its caller's.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from common.access.authorise import used_before
from common.access.peer_address import Networks, host_of
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.refusals import Attempted, RefusalStatus
from common.access.wrong_keys import WrongKeys
from common.config.hooks import Hooks
from common.config.limits import too_many_players
from common.config.settings import Settings
from common.ipc.hook_messages import HookVerdict
from common.ipc.hook_questions import refusal_by
from common.ipc.identity import StreamId, stream_id
from common.process.log import stream_label
from egress.access import (
    PlayWanted,
    Viewer,
    Wish,
    hook_subject,
    judge,
    look_up,
    most_players,
    not_there,
    stream_is_full,
)
from egress.output import OutputContext
from egress.streams.rendition import Rendition
from egress.streams.stream import Stream, StreamState


class NotAdmitted(Exception):
    """A viewer is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a viewer is given."""

    stream: Stream
    wanted: PlayWanted
    rendition: Rendition


@dataclass(frozen=True, slots=True)
class Places:
    """What an output has of viewers."""

    here: Callable[[], int]  # all of them
    most: Callable[[Settings], int]
    key: str  # that says how many: the configuration's
    of_stream: Callable[[StreamId], int]
    of_app: Callable[[str], int]
    is_stopping: Callable[[], bool] = field(default=lambda: False)


# The rendition to begin with, of the one that is asked for and the stream as it is now.
Choose = Callable[[str, Stream], str]


class Admission:
    """That of one output."""

    def __init__(self, context: OutputContext, protocol: str, places: Places) -> None:
        self._context = context
        self._protocol = protocol
        self._places = places
        self._settings = Settings()
        self._wrong_keys = WrongKeys()

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings
        self._wrong_keys.configure(Networks(settings.ingest.exempt_networks))

    async def admit(
        self,
        viewer: Hashable,
        wish: Wish,
        address: str,
        choose: Choose = lambda name, stream: name,
    ) -> Admitted:
        """Let a viewer in as soon as what it asks for is there. Raises NotAdmitted.

        `viewer` has the claims and the hook's session; `release` gives them back.
        """
        try:
            return await self._admit(viewer, wish, address, choose)
        except NotAdmitted as error:
            self._on_refused(error.refusal, wish, address)
            self.release(viewer)
            raise
        except BaseException:  # its request is gone
            self.release(viewer)
            raise

    def release(self, viewer: Hashable) -> None:
        """The viewer does not watch after all, or no more."""
        self._context.hooks.forget(viewer)
        self._context.claims.release(viewer)

    # ---- inside -------------------------------------------------------------------------------

    async def _admit(self, viewer: Hashable, wish: Wish, address: str, choose: Choose) -> Admitted:
        host = host_of(address)
        self._check_places(host, wish.stream_id)
        wanted = await self._judged(wish, host)
        self._check_limits(wanted)
        now_unix = time.time()
        if not self._context.claims.claim(viewer, wanted.use, wanted.until_unix, now_unix):
            raise NotAdmitted(used_before())
        if wanted.needs_hook:
            wanted = await self._asked(viewer, wish, wanted, address)
            self._check_places(host, wanted.stream_id)
            self._check_limits(wanted)
        found = await self._awaited(viewer, wanted, choose)
        if found.stream.overrides.play_keys != wanted.play_keys:
            await self._judged(wish, host)  # its stream has come, with keys of its own
        self._check_limits(found.wanted)
        self._context.claims.keep(viewer)
        return found

    def _check_places(self, host: str, stream: StreamId) -> None:
        if self._places.is_stopping():
            raise NotAdmitted(Refusal(RefusalReason.UNAVAILABLE, "the server is stopping"))
        banned = self._context.bans.refusal(host, stream)
        if banned is not None:
            raise NotAdmitted(banned)
        most = self._places.most(self._settings)
        if self._places.here() >= most:
            words = f"the server has the {most} viewers that it takes ({self._places.key}); "
            raise NotAdmitted(Refusal(RefusalReason.FULL, words + "try again later"))
        by_address = self._context.by_address
        if by_address.is_reached(host):
            words = f"{by_address.limit} players are here from this address, as many as one may"
            raise NotAdmitted(Refusal(RefusalReason.DENIED, words, cause=Cause.LIMIT))

    async def _judged(self, wish: Wish, host: str) -> PlayWanted:
        stream = self._context.streams.get(wish.stream_id)
        found = judge(self._settings, wish, Viewer(host, time.time()), stream)
        if isinstance(found, PlayWanted):
            return found
        if found.is_wrong_key:
            await asyncio.sleep(self._wrong_keys.delay(host, self._context.clock()))
        raise NotAdmitted(found)

    def _check_limits(self, wanted: PlayWanted) -> None:
        stream = self._context.streams.get(wanted.stream_id)
        most = most_players(self._settings, wanted.stream_id, stream)
        if 0 < most <= self._places.of_stream(wanted.stream_id):
            raise NotAdmitted(stream_is_full(most))
        template = self._settings.template(wanted.app)
        if template is not None and 0 < template.limits.players <= self._places.of_app(wanted.app):
            words = f"{too_many_players(template.limits)}; try again later"
            raise NotAdmitted(Refusal(RefusalReason.FULL, words))

    async def _asked(
        self, viewer: Hashable, wish: Wish, wanted: PlayWanted, address: str
    ) -> PlayWanted:
        """Ask the app's hook."""
        hooks = self._context.hooks
        answer: asyncio.Future[HookVerdict] = asyncio.get_running_loop().create_future()

        def on_verdict(verdict: HookVerdict) -> None:
            if not answer.done():
                answer.set_result(verdict)

        hooks.ask(viewer, hook_subject(self._settings, wish, address, self._protocol), on_verdict)
        try:
            async with asyncio.timeout(hooks.longest_s(wish.app)):
                verdict = await asyncio.shield(answer)
        except TimeoutError:
            hooks.give_up(viewer)
            verdict = await answer
        template = self._settings.template(wanted.app)
        refusal = refusal_by(verdict, template.hooks if template is not None else Hooks())
        if refusal is not None:
            raise NotAdmitted(refusal)
        if verdict.key:
            return replace(wanted, stream_id=stream_id(wanted.app, verdict.key))
        return wanted

    async def _awaited(self, viewer: Hashable, wanted: PlayWanted, choose: Choose) -> Admitted:
        """Wait for the rendition's start."""
        context = self._context
        changed = asyncio.Event()

        def look() -> Admitted | None:
            stream = context.streams.get(wanted.stream_id)
            if stream is None or stream.state in (StreamState.ENDING, StreamState.ENDED):
                return None
            chosen = replace(wanted, rendition=choose(wanted.rendition, stream))
            found = look_up(stream, chosen)
            if isinstance(found, Refusal):
                raise NotAdmitted(found)
            if not found:
                # it is this one that has to come, be it another than was thought
                context.waiting.add(wanted.stream_id, chosen.rendition, viewer, changed.set)
                return None
            return Admitted(stream, chosen, stream.renditions[chosen.rendition])

        context.waiting.add(wanted.stream_id, wanted.rendition, viewer, changed.set)
        try:
            context.report_demand(wanted.stream_id)
            async with asyncio.timeout(wanted.wait_ms / 1000):
                while (admitted := look()) is None:
                    context.report_demand(wanted.stream_id)
                    changed.clear()
                    await changed.wait()
                return admitted
        except TimeoutError:
            stream = context.streams.get(wanted.stream_id)
            raise NotAdmitted(not_there(stream, wanted)) from None
        finally:
            context.waiting.remove(wanted.stream_id, viewer)

    def _on_refused(self, refusal: Refusal, wish: Wish, address: str) -> None:
        self._context.refusals.add(
            RefusalStatus(
                Attempted.PLAY,
                refusal.reason,
                refusal.for_log,
                address,
                time.time(),
                stream_label(wish.stream_id),
                cause=refusal.cause.value,
            )
        )
