"""Fuzzing targets: handshake, chunk stream, AMF0, messages."""

from collections.abc import Iterator
from contextlib import suppress

from common.errors import (
    Amf0Error,
    ChunkError,
    HandshakeError,
)
from common.flv import amf0
from common.rtmp.chunks import (
    MAX_CHUNK_STREAM_ID,
    ChunkLimits,
    ChunkReader,
    Message,
    encode_delta,
    encode_message,
)
from common.rtmp.handshake import PACKET_SIZE, ClientHandshake, ServerHandshake
from common.rtmp.messages import (
    MessageType,
    parse_command,
    parse_user_control,
    split_aggregate,
)
from tests.fuzz.recipes import Recipe, cuts, outcome, zeros


def handshake(data: bytes) -> None:
    """Both sides, and the same reply and rest however the bytes are cut."""
    recipe = Recipe(data)
    how, is_client = recipe.number(1), recipe.number(1) & 1
    wire = recipe.rest()

    def run(how: int) -> tuple[bytes, bytes] | str:
        side = ClientHandshake(zeros) if is_client else ServerHandshake(zeros)
        reply, after = b"", b""
        try:
            for piece in cuts(wire, how):
                if side.done:
                    after += piece
                else:
                    reply += side.receive_data(piece)
        except HandshakeError:
            return "error"
        assert side.done == (len(wire) > 2 * PACKET_SIZE)
        assert len(reply) in (0, PACKET_SIZE, 1 + 2 * PACKET_SIZE)
        return reply, side.trailing + after

    assert run(0) == run(how)


def read_messages(reader: ChunkReader, data: bytes, how: int) -> Iterator[Message]:
    """Every message of a chunk stream in pieces; ChunkError as it comes."""
    for piece in cuts(data, how):
        reader.feed(piece)
        while (message := reader.next_message()) is not None:
            yield message


def chunks(data: bytes) -> None:
    """The same messages, or the same end, whole, in pieces, and carried over between pieces."""
    recipe = Recipe(data)
    how = recipe.number(1)
    wire = recipe.rest()

    def carried_over() -> Iterator[Message]:
        reader = ChunkReader()
        for piece in cuts(wire, how):
            reader = ChunkReader.restore(reader.state())
            reader.feed(piece)
            while (message := reader.next_message()) is not None:
                yield message

    whole = outcome(lambda: read_messages(ChunkReader(), wire, 0), ChunkError)
    assert whole == outcome(lambda: read_messages(ChunkReader(), wire, how), ChunkError)
    assert whole == outcome(carried_over, ChunkError)
    limits = ChunkLimits(max_message_bytes=64, max_partial_bytes=100, max_chunk_streams=3)
    few, _ = outcome(lambda: read_messages(ChunkReader(limits), wire, how), ChunkError)
    assert few == whole[0][: len(few)]


def chunk_writing(data: bytes) -> None:
    """What is written is read again, type 0 and type 1 headers mixed on several chunk streams."""
    recipe = Recipe(data)
    how, size = recipe.number(1), recipe.number(2) + 1
    wire = encode_message(2, MessageType.SET_CHUNK_SIZE, 0, 0, size.to_bytes(4, "big"), 128)
    wanted: list[Message] = []
    last: dict[int, Message] = {}
    while recipe and len(wanted) < 64:
        chunk_stream_id = 3 + recipe.number(2) % (MAX_CHUNK_STREAM_ID - 2)
        type_id, time = 3 + recipe.number(1) % 20, recipe.number(4)
        payload = recipe.take(recipe.number(1)) * (1 + recipe.number(1) % 4)
        before = last.get(chunk_stream_id)
        if before is None or time % 2:
            stream_id = recipe.number(4)
            wire += encode_message(chunk_stream_id, type_id, time, stream_id, payload, size)
        else:
            stream_id = before.message_stream_id
            wire += encode_delta(chunk_stream_id, type_id, time, payload, size)
            time = (before.timestamp + time) & 0xFFFFFFFF
        message = Message(type_id, time, stream_id, chunk_stream_id, payload)
        last[chunk_stream_id] = message
        wanted.append(message)
    assert list(read_messages(ChunkReader(), wire, how)) == wanted


def amf0_values(data: bytes) -> None:
    """Values, and the same bytes again once they were written."""
    amf0.leading_string(data)
    try:
        written = amf0.encode(*amf0.decode_all(data))
    except Amf0Error:
        return
    assert amf0.encode(*amf0.decode_all(written)) == written


def messages(data: bytes) -> None:
    """Commands, aggregates and user control events out of message bodies."""
    recipe = Recipe(data)
    message = Message(recipe.number(1), recipe.number(4), 1, 3, recipe.rest())
    parse_user_control(message.payload)
    with suppress(Amf0Error):
        command = parse_command(message)
        command.text(0), command.number(1, 0.0), command.flag(2, True)
    with suppress(ChunkError):
        parts = split_aggregate(message)
        assert sum(len(part.payload) + 11 for part in parts) <= len(message.payload)
