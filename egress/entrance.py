"""Who asks to watch, by whatever: judged, asked of the hook, let in as soon as it is there.

The rules are in `egress.access`. One that cannot be let in yet waits for its stream, or for its
rendition's start. (IO: the log.)
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Protocol

from common.access.authorise import used_before
from common.access.peer_address import Networks, host_of, subscriber
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.refusals import Attempted, RefusalStatus
from common.access.wrong_keys import WrongKeys
from common.config.hooks import Hooks
from common.config.limits import too_many_players
from common.config.settings import Settings
from common.ipc.hook_messages import HookVerdict
from common.ipc.hook_questions import refusal_by
from common.ipc.identity import StreamId, stream_id
from common.process.log import PeerLines, more, stream_label
from egress.access import (
    PlayWanted,
    Viewer,
    Wish,
    hook_subject,
    judge,
    label_of,
    look_up,
    most_players,
    not_taken,
    not_there,
    stream_is_full,
)
from egress.output import OutputContext
from egress.streams.rendition import Rendition
from egress.streams.stream import StreamState
from egress.streams.subscribers import Start

log = logging.getLogger("tfarm.egress.entrance")

MostViewers = Callable[[Settings], int]


class Asker(Protocol):
    """One who asks to watch, and may watch then: a connection, or a session of several.

    Its owner tells the entrance when it comes (`arrived`) and when it is gone (`left`).
    """

    wish: Wish | Refusal | None  # what it asked for last
    wanted: PlayWanted | None  # kept for the entrance while it watches or asks

    def __hash__(self) -> int: ...

    @property
    def host(self) -> str:
        """Its address, for limits and bans."""

    @property
    def address(self) -> str:
        """HOST:PORT, for people."""

    @property
    def protocol(self) -> str:
        """What it watches by, for hooks and the log."""

    @property
    def is_asking(self) -> bool:
        """Whether it has been left to `wait`, and nothing else came since."""

    @property
    def taken_bytes(self) -> int:
        """What it has been sent and has taken so far."""

    def takes_video(self, codec: str, /) -> bool:
        """Whether it can be sent video of a codec, as far as it says."""

    def wait(self, seconds: float, on_timeout: Callable[["Asker"], None], /) -> None:
        """Leave it without an answer for now, and call back in so many seconds if it still is."""

    def accept(self, rendition: Rendition, start: Start, /) -> None:
        """Let it watch."""

    def refuse(self, refusal: Refusal, /) -> None:
        """Tell it why not."""

    def finish(self, reason: str, /) -> None:
        """Tell it that it is over."""


class Entrance:
    """That of one process."""

    def __init__(
        self, context: OutputContext, unix_time: Callable[[], float], most: MostViewers
    ) -> None:
        """`most` says how many may be here at once by the settings."""
        self.is_stopping = False
        self.counters = {"played": 0, "refused": 0}
        self._unix_time = unix_time
        self._most = most
        self._context = context
        self._streams = context.streams
        self._waiting = context.waiting
        self._by_address = context.by_address
        self._hooks = context.hooks
        self._claims = context.claims
        self._askers: set[Asker] = set()
        self._settings = Settings()
        self._lines = PeerLines()
        self._wrong_keys = WrongKeys()
        self._bans_seen = 0  # the version of the list

    def __len__(self) -> int:
        """How many are here, whether they watch or not."""
        return len(self._askers)

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on; who watches goes on."""
        self._settings = settings
        self._wrong_keys.configure(Networks(settings.ingest.exempt_networks))

    def check(self) -> None:
        """End those that are banned by now; once a second."""
        bans = self._context.bans
        if self._bans_seen != bans.version:
            self._bans_seen = bans.version
            for asker in tuple(self._askers):
                banned = self.banned(asker, asker.wanted)
                if banned is not None:
                    asker.finish(banned.words)

    def arrived(self, asker: Asker) -> None:
        """One has come, and is counted from now on."""
        self._askers.add(asker)
        self._by_address.here.add(asker.host)

    def left(self, asker: Asker) -> None:
        """One is gone; `ended` came before."""
        self._askers.discard(asker)
        self._by_address.here.remove(asker.host)

    def look(self, wish: Wish, host: str) -> PlayWanted | Refusal:
        """Say what would be granted by keys and rules; nobody is counted, nobody waits."""
        viewer = Viewer(host, self._unix_time())
        return judge(self._settings, wish, viewer, self._streams.get(wish.stream_id))

    def ask(self, asker: Asker, wish: Wish | Refusal) -> None:
        """One asks to watch. A refusal: why what it asks for is nothing that can be."""
        asker.wish = wish
        self._hooks.forget(asker)  # it may have asked for another
        wanted = wish if isinstance(wish, Refusal) else self.look(wish, asker.host)
        if refusal := self._kept_out(asker, wanted):
            self._refuse(asker, refusal)
        elif isinstance(wanted, Refusal) or isinstance(wish, Refusal):
            assert isinstance(wanted, Refusal)
            self._refuse_in_time(asker, wanted)
        elif full := self._beyond_limits(asker, wanted):
            self._refuse(asker, full)
        elif not self._claims.claim(asker, wanted.use, wanted.until_unix, self._unix_time()):
            self._refuse(asker, used_before())
        elif wanted.needs_hook:
            on_verdict = partial(self._on_verdict, asker, wanted)
            subject = hook_subject(self._settings, wish, asker.address, asker.protocol)
            # Nothing is its own while it waits: no stream, no place under a limit.
            asker.wait(self._hooks.longest_s(wish.app), self._hooks.give_up)
            self._hooks.ask(asker, subject, on_verdict)
        else:
            self._start(asker, wanted)

    def ended(self, asker: Asker, reason: str) -> None:
        """One watches or asks for nothing any more."""
        self._hooks.forget(asker)
        self._claims.release(asker)
        if self._hooks.is_playing(asker):
            self._hooks.end(asker, asker.taken_bytes, reason)
        wanted, asker.wanted = asker.wanted, None
        if wanted is not None:
            self._waiting.remove(wanted.stream_id, asker)

    def banned(self, asker: Asker, wanted: object) -> Refusal | None:
        """Why the operator keeps it out, or the stream that it watches."""
        stream = wanted.stream_id if isinstance(wanted, PlayWanted) else ""
        return self._context.bans.refusal(asker.host, stream)

    def may_log(self, asker: Asker) -> int | None:
        """Whether its address may have a line, as `PeerLines.allow` says it."""
        return self._lines.allow(subscriber(host_of(asker.address)), self._context.clock())

    def label(self, asker: Asker) -> str:
        """What the log calls the stream that it asked for last; "" where it named none."""
        wish = asker.wish
        return label_of(self._settings, wish) if isinstance(wish, Wish) else ""

    # ---- the rules ----------------------------------------------------------------------------

    def _kept_out(self, asker: Asker, wanted: PlayWanted | Refusal) -> Refusal | None:
        """Why nobody, or nobody from there, is let in just now."""
        if self.is_stopping:
            return Refusal(RefusalReason.UNAVAILABLE, "the server is stopping")
        if banned := self.banned(asker, wanted):
            return banned
        if len(self._askers) > (most := self._most(self._settings)):
            text = f"the server has all the {most} players that it takes"
            return Refusal(RefusalReason.FULL, f"{text}; try again later")
        if self._by_address.is_exceeded(asker.host):
            limit = self._settings.egress.max_players_per_address
            text = f"{limit} players are here from this address, as many as one may"
            return Refusal(RefusalReason.DENIED, text, cause=Cause.LIMIT)
        return None

    def _others(self, asker: Asker) -> Iterator[PlayWanted]:
        """What others watch, or were let in for."""
        for other in self._askers:
            if other is not asker and other.wanted is not None:
                yield other.wanted

    def _beyond_limits(self, asker: Asker, wanted: PlayWanted) -> Refusal | None:
        """Why its stream or its app takes no further viewer here; None: they do."""
        most = most_players(self._settings, wanted.stream_id, self._streams.get(wanted.stream_id))
        template = self._settings.template(wanted.app)
        if template is None or not (most or template.limits.players):
            return None
        others = list(self._others(asker))
        if most and sum(one.stream_id == wanted.stream_id for one in others) >= most:
            return stream_is_full(most)
        players = sum(one.app == wanted.app for one in others)
        if not 0 < template.limits.players <= players:
            return None
        return Refusal(RefusalReason.FULL, f"{too_many_players(template.limits)}; try again later")

    def _on_verdict(self, asker: Asker, wanted: PlayWanted, verdict: HookVerdict) -> None:
        """Start what a hook lets in, or refuse it."""
        template = self._settings.template(wanted.app)
        refusal = refusal_by(verdict, template.hooks if template is not None else Hooks())
        if refusal is None and verdict.key:
            wanted = replace(wanted, stream_id=stream_id(wanted.app, verdict.key))
        refusal = refusal or self.banned(asker, wanted)
        refusal = refusal or self._beyond_limits(asker, wanted)
        if refusal is not None:
            self._refuse(asker, refusal)
        else:
            self._start(asker, wanted)

    # ---- letting in ---------------------------------------------------------------------------

    def _start(self, asker: Asker, wanted: PlayWanted) -> None:
        """Give one what it may have, as soon as that is there."""
        asker.wanted = wanted
        stream = self._streams.get(wanted.stream_id)
        if stream is None or stream.state is not StreamState.LIVE:
            # it may be one that goes to another egress
            self._request_stream(wanted)
        if not self._try_attach(asker, wanted):
            look_again = partial(self._try_attach, asker, wanted)
            self._waiting.add(wanted.stream_id, wanted.rendition, asker, look_again)
            self._context.report_demand(wanted.stream_id)
            asker.wait(wanted.wait_ms / 1000, self._on_waited)

    def _request_stream(self, wanted: PlayWanted) -> None:
        """Have a stream's tags sent here too, if it is there; not for every viewer."""
        may_be_elsewhere = self._settings.egress.processes > 1 or self._settings.cluster.has_relay
        if may_be_elsewhere and wanted.stream_id not in self._waiting:
            self._context.request_stream(wanted.stream_id, wanted.rendition)

    def _try_attach(self, asker: Asker, wanted: PlayWanted) -> bool:
        """Let one in or refuse it, if that can be decided now."""
        stream = self._streams.get(wanted.stream_id)
        found = look_up(stream, wanted)
        if isinstance(found, Refusal):
            self._refuse(asker, found)
            return True
        if stream is None or not found:
            return False
        self._waiting.remove(wanted.stream_id, asker)
        codec = stream.renditions[wanted.rendition].gop_buffer.config.video_codec
        if not asker.takes_video(codec):
            self._refuse(asker, not_taken(codec, stream))
            return True
        if stream.overrides.play_keys != wanted.play_keys and not self._is_let_in(asker):
            return True
        # A hook may have said it after this one had begun to wait.
        most = most_players(self._settings, wanted.stream_id, stream)
        if 0 < most <= self._watching(asker, wanted.stream_id):
            self._refuse(asker, stream_is_full(most))
            return True
        self.counters["played"] += 1
        self._claims.keep(asker)
        self._hooks.begin(
            asker, wanted.stream_id, wanted.rendition, asker.address, asker.taken_bytes
        )
        if (held := self.may_log(asker)) is not None:
            log.info(
                "player open address=%s stream=%s rendition=%s protocol=%s start=%s%s",
                asker.address,
                stream_label(wanted.stream_id),
                wanted.rendition,
                asker.protocol,
                wanted.start.value,
                more(held),
            )
        asker.accept(stream.renditions[wanted.rendition], wanted.start)
        return True

    def _watching(self, asker: Asker, wanted: StreamId) -> int:
        """How many others watch any rendition of a stream."""
        return sum(
            other.wanted is not None and other.wanted.stream_id == wanted and not other.is_asking
            for other in self._askers
            if other is not asker
        )

    def _is_let_in(self, asker: Asker) -> bool:
        """Judge it again: its stream has come, with keys of its own; who has none is refused."""
        wish = asker.wish
        if not isinstance(wish, Wish):
            return True
        found = self.look(wish, asker.host)
        if isinstance(found, Refusal):
            self._refuse(asker, found)
        return not isinstance(found, Refusal)

    def _on_waited(self, asker: Asker) -> None:
        wanted = asker.wanted
        if asker.is_asking and wanted is not None:
            self._refuse(asker, not_there(self._streams.get(wanted.stream_id), wanted))

    # ---- refusals -----------------------------------------------------------------------------

    def _refuse_in_time(self, asker: Asker, refusal: Refusal) -> None:
        """Refuse at once, or later one that may be guessing keys."""
        delay_s = 0.0
        if refusal.is_wrong_key:
            delay_s = self._wrong_keys.delay(asker.host, self._context.clock())
        if delay_s:
            asker.wait(delay_s, lambda waited: self._refuse(waited, refusal))
        else:
            self._refuse(asker, refusal)

    def _refuse(self, asker: Asker, refusal: Refusal) -> None:
        self.counters["refused"] += 1
        self._claims.release(asker)
        self._context.refusals.add(
            RefusalStatus(
                Attempted.PLAY,
                refusal.reason,
                refusal.for_log,
                asker.address,
                self._unix_time(),
                self.label(asker),
                cause=refusal.cause.value,
            )
        )
        asker.refuse(refusal)
