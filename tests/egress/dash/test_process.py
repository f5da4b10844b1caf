"""DASH at a `web` process: descriptions, segments as they are made; the test is its supervisor."""

import re
import socket
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from common.config.settings import Settings, WebSettings
from common.ipc.control_messages import StreamWanted
from common.ipc.identity import Generation
from common.ipc.media_messages import StreamClosed
from tests.egress.hls.test_process import Source, Viewer, counted
from tests.kit.egress import STREAM, TEMPLATE
from tests.kit.egress_process import EgressProcess
from tests.kit.mp4_reader import read_movie, unchunked

pytestmark = pytest.mark.e2e

NAMESPACE = "{urn:mpeg:dash:schema:mpd:2011}"
INDEX = "/live/cam1/index.mpd"
PAGE = "https://page.example"
SETTINGS = Settings(templates=(TEMPLATE,), web=WebSettings(cors_origins=(PAGE,)))


@pytest.fixture(scope="module")
def web() -> Iterator[EgressProcess]:
    with EgressProcess(SETTINGS, "--listen", "127.0.0.1:0", module="egress.web") as running:
        yield running


class RawViewer:
    """One request, whose answer is read as it comes."""

    def __init__(self, web: EgressProcess, target: str, *headers: str) -> None:
        host, _, port = web.listen[0].rpartition(":")
        self._sock = socket.create_connection((host, int(port)), timeout=15)
        lines = [f"GET {target} HTTP/1.1", "Host: test", *headers, "Connection: close", "", ""]
        self._sock.sendall("\r\n".join(lines).encode())
        self.received = b""

    def read_until(self, words: bytes, count: int = 1) -> None:
        """Until this has come so many times."""
        while self.received.count(words) < count:
            data = self._sock.recv(65_536)
            assert data, f"{words!r} has not come: {self.received[:300]!r}"
            self.received += data

    def read_all(self) -> tuple[str, bytes]:
        """The head, and the body without its chunks."""
        while data := self._sock.recv(65_536):
            self.received += data
        head, _, body = self.received.partition(b"\r\n\r\n")
        found, is_whole = unchunked(body)
        assert is_whole
        return head.decode(), found

    def close(self) -> None:
        self._sock.close()


def addresses(text: str) -> dict[str, str]:
    """Each track's template, from the root."""
    root = ElementTree.fromstring(text)
    found = {}
    for one in root.iter(NAMESPACE + "Representation"):
        (template,) = one.iter(NAMESPACE + "SegmentTemplate")
        found[one.get("id") or ""] = "/live/cam1/" + (template.get("media") or "")
    return found


def at(tracks: dict[str, str], track: str, number: int) -> str:
    return tracks[track].replace("$Number$", str(number))


def described_again(web: EgressProcess, viewer: Viewer, text: str) -> None:
    """He asks for it again, with his token or without one, and is one viewer."""
    location = re.search("<Location>(.*)</Location>", text)
    assert location is not None
    again = viewer.text("/live/cam1/" + location[1].replace("&amp;", "&"))
    assert addresses(again) == addresses(text)
    without = [addresses(viewer.text(INDEX)) for _ in range(3)]
    assert without[0] == without[1] == without[2]
    counted(web, "hls viewers", 2)
    by = web.served(lambda beat: any(stream.renditions for stream in beat.served)).served
    assert {name for stream in by for r in stream.renditions for name in r.players_by} == {"dash"}
    assert "360p" not in addresses(viewer.text(INDEX + "?rendition=720p"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", viewer.text("/time"))


def known_by_a_segment(web: EgressProcess, viewer: Viewer, target: str) -> None:
    """He comes from another process, and a segment is the first that he asks for here."""
    assert "by=dash" in target
    viewer.ask(re.sub("session=[^&]*", "session=from-elsewhere", target))
    beat = web.served(lambda beat: beat.counters["hls viewers"] == 3)
    by = [rendition.players_by for stream in beat.served for rendition in stream.renditions]
    assert {protocol for found in by for protocol in found} == {"dash"}


def sent_as_it_is_made(web: EgressProcess, viewer: Viewer, source: Source, target: str) -> None:
    """Each part comes when it is there; of who leaves nobody hears."""
    growing = RawViewer(web, target, f"Origin: {PAGE}")
    growing.read_until(b"moof")
    early = growing.received.count(b"moof")
    source.send(20)
    growing.read_until(b"moof", early + 2)
    gone = RawViewer(web, target)
    gone.read_until(b"moof")
    gone.close()
    source.send(60)
    head, body = growing.read_all()
    growing.close()
    assert "Transfer-Encoding: chunked" in head
    assert f"Access-Control-Allow-Origin: {PAGE}" in head
    assert "Cache-Control: public" in head
    assert "Content-Type: video/mp4" in head
    assert body == viewer.ask(target), "as it is for those who come later"
    assert len(read_movie(body).samples) == 50


def test_a_viewer_from_the_description_to_the_end(web: EgressProcess) -> None:
    source, viewer = Source(web), Viewer(web)
    viewer.send(INDEX + "?key=a%26b")  # it waits for the stream
    assert web.receive(StreamWanted).stream_id == STREAM
    source.begin()
    source.send(70)
    status, body = viewer.answer()
    assert status == 200, body
    tracks = addresses(body.decode())
    assert set(tracks) == {"720p", "360p", "sound"}
    assert all("key=a%26b" in one for one in tracks.values())
    described_again(web, viewer, body.decode())

    assert viewer.ask(at(tracks, "720p", 2))[4:8] == b"moof"
    known_by_a_segment(web, viewer, at(tracks, "720p", 2))
    following = RawViewer(web, at(tracks, "sound", 4))
    sent_as_it_is_made(web, viewer, source, at(tracks, "720p", 3))

    for number in (0, 1, 9, 10**14):
        assert b"no such segment" in viewer.ask(at(tracks, "720p", number), 404)

    # the publisher ends in the middle of a segment
    following.read_until(b"moof")
    web.push(StreamClosed(STREAM, Generation(1), "it left", 0))
    head, body = following.read_all()
    assert "Content-Type: audio/mp4" in head
    assert read_movie(body).samples
    ended = ElementTree.fromstring(viewer.text(INDEX))
    assert ended.get("mediaPresentationDuration") is not None
    viewer.close()
    following.close()
