"""What is answered at once to viewers of HLS who ask on and on (IO: the loop).

These are the requests of a viewer with a token of this process: for a playlist, a part or a
segment, with the query that he was given and nothing else but what a reload says. What is to come
he waits for here too. All other requests, and whatever is refused at once, `routes.py` answers.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from common.http.quick import QuickAnswer, QuickWait
from common.http.statuses import RETRY_S, AnswerKind
from common.ipc.identity import StreamId
from egress.hls.answers import PLAYLIST, kind_of_media, playlist_body
from egress.hls.homes import Homes
from egress.hls.live import Hls, Track, Waiting
from egress.hls.output import HlsOutput
from egress.hls.playlists import SOUND
from egress.hls.reload import Verdict, Wanted, judge, judge_part, number_of, parse_wanted
from egress.hls.routes import TOKEN, TOO_LONG
from egress.hls.sessions import Session
from egress.web.routes import WebContext

_BEGIN: Final = TOKEN + "="
_PLAYLIST: Final = "index.m3u8"
_MEDIA: Final = ".m4s"
_TRACK: Final = "/{app}/{key}/{track}/"  # of what is refused, for the log
_LATE: Final = AnswerKind(
    503, {"Content-Type": "text/plain; charset=utf-8", "Retry-After": str(RETRY_S)}
)
_LATE_BODY: Final = f"{TOO_LONG}\n".encode()
Found = QuickAnswer | QuickWait | None


class QuickHls:
    """Looks at what is asked for; None is an answer too: it is not one of these requests."""

    def __init__(self, context: WebContext) -> None:
        self._output = context.output(HlsOutput)
        self._homes = Homes(context.context.child)
        context.follow(self._homes.follow)

    def look(self, target: str) -> Found:
        """Answer what is asked for by a GET of this address."""
        path, _, query = target.partition("?")
        folder, _, file = path.rpartition("/")
        stream, _, name = folder.rpartition("/")
        if not query.startswith(_BEGIN):
            return None
        token = query[len(_BEGIN) :].partition("&")[0]
        output = self._output
        session = output.sessions.find(token, StreamId(stream[1:]))
        if session is None or not query.startswith(session.query) or self._homes.elsewhere(token):
            return None
        hls = output.streams.find(session.stream_id)
        if hls is None or not hls.is_playable(name):
            return None
        if name != SOUND:
            if name not in session.renditions:
                return None
            session.rendition = name
        session.seen_s = output.now()
        hls.ask(name, session.seen_s)
        track, directives = hls.tracks[name], query[len(session.query) :]
        if file == _PLAYLIST:
            return self._playlist(session, hls, track, directives)
        if directives or not file.endswith(_MEDIA):
            return None
        return self._media(session, track, file[: -len(_MEDIA)])

    def _playlist(self, session: Session, hls: Hls, track: Track, directives: str) -> Found:
        asked = _asked(directives)
        if asked is None:
            return None
        wanted, skips = asked

        def answer() -> QuickAnswer | None:
            if self._output.streams.find(session.stream_id) is not hls:
                return None  # the stream has begun anew meanwhile
            body = playlist_body(hls.media(track.name, skips=skips), session.query)
            session.sent_bytes += len(body)
            return QuickAnswer(PLAYLIST, body)

        verdict = judge(track.window, wanted) if wanted is not None else Verdict.READY
        if wanted is not None and verdict is Verdict.WAIT:
            waiting = self._output.streams.block(track, wanted, session)
            return self._wait(waiting, track, session, answer, _TRACK + _PLAYLIST)
        return answer() if verdict is Verdict.READY else None

    def _media(self, session: Session, track: Track, stem: str) -> Found:
        window = track.window
        first, is_part, second = stem.partition(".")
        msn, index = number_of(first), number_of(second)
        if msn is None or (is_part and index is None):
            return None

        def answer() -> QuickAnswer | None:
            segment = window.segment(msn)
            if segment is None:
                return None
            if index is not None:
                if judge_part(window, msn, index) is not Verdict.READY:
                    return None
                data = segment.parts[index].data
            elif segment.is_complete and not segment.is_gap:
                data = segment.data
            else:
                return None
            body = data if isinstance(data, bytes) else bytes(data)
            session.sent_bytes += len(body)
            return QuickAnswer(kind_of_media(track.name, window), body)

        if index is not None and judge_part(window, msn, index) is Verdict.WAIT:
            streams, wanted = self._output.streams, Wanted(msn, index)
            waiting = streams.block(track, wanted, session, is_for_part=True)
            return self._wait(waiting, track, session, answer, _TRACK + "{msn}.{part}.m4s")
        return answer()

    def _wait(
        self,
        waiting: Waiting | None,
        track: Track,
        session: Session,
        answer: Callable[[], QuickAnswer | None],
        route: str,
    ) -> Found:
        if waiting is None:  # too many do: that is refused
            return None
        unblock = self._output.streams.unblock

        def then(found: bool, /) -> QuickAnswer | None:
            unblock(waiting, track, session)
            return answer() if found else QuickAnswer(_LATE, _LATE_BODY, route)

        return QuickWait(waiting, then, lambda: unblock(waiting, track, session))


@lru_cache(256)
def _asked(directives: str) -> tuple[Wanted | None, bool] | None:
    """What a reload waits for, and whether it skips; None: it says something else.

    Most viewers of a track ask for the same.
    """
    if directives and not directives.startswith("&"):
        return None
    found: dict[str, str] = {}
    for field in directives.split("&")[1:]:
        name, _, value = field.partition("=")
        if name not in ("_HLS_msn", "_HLS_part", "_HLS_skip") or name in found:
            return None
        found[name] = value
    skip = found.get("_HLS_skip")
    wanted = parse_wanted(found.get("_HLS_msn"), found.get("_HLS_part"))
    if isinstance(wanted, str) or skip not in (None, "YES", "v2"):
        return None
    return wanted, skip is not None
