"""ingest/pull/srt_source.py: a stream fetched from an SRT listener, over a library that is none."""

import asyncio

import pytest

from common.srt.library import Call, CallState, SrtError
from ingest.pull.source import SourceError
from ingest.pull.srt_source import Library, SrtSource
from tests.kit.ts_writer import AAC, AUDIO_PID, H264, VIDEO_PID, TsWriter

IDR = b"\x00\x00\x00\x01\x65\x88"
STREAMS = ((VIDEO_PID, H264, b""), (AUDIO_PID, AAC, b""))
URL = "srt://127.0.0.1:9000?streamid=cam1&passphrase=s3cr3t-s3cr3t&latency=300"


class FakeLibrary:
    def __init__(
        self, *reads: list[bytes] | None, state: CallState = CallState.CONNECTED, why: str = ""
    ) -> None:
        self.reads, self.state, self.why = list(reads), state, why
        self.calls: list[tuple[tuple[str, int], Call]] = []
        self.closed: list[int] = []

    def call(self, address: tuple[str, int], call: Call) -> int:
        self.calls.append((address, call))
        return 7

    def call_state(self, sock: int) -> CallState:
        return self.state

    def why_refused(self, sock: int) -> str:
        return self.why

    def receive(self, sock: int) -> list[bytes] | None:
        return self.reads.pop(0) if self.reads else None

    def close_socket(self, sock: int) -> None:
        self.closed.append(sock)


async def opened(library: FakeLibrary, url: str = URL) -> SrtSource:
    source = SrtSource(url, lambda: library)
    await source.open()
    return source


def test_units_come_and_what_is_missing_between_pieces_is_lost() -> None:
    async def check() -> None:
        ts = TsWriter()
        tables, whole = ts.tables(STREAMS), ts.pes(VIDEO_PID, IDR, 7200, 3600)
        long = ts.pes(VIDEO_PID, IDR + bytes(range(1, 200)) * 2, 9000, is_bounded=False)
        library = FakeLibrary([], [tables + whole + long[:188]], [b"", whole])
        source = await opened(library)
        ((address, call),) = library.calls
        assert (address, source.peer) == (("127.0.0.1", 9000), "127.0.0.1:9000")
        assert call == Call("cam1", "s3cr3t-s3cr3t", 300)
        first = await source.read()
        assert [(item.kind, item.codec) for item in first.items] == [("video", "h264")]
        second = await source.read()
        assert second.items[0].kind == "lost"
        with pytest.raises(SourceError, match="closed the connection"):
            await source.read()
        await source.close()
        await source.close()
        assert library.closed == [7]

    asyncio.run(check())


@pytest.mark.parametrize(
    ("why", "words"), [("Incorrect passphrase", "refused: Incorrect"), ("", "nobody answers")]
)
def test_who_is_not_let_in_is_given_the_listener_s_words(why: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        asyncio.run(opened(FakeLibrary(state=CallState.ENDED, why=why)))


def test_without_the_library_it_is_said_what_to_install() -> None:
    def load() -> Library:
        raise SrtError("SRT needs libsrt 1.5, which is not installed: apt-get install it")

    with pytest.raises(SourceError, match="apt-get install"):
        asyncio.run(SrtSource(URL, load).open())


def test_what_nobody_can_be_given_ends_it() -> None:
    async def check() -> None:
        source = await opened(FakeLibrary([TsWriter().tables(((VIDEO_PID, 2, b""),))]))
        with pytest.raises(SourceError, match="MPEG-2 video"):
            await source.read()

    asyncio.run(check())


def test_who_waits_is_ended() -> None:
    async def check() -> None:
        source = await opened(FakeLibrary(*[[] for _ in range(50)]))
        reading = asyncio.ensure_future(source.read())
        await asyncio.sleep(0)
        source.end()
        with pytest.raises(SourceError, match="ended"):
            await reading

    asyncio.run(check())
