"""What RTMP players ask for: judged, asked of the app's hook, granted as soon as it is there (IO).

The rules are in `egress.access`. One that cannot be granted yet waits for its stream, or for its
rendition's start.
"""

import logging
import time
from collections.abc import Collection, MutableMapping
from dataclasses import replace
from functools import partial

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
from common.process.socket_end import taken_bytes
from common.rtmp.events import PlayRequested
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
from egress.rtmp.connection import Connection, ConnectionState
from egress.rtmp.fanout import Channels
from egress.rtmp.play_address import label_of, wish_of
from egress.streams.stream import StreamState

log = logging.getLogger("tfarm.egress.rtmp.play_requests")


class PlayRequests:
    """Those of all connections."""

    def __init__(
        self,
        context: OutputContext,
        connections: Collection[Connection],
        channels: Channels,
        counters: MutableMapping[str, int],
    ) -> None:
        """`connections` are all that are open, `counters` those of the output."""
        self.is_stopping = False
        self.now = context.clock
        self.counters = counters
        self.channels = channels
        self._context = context
        self._streams = context.streams
        self._waiting = context.waiting
        self._by_address = context.by_address
        self._hooks = context.hooks
        self._claims = context.claims
        self._connections = connections
        self._settings = Settings()
        self._lines = PeerLines()
        self._wrong_keys = WrongKeys()

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on."""
        self._settings = settings
        self._wrong_keys.configure(Networks(settings.ingest.exempt_networks))

    def on_play(self, connection: Connection, request: PlayRequested) -> None:
        """A player asks for a stream."""
        connection.asked = request
        self._hooks.forget(connection)  # it may have asked for another
        limits, now_unix = self._settings.egress, time.time()
        wish = wish_of(request.app, request.tc_url, request.name)
        wanted = wish if isinstance(wish, Refusal) else self._judge(connection, wish)
        if self.is_stopping:
            self._refuse(connection, Refusal(RefusalReason.UNAVAILABLE, "the server is stopping"))
        elif banned := self.banned(connection, wanted):
            self._refuse(connection, banned)
        elif len(self._connections) > limits.max_players:
            text = f"the server has all the {limits.max_players} players that it takes"
            self._refuse(connection, Refusal(RefusalReason.FULL, f"{text}; try again later"))
        elif self._by_address.is_exceeded(connection.host):
            limit = limits.max_players_per_address
            text = f"{limit} players are here from this address, as many as one may"
            self._refuse(connection, Refusal(RefusalReason.DENIED, text, cause=Cause.LIMIT))
        elif isinstance(wanted, Refusal) or isinstance(wish, Refusal):
            assert isinstance(wanted, Refusal)
            self._refuse_in_time(connection, wanted)
        elif full := self._beyond_limits(connection, wanted):
            self._refuse(connection, full)
        elif not self._claims.claim(connection, wanted.use, wanted.until_unix, now_unix):
            self._refuse(connection, used_before())
        elif wanted.needs_hook:
            on_verdict = partial(self._on_verdict, connection, wanted)
            subject = hook_subject(self._settings, wish, connection.address, "rtmp")
            # Nothing is its own while it waits: no stream, no place under a limit.
            connection.wait(self._hooks.longest_s(wish.app), self._hooks.give_up)
            self._hooks.ask(connection, subject, on_verdict)
        else:
            self._start(connection, wanted)

    def _judge(self, connection: Connection, wish: Wish) -> PlayWanted | Refusal:
        viewer = Viewer(connection.host, time.time())
        return judge(self._settings, wish, viewer, self._streams.get(wish.stream_id))

    def _on_verdict(self, connection: Connection, wanted: PlayWanted, verdict: HookVerdict) -> None:
        """Start what a hook lets in, or refuse it."""
        template = self._settings.template(wanted.app)
        refusal = refusal_by(verdict, template.hooks if template is not None else Hooks())
        if refusal is None and verdict.key:
            wanted = replace(wanted, stream_id=stream_id(wanted.app, verdict.key))
        refusal = refusal or self.banned(connection, wanted)
        refusal = refusal or self._beyond_limits(connection, wanted)
        if refusal is not None:
            self._refuse(connection, refusal)
        else:
            self._start(connection, wanted)

    def _start(self, connection: Connection, wanted: PlayWanted) -> None:
        """Give a player what it may have, as soon as that is there."""
        connection.wanted = wanted
        stream = self._streams.get(wanted.stream_id)
        if stream is None or stream.state is not StreamState.LIVE:
            # it may be one that goes to another egress
            self._request_stream(wanted.stream_id)
        if not self._try_attach(connection, wanted):
            self._waiting.add(
                wanted.stream_id,
                wanted.rendition,
                connection,
                partial(self._try_attach, connection, wanted),
            )
            self._context.report_demand(wanted.stream_id)
            connection.wait(wanted.wait_ms / 1000, self._on_waited)

    def _beyond_limits(self, connection: Connection, wanted: PlayWanted) -> Refusal | None:
        """Why its stream or its app takes no further player here; None: they do."""
        most = most_players(self._settings, wanted.stream_id, self._streams.get(wanted.stream_id))
        template = self._settings.template(wanted.app)
        if template is None or not (most or template.limits.players):
            return None
        others = [
            other.wanted
            for other in self._connections
            if other is not connection and isinstance(other.wanted, PlayWanted)
        ]
        if most and sum(one.stream_id == wanted.stream_id for one in others) >= most:
            return stream_is_full(most)
        players = sum(one.app == wanted.app for one in others)
        if not 0 < template.limits.players <= players:
            return None
        return Refusal(RefusalReason.FULL, f"{too_many_players(template.limits)}; try again later")

    def banned(self, connection: Connection, wanted: object) -> Refusal | None:
        """Why the operator keeps it out, or the stream that it plays."""
        stream = wanted.stream_id if isinstance(wanted, PlayWanted) else ""
        return self._context.bans.refusal(connection.host, stream)

    def on_play_ended(self, connection: Connection, reason: str) -> None:
        self._hooks.forget(connection)
        self._claims.release(connection)
        if self._hooks.is_playing(connection):
            self._hooks.end(connection, taken_bytes(connection.peer), reason)
        wanted, connection.wanted = connection.wanted, None
        if isinstance(wanted, PlayWanted):
            self._waiting.remove(wanted.stream_id, connection)

    def _request_stream(self, stream_id: StreamId) -> None:
        """Have a stream's tags sent here too, if it is there; not for every player."""
        if self._settings.egress.processes > 1 and stream_id not in self._waiting:
            self._context.request_stream(stream_id)

    def _try_attach(self, connection: Connection, wanted: PlayWanted) -> bool:
        """Grant or refuse a request, if that can be decided now."""
        stream = self._streams.get(wanted.stream_id)
        found = look_up(stream, wanted)
        if isinstance(found, Refusal):
            self._refuse(connection, found)
            return True
        if stream is None or not found:
            return False
        self._waiting.remove(wanted.stream_id, connection)
        if stream.overrides.play_keys != wanted.play_keys and not self._is_let_in(connection):
            return True
        # A hook may have said it after this one had begun to wait.
        most = most_players(self._settings, wanted.stream_id, stream)
        if 0 < most <= self.channels.players(wanted.stream_id):
            self._refuse(connection, stream_is_full(most))
            return True
        self.counters["played"] += 1
        self._claims.keep(connection)
        self._hooks.begin(
            connection,
            wanted.stream_id,
            wanted.rendition,
            connection.address,
            taken_bytes(connection.peer),
        )
        if (held := self.may_log(connection)) is not None:
            log.info(
                "player open address=%s stream=%s rendition=%s start=%s%s",
                connection.address,
                stream_label(wanted.stream_id),
                wanted.rendition,
                wanted.start.value,
                more(held),
            )
        channel = self.channels.get(stream.renditions[wanted.rendition])
        connection.accept(channel, wanted.start)
        return True

    def _is_let_in(self, connection: Connection) -> bool:
        """Judge it again: its stream has come, with keys of its own; who has none is refused."""
        asked = connection.asked
        wish = wish_of(asked.app, asked.tc_url, asked.name) if asked is not None else None
        if not isinstance(wish, Wish):
            return True
        found = self._judge(connection, wish)
        if isinstance(found, Refusal):
            self._refuse(connection, found)
        return not isinstance(found, Refusal)

    def _refuse_in_time(self, connection: Connection, refusal: Refusal) -> None:
        """Refuse at once, or later one that may be guessing keys."""
        delay_s = 0.0
        if refusal.is_wrong_key:
            delay_s = self._wrong_keys.delay(connection.host, self.now())
        if delay_s:
            connection.wait(delay_s, lambda waited: self._refuse(waited, refusal))
        else:
            self._refuse(connection, refusal)

    def _refuse(self, connection: Connection, refusal: Refusal) -> None:
        self.counters["refused"] += 1
        self._claims.release(connection)
        self._context.refusals.add(
            RefusalStatus(
                Attempted.PLAY,
                refusal.reason,
                refusal.for_log,
                connection.address,
                time.time(),
                self.label(connection),
                cause=refusal.cause.value,
            )
        )
        connection.refuse(refusal)

    def may_log(self, connection: Connection) -> int | None:
        """Whether its address may have a line, as `PeerLines.allow` says it."""
        return self._lines.allow(subscriber(host_of(connection.address)), self.now())

    def label(self, connection: Connection) -> str:
        """What the log calls the stream that it asked for last."""
        asked = connection.asked
        if asked is None:
            return ""
        return label_of(self._settings, asked.app, asked.tc_url, asked.name)

    def _on_waited(self, connection: Connection) -> None:
        wanted = connection.wanted
        if connection.state is ConnectionState.ASKING and isinstance(wanted, PlayWanted):
            self._refuse(connection, not_there(self._streams.get(wanted.stream_id), wanted))
