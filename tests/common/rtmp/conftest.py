"""Ways to cut input up, and a server session past its handshake, for the RTMP tests."""

import random
from collections.abc import Callable, Iterator

import pytest

from common.flv.amf0 import Value
from common.rtmp.chunks import encode_message
from common.rtmp.events import ConnectRequested, PlayRequested, PublishRequested
from common.rtmp.messages import MessageType, encode_command
from common.rtmp.session import ServerSession, SessionConfig

Pieces = list[bytes]


def _splits(data: bytes) -> Iterator[Pieces]:
    yield [data]
    if len(data) <= 4000:
        yield [data[i : i + 1] for i in range(len(data))]
    rng = random.Random(len(data))
    for _ in range(6):
        cuts = sorted(rng.sample(range(len(data) + 1), min(5, len(data))))
        yield [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    if len(data) <= 400:
        for cut in range(1, len(data)):
            yield [data[:cut], data[cut:]]


@pytest.fixture(scope="session")
def splits() -> Callable[[bytes], Iterator[Pieces]]:
    """The data whole, byte by byte, cut at random places, and (if short) cut at every place."""
    return _splits


def _connected(
    config: SessionConfig | None = None,
    *,
    chunk_size: int = 4096,
    streams: int = 1,
    enhanced: dict[str, Value] | None = None,
) -> ServerSession:
    """A session after handshake, Set Chunk Size, connect and createStream; nothing to send."""
    session = ServerSession(config or SessionConfig())
    session.receive_data(bytes((3,)) + bytes(2 * 1536), 0.0)
    session.receive_data(
        encode_message(2, MessageType.SET_CHUNK_SIZE, 0, 0, chunk_size.to_bytes(4, "big"), 128), 0.0
    )
    connect: dict[str, Value] = {"app": "live", "tcUrl": "rtmp://host/live", "flashVer": "test"}
    connect |= enhanced or {}
    session.receive_data(encode_command(3, 0, chunk_size, "connect", 1.0, connect), 0.0)
    (event,) = session.events_received()
    assert isinstance(event, ConnectRequested | PublishRequested | PlayRequested)
    session.accept(event.request_id)
    for number in range(streams):
        session.receive_data(
            encode_command(3, 0, chunk_size, "createStream", 2.0 + number, None), 0.0
        )
    session.data_to_send()
    return session


def _publishing(config: SessionConfig | None = None, *, chunk_size: int = 4096) -> ServerSession:
    """A session that publishes `key` on message stream 1."""
    session = _connected(config, chunk_size=chunk_size)
    session.receive_data(encode_command(8, 1, chunk_size, "publish", 5.0, None, "key", "live"), 0.0)
    (event,) = session.events_received()
    assert isinstance(event, ConnectRequested | PublishRequested | PlayRequested)
    session.accept(event.request_id)
    session.data_to_send()
    return session


@pytest.fixture(scope="session")
def connected() -> Callable[..., ServerSession]:
    """Makes connected sessions."""
    return _connected


@pytest.fixture(scope="session")
def publishing() -> Callable[..., ServerSession]:
    """Makes publishing sessions."""
    return _publishing
