"""egress/hls/quick.py: which requests of a viewer are answered at once, and what he gets."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from common.config.settings import Settings
from common.http.quick import QuickAnswer, QuickWait
from common.ipc.control_messages import Endpoint
from common.ipc.identity import BootId, ChildId
from common.ipc.media_messages import HEADER
from egress.hls.live import MAX_WAITING_OF_ONE
from egress.hls.output import HlsOutput
from egress.hls.quick import QuickHls
from egress.hls.sessions import Session
from egress.sound.coded import SoundForms
from egress.streams.stream import Stream
from egress.streams.tag import AUDIO
from egress.web.routes import WebContext
from tests.kit.egress import (
    STREAM,
    audio_tag,
    head,
    inter_tag,
    key_tag,
    rendition_open,
    shared,
    stream_open,
    tags,
)
from tests.kit.entrance_rig import EntranceRig
from tests.kit.http_viewer import audio_header, video_header

NAMES = ("720p", "360p")
TOKEN = "7-token"
QUERY = f"session={TOKEN}&key=k"


class Rig:
    """A `web` process's HLS, with a stream and a viewer who may watch 720p."""

    def __init__(self) -> None:
        self.around = EntranceRig()
        forms = SoundForms(lambda frames: False)
        child = ChildId("web", index=7)
        context = replace(self.around.context, child=child, sounds=lambda: forms)
        self.output = HlsOutput(context)
        follows: list[Callable[[list[Endpoint]], object]] = []
        outputs = (self.output,)
        self.quick = QuickHls(WebContext(context, outputs, Settings, follow=follows.append))
        self.follow = follows[0]
        self._number = 100
        self.around.streams.open(stream_open(renditions=NAMES), 5.0)
        for name in NAMES:
            self.take(*rendition_open(name, header=video_header()))
        self.take(*shared((head(AUDIO, 0, HEADER), audio_header())))
        self.session = self.viewer(TOKEN)
        self.output.on_stream(self.stream)
        self.play(71)  # from 4 s on: segment 2, and of 3 the parts 0 and 1

    def take(self, message: object, payloads: object) -> None:
        self.around.streams.take(message, payloads, 5.0)  # type: ignore[arg-type]  # as they come

    @property
    def stream(self) -> Stream:
        found = self.around.streams.get(STREAM)
        assert found is not None
        return found

    def play(self, pictures: int) -> None:
        for number in range(self._number, self._number + pictures):
            ms = 40 * number
            made = key_tag(ms) if number % 50 == 0 else inter_tag(ms)
            for name in NAMES:
                self.take(*tags(number - 100, made, rendition=name))
            self.take(*shared(audio_tag(ms)))
            for rendition in self.stream.renditions.values():
                rendition.flush()
        self._number += pictures

    def viewer(self, token: str) -> Session:
        found = self.output.sessions.begin(STREAM, "720p", "192.0.2.1:1", 5.0, token=token)
        found.query, found.renditions = f"session={token}&key=k", frozenset({"720p"})
        return found

    def look(self, file: str, query: str = QUERY) -> QuickAnswer | QuickWait | None:
        return self.quick.look(f"/{STREAM}/{file}?{query}")


def run(case: Callable[[Rig], None]) -> None:
    async def all_of_it() -> None:
        rig = Rig()
        case(rig)
        rig.output.close("the test ends")

    asyncio.run(all_of_it())


@pytest.mark.parametrize(
    ("file", "more", "begins"),
    [
        ("720p/index.m3u8", "", b"#EXTM3U"),
        ("720p/index.m3u8", "&_HLS_msn=3&_HLS_part=1", b"#EXTM3U"),
        ("720p/index.m3u8", "&_HLS_part=1&_HLS_msn=3", b"#EXTM3U"),
        ("720p/index.m3u8", "&_HLS_skip=YES", b"#EXTM3U"),
        ("sound/index.m3u8", "", b"#EXTM3U"),
        ("720p/2.m4s", "", b""),
        ("720p/3.0.m4s", "", b""),
        ("sound/2.m4s", "", b""),
    ],
)
def test_what_is_there_is_answered(file: str, more: str, begins: bytes) -> None:
    def case(rig: Rig) -> None:
        found = rig.look(file, QUERY + more)
        assert isinstance(found, QuickAnswer)
        assert found.kind.status == 200
        assert found.body.startswith(begins) if begins else found.body[4:8] == b"moof"
        assert rig.session.sent_bytes == len(found.body)
        if begins:
            assert f"m4s?{QUERY}".encode() in found.body

    run(case)


@pytest.mark.parametrize(
    ("file", "query"),
    [
        ("index.m3u8", QUERY),
        ("720p/init-00000000.mp4", QUERY),
        ("360p/index.m3u8", QUERY),  # it is to be judged whether he may
        ("4k/index.m3u8", QUERY),
        ("720p/1.m4s", QUERY),  # it is not there
        ("720p/3.m4s", QUERY),  # it is being made: so DASH may have it
        ("720p/3.9.m4s", QUERY),
        ("720p/99.0.m4s", QUERY),
        ("720p/2.m4s", QUERY + "&_HLS_msn=3"),
        ("720p/2.m4s", ""),
        ("720p/-2.m4s", QUERY),
        ("720p/2..m4s", QUERY),
        ("720p/2.0.0.m4s", QUERY),
        ("720p/.m4s", QUERY),
        ("720p/" + "9" * 30 + ".m4s", QUERY),
        ("../cam1/720p/2.m4s", QUERY),
        ("720p//index.m3u8", QUERY),
        ("720p/index.m3u8", ""),
        ("720p/index.m3u8", "session=" + TOKEN),  # not all of what he was given
        ("720p/index.m3u8", "session=other&key=k"),
        ("720p/index.m3u8", QUERY + "x"),
        ("720p/index.m3u8", QUERY + "&rendition=360p"),
        ("720p/index.m3u8", QUERY + "&_HLS_msn=99"),
        ("720p/index.m3u8", QUERY + "&_HLS_msn=" + "9" * 30),
        ("720p/index.m3u8", QUERY + "&_HLS_part=0"),
        ("720p/index.m3u8", QUERY + "&_HLS_msn=3&_HLS_msn=3"),
        ("720p/index.m3u8", QUERY + "&_HLS_skip=NO"),
    ],
)
def test_what_is_refused_or_unusual_is_not_answered(file: str, query: str) -> None:
    def case(rig: Rig) -> None:
        assert rig.look(file, query) is None
        assert rig.session.sent_bytes == 0

    run(case)


def test_another_stream_s_viewer_is_nobody_here() -> None:
    def case(rig: Rig) -> None:
        assert rig.quick.look(f"/live/other/720p/2.m4s?{QUERY}") is None
        rig.output.leave(rig.session, "the test ends him")
        assert rig.look("720p/2.m4s") is None

    run(case)


def test_what_is_to_come_is_waited_for_by_all_together() -> None:
    def case(rig: Rig) -> None:
        others = [rig.viewer(f"7-other{number}") for number in range(3)]
        asked = [rig.look("720p/index.m3u8", QUERY + "&_HLS_msn=3&_HLS_part=2")]
        asked += [rig.look("720p/3.2.m4s", other.query) for other in others]
        assert rig.output.streams.blocked == 4
        rig.play(30)
        for one in asked:
            assert isinstance(one, QuickWait)
            assert one.until.result() is True
            answer = one.then(True)
            assert answer is not None
            assert answer.kind.status == 200
        assert all(one.waiting == 0 and one.sent_bytes for one in (rig.session, *others))
        assert rig.output.streams.blocked == 0

    run(case)


def test_what_does_not_come_in_time_is_told_so() -> None:
    def case(rig: Rig) -> None:
        found = rig.look("720p/3.2.m4s")
        assert isinstance(found, QuickWait)
        rig.output.check(500.0)
        assert found.until.result() is False
        answer = found.then(False)
        assert answer is not None
        assert (answer.kind.status, answer.kind.headers["Retry-After"]) == (503, "1")
        assert answer.route == "/{app}/{key}/{track}/{msn}.{part}.m4s"
        assert b"has not come in time" in answer.body

    run(case)


def test_who_waits_and_leaves_frees_his_place() -> None:
    def case(rig: Rig) -> None:
        waits = [rig.look("720p/3.2.m4s") for _ in range(MAX_WAITING_OF_ONE)]
        assert rig.look("720p/3.2.m4s") is None, "so many may wait: the next is refused"
        for one in waits:
            assert isinstance(one, QuickWait)
            one.given_up()
        assert rig.output.streams.blocked == rig.session.waiting == 0
        assert isinstance(rig.look("720p/3.2.m4s"), QuickWait)

    run(case)


def test_a_stream_that_begins_anew_meanwhile_is_looked_for_again() -> None:
    def case(rig: Rig) -> None:
        found = rig.look("720p/index.m3u8", QUERY + "&_HLS_msn=4")
        assert isinstance(found, QuickWait)
        rig.output.streams.stop()
        assert found.until.done()
        assert found.then(True) is None

    run(case)


def test_of_several_processes_each_answers_its_own_viewers() -> None:
    def case(rig: Rig) -> None:
        others = [
            replace(Endpoint(ChildId("web", index=index), BootId("b")), requests=f"/run/{index}")
            for index in (7, 8)
        ]
        rig.follow(others)
        theirs = rig.viewer("8-token")
        assert isinstance(rig.look("720p/2.m4s"), QuickAnswer)
        assert rig.look("720p/2.m4s", theirs.query) is None
        rig.follow(others[:1])  # the other has gone
        assert isinstance(rig.look("720p/2.m4s", theirs.query), QuickAnswer)

    run(case)
