"""The chunk stream: one table of streams for reading (and writing where they are ours)."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ChunkError
from common.rtmp.chunks import (
    ChunkLimits,
    ChunkReader,
    Message,
    encode_delta,
    encode_message,
)


def read_all(pieces, reader=None):
    reader = reader or ChunkReader()
    messages = []
    for piece in pieces:
        reader.feed(piece)
        while (message := reader.next_message()) is not None:
            messages.append(message)
    return messages


def h(text: str) -> bytes:
    return bytes.fromhex(text)


def set_chunk_size(size: int) -> bytes:
    return encode_message(2, 1, 0, 0, size.to_bytes(4, "big"), 128)


P200 = bytes(i & 0xFF for i in range(200))
P307 = bytes(i * 3 & 0xFF for i in range(307))

# name, bytes, messages as (type, timestamp, message stream, chunk stream, payload)
CASES = [
    (
        "one message of type 0",
        h("04 000010 000003 08 01000000 aabbcc"),
        [(8, 16, 1, 4, h("aabbcc"))],
    ),
    (
        "type 1 and 2 add their deltas, type 3 adds the last again",
        h("04 0003e8 000001 08 01000000 aa")
        + h("44 000014 000002 09 bbbb")
        + h("84 000021 cccc")
        + h("c4 dddd"),
        [
            (8, 1000, 1, 4, h("aa")),
            (9, 1020, 1, 4, h("bbbb")),
            (9, 1053, 1, 4, h("cccc")),
            (9, 1086, 1, 4, h("dddd")),
        ],
    ),
    (
        # FMLE sends this: the second message is meant for 52.
        "type 3 after type 0 adds the absolute time",
        h("04 00001a 000001 08 01000000 aa c4 bb"),
        [(8, 26, 1, 4, h("aa")), (8, 52, 1, 4, h("bb"))],
    ),
    (
        "307 bytes in chunks of 128",
        h("05 0003e8 000133 09 01000000")
        + P307[:128] + h("c5") + P307[128:256] + h("c5") + P307[256:],
        [(9, 1000, 1, 5, P307)],
    ),
    (
        "a message of exactly two chunks",
        h("04 000000 000100 09 01000000") + P307[:128] + h("c4") + P307[128:256],
        [(9, 0, 1, 4, P307[:256])],
    ),
    (
        "messages without a body",
        h("04 000005 000000 08 01000000 c4 84 000001"),
        [(8, 5, 1, 4, b""), (8, 10, 1, 4, b""), (8, 11, 1, 4, b"")],
    ),
    (
        "chunk streams of two and three bytes",
        h("0000 000000 000001 08 01000000 aa")
        + h("00ff 000000 000001 08 01000000 bb")
        + h("010001 000000 000001 08 01000000 cc")
        + h("01ffff 000000 000001 08 01000000 dd")
        + h("c000 ee")
        + h("c10001 ff"),
        [
            (8, 0, 1, 64, h("aa")),
            (8, 0, 1, 319, h("bb")),
            (8, 0, 1, 320, h("cc")),
            (8, 0, 1, 65599, h("dd")),
            (8, 0, 1, 64, h("ee")),
            (8, 0, 1, 320, h("ff")),
        ],
    ),
    (
        "a long message on chunk stream 64",
        h("0000 000000 0000c8 09 01000000") + P200[:128] + h("c000") + P200[128:],
        [(9, 0, 1, 64, P200)],
    ),
    (
        "an id below 64 in the long form is the same chunk stream",
        h("0000 000000 000001 08 01000000 aa") + h("410000 000001 000001 08 bb"),
        [(8, 0, 1, 64, h("aa")), (8, 1, 1, 64, h("bb"))],
    ),
    (
        "interleaved messages",
        h("04 000000 0000c8 08 01000000") + P200[:128]
        + h("06 000001 000133 09 01000000") + P307[:128]
        + h("c4") + P200[128:]
        + h("c6") + P307[128:256] + h("c6") + P307[256:],
        [(8, 0, 1, 4, P200), (9, 1, 1, 6, P307)],
    ),
    (
        "a control message between the chunks of a message",
        h("06 000001 000133 09 01000000") + P307[:128]
        + h("02 000000 000004 03 00000000 00000010")
        + h("c6") + P307[128:256] + h("c6") + P307[256:],
        [(3, 0, 0, 2, h("00000010")), (9, 1, 1, 6, P307)],
    ),
    (
        "a chunk size set in the middle of a message holds for the rest of it",
        h("06 000001 000133 09 01000000") + P307[:128]
        + h("02 000000 000004 01 00000000 00001000")
        + h("c6") + P307[128:],
        [(9, 1, 1, 6, P307)],
    ),
    (
        "a chunk size on another chunk stream and message stream",
        h("05 000000 000004 01 07000000 0000000a")
        + h("04 000000 00000c 08 01000000") + P200[:10] + h("c4") + P200[10:12],
        [(8, 0, 1, 4, P200[:12])],
    ),
    (
        "an abort drops the message under way",
        h("04 000000 0000c8 08 01000000") + P200[:128]
        + h("02 000000 000004 02 00000000 00000004")
        + h("04 000007 000001 08 01000000 aa"),
        [(8, 7, 1, 4, h("aa"))],
    ),
    (
        "an abort of nothing",
        h("02 000000 000004 02 00000000 00000009"),
        [],
    ),
    (
        "an extended timestamp, repeated on the continuation",
        h("04 ffffff 0000c8 09 01000000 01000000") + P200[:128]
        + h("c4 01000000") + P200[128:],
        [(9, 0x01000000, 1, 4, P200)],
    ),
    (
        "an extended timestamp, not repeated (old librtmp)",
        h("04 ffffff 0000c8 09 01000000 01000000") + P200[:128] + h("c4") + P200[128:],
        [(9, 0x01000000, 1, 4, P200)],
    ),
    (
        "an extended timestamp, not repeated, with less than four bytes to come",
        h("04 ffffff 000082 09 01000000 01000000") + P200[:128] + h("c4") + P200[128:130],
        [(9, 0x01000000, 1, 4, P200[:130])],
    ),
    (
        "once left out, bytes that equal it are payload",
        h("04 ffffff 0000c8 09 01000000 01000000") + P200[:128] + h("c4") + P200[128:]
        + h("06 ffffff 0000c8 08 01000000 01000002") + P200[:128]
        + h("c6") + h("01000002") + P200[132:],
        [
            (9, 0x01000000, 1, 4, P200),
            (8, 0x01000002, 1, 6, P200[:128] + h("01000002") + P200[132:]),
        ],
    ),
    (
        "once left out, less than four bytes that begin as it does are not waited for",
        h("04 ffffff 0000c8 09 01000000 01000000") + P200[:128] + h("c4") + P200[128:]
        + h("04 ffffff 000082 09 01000000 01000100") + P200[:128] + h("c4 0100"),
        [(9, 0x01000000, 1, 4, P200), (9, 0x01000100, 1, 4, P200[:128] + h("0100"))],
    ),
    (
        "once left out, type 3 that starts a message has none, and the same time",
        h("04 ffffff 0000c8 09 01000000 01000000") + P200[:128] + h("c4") + P200[128:]
        + h("c4") + P200[:128] + h("c4") + P200[128:]
        + h("44 000014 000001 09 aa"),
        [
            (9, 0x01000000, 1, 4, P200),
            (9, 0x01000000, 1, 4, P200),
            (9, 0x01000014, 1, 4, h("aa")),
        ],
    ),
    (
        "once repeated, it is looked for on every continuation",
        h("04 ffffff 0000c8 09 01000000 01000000") + P200[:128] + h("c4 01000000") + P200[128:]
        + h("04 ffffff 0000c8 09 01000000 01000014") + P200[:128] + h("c4") + P200[128:]
        + h("04 ffffff 0000c8 09 01000000 01000028") + P200[:128] + h("c4 01000028") + P200[128:],
        [
            (9, 0x01000000, 1, 4, P200),
            (9, 0x01000014, 1, 4, P200),
            (9, 0x01000028, 1, 4, P200),
        ],
    ),
    (
        "an extended timestamp of exactly 0xffffff",
        h("04 ffffff 000001 09 01000000 00ffffff aa"),
        [(9, 0xFFFFFF, 1, 4, h("aa"))],
    ),
    (
        "an extended delta on type 1, repeated as the raw field",
        h("04 000064 000001 09 01000000 aa")
        + h("44 ffffff 0000c8 09 01000001") + P200[:128] + h("c4 01000001") + P200[128:],
        [(9, 100, 1, 4, h("aa")), (9, 0x01000001 + 100, 1, 4, P200)],
    ),
    (
        "type 3 that starts a message always carries the extended field",
        h("04 000064 000001 09 01000000 aa")
        + h("44 ffffff 000001 09 01000000 bb")
        + h("c4 01000000 cc"),
        [
            (9, 100, 1, 4, h("aa")),
            (9, 0x01000064, 1, 4, h("bb")),
            (9, 0x02000064, 1, 4, h("cc")),
        ],
    ),
    (
        "a short delta ends the extended fields",
        h("04 ffffff 000001 09 01000000 01000000 aa") + h("84 000001 bb") + h("c4 cc"),
        [
            (9, 0x01000000, 1, 4, h("aa")),
            (9, 0x01000001, 1, 4, h("bb")),
            (9, 0x01000002, 1, 4, h("cc")),
        ],
    ),
    (
        # librtmp with audio and video on one chunk stream; ossrs/srs#2808.
        "a step back is a delta modulo 2**32",
        h("04 001388 000001 09 01000000 aa") + h("44 ffffff 000001 08 ffffffec bb"),
        [(9, 5000, 1, 4, h("aa")), (8, 4980, 1, 4, h("bb"))],
    ),
    (
        "time wraps at 2**32",
        h("04 ffffff 000001 09 01000000 fffffff6 aa") + h("44 000014 000001 09 bb"),
        [(9, 0xFFFFFFF6, 1, 4, h("aa")), (9, 10, 1, 4, h("bb"))],
    ),
    (
        "type 1 first on a chunk stream (librtmp's ping reply)",
        h("42 000000 000006 04 0007 00000001"),
        [(4, 0, 0, 2, h("0007 00000001"))],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_chunks_are_read_at_every_split(raw, wanted, splits):
    for pieces in splits(raw):
        assert read_all(pieces) == [Message(*fields) for fields in wanted], pieces


@pytest.mark.parametrize("raw", [c[1] for c in CASES], ids=[c[0] for c in CASES])
def test_a_reader_carried_over_at_any_byte_goes_on(raw):
    wanted = read_all([raw])
    for cut in range(0, len(raw), 1 if len(raw) < 100 else 7):
        reader = ChunkReader()
        before = read_all([raw[:cut]], reader)
        assert before + read_all([raw[cut:]], ChunkReader.restore(reader.state())) == wanted


def test_unparsed_input_is_carried_over_too():
    reader = ChunkReader()
    raw = h("04 000010 000003 08 01000000 aabbcc")
    reader.feed(raw * 3)
    assert reader.next_message() is not None
    assert reader.unread_bytes == 2 * len(raw)
    assert len(read_all([b""], ChunkReader.restore(reader.state()))) == 2


BAD = {
    "type 2 first": h("84 000001"),
    "type 3 first": h("c4"),
    "type 3 first on a long id": h("c000"),
    "type 0 inside a message": h("04 000000 0000c8 08 01000000") + P200[:128] + h("04"),
    "type 1 inside a message": h("04 000000 0000c8 08 01000000") + P200[:128] + h("44"),
    "type 2 inside a message": h("04 000000 0000c8 08 01000000") + P200[:128] + h("84"),
    "chunk size 0": h("02 000000 000004 01 00000000 00000000"),
    "chunk size with the top bit": h("02 000000 000004 01 00000000 80000000"),
    "chunk size of two bytes": h("02 000000 000002 01 00000000 0000"),
    "an abort of one byte": h("02 000000 000001 02 00000000 09"),
    "a message of 16 MB": h("04 000000 ffffff 09 01000000"),
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_broken_streams_are_chunk_errors(raw, splits):
    for pieces in splits(raw):
        with pytest.raises(ChunkError):
            read_all(pieces)


@pytest.mark.parametrize("size", [1, 2, 127, 65536, 0xFFFFFF, 0x7FFFFFFF])
def test_every_legal_chunk_size_is_taken(size):
    raw = set_chunk_size(size) + encode_message(4, 9, 5, 1, P307, min(size, 0xFFFFFF))
    for pieces in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        assert read_all(pieces) == [Message(9, 5, 1, 4, P307)]


def test_nothing_is_held_for_a_declared_length():
    reader = ChunkReader(ChunkLimits(max_message_bytes=0xFFFFFF))
    read_all([h("04 000000 ffffff 09 01000000") + bytes(10)], reader)
    (stream,) = reader.state().streams
    assert stream.partial == bytes(10)


def test_unfinished_messages_are_limited_together():
    reader = ChunkReader(ChunkLimits(max_partial_bytes=1000))
    raw = b"".join(bytes((i,)) + h("000000 001000 09 01000000") + bytes(128) for i in range(3, 20))
    with pytest.raises(ChunkError, match="1000"):
        read_all([raw], reader)


def test_finished_and_aborted_messages_no_longer_count():
    reader = ChunkReader(ChunkLimits(max_partial_bytes=150))
    for _ in range(10):
        read_all([h("04 000000 000096 09 01000000") + bytes(128)], reader)
        read_all([h("c4") + bytes(22)], reader)
        read_all([h("05 000000 001000 09 01000000") + bytes(128)], reader)
        read_all([h("02 000000 000004 02 00000000 00000005")], reader)


def test_ten_thousand_chunk_streams_are_refused():
    reader = ChunkReader()
    raw = b"".join(encode_message(i, 8, 0, 1, b"", 128) for i in range(64, 10_064))
    with pytest.raises(ChunkError, match="256 chunk streams"):
        read_all([raw], reader)
    assert len(reader.state().streams) == 256


def test_limits_can_change_between_messages():
    reader = ChunkReader(ChunkLimits(max_message_bytes=10))
    reader.limits = ChunkLimits(max_message_bytes=300)
    assert len(read_all([encode_message(4, 9, 0, 1, P200, 128)], reader)) == 1


WRITTEN = [
    (encode_message(3, 20, 0, 0, b"\x05", 128), "03 000000 000001 14 00000000 05"),
    (encode_message(64, 8, 0, 1, b"", 128), "0000 000000 000000 08 01000000"),
    (encode_message(319, 8, 0, 1, b"", 128), "00ff 000000 000000 08 01000000"),
    (encode_message(320, 8, 0, 1, b"", 128), "010001 000000 000000 08 01000000"),
    (encode_message(65599, 8, 0, 1, b"", 128), "01ffff 000000 000000 08 01000000"),
    (encode_message(4, 8, 0xFFFFFE, 1, b"a", 128), "04 fffffe 000001 08 01000000 61"),
    (encode_message(4, 8, 0xFFFFFF, 1, b"a", 128), "04 ffffff 000001 08 01000000 00ffffff 61"),
    (encode_message(4, 8, 1 << 32, 1, b"a", 128), "04 000000 000001 08 01000000 61"),
    (
        encode_message(4, 8, 0x01000000, 0x0102, b"abc", 2),
        "04 ffffff 000003 08 02010000 01000000 6162 c4 01000000 63",
    ),
    (encode_message(64, 8, 0, 1, b"abc", 2), "0000 000000 000003 08 01000000 6162 c000 63"),
    (encode_delta(4, 9, 33, b"ab", 128), "44 000021 000002 09 6162"),
    (encode_delta(4, 9, -20, b"abc", 2), "44 ffffff 000003 09 ffffffec 6162 c4 ffffffec 63"),
    (encode_delta(7, 8, 0xFFFFFF, b"", 128), "47 ffffff 000000 08 00ffffff"),
]


@pytest.mark.parametrize(("raw", "wanted"), WRITTEN)
def test_chunks_are_written(raw, wanted):
    assert raw == h(wanted)


@pytest.mark.parametrize(
    ("size", "chunks"), [(0, 1), (1, 1), (128, 1), (129, 2), (256, 2), (257, 3)]
)
def test_a_message_is_cut_into_as_few_chunks_as_possible(size, chunks):
    raw = encode_message(4, 9, 0, 1, bytes(size), 128)
    assert len(raw) == 11 + chunks + size


def test_what_no_header_can_say_is_refused():
    with pytest.raises(ValueError, match="chunk stream id 1"):
        encode_message(1, 8, 0, 1, b"", 128)
    with pytest.raises(ValueError, match="chunk stream id 65600"):
        encode_delta(65600, 8, 0, b"", 128)
    with pytest.raises(ValueError, match="24 bits"):
        encode_message(4, 9, 0, 1, bytes(1 << 24), 128)


one_message = st.tuples(
    st.sampled_from([3, 4, 63, 64, 320]),
    st.sampled_from([8, 9, 18, 20]),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=300),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(one_message, max_size=6), st.integers(1, 310), st.randoms(use_true_random=False))
def test_whatever_is_written_is_read_again(messages, chunk_size, rng):
    raw = set_chunk_size(chunk_size)
    for chunk_stream_id, type_id, timestamp, stream_id, payload in messages:
        raw += encode_message(chunk_stream_id, type_id, timestamp, stream_id, payload, chunk_size)
    cuts = sorted(rng.randrange(len(raw) + 1) for _ in range(4))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    wanted = [Message(t, ts, sid, csid, p) for csid, t, ts, sid, p in messages]
    assert read_all(pieces) == wanted


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([c[1] for c in CASES]), max_size=6))
def test_any_bytes_give_messages_or_a_chunk_error(pieces):
    with contextlib.suppress(ChunkError):
        read_all(pieces)


def test_messages_begun_and_aborted_over_and_over_cost_linear_time() -> None:
    """Each seems to lie whole in the input, as far as its length says."""
    length = 1 << 18
    begin = h("04 000000") + length.to_bytes(3, "big") + h("09 01000000 00")
    abort = b"\xc2".join([h("02 000000 000004 02 00000000 00"), b"\x00", b"\x00", b"\x04"])
    never_whole = begin + b"\xc4\x00" * (length - 2)
    began = time.process_time()
    raw = set_chunk_size(1) + (begin + abort) * 16_384 + never_whole
    assert read_all([raw]) == []
    assert time.process_time() - began < 2.0  # looking ahead to the end each time: above 5 s


def test_tiny_pieces_that_nobody_parses_cost_linear_time() -> None:
    """As behind a play request, whose answer may take a while."""
    message = encode_message(4, 9, 7, 1, bytes(600_000), 128)
    reader = ChunkReader()
    began = time.process_time()
    for at in range(len(message)):
        reader.feed(message[at : at + 1])
    assert time.process_time() - began < 2.0  # joined at each feed: above 5 s
    assert reader.unread_bytes == len(message)
    assert reader.state().unread == message
    assert reader.next_message() == Message(9, 7, 1, 4, bytes(600_000))
    assert reader.unread_bytes == 0
