"""common/srt/library.py: a caller and a listener of the same library, over loopback."""

import socket
from collections.abc import Iterator

import pytest

from common.srt import installed
from common.srt import library as library_module
from common.srt.library import SEND_BYTES, Call, CallState, SrtError, SrtLibrary
from common.srt.reject_codes import NOT_FOUND
from tests.kit.waiting import until

pytestmark = pytest.mark.skipif(not installed.is_there(), reason="libsrt is not installed")

HERE = ("127.0.0.1", 0)


@pytest.fixture
def library() -> Iterator[SrtLibrary]:
    made = SrtLibrary()
    yield made
    made.close()


def test_what_a_caller_sends_is_received_and_the_other_way(library: SrtLibrary) -> None:
    heard: list[str] = []

    def let_in(new: int, version: int, peer: tuple[str, int], streamid: str) -> int:
        heard.append(streamid)
        return 0

    listener, address = library.listen(HERE, 20, let_in)
    caller = library.call(address, Call("publish:live/a", latency_ms=20))
    until(lambda: library.call_state(caller) is CallState.CONNECTED)
    accepted = library.accept(listener)
    assert accepted is not None
    here = accepted[0]
    assert heard == ["publish:live/a"]
    message = bytes(range(188)) * 7
    assert library.send(caller, message)
    assert library.send(here, message[:188])
    received: dict[int, bytes] = {caller: b"", here: b""}

    def have_come() -> bool:
        for sock in received:
            received[sock] += b"".join(library.receive(sock) or [])
        return len(received[here]) == SEND_BYTES and len(received[caller]) == 188

    until(have_come)
    assert received == {here: message, caller: message[:188]}
    until(lambda: library.unsent_bytes(caller) == 0)
    figures = library.figures(caller)
    assert figures is not None
    assert figures.sent >= 1
    library.close_socket(here)
    until(lambda: library.call_state(caller) is CallState.ENDED)
    with pytest.raises(SrtError):
        library.send(caller, message)
    library.close_socket(caller)
    library.close_socket(listener)


def test_a_caller_hears_why_it_is_refused(library: SrtLibrary) -> None:
    listener, address = library.listen(HERE, 20, lambda *_: NOT_FOUND)
    caller = library.call(address, Call("x", latency_ms=20))
    until(lambda: library.call_state(caller) is CallState.ENDED)
    assert "PREDEFINED:404" in library.why_refused(caller)
    library.close_socket(caller)
    library.close_socket(listener)


def test_a_call_that_nobody_answers_ends(library: SrtLibrary) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(HERE)
        caller = library.call(silent.getsockname(), Call(timeout_ms=100))
        until(lambda: library.call_state(caller) is CallState.ENDED)
        assert library.why_refused(caller)
        library.close_socket(caller)


def test_what_the_library_does_not_take_is_an_error(library: SrtLibrary) -> None:
    with pytest.raises(SrtError):
        library.call(("127.0.0.1", 9), Call(passphrase="short"))


def test_a_caller_that_is_gone_by_now_costs_no_other_one_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found by `make attacks`: its error ended a turn of the process, with a traceback."""
    made, closed, waiting = object.__new__(SrtLibrary), list[int](), [8, 7]

    class Library:
        def srt_accept(self, *_: object) -> int:
            return waiting.pop() if waiting else -1

    def set_in_vain(sock: int, *_: int) -> None:
        if sock == 7:
            raise SrtError("Connection was broken")

    made._lib = Library()
    monkeypatch.setattr(made, "_set", set_in_vain)
    monkeypatch.setattr(made, "close_socket", closed.append)
    monkeypatch.setattr(library_module, "_address", lambda data: HERE)
    assert made.accept(1) == (8, HERE)
    assert made.accept(1) is None
    assert closed == [7]
