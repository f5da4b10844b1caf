"""HLS by HTTP (IO: aiohttp).

    GET /APP/KEY/index.m3u8[?rendition=NAME]    the renditions, or this one, and the sound
    GET /APP/KEY/TRACK/index.m3u8               a rendition's playlist, or the sound's (`sound`)
    GET /APP/KEY/TRACK/init-ID.mp4              what a decoder needs
    GET /APP/KEY/TRACK/MSN.m4s                  a segment
    GET /APP/KEY/TRACK/MSN.PART.m4s             a part of one; that which is hinted at is waited for

A viewer is judged at his first playlist. All that he is sent there carries a token and the query
that he came with: a process that does not know the token judges by that.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from math import inf
from typing import Final
from urllib.parse import quote, urlencode

from aiohttp import web

from common.access.peer_address import host_of
from common.access.refusal import Refusal
from common.config.ladder import SOURCE, Template
from common.http.statuses import AnswerKind
from common.ipc.identity import StreamId, stream_id
from common.media.units import Data, VideoCodec
from egress.access import Wish
from egress.admission import NotAdmitted, SessionAsker
from egress.entrance import Entrance
from egress.hls.answers import PLAYLIST, kind_of_init, kind_of_media, playlist_body
from egress.hls.homes import Homes
from egress.hls.live import Hls, NotThere, Track
from egress.hls.output import DASH, PROTOCOL, HlsOutput
from egress.hls.playlists import SOUND
from egress.hls.reload import Verdict, judge, judge_part, parse_wanted
from egress.hls.sessions import Session, is_token
from egress.hls.stream import find_track
from egress.hls.variants import multivariant
from egress.web.answers import Refused
from egress.web.requests import wish_of
from egress.web.routes import Handler, Route, WebContext

TOKEN: Final = "session"
BY: Final = "by"  # what a viewer watches by, where that is not HLS
_OWN: Final = (TOKEN, BY, "rendition", "start")  # of the query; players' own begin with _HLS_
READING: Final = ("GET", "HEAD")  # HEAD: the same without the body (RFC 9110, 9.3.2)
TOO_LONG: Final = "what was asked for has not come in time; ask again"


def hls_routes(context: WebContext) -> Sequence[Route]:
    requests = HlsRequests(context)
    track = "/{app}/{key}/{track}"
    return [
        Route(method, path, handler)
        for method in READING
        for path, handler in (
            ("/{app}/{key}/index.m3u8", requests.multivariant),
            (track + "/index.m3u8", requests.at_home(requests.playlist)),
            (
                track + r"/{msn:\d{1,15}}.{part:\d{1,15}}.m4s",
                requests.at_home(requests.part),
            ),
            (track + r"/{msn:\d{1,15}}.m4s", requests.at_home(requests.segment)),
            (track + "/init-{init:[0-9a-f]+}.mp4", requests.at_home(requests.init)),
        )
    ]


class HlsRequests:
    """Answers what viewers of HLS ask."""

    description_name = "index.m3u8"  # a viewer without a token is known by

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._output = context.output(HlsOutput)
        self._homes = Homes(context.context.child)
        context.follow(self._homes.follow)

    def at_home(self, handler: Handler) -> Handler:
        """Have those requests answered elsewhere whose viewers another process serves."""

        async def answer(request: web.Request) -> web.StreamResponse:
            if self._homes.are_several:
                known_by = request.query.get(TOKEN) or self._known_by(request)
                address = self._homes.elsewhere(known_by)
                passed = await self._context.pass_on(request, address) if address else None
                if passed is not None:
                    return passed
            return await handler(request)

        return answer

    def _known_by(self, request: web.Request) -> str:
        """What a viewer without a token is known by, as one word."""
        name = request.match_info.get("track", self.description_name)
        return repr((_origin(self._host(request), request), name, _asked(request)))

    async def multivariant(self, request: web.Request) -> web.Response:
        name = request.query.get("rendition", "")
        names = (name,) if name else ()
        session, hls = await self._let_in(request, names, "", None)
        alone = hls.stream.template.audio_only
        all_names = (*hls.listed, *([alone] if alone else []))
        listed = [one for one in names or all_names if one in session.renditions]
        return self._text(request, session, multivariant(hls, listed))

    async def playlist(self, request: web.Request) -> web.Response:
        query = request.query
        wanted = parse_wanted(query.get("_HLS_msn"), query.get("_HLS_part"))
        if isinstance(wanted, str):
            raise Refused(400, wanted)
        session, hls, track = await self._find(request)
        if wanted is not None:
            verdict = judge(track.window, wanted)
            if verdict is Verdict.BAD:
                raise Refused(400, "_HLS_msn or _HLS_part is too far ahead")
            if verdict is Verdict.WAIT and not await self._output.streams.wait(
                track, wanted, session
            ):
                raise Refused(503, TOO_LONG)
            if self._output.streams.find(session.stream_id) is not hls:
                # the stream has begun anew meanwhile: its playlist goes on there
                session, hls, track = await self._find(request)
        skips = query.get("_HLS_skip") in ("YES", "v2")
        return self._text(request, session, hls.media(track.name, skips=skips))

    async def part(self, request: web.Request) -> web.Response:
        session, _, track = await self._find(request)
        msn, index = int(request.match_info["msn"]), int(request.match_info["part"])
        verdict = judge_part(track.window, msn, index)
        if verdict is Verdict.WAIT:
            if not await self._output.streams.wait_for_part(track, msn, index, session):
                raise Refused(503, TOO_LONG)
            verdict = judge_part(track.window, msn, index)
        segment = track.window.segment(msn)
        if verdict is not Verdict.READY or segment is None:
            raise Refused(404, "there is no such part, or not any more")
        return self._media(request, session, track, segment.parts[index].data)

    async def segment(self, request: web.Request) -> web.StreamResponse:
        session, _, track = await self._find(request)
        segment = track.window.segment(int(request.match_info["msn"]))
        if segment is None or segment.is_gap or not segment.is_complete:
            raise Refused(404, "there is no such segment, or not any more")
        return self._media(request, session, track, segment.data)

    async def init(self, request: web.Request) -> web.Response:
        session, _, track = await self._find(request)
        data = track.window.inits.get(request.match_info["init"])
        if data is None:
            raise Refused(404, "there is no such initialisation segment, or not any more")
        return self._answer(request, session, kind_of_init(is_sound=track.name == SOUND), data)

    # ---- who asks -----------------------------------------------------------------------------

    async def _find(self, request: web.Request) -> tuple[Session, Hls, Track]:
        """The viewer who asks, and the track that is asked for."""
        name, output = request.match_info["track"], self._output
        session, token, origin = self._session(request, name)
        if session is None:
            names = (name,) if name != SOUND else ()
            session, hls = await self._let_in(request, names, token, origin)
        else:
            found = output.streams.find(session.stream_id)
            if found is None or not found.is_playable(name):
                found = await self._open(session, (name,), 1.0)
            hls = found
            hls.ask(name, output.now())
            if name != SOUND and name not in session.renditions:
                self._let_see(request, session, name)
        session.seen_s = output.now()
        if name != SOUND:
            session.rendition = name
        track = find_track(hls, name)
        if track is None:
            raise Refused(404, f"this stream has no {name}")
        return session, hls, track

    def _session(self, request: web.Request, name: str) -> tuple[Session | None, str, Hashable]:
        """The session of who asks for a track, if there is one, his token, or what he is known by.

        `name` may be whatever his player asks for again and again, without a token.
        """
        token, sessions = request.query.get(TOKEN, ""), self._output.sessions
        asked = _asked(request)
        if token:
            return sessions.find(token, asked), token, None
        origin = (*_origin(self._host(request), request), name)
        return sessions.find_by_origin(origin, asked), "", origin

    async def _let_in(
        self, request: web.Request, names: tuple[str, ...], token: str, origin: Hashable
    ) -> tuple[Session, Hls]:
        """Judge one who has no session, and wait for what he may watch."""
        output = self._output
        why = output.why_ended(token)
        if why:
            raise Refused(403, why)
        wish, asked = wish_of(request), _asked(request)
        granted = self._granted(wish, names, self._host(request))
        protocol = self._protocol(request)
        asker = SessionAsker(self._context.context.entrance(), self._client(request), protocol)
        session = None
        try:
            await asker.admit(replace(wish, rendition=self._least(wish.app, granted)))
            assert asker.wanted is not None
            granted = self._granted(wish, names, self._host(request))  # with the stream's own keys
            session = output.sessions.begin(
                asker.wanted.stream_id,
                names[0] if names else granted[0],
                asker.address,
                output.now(),
                token=token if is_token(token) else "",
                origin=origin,
                asked=asked,
            )
            output.add(session, asker)
            session.protocol = protocol
            session.query = _carried(session.token, wish, protocol)
            session.renditions = frozenset(granted)
            wait_s = asker.wanted.wait_ms / 1000
            return session, await self._open(session, names, wait_s)
        except NotAdmitted as error:
            asker.leave("it was not let in")
            raise Refused.by(error.refusal) from error
        except BaseException:
            if session is not None:
                output.leave(session, "what it asked for is not there")
            asker.leave("it has gone")
            raise

    def _protocol(self, request: web.Request) -> str:
        """By what a viewer watches; his addresses say it, for segments are the same for all."""
        return DASH if request.query.get(BY) == DASH else PROTOCOL

    def _granted(self, wish: Wish, names: Sequence[str], host: str) -> list[str]:
        """Which of these renditions a viewer may watch, none named: of all that there will be.

        Those that he may not watch are left out; all of them, and he is refused as for the first.
        """
        context = self._context.context
        stream, template = context.streams.get(wish.stream_id), self._template(wish.app)
        is_all = not names
        names = names or (stream.transcoded if stream is not None else ())
        names = names or [one.name for one in (template.renditions if template else ())] or [SOURCE]
        if is_all and template is not None and template.audio_only:
            names = [*names, template.audio_only]
        entrance = context.entrance()
        found = [name for name in names if self._may_watch(entrance, wish, name, host)]
        return found or list(names)

    def _least(self, app: str, names: Sequence[str]) -> str:
        """The one of these renditions that every stream has: what is larger than it is left out.

        It is of H.264, if any is.
        """
        template = self._template(app)
        made = {} if template is None else {one.name: one for one in template.renditions}
        plain = [name for name in names if name in made and made[name].codec is VideoCodec.H264]
        alone = template.audio_only if template else ""
        sizes = {name: one.width * one.height for name, one in made.items()} | {alone: inf}
        return min(plain or names, key=lambda name: sizes.get(name, 0))

    @staticmethod
    def _may_watch(entrance: Entrance, wish: Wish, name: str, host: str) -> bool:
        return not isinstance(entrance.look(replace(wish, rendition=name), host), Refusal)

    def _template(self, app: str) -> Template | None:
        return self._context.settings().template(app)

    def _client(self, request: web.Request) -> str:
        return self._context.client(request)

    def _host(self, request: web.Request) -> str:
        return host_of(self._context.client(request))

    def _let_see(self, request: web.Request, session: Session, name: str) -> None:
        """Judge a viewer for a further rendition."""
        entrance, wish = self._context.context.entrance(), wish_of(request)
        found = entrance.look(replace(wish, rendition=name), self._host(request))
        if isinstance(found, Refusal):
            raise Refused.by(found)
        session.renditions |= {name}

    async def _open(self, session: Session, names: tuple[str, ...], wait_s: float) -> Hls:
        session.waiting += 1
        try:
            takes_all = session.protocol == DASH
            return await self._output.streams.open(
                session.stream_id, names, wait_s, takes_all=takes_all
            )
        except NotThere as error:
            raise Refused(404, str(error)) from error
        finally:
            session.waiting -= 1

    # ---- answers ------------------------------------------------------------------------------

    def _text(self, request: web.Request, session: Session, text: str) -> web.Response:
        return self._answer(request, session, PLAYLIST, playlist_body(text, session.query))

    def _media(
        self, request: web.Request, session: Session, track: Track, data: Data
    ) -> web.Response:
        return self._answer(request, session, kind_of_media(track.name, track.window), data)

    @staticmethod
    def _answer(
        request: web.Request, session: Session, kind: AnswerKind, data: Data
    ) -> web.Response:
        body = data if isinstance(data, bytes) else bytes(data)
        if request.method != "HEAD":
            session.sent_bytes += len(body)
        return web.Response(body=body, headers=kind.headers)


def _asked(request: web.Request) -> StreamId:
    """The stream that is asked for; whether it can be one is seen when he is let in."""
    return stream_id(request.match_info["app"], request.match_info["key"])


def _origin(host: str, request: web.Request) -> tuple[str, ...]:
    """What a player without a token is known by."""
    return (host, request.headers.get("User-Agent", ""), request.query.get("key", ""))


def _carried(token: str, wish: Wish, protocol: str) -> str:
    """The query that a viewer's requests carry: his token, and what he came with."""
    own = [(TOKEN, token), *([] if protocol == PROTOCOL else [(BY, protocol)])]
    copied = [
        (name, value)
        for name, value in wish.query.items()
        if name not in _OWN and not name.startswith("_HLS_")
    ]
    return urlencode([*own, *copied], quote_via=quote)
