"""Messages: control bytes as known from the wire, commands, aggregates."""

import pytest

from common.errors import Amf0Error, ChunkError
from common.flv import amf0
from common.rtmp.chunks import Message
from common.rtmp.messages import (
    Command,
    MessageType,
    UserControl,
    acknowledgement,
    encode_command,
    parse_command,
    parse_user_control,
    set_chunk_size,
    set_peer_bandwidth,
    split_aggregate,
    status_info,
    user_control,
    window_ack_size,
)

CONTROL = [
    (window_ack_size(2_500_000), "02 000000 000004 05 00000000 002625a0"),
    (set_peer_bandwidth(2_500_000), "02 000000 000005 06 00000000 002625a0 02"),
    (set_chunk_size(4096), "02 000000 000004 01 00000000 00001000"),
    (acknowledgement(1_250_000), "02 000000 000004 03 00000000 001312d0"),
    (acknowledgement((1 << 32) + 5), "02 000000 000004 03 00000000 00000005"),
    (
        user_control(UserControl.STREAM_BEGIN, 1),
        "02 000000 000006 04 00000000 0000 00000001",
    ),
    (
        user_control(UserControl.SET_BUFFER_LENGTH, 1, 3000),
        "02 000000 00000a 04 00000000 0003 00000001 00000bb8",
    ),
]


@pytest.mark.parametrize(("raw", "wanted"), CONTROL)
def test_control_messages_have_the_known_bytes(raw, wanted):
    assert raw == bytes.fromhex(wanted)


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        ("0006 00000001", (6, 1)),
        ("0003 00000001 00000bb8", (3, 1)),
        ("001a 05", (26, None)),
        ("00", None),
        ("", None),
    ],
)
def test_user_control_events_are_read_leniently(payload, wanted):
    assert parse_user_control(bytes.fromhex(payload)) == wanted


def message(*values, type_id=MessageType.COMMAND):
    return Message(type_id, 0, 1, 3, amf0.encode(*values))


def test_a_command_is_read_with_its_arguments():
    command = parse_command(message("publish", 5.0, None, "key", "live", 1))
    assert command == Command("publish", 5.0, None, ("key", "live", 1.0), 1)
    assert command.text(0) == "key"
    assert command.text(2, "x") == "x"
    assert command.number(2, 0.0) == 1.0
    assert command.flag(2, False)
    assert command.flag(9, True)
    assert command.number(0, -2.0) == -2.0


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (("play",), Command("play", 0.0, None, (), 1)),
        (("play", "x"), Command("play", 0.0, None, (), 1)),
        (("connect", 1, amf0.EcmaArray(app="a")), Command("connect", 1.0, {"app": "a"}, (), 1)),
    ],
)
def test_missing_values_get_defaults(values, wanted):
    assert parse_command(message(*values)) == wanted


def test_an_amf3_command_has_a_format_byte_and_may_switch():
    payload = b"\x00" + amf0.encode("publish", 5.0, None) + bytes.fromhex("11 06 07 6b6579")
    command = parse_command(Message(MessageType.COMMAND_AMF3, 0, 1, 3, payload))
    assert command == Command("publish", 5.0, None, ("key",), 1)


@pytest.mark.parametrize("payload", ["", "00 3ff0000000000000", "02 ffff", "ff"])
def test_what_is_no_command_is_an_amf0_error(payload):
    with pytest.raises(Amf0Error):
        parse_command(Message(20, 0, 0, 3, bytes.fromhex(payload)))


RUBBISH = bytes((0x05,)) * 4_000 + b"\xff"  # nulls, and what no AMF0 value begins with


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (None, Amf0Error),
        (0, Command("x", 5.0, None, (), 1)),
        (1, Command("x", 5.0, {"app": "a"}, (), 1)),
        (3, Command("x", 5.0, {"app": "a"}, ("key", None), 1)),
    ],
)
def test_values_that_a_command_does_not_want_are_not_looked_at(count, wanted):
    payload = amf0.encode("x", 5.0, {"app": "a"}, "key") + RUBBISH
    counts = None if count is None else {"x": count}
    if wanted is Amf0Error:
        with pytest.raises(Amf0Error):
            parse_command(Message(20, 0, 1, 3, payload), counts)
    else:
        assert parse_command(Message(20, 0, 1, 3, payload), counts) == wanted


def test_the_values_of_a_command_are_few_however_they_stand():
    members: dict[str, amf0.Value] = {f"member{n}": None for n in range(300)}
    with pytest.raises(Amf0Error, match="more than 256"):
        parse_command(message("connect", 1.0, members), {"connect": 1})
    with pytest.raises(Amf0Error, match="more than 256"):
        parse_command(message("connect", 1.0, [None] * 300), {"connect": 1})


def test_a_status_always_has_a_description():
    assert status_info("error", "NetStream.Failed", "")["description"] == "NetStream.Failed"


def test_a_create_stream_result_has_the_known_bytes():
    assert encode_command(3, 0, 128, "_result", 4, None, 1) == bytes.fromhex(
        "03 000000 00001d 14 00000000"
        "02 0007 5f726573756c74 00 4010000000000000 05 00 3ff0000000000000"
    )


def tag(type_id: int, time: int, body: bytes) -> bytes:
    return (
        bytes((type_id,))
        + len(body).to_bytes(3, "big")
        + (time & 0xFFFFFF).to_bytes(3, "big")
        + bytes((time >> 24 & 0xFF,))
        + bytes(3)
        + body
        + (len(body) + 11).to_bytes(4, "big")
    )


def aggregate(body: bytes, timestamp: int = 1000) -> Message:
    return Message(MessageType.AGGREGATE, timestamp, 1, 4, body)


def test_an_aggregate_is_taken_apart_in_its_own_time():
    body = tag(8, 0x01000005, b"a") + tag(9, 0x01000019, b"vv") + tag(18, 0x01000000, b"")
    assert split_aggregate(aggregate(body)) == [
        Message(8, 1000, 1, 4, b"a"),
        Message(9, 1020, 1, 4, b"vv"),
        Message(18, 995, 1, 4, b""),
    ]


def test_the_last_back_pointer_may_be_missing():
    body = tag(8, 0, b"a") + tag(9, 7, b"v")
    for missing in range(5):
        assert len(split_aggregate(aggregate(body[: len(body) - missing]))) == 2


def test_aggregates_wrap_with_the_clock():
    body = tag(8, 0, b"a") + tag(9, 10, b"v")
    assert [m.timestamp for m in split_aggregate(aggregate(body, 0xFFFFFFFB))] == [0xFFFFFFFB, 5]


@pytest.mark.parametrize(
    "body",
    [
        tag(9, 0, bytes(100))[:50],
        b"\x09\xff\xff\xff" + bytes(20),
        tag(22, 0, tag(8, 0, b"")),
        tag(8, 0, b"") * 5000,
    ],
)
def test_malformed_aggregates_are_refused(body):
    with pytest.raises(ChunkError):
        split_aggregate(aggregate(body))


def test_an_empty_aggregate_is_nothing():
    assert split_aggregate(aggregate(b"")) == []
    assert split_aggregate(aggregate(bytes(10))) == []
