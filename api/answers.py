"""What each operation answers (IO: aiohttp), of the farm's status, or by asking for it.

Who may ask was judged before. What is pure of it is in `reads.py`, `changes.py`, `exposition.py`.
"""

import logging
import re
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import HttpVersion11, web

from api import changes, reads
from api.access import Access, Granted
from api.document import find_stream, published, real_name
from api.events import EventLog
from api.exposition import expose
from api.farm_link import FarmLink, Known, SupervisorAway
from api.http_messages import body_of, dump, json_response, peer_of, query_of
from api.live import LiveStreams
from api.metrics import samples
from api.openapi import describe
from api.operations import (
    DESCRIPTION,
    JSON,
    KICK_PLAYER,
    LIVE,
    METRICS,
    OPERATIONS,
    PAGE,
    PLAYERS,
    SNAPSHOT,
    ApiError,
    Operation,
    read_path,
    read_query,
)
from api.questions import Questions
from api.schemas import Json
from api.totals import Totals
from common.config.ladder import SOURCE
from common.config.settings import Settings
from common.ipc.api_messages import WatchRequest
from common.ipc.identity import StreamId, stream_id
from common.process.log import stream_label

log = logging.getLogger("tfarm.api.answers")

PAGE_FILE: Final = Path(__file__).with_name("page.html")
SPACING_S: Final = 0.25  # of the status that is asked for since somebody without a token missed

T = TypeVar("T")
Status = Known[Mapping[str, Any]]
Answerer = Callable[[Operation, web.Request, Granted], Awaitable[web.StreamResponse]]


class Answers:
    """Those of one farm; `settings` are those of now."""

    def __init__(
        self, link: FarmLink, questions: Questions, live: LiveStreams, version: str
    ) -> None:
        self.settings = Settings()
        self._link = link
        self._questions = questions
        self._live = live
        self._totals = Totals(time.time())
        self._events = EventLog(time.time())
        link.listen(self._on_status, self._totals.observe)
        self._page = _Page(PAGE_FILE.read_bytes())
        self._version = version
        self._description = dump(describe(OPERATIONS, version))
        self._answerers: dict[str, Answerer] = {
            "healthz": self._healthz,
            "readyz": self._readyz,
            PAGE.name: self._show_page,
            METRICS.name: self._metrics,
            SNAPSHOT.name: self._snapshot,
            LIVE.name: self._watch,
            PLAYERS.name: self._list_players,
            KICK_PLAYER.name: self._kick_player,
            DESCRIPTION.name: self._describe,
        }

    def to(self, operation: Operation) -> Answerer:
        """What answers an operation."""
        default = self._change if operation.access is Access.CHANGE else self._read
        return self._answerers.get(operation.name, default)

    def _on_status(self, document: Mapping[str, Any]) -> None:
        self._events.observe(published(document, shows_keys=False))

    async def _healthz(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        read_query(operation, query_of(request))
        supervised = self._link.is_supervised
        return json_response(reads.health(is_supervised=supervised, version=self._version))

    async def _readyz(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        read_query(operation, query_of(request))
        try:
            status = await self._link.status()
        except SupervisorAway:
            found = reads.readiness(None, is_current=False)
        else:
            found = reads.readiness(status.document, is_current=status.is_current)
        return json_response(found, 200 if found["is_ready"] else 503)

    async def _describe(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        read_query(operation, query_of(request))
        return web.Response(body=self._description, content_type=JSON)

    async def _show_page(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        headers = {"Content-Security-Policy": self._page.policy, "X-Frame-Options": "DENY"}
        return web.Response(
            body=self._page.body, content_type="text/html", charset="utf-8", headers=headers
        )

    async def _metrics(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        read_query(operation, query_of(request))
        known = await self._link.figures()
        found = samples(
            known.document,
            self._totals,
            is_current=known.is_current,
            has_streams=self.settings.api.has_stream_metrics,
        )
        body, content_type = expose(found, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _read(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        parameters = read_query(operation, query_of(request))
        parameters |= read_path(operation, request.match_info)

        def answer(status: Status) -> Json:
            document = published(status.document, shows_keys=granted.has_token)
            reading = reads.Reading(document, status.is_current, granted.has_token, self._events)
            return reads.answer(operation.name, reading, parameters)

        return json_response(await self._by_status(granted, answer))

    async def _change(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        """Have the supervisor do it; who asked stands in the log.

        What a label names is looked up in a status of now: a stream may have begun this second.
        """
        path = read_path(operation, request.match_info) | read_query(operation, query_of(request))
        body = changes.read_body(operation, await body_of(operation, request))
        status = await self._link.status_of_now(spacing_s=0.0)
        change = changes.change_of(operation.name, path, body, status.document)
        answer = await self._link.command(change.command, change.arguments)
        self._log_change(operation, request, is_done=answer.ok)
        self._link.expire()  # whoever reads next sees it
        return json_response(changes.answer_to(change, answer))

    async def _by_status(self, granted: Granted, read: Callable[[Status], T]) -> T:
        """What is read of the status; what is not there is looked for again in a status of now.

        Raises ApiError.
        """
        try:
            return read(await self._link.status())
        except ApiError as error:
            if error.status != 404:
                raise
        spacing_s = 0.0 if granted.has_token else SPACING_S
        return read(await self._link.status_of_now(spacing_s=spacing_s))

    async def _watch(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        query = read_query(operation, query_of(request))
        path = read_path(operation, request.match_info)
        rendition = query.get("rendition", SOURCE)

        def find(status: Status) -> StreamId:
            found, stream = _shown(status, path["app"], path["key"], granted)
            names = [each["name"] for each in found["renditions"]]
            if rendition not in names:
                words = f"this stream has no rendition {rendition}; it has {', '.join(names)}"
                raise ApiError(404, "no-such-rendition", words)
            return stream

        stream = await self._by_status(granted, find)
        wanted = WatchRequest(
            stream,
            rendition,
            peer_of(request),
            has_sound=query.get("sound") != "no",
            is_chunked=request.version >= HttpVersion11,
        )
        return await self._live.hand_over(request, wanted)

    async def _snapshot(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        read_query(operation, query_of(request))
        path = read_path(operation, request.match_info)
        _, stream = await self._by_status(
            granted, lambda status: _shown(status, path["app"], path["key"], granted)
        )
        picture = await self._questions.picture(stream)
        age_s = max(0, round(time.monotonic() - picture.at_s))
        return web.Response(
            body=picture.jpeg, content_type="image/jpeg", headers={"Age": str(age_s)}
        )

    async def _list_players(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        query = read_query(operation, query_of(request))

        def find(status: Status) -> tuple[Status, StreamId]:
            if "stream" not in query:
                return status, StreamId("")
            app, _, key = query["stream"].partition("/")
            return status, _seen(status, app, key, granted)[1]

        status, stream = await self._by_status(granted, find)
        found = await self._questions.players(stream)
        return json_response(
            {
                "as_of_unix": status.document["now_unix"],
                "is_current": status.is_current,
                "players": [reads.player(player) for player in found],
            }
        )

    async def _kick_player(
        self, operation: Operation, request: web.Request, granted: Granted
    ) -> web.StreamResponse:
        read_query(operation, query_of(request))
        path = read_path(operation, request.match_info)
        changes.read_body(operation, await body_of(operation, request))
        if not self._link.is_supervised:
            raise SupervisorAway("no supervisor answers: nothing was done; try again in a second")
        ended = await self._questions.players(StreamId(""), path["player"])
        self._log_change(operation, request, is_done=bool(ended))
        if not ended:
            raise ApiError(404, "no-such-player", "no player of this id plays just now")
        (player,) = ended
        label = stream_label(player.stream_id)
        return json_response({"message": f"the player at {player.address} of {label} is ended"})

    def _log_change(self, operation: Operation, request: web.Request, *, is_done: bool) -> None:
        """Say who had something changed."""
        log.info(
            "operator asked request=%s address=%s done=%s",
            operation.name,
            request.remote or "?",
            "yes" if is_done else "no",
        )


def _seen(status: Status, app: str, key: str, granted: Granted) -> tuple[Json, StreamId]:
    """A stream by its key or label. Raises ApiError where this reader sees none."""
    found = find_stream(published(status.document, shows_keys=granted.has_token), app, key)
    if found is None:
        raise ApiError(404, "no-such-stream", f"there is no stream {app}/{key}")
    return found, stream_id(*real_name(status.document, app, key))


def _shown(status: Status, app: str, key: str, granted: Granted) -> tuple[Json, StreamId]:
    """The same, one that this reader may see pictures of. Raises ApiError."""
    found, stream = _seen(status, app, key, granted)
    if not (granted.has_token or found.get("is_open_to_players", False)):
        words = "players need a key there: to see it needs a token"
        raise ApiError(401, "token-needed", words)
    return found, stream


class _Page:
    """The page, and the policy by which a browser runs just what is in it."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        script, style = (
            " ".join(
                f"'sha256-{b64encode(sha256(part).digest()).decode()}'"
                for part in re.findall(pattern, body, re.DOTALL)
            )
            for pattern in (rb"<script[^>]*>(.*?)</script>", rb"<style>(.*?)</style>")
        )
        self.policy = (
            f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
            "img-src 'self' blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
