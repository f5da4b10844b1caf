"""The capture file, both ways: what it holds, what is refused, at any cut."""

import zlib
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.capture import capture_file
from common.capture.capture_file import (
    MAGIC,
    CapturedMessage,
    CapturedRead,
    CaptureInfo,
    CaptureReader,
    encode,
    read_whole,
)
from common.errors import CaptureError

INFO = CaptureInfo("live", "3fa2c1d0", "asked for", 1.5, True, False, "FMLE/3.0", "record")
PARTS = st.lists(st.one_of(st.binary(max_size=20), st.integers(0, 1000)), max_size=5).map(tuple)
MESSAGES = st.builds(CapturedMessage, st.sampled_from((8, 9, 18)), st.integers(0, 2**32 - 1), PARTS)
READS = [
    CapturedRead(0, (CapturedMessage(9, 0, (b"\x17\x00", 3)), CapturedMessage(8, 0, (b"\xaf",)))),
    CapturedRead(33_000, (CapturedMessage(9, 2**32 - 1, (b"\x27\x01", 5, b"\x41")),), 4096),
    CapturedRead(40_000, (), 0),
]


def capture_of(*values: Any) -> bytes:
    return MAGIC + zlib.compress(b"".join(map(msgpack.packb, values)))


INFO_MAP = {"app": "live", "key_hash": "3f", "reason": "a test"}


@given(st.lists(st.tuples(st.integers(0, 10**7), st.lists(MESSAGES, max_size=4)), max_size=6))
def test_what_goes_in_comes_out(given_reads) -> None:
    reads = [CapturedRead(at, tuple(messages)) for at, messages in sorted(given_reads, key=str)]
    reads.sort(key=lambda read: read.at_us)
    info, found = read_whole(encode(INFO, reads))
    assert info == INFO
    assert [read.at_us for read in found] == [read.at_us for read in reads]
    payloads = [[m.payload() for m in read.messages] for read in found]
    assert payloads == [[m.payload() for m in read.messages] for read in reads]


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_it_may_be_read_in_any_pieces(step: int) -> None:
    data = b"".join(encode(INFO, READS))
    pieces = (data[at : at + step] for at in range(0, len(data), step))
    assert read_whole(pieces) == (INFO, tuple(READS))


def test_a_file_that_was_cut_off_anywhere_is_refused() -> None:
    data = b"".join(encode(INFO, READS))
    for end in range(len(data)):
        with pytest.raises(CaptureError):
            read_whole([data[:end]])


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_refused_in_words(data: bytes, is_packed: bool) -> None:
    with suppress(CaptureError):
        read_whole([MAGIC + zlib.compress(data) if is_packed else MAGIC + data])


BAD = {
    "another file": b"FLV\x01" + bytes(20),
    "nothing": b"",
    "no zlib": MAGIC + b"hello, world",
    "something behind": capture_of(INFO_MAP) + b"x",
    "no info": capture_of(),
    "a list for the info": capture_of([1, 2]),
    "a key that is a number": capture_of({**INFO_MAP, "app": 3}),
    "an app that is missing": capture_of({"key_hash": "", "reason": ""}),
    "a date that is none": capture_of({**INFO_MAP, "created_unix": float("nan")}),
    "a date in no calendar": capture_of({**INFO_MAP, "created_unix": 1e30}),
    "a time that steps back": capture_of(INFO_MAP, [5, []], [4, []]),
    "a day and more": capture_of(INFO_MAP, [10**12, []]),
    "less than nothing unread": capture_of(INFO_MAP, [0, [], -1]),
    "a text unread": capture_of(INFO_MAP, [0, [], "much"]),
    "a read of four": capture_of(INFO_MAP, [0, [], 1, 2]),
    "a read without a list": capture_of(INFO_MAP, [5, 6]),
    "a message of another type": capture_of(INFO_MAP, [0, [[20, 0, b""]]]),
    "a timestamp of 33 bits": capture_of(INFO_MAP, [0, [[9, 2**32, b""]]]),
    "a part that is a text": capture_of(INFO_MAP, [0, [[9, 0, ["a"]]]]),
    "a part that is a truth value": capture_of(INFO_MAP, [0, [[9, 0, [True]]]]),
    "a count below zero": capture_of(INFO_MAP, [0, [[9, 0, [-1]]]]),
    "a huge count": capture_of(INFO_MAP, [0, [[9, 0, [2**40]]]]),
    "many large counts": capture_of(INFO_MAP, *([0, [[9, 0, [2**26]]]] for _ in range(20))),
    "half a value": MAGIC + zlib.compress(msgpack.packb(INFO_MAP) + b"\x92"),
    "a length that is a lie": MAGIC
    + zlib.compress(msgpack.packb(INFO_MAP) + b"\xdd\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_is_no_capture_is_refused(data: bytes) -> None:
    with pytest.raises(CaptureError):
        read_whole([data])


def test_it_is_never_taken_in_whole_that_inflates_to_more_than_a_capture_holds(monkeypatch) -> None:
    monkeypatch.setattr(capture_file, "MAX_CAPTURE_BYTES", 1000)
    reads = ([0, [[9, 0, b""]]] for _ in range(1000))
    with pytest.raises(CaptureError, match="larger"):
        read_whole([capture_of(INFO_MAP, *reads)])


def test_the_info_is_there_before_the_reads_are() -> None:
    reader = CaptureReader([capture_of(INFO_MAP, "no read")])
    assert reader.info.app == "live"
    with pytest.raises(CaptureError):
        next(iter(reader))


def test_an_info_of_a_later_version_may_say_more() -> None:
    info, _ = read_whole([capture_of({**INFO_MAP, "mood": "good"})])
    assert info.reason == "a test"
