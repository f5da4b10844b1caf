"""What `HlsRig` has, asked for by addresses in virtual time; its source goes on as time does."""

from collections.abc import Callable
from fractions import Fraction
from urllib.parse import parse_qs, urlsplit

from egress.hls import playlists
from egress.hls.playlists import CONTENT_TYPE
from egress.hls.readiness import lacks
from egress.hls.reload import Verdict, judge, judge_part, parse_wanted
from egress.hls.variants import multivariant
from egress.hls.window import Window
from tests.kit.hls_client import Response
from tests.kit.hls_rig import TEMPLATE, HlsRig

BEGIN_MS = 4_000


class RigServer:
    """A source of a steady rate, and answers as the `web` child gives them."""

    def __init__(
        self, rig: HlsRig, *, fps: Fraction | int = 25, begin_ms: int = BEGIN_MS,
        before: Callable[[HlsRig, int], None] = lambda rig, ms: None,
        away: tuple[float, float] = (0.0, 0.0),
    ) -> None:  # fmt: skip
        """`before`: called ahead of each picture, with its time. `away`: s when nothing comes."""
        self.rig = rig
        self._fps = fps
        self._begin_ms = begin_ms
        self._before = before
        self._away = away
        self._sent = 0
        self._cell = -1

    def answer(self, url: str, now: float) -> Response | None:
        """The answer at a time; None: it waits."""
        self._play_until(now)
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        name, _, file = parts.path.strip("/").rpartition("/")
        if file == "index.m3u8":
            return self._playlist(name, query, now)
        track = self.rig.hls.tracks[name]
        if file.startswith("init-"):
            found = track.window.inits.get(file[5:-4])
            return Response(200, {}, found) if found else Response(404, {}, b"")
        number, *index = (int(one) for one in file.removesuffix(".m4s").split("."))
        return _media(track.window, number, index[0] if index else None)

    def _playlist(self, name: str, query: dict[str, str], now: float) -> Response | None:
        hls = self.rig.hls
        if not name:
            if lacks(hls, hls.listed, now):
                return None
            return _text(multivariant(hls, hls.listed))
        wanted = parse_wanted(query.get("_HLS_msn"), query.get("_HLS_part"))
        if isinstance(wanted, str):
            return Response(400, {}, wanted.encode())
        if wanted is not None:
            verdict = judge(hls.tracks[name].window, wanted)
            if verdict is not Verdict.READY:
                return Response(400, {}, b"") if verdict is Verdict.BAD else None
        return _text(hls.media(name, skips="_HLS_skip" in query))

    def _play_until(self, now: float) -> None:
        while True:
            ms = self._begin_ms + round(self._sent * 1000 / self._fps)
            if ms > self._begin_ms + now * 1000:
                return
            self._sent += 1
            if self._away[0] <= (ms - self._begin_ms) / 1000 < self._away[1]:
                continue
            self._before(self.rig, ms)
            cell = ms // TEMPLATE.gop_ms
            self.rig.frame(ms, is_key=cell != self._cell)
            self._cell = cell


def _media(window: Window, number: int, index: int | None) -> Response | None:
    segment = window.segment(number)
    if index is None:
        is_there = segment is not None and segment.is_complete and segment.data
        return Response(200, {}, segment.data) if segment and is_there else Response(404, {}, b"")
    match judge_part(window, number, index):
        case Verdict.READY:
            assert segment is not None
            return Response(200, {}, bytes(segment.parts[index].data))
        case Verdict.WAIT:
            return None
        case _:
            return Response(404, {}, b"")


def _text(text: str) -> Response:
    return Response(200, {"content-type": CONTENT_TYPE}, playlists.for_viewer(text, "").encode())
