"""HLS at a `web` process: who watches, what waits, what is refused; the test is its supervisor."""

import http.client
import re
from collections.abc import Iterator

import pytest

from common.config.settings import Settings, WebSettings
from common.ipc.control_messages import Configure, StreamWanted
from common.ipc.media_messages import HEADER
from egress.hls.live import MAX_WAITING_OF_ONE
from egress.streams.tag import AUDIO
from tests.kit.egress import (
    STREAM,
    TEMPLATE,
    audio_tag,
    head,
    inter_tag,
    key_tag,
    rendition_open,
    shared,
    stream_open,
    tags,
)
from tests.kit.egress_process import EgressProcess
from tests.kit.http_viewer import audio_header, video_header
from tests.kit.waiting import patient, until

pytestmark = pytest.mark.e2e

SETTINGS = Settings(templates=(TEMPLATE,), web=WebSettings(max_viewers=3))
INDEX = "/live/cam1/index.m3u8"
NAMES = ("720p", "360p")


class Source:
    """Pictures of 25 fps in both renditions, with sound; a keyframe every 2 s."""

    def __init__(self, web: EgressProcess, generation: int = 1, epoch_ms: int = 0) -> None:
        self.web = web
        self._generation, self._epoch_ms = generation, epoch_ms
        self._number = 100  # from 4 s on
        self._sent = 0

    def begin(self) -> None:
        number = self._generation
        self.web.push(stream_open(number, NAMES, epoch_ms=self._epoch_ms))
        for name in NAMES:
            self.web.push(*rendition_open(name, generation=number, header=video_header()))
        header = head(AUDIO, 0, HEADER), audio_header()
        self.web.push(*shared(header, generation=number))

    def send(self, count: int) -> None:
        for _ in range(count):
            ms = 40 * self._number
            made = key_tag(ms) if self._number % 50 == 0 else inter_tag(ms)
            for name in NAMES:
                number = self._generation
                self.web.push(*tags(self._sent, made, generation=number, rendition=name))
            self.web.push(*shared(audio_tag(ms), generation=self._generation))
            self._number += 1
            self._sent += 1


@pytest.fixture
def web() -> Iterator[EgressProcess]:
    with EgressProcess(SETTINGS, "--listen", "127.0.0.1:0", module="egress.web") as running:
        yield running


def counted(web: EgressProcess, name: str, count: int) -> None:
    """Wait until so many are counted."""
    web.served(lambda beat: beat.counters[name] == count)


class Viewer:
    """One connection, over which one thing is asked after the other."""

    def __init__(self, web: EgressProcess) -> None:
        self._client = http.client.HTTPConnection(web.listen[0], timeout=patient(15))
        self.folder = ""

    def close(self) -> None:
        self._client.close()

    def send(self, target: str) -> None:
        self._client.request("GET", target, headers={"User-Agent": "test"})

    def answer(self) -> tuple[int, bytes]:
        response = self._client.getresponse()
        return response.status, response.read()

    def ask(self, target: str, status: int = 200) -> bytes:
        self.send(target)
        found, body = self.answer()
        assert found == status, body
        return body

    def headers(self, method: str, target: str) -> dict[str, str]:
        """Those of a good answer, but for its moment."""
        self._client.request(method, target, headers={"User-Agent": "test"})
        response = self._client.getresponse()
        body = response.read()
        assert (response.status, len(body) > 0) == (200, method == "GET"), target
        return {name: value for name, value in response.getheaders() if name != "Date"}

    def text(self, target: str) -> str:
        return self.ask(target).decode()


@pytest.fixture
def viewers(web: EgressProcess) -> Iterator[list[Viewer]]:
    made = [Viewer(web) for _ in range(4)]
    yield made
    for one in made:
        one.close()


def test_a_viewer_from_the_first_playlist_on(web: EgressProcess, viewers: list[Viewer]) -> None:
    source, (viewer, *others) = Source(web), viewers
    viewer.send(INDEX + "?key=a%26b&_HLS_msn=3")  # it waits for the stream
    assert web.receive(StreamWanted).stream_id == STREAM
    source.begin()
    source.send(70)
    status, body = viewer.answer()
    assert status == 200, body
    index = body.decode()
    query = re.search(r"720p/index\.m3u8\?(\S+)", index)
    assert query is not None
    assert query[1].endswith("&key=a%26b"), "what lets him in is carried on"
    assert "_HLS" not in index
    assert 'URI="sound/index.m3u8' in index

    def at(file: str) -> str:
        return f"/live/cam1/{file}?{query[1]}" if query else ""

    text = viewer.text(at("720p/index.m3u8") + "&_HLS_msn=3&_HLS_part=1")
    assert "3.0.m4s" in text
    assert f'URI="3.2.m4s?{query[1]}"' in text.splitlines()[-3]  # the hint
    init = re.search(r"init-\w+\.mp4", text)
    assert init is not None
    assert viewer.ask(at(f"720p/{init[0]}"))[4:8] == b"ftyp"
    assert viewer.ask(at("720p/3.0.m4s"))[4:8] == b"moof"
    # what is asked for without its body has the same headers
    files = ("720p/index.m3u8", f"720p/{init[0]}", "720p/3.0.m4s", "720p/2.m4s", "sound/2.m4s")
    for file in files:
        found = viewer.headers("HEAD", at(file))
        assert found == viewer.headers("GET", at(file)), "answered by aiohttp"
        assert found == viewer.headers("GET", at(file)), "answered at once"
        assert int(found["Content-Length"]) > 0
    assert "Content-Type" in viewer.headers("HEAD", at("index.mpd"))
    # three who wait for the same part, each in his own way
    others[0].send(at("720p/index.m3u8") + "&_HLS_msn=3&_HLS_part=2")
    others[1].send(at("720p/3.2.m4s"))
    others[2].send(at("720p/index.m3u8") + "&_HLS_msn=3")
    counted(web, "hls waiting", 3)
    source.send(50)
    statuses, bodies = zip(*(other.answer() for other in others), strict=True)
    assert statuses == (200, 200, 200)
    assert b"3.2.m4s" in bodies[0]
    assert bodies[1][4:8] == b"moof"
    assert b"#EXTINF:2.00000,\n3.m4s" in bodies[2]
    assert viewer.ask(at("720p/3.m4s")).startswith(viewer.ask(at("720p/3.0.m4s")))
    assert viewer.ask(at("sound/3.m4s"))[4:8] == b"moof"
    # what is refused, each with words
    for file, query_more, status, words in (
        ("720p/index.m3u8", "&_HLS_msn=99", 400, b"too far ahead"),
        ("720p/index.m3u8", "&_HLS_msn=" + "9" * 30, 400, b"no number"),
        ("720p/index.m3u8", "&_HLS_part=0", 400, b"needs _HLS_msn"),
        ("720p/1.m4s", "", 404, b"no such segment"),
        ("720p/99.m4s", "", 404, b"no such segment"),
        ("720p/99.5.m4s", "", 404, b"no such part"),
        ("720p/init-00000000.mp4", "", 404, b"no such init"),
        ("4k/index.m3u8", "", 404, b"this stream has no 4k"),
        ("../../etc/passwd", "", 404, b""),
    ):
        assert words in viewer.ask(at(file) + query_more, status)


def answer_of(viewer: Viewer, target: str) -> tuple[int, bytes]:
    viewer.send(target)
    return viewer.answer()


def test_a_viewer_has_so_many_requests_that_wait_at_most(
    web: EgressProcess, viewers: list[Viewer]
) -> None:
    source, first = Source(web), viewers[0]
    first.send("/live/cam1/360p/index.m3u8")  # it waits for the stream
    source.begin()
    source.send(70)
    assert first.answer()[0] == 200
    blocked = [Viewer(web) for _ in range(MAX_WAITING_OF_ONE + 2)]
    try:
        for one in blocked:
            one.send("/live/cam1/360p/index.m3u8?_HLS_msn=4")
        counted(web, "hls waiting", MAX_WAITING_OF_ONE)
        source.send(90)
        answers = sorted(one.answer()[0] for one in blocked)
    finally:
        for one in blocked:
            one.close()
    assert answers == [200] * MAX_WAITING_OF_ONE + [503, 503]


def test_who_waits_while_a_stream_begins_anew_gets_the_playlist_that_goes_on(
    web: EgressProcess, viewers: list[Viewer]
) -> None:
    viewer, source = viewers[0], Source(web)
    playlist = "/live/cam1/360p/index.m3u8"
    viewer.send(playlist)  # it waits for the stream
    source.begin()
    source.send(70)
    assert viewer.answer()[0] == 200
    viewer.send(playlist + "?_HLS_msn=5")
    counted(web, "hls waiting", 1)
    again = Source(web, generation=2, epoch_ms=100_000)
    again.begin()
    again.send(70)
    status, body = viewer.answer()
    assert status == 200, body
    text = body.decode()
    assert "#EXT-X-MEDIA-SEQUENCE:52\n" in text
    assert "#EXT-X-DISCONTINUITY\n" in text
    assert "ENDLIST" not in text


def test_viewers_are_sessions_and_there_are_so_many_at_most(
    web: EgressProcess, viewers: list[Viewer]
) -> None:
    source = Source(web)
    for viewer in viewers[:2]:
        viewer.send(INDEX)  # they wait for the stream
    source.begin()
    source.send(120)
    assert [viewer.answer()[0] for viewer in viewers[:2]] == [200, 200]
    # a player of a rendition's own playlist, which has no token, is one however often it asks
    for _ in range(3):
        viewers[3].ask("/live/cam1/360p/index.m3u8")
    counted(web, "hls viewers", 3)
    assert b"all the 3 players that it takes" in viewers[2].ask(INDEX, 503)
    beat = web.served(lambda beat: any(stream.renditions for stream in beat.served))
    players = {r.name: r.players for s in beat.served for r in s.renditions}
    assert sum(players.values()) == 3
    # who has a token of a process before this one is let in by his query, and keeps it
    web.send(Configure(Settings(templates=(TEMPLATE,), web=WebSettings(max_viewers=6))))
    address = "/live/cam1/360p/index.m3u8?session=from-before"
    until(lambda: answer_of(viewers[2], address)[0] == 200, 10, "the other settings hold")
    assert "2.0.m4s?session=from-before" in viewers[2].text(address)
    # also where the first that comes here is a segment, whose address DASH has, too
    viewers[1].ask("/live/cam1/360p/2.m4s?session=from-elsewhere")
    beat = web.served(lambda beat: beat.counters["hls viewers"] == 5)
    by = [rendition.players_by for stream in beat.served for rendition in stream.renditions]
    assert {protocol for found in by for protocol in found} == {"hls"}
    assert b"no app none" in viewers[2].ask("/none/cam1/index.m3u8", 404)
