"""ingest/srt/viewer.py: what comes of an egress goes on to a caller, as fast as it takes it."""

import asyncio
import functools
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import cast

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.ipc.view_answer import ViewAnswer, framed
from common.ipc.viewer_doors import ViewerDoors
from common.srt.library import SEND_BYTES, CallState, SrtError, SrtLibrary
from ingest.srt import viewer as viewers
from ingest.srt.stream_name import PlayWish
from ingest.srt.viewer import LOST, MIN_UNSENT, NO_EGRESS, SrtViewer

SOCK = 7
DENIED = Refusal(RefusalReason.DENIED, "no")


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on a loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(asyncio.wait_for(test(**fixtures), 20))

    return run


class Library:
    """A line that takes so much."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.unsent = 0
        self.state = CallState.CONNECTED
        self.is_full = False

    def send(self, sock: int, message: bytes) -> bool:
        if self.state is CallState.ENDED:
            raise SrtError("gone")
        if not self.is_full:
            self.sent.append(message)
        return not self.is_full

    def unsent_bytes(self, sock: int) -> int:
        return self.unsent

    def call_state(self, sock: int) -> CallState:
        return self.state


class Rig:
    def __init__(self) -> None:
        self.library = Library()
        self.answers: list[Refusal | None] = []
        self.ends: list[tuple[Refusal | None, str]] = []
        self.viewer = SrtViewer(
            cast("SrtLibrary", self.library),
            ViewerDoors("ts"),
            "192.0.2.1:5",
            "request:live/cam",
            PlayWish("live", "cam"),
            self.answers.append,
            lambda one, refusal, words: self.ends.append((refusal, words)),
        )

    @property
    def got(self) -> bytes:
        return b"".join(self.library.sent)


@pytest.fixture
def egress(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """The egress' ends of the connections."""
    ends: list[socket.socket] = []

    async def offer(theirs: socket.socket, data: bytes, addresses: Sequence[str]) -> Refusal | None:
        ends.append(theirs.dup())
        return None

    monkeypatch.setattr(viewers, "_offer", offer)
    yield ends
    for end in ends:
        end.close()


async def handed_over(rig: Rig, egress: list[socket.socket]) -> socket.socket:
    while not egress:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return egress[0]


@on_a_loop
async def test_media_go_on_in_messages_of_whole_packets(egress: list[socket.socket]) -> None:
    rig = Rig()
    end = await handed_over(rig, egress)
    stream = bytes(188) * 10
    end.send(framed(ViewAnswer()) + stream[:100])
    rig.viewer.turn()
    assert rig.answers == [None]
    assert not rig.got, "its handshake is not done"
    rig.viewer.start(SOCK)
    end.send(stream[100:])
    rig.viewer.turn()
    assert [len(message) for message in rig.library.sent] == [SEND_BYTES, 188 * 3]
    assert rig.got == stream
    end.close()
    rig.library.unsent = 1
    rig.viewer.turn()
    assert not rig.ends, "something is on its way"
    rig.library.unsent = 0
    rig.viewer.turn()
    assert rig.ends == [(None, "its egress has ended it")]


@on_a_loop
async def test_nothing_is_read_while_the_line_takes_no_more(egress: list[socket.socket]) -> None:
    rig = Rig()
    end = await handed_over(rig, egress)
    rig.viewer.start(SOCK)
    end.send(framed(ViewAnswer()))
    rig.viewer.turn()
    rig.library.unsent = MIN_UNSENT
    end.send(bytes(188))
    rig.viewer.turn()
    assert not rig.got
    rig.library.unsent, rig.library.is_full = 0, True
    rig.viewer.turn()
    rig.library.is_full = False
    rig.viewer.turn()
    assert rig.got == bytes(188), "nothing is lost, nothing comes twice"
    rig.viewer.leave("the server is stopping")


@on_a_loop
async def test_a_refusal_is_told_before_and_after_the_handshake(
    egress: list[socket.socket],
) -> None:
    rig = Rig()
    end = await handed_over(rig, egress)
    end.send(framed(ViewAnswer(DENIED)))
    rig.viewer.turn()
    assert rig.answers == [DENIED]
    assert rig.viewer.is_over
    assert not rig.ends
    rig.viewer.start(SOCK)
    assert rig.ends == [(DENIED, "no")]


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff\xff"])
@on_a_loop
async def test_an_egress_that_ends_or_lies_is_a_refusal(
    egress: list[socket.socket], data: bytes
) -> None:
    rig = Rig()
    end = await handed_over(rig, egress)
    rig.viewer.start(SOCK)
    end.send(data)
    end.close()
    rig.viewer.turn()
    assert [refusal for refusal, _ in rig.ends] == [LOST]


@on_a_loop
async def test_a_caller_that_is_gone_is_noticed(egress: list[socket.socket]) -> None:
    rig = Rig()
    end = await handed_over(rig, egress)
    rig.viewer.start(SOCK)
    rig.library.state = CallState.ENDED
    rig.viewer.look()
    assert [refusal for refusal, _ in rig.ends] == [None]
    assert end.recv(1) == b"", "its egress sees it"


@on_a_loop
async def test_without_an_egress_it_is_refused() -> None:
    rig = Rig()
    while not rig.answers:
        await asyncio.sleep(0)
    assert rig.answers == [NO_EGRESS]
