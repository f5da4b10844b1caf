"""ingest/pull/rtmp_source.py: streams that toy servers send, over loopback."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.unit_messages import VIDEO, VIDEO_CONFIG, UnitItem
from common.rtmp.chunks import encode_message
from common.rtmp.events import ConnectRequested, PlayRequested
from common.rtmp.session import ServerSession
from ingest.pull.rtmp_source import RtmpSource
from ingest.pull.source import SourceError
from tests.kit.ingest_ports import record

VIDEO_TYPE = 9
MEDIA = (0, avc_sequence_header(record())), (7, avc_nalus(b"p", 0, True))
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def play(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, refuses: bool = False
) -> None:
    """Let a player in, and send two messages; then it is over."""
    session = ServerSession()
    while data := await reader.read(65536):
        session.receive_data(data, 0.0)
        while events := session.events_received():
            for event in events:
                if isinstance(event, PlayRequested) and refuses:
                    name = "NetStream.Play.StreamNotFound"
                    session.reject(event.request_id, name, "there is no s3cr3t")
                elif isinstance(event, ConnectRequested | PlayRequested):
                    session.accept(event.request_id)
                if isinstance(event, PlayRequested) and not refuses:
                    writer.write(session.data_to_send())
                    for at, body in MEDIA:
                        to = at, event.message_stream_id
                        size = session.out_chunk_size
                        writer.write(encode_message(6, VIDEO_TYPE, *to, body, size))
                    await writer.drain()
                    writer.close()
                    return
            session.receive_data(b"", 0.0)
        writer.write(session.data_to_send())


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await play(reader, writer, refuses=True)
    writer.close()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(1 + 1536)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200)
    await writer.drain()
    writer.close()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def served(serve: Serve, scenario: Callable[[RtmpSource], Awaitable[None]]) -> None:
    async def main() -> None:
        served: list[asyncio.Task[None] | None] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(asyncio.current_task())
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        source = RtmpSource(f"rtmp://u:s3cr3t@127.0.0.1:{port}/live/s3cr3t")
        try:
            await scenario(source)
        finally:
            await source.close()
            server.close()
            await asyncio.gather(*filter(None, served))

    asyncio.run(main())


def test_what_a_server_sends_comes_and_its_end_is_told() -> None:
    async def scenario(source: RtmpSource) -> None:
        await source.open()
        assert source.peer.startswith("127.0.0.1:")
        items: list[UnitItem] = []

        async def all_of_it() -> None:
            while True:
                items.extend((await source.read()).items)

        with pytest.raises(SourceError, match="the server closed the connection"):
            await all_of_it()
        assert [(item.kind, item.stamp_ms) for item in items] == [(VIDEO_CONFIG, 0), (VIDEO, 7)]

    served(play, scenario)


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (refuse, "the server refused: NetStream.Play.StreamNotFound there is no …"),
        (garbage, "the server broke the protocol"),
        (hang_up, "the server closed the connection|the connection broke"),
    ],
)
def test_why_none_comes_is_said_without_a_secret(serve: Serve, words: str) -> None:
    async def scenario(source: RtmpSource) -> None:
        with pytest.raises(SourceError, match=words) as raised:
            await source.open()
        assert "s3cr3t" not in str(raised.value)

    served(serve, scenario)


def test_where_nobody_listens_there_is_no_connection() -> None:
    async def main() -> None:
        source = RtmpSource("rtmp://127.0.0.1:1/live/cam")
        with pytest.raises(SourceError, match="no connection: "):
            await source.open()
        await source.close()

    asyncio.run(main())
