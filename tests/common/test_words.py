"""Words for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.words import counted, duration, printable, time_left


@pytest.mark.parametrize(
    ("count", "noun", "verb", "words"),
    [
        (0, "stream", "", "0 streams"),
        (1, "stream", "", "1 stream"),
        (2, "stream", "", "2 streams"),
        (1, "stream", "is left", "1 stream is left"),
        (2, "stream", "is left", "2 streams are left"),
        (1, "stream", "moves", "1 stream moves"),
        (3, "stream", "moves", "3 streams move"),
        (1, "process", "streams", "1 process streams"),
        (2, "process", "streams", "2 processes stream"),
        (1, "publisher", "has left", "1 publisher has left"),
        (0, "publisher", "has left", "0 publishers have left"),
        (2, "publisher", "was refused", "2 publishers were refused"),
    ],
)
def test_counts_have_the_right_plural(count: int, noun: str, verb: str, words: str) -> None:
    assert counted(count, noun, verb) == words


def test_durations_for_people() -> None:
    cases = [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (4000, "1 h 6 min"), (100_000, "1 d 3 h")]
    assert [duration(seconds) for seconds, _ in cases] == [words for _, words in cases]


def test_what_is_left_is_rounded_up() -> None:
    cases = [(0.0, "1 s"), (1.2, "2 s"), (59.5, "1 min"), (61.0, "2 min"), (298.0, "5 min")]
    assert [time_left(seconds) for seconds, _ in cases] == [words for _, words in cases]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("live/cam1", "live/cam1"),
        ("two\nlines", "two\nlines"),
        ("Kamera Süd 🎥", "Kamera Süd 🎥"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("\r\t\0\x7f", r"\r\t\x00\x7f"),
        ("\x9b31m", r"\x9b31m"),  # C1: CSI in one byte
        ("\u202elive", r"\u202elive"),  # what follows would read from right to left
        ("\u2028", r"\u2028"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_would_steer_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_nothing_printed_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert all(character == "\n" or character.isprintable() for character in shown)
    assert printable(shown) == shown
