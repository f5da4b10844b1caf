"""Keys from bytes, in any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.commands.terminal.keyboard import MAX_SEQUENCE, Keyboard

CASES = [
    (b"q", ["q"]),
    (b"jk/", ["j", "k", "/"]),
    ("é漢".encode(), ["é", "漢"]),
    (b"\x1b[A", ["up"]),  # a terminal in normal mode
    (b"\x1bOA", ["up"]),  # in application mode
    (b"\x1b[B\x1b[5~\x1b[6~", ["down", "page up", "page down"]),
    (b"\x1b[H\x1b[F", ["home", "end"]),  # xterm
    (b"\x1b[1~\x1b[4~", ["home", "end"]),  # the Linux console, tmux, screen
    (b"\x1b[7~\x1b[8~", ["home", "end"]),  # rxvt
    (b"\r\n\x7f\b\x03", ["enter", "enter", "backspace", "backspace", "ctrl-c"]),
    (b"\x02\x06", ["page up", "page down"]),
    (b"\x1b[1;5A", []),  # Ctrl and an arrow
    (b"\x1b[200~q\x1b[201~", ["q"]),  # pasted
    (b"\x1b[<0;10;10M", []),  # a mouse
    (b"\x1bx", []),  # Alt
    (b"\x1b\x1b[A", ["escape", "up"]),
    (b"\x00\x01\x1c", []),
    (b"\xff\xfeq", ["q"]),
    (b"\x1b[" + b"5" * MAX_SEQUENCE + b"5~q", ["q"]),
]


@pytest.mark.parametrize(("data", "keys"), CASES)
def test_keys_come_out_whole_and_byte_by_byte(data: bytes, keys: list[str]) -> None:
    assert Keyboard().feed(data) == keys
    board = Keyboard()
    assert [key for byte in data for key in board.feed(bytes([byte]))] == keys


def test_an_escape_alone_is_a_key_when_nothing_follows() -> None:
    board = Keyboard()
    assert board.feed(b"\x1b") == []
    assert board.is_waiting
    assert board.flush() == ["escape"]
    assert not board.is_waiting
    assert board.feed(b"\x1b[") == []
    assert board.flush() == []
    assert board.feed(b"A") == ["A"]


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_any_bytes_give_keys_and_nothing_else(pieces: list[bytes]) -> None:
    board = Keyboard()
    for piece in pieces:
        for key in board.feed(piece):
            assert key.isprintable()
    board.flush()
    assert board.feed(b"\x1b[A") == ["up"]
