"""What fuzzing starts from: valid inputs of every target, made by our own writers."""

import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from enum import Enum
from fractions import Fraction
from typing import Any

from common.codecs import aac, av1, h265
from common.codecs import h264 as avc
from common.codecs.captions import caption_unit
from common.flv import amf0
from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.tag import Tag, TagType, encode_file_header, encode_tag
from common.flv.video import avc_end_of_sequence, avc_nalus, avc_sequence_header
from common.ipc import envelope
from common.media.units import VideoCodec
from common.rtmp import replies
from common.rtmp.chunks import encode_delta, encode_message
from common.rtmp.client import ClientSession
from common.rtmp.events import ConnectRequested
from common.rtmp.handshake import CLIENT_KEY, PACKET_SIZE, digest_position, make_digest
from common.rtmp.messages import (
    UserControl,
    encode_command,
    set_chunk_size,
    user_control,
    window_ack_size,
)
from common.rtmp.session import ServerSession, SessionConfig
from common.rtp import rtcp
from common.rtp.h264 import packetise
from common.rtp.header import PACK, VERSION
from common.sei.user_data import user_data_unit
from common.webrtc import stun
from tests.kit.scte35_writer import INSERTION, PLACEMENT_END, PLACEMENT_START, insertion
from tests.kit.sdp import CHROMIUM, SMALL
from tests.kit.ts_writer import (
    AAC,
    AUDIO_PID,
    H264,
    HEVC,
    OPUS,
    PRIVATE,
    SPLICE_PID,
    SPLICES,
    VIDEO_PID,
    TsWriter,
    adts,
)

_X264_SPS = bytes.fromhex("6764000dacd94141fb0110000003001000000303c8f142996020")[:25]
_BASELINE_SPS = bytes.fromhex("6742c00dd9014 1fb0110000003001000000303c0f142a480".replace(" ", ""))
_PPS = bytes.fromhex("68ebe3cb22c0")
_IDR = b"\x65\x88\x84\x00\x33\xff"
_SLICE = b"\x41\x9a\x24\x6c\x41\x4f"
_SEI = b"\x06\x05\x04abcd\x80"
_HIGH = avc.AvcConfig(100, 0, 13, 4, (_X264_SPS,), (_PPS,), 1, 8, 8)
_BASELINE = avc.AvcConfig(66, 192, 13, 4, (_BASELINE_SPS,), (_PPS,))
_VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003cba0240")
_HEVC_SPS = bytes.fromhex(
    "42010101600000030090000003000003003ca0182071f796e92930b9a020000003002000000303 21".replace(
        " ", ""
    )
)
_HEVC = h265.HevcConfig.from_parameter_sets([_VPS], [_HEVC_SPS], [bytes.fromhex("4401c073c089")])
_SEQUENCE_HEADER = bytes.fromhex("0a0d00000003b5feb00be142448241")
_AV1 = av1.Av1Config.from_sequence_header(_SEQUENCE_HEADER)
_KEY_FRAME = _SEQUENCE_HEADER + bytes.fromhex("320610000a5b00ff")
_ASC = aac.AudioSpecificConfig(2, 44100, 2, 2)
_ADTS = b"\xff\xf1\x50\x80\x01\x5f\xfc\x21\x10\x05"

_CONNECT: dict[str, amf0.Value] = {
    "app": "live",
    "type": "nonprivate",
    "flashVer": "FMLE/3.0",
    "tcUrl": "rtmp://host/live",
    "objectEncoding": 0.0,
}
_METADATA = amf0.encode(
    "@setDataFrame",
    "onMetaData",
    amf0.EcmaArray({"width": 640.0, "height": 360.0, "stereo": True, "encoder": "test"}),
)


def _user_data() -> list[bytes]:
    """Units with user data beside other SEI, of both codecs."""
    uuid = bytes(range(16))
    seeds = []
    for number, codec in enumerate((VideoCodec.H264, VideoCodec.H265)):
        messages = (uuid + b"said", uuid + bytes(300), b"x" * 20)
        unit = caption_unit(codec, b"\xfc\x94\x20") + user_data_unit(codec, messages)
        seeds.append(bytes((number,)) + uuid + unit)
    return seeds


def _transport_stream() -> bytes:
    """Pictures and sound of two kinds, some of them over several packets."""
    ts = TsWriter()
    streams = ((VIDEO_PID, H264, b""), (AUDIO_PID, AAC, b""))
    start = b"\x00\x00\x01"
    sets = start + _X264_SPS + start + _PPS
    return b"".join(
        (
            ts.tables(streams),
            ts.pes(VIDEO_PID, sets + start + _IDR + bytes(range(1, 200)), 3600, 0),
            ts.pes(AUDIO_PID, adts(b"one") + adts(b"two")[:5], 0),
            ts.pes(AUDIO_PID, adts(b"two")[5:], 1920),
            ts.pes(VIDEO_PID, start + _SLICE, 7200, 3600, is_bounded=False),
            ts.tables(((VIDEO_PID, HEVC, b""), (AUDIO_PID, PRIVATE, OPUS))),
            ts.tables(((VIDEO_PID, HEVC, b""), (SPLICE_PID, SPLICES, b""))),
            ts.pes(VIDEO_PID, start + _VPS, 7200),
            ts.packets(SPLICE_PID, insertion(7, 9_000), is_section=True),
            ts.pes(AUDIO_PID, b"\x7f\xe0\x03\xfcxy", 7200),
        )
    )


def _splice_sections() -> list[bytes]:
    two = insertion(7, 5, components=2)
    return [bytes(5) + one for one in (INSERTION, PLACEMENT_START, PLACEMENT_END, two)]


def zeros(size: int) -> bytes:
    return bytes(size)


def seeds() -> dict[str, list[bytes]]:
    """Valid inputs by target."""
    video, audio = _video_bodies(), _audio_bodies()
    return {
        "handshake": _handshakes(),
        "chunks": [b"\x00" + wire for wire in _wires()] + [b"\x05" + wire for wire in _wires()],
        "chunk_writing": [
            b"\x03\x00\x80" + b"\x00\x01\x06\x00\x00\x00\x01\x00\x00\x00\x01\x03abc\x03" * 3,
            b"\x00\x10\x00" + b"\x01\x40\x06\x01\x00\x00\x00\xc8" + bytes(range(200)) + b"\x03",
        ],
        "amf0_values": [amf0.encode(*values) for values in _values()] + [_METADATA],
        "messages": _message_bodies(),
        "server_session": _server_sessions(),
        "client_session": _client_sessions(),
        "snapshot": _snapshots(),
        "flv_file": _flv_files(),
        "video_body": video,
        "audio_body": audio,
        "demuxer": _demuxings(video, audio),
        "avc_record": [_HIGH.encode(), _BASELINE.encode()],
        "nal_units": [
            b"\x03" + avc.join_avcc([_SEI, _IDR]),
            b"\x00" + avc.join_avcc([_SLICE], 1),
            b"\x03" + avc.to_annexb([_X264_SPS, _PPS, _IDR]),
        ],
        "sps": [_X264_SPS, _BASELINE_SPS],
        "user_data": _user_data(),
        "hevc_record": [_HEVC.encode(), _HEVC.encode()[:22] + b"\0"],
        "hevc_sps": [_HEVC_SPS],
        "av1_record": [_AV1.encode(), _AV1.encode()[:4]],
        "splice_section": _splice_sections(),
        "transport_stream": [b"\x00" + _transport_stream(), b"\x51" + _transport_stream()],
        "av1_unit": [_KEY_FRAME, b"\x12\0" + _KEY_FRAME + b"\x7a\1a", b"\x30\x90\x0a"],
        "aac_config": [
            _ASC.encode(),
            dataclasses.replace(_ASC, sbr=True, extension_rate=88200).encode(),
            bytes.fromhex("139056e5a5"),
            bytes.fromhex("118000" + "04c0000210880000000000"),
        ],
        "bus_envelope": [envelope.encode(_example(cls)) for cls in envelope.kinds().values()],
        "addresses": [
            b"live\nrtmp://host/live\nkey",
            b"live/_definst_?a=b\nrtmp://host:1935/live?c=%20\nmp4:key/720p?start=1&x=%41",
            b"\nrtmp://[::1]:99/a/b/c\nlive/key/source",
        ],
        "publisher_packets": [_publisher_packets()],
        "rtcp_packet": [
            rtcp.receiver_report(1, [rtcp.Received(2, 0.5, 3, 4, 5, 6, 7)])
            + rtcp.lost_packets(1, 2, [1, 2, 40])
            + rtcp.keyframe_wanted(1, 2)
            + rtcp.estimate(1, [2], 1_000_000),
            rtcp.sender_reports([rtcp.Sent(2, 3, 4, 5)], b"kit", 1.0) + rtcp.farewell([2]),
        ],
        "sdp_offer": [CHROMIUM.replace("a=recvonly", "a=sendonly").encode(), SMALL.encode()],
        "stun_message": [
            stun.binding_request("a:b", "p" * 24, bytes(12), [stun.NOMINATE, stun.PRIORITY])
        ],
    }


def _publisher_packets() -> bytes:
    """Two pictures, one of several packets, with sound and a repeat between."""
    payloads = packetise([_IDR + bytes(1500)], (_X264_SPS, _PPS)) + packetise([_SLICE])
    packets = [
        PACK(VERSION, 96, at, 3000 * (payload == payloads[-1]), 1) + payload
        for at, payload in enumerate(payloads)
    ]
    packets.insert(1, PACK(VERSION, 111, 7, 0, 2) + b"\xfc\xff\xfe")
    packets.append(PACK(VERSION, 97, 1, 0, 3) + b"\x00\x01" + payloads[1])
    return b"".join(len(one).to_bytes(2, "big") + one for one in packets)


def _handshakes() -> list[bytes]:
    plain = b"\x03" + bytes(2 * PACKET_SIZE)
    digest = bytearray(bytes(4) + bytes((9, 0, 124, 2)) + bytes(PACKET_SIZE - 8))
    position = digest_position(digest, 8)
    digest[position : position + 32] = make_digest(digest, position, CLIENT_KEY)
    signed = b"\x03" + bytes(digest) + bytes(PACKET_SIZE)
    return [b"\x00\x00" + plain, b"\xff\x01" + plain + b"rest", b"\xfb\x00" + signed + b"rest"]


def _wires() -> list[bytes]:
    long = bytes(range(200))
    return [
        set_chunk_size(64)
        + encode_message(6, 9, 40, 1, long, 64)
        + encode_delta(6, 9, 40, long, 64),
        encode_message(300, 8, 0x1000000, 1, long, 128) + encode_message(70, 8, 1, 1, b"ab", 128),
        encode_message(6, 9, 0, 1, long, 128)[:141]
        + encode_message(2, 2, 0, 0, b"\x00\x00\x00\x06", 128),
        encode_command(3, 0, 128, "connect", 1.0, _CONNECT) + window_ack_size(5000),
        encode_message(4, 8, 5, 1, b"", 128)
        + b"\xc4\xc4\x84\x00\x00\x09\x44\x00\x00\x01\x00\x00\x01\x08x",
    ]


def _values() -> list[list[amf0.Value]]:
    nested: amf0.Value = {"a": [1.0, {"b": amf0.EcmaArray({"": None})}], "c": amf0.UNDEFINED}
    return [
        ["connect", 1.0, _CONNECT],
        [nested, amf0.Date(1e12, 60), amf0.TypedObject("T", {"x": True})],
        ["publish", 5.0, None, "key", "live"],
        ["x" * 70_000],
    ]


def _message_bodies() -> list[bytes]:
    head = b"\x14\x00\x00\x00\x28"
    tag = b"\x09\x00\x00\x03\x00\x00\x05\x00\x00\x00\x00abc\x00\x00\x00\x0e"
    amf3 = b"\x11\x00\x00\x00\x00\x00" + amf0.encode("call", 1.0) + b"\x11\x04\x81\x01\x11\x06\x03a"
    return [
        head + amf0.encode("connect", 1.0, _CONNECT),
        b"\x16\x00\x00\x00\x28" + tag * 3,
        b"\x04\x00\x00\x00\x00\x00\x06\x00\x00\x00\x07",
        amf3,
    ]


def _frame(kind: int, payload: bytes, time: int = 0) -> bytes:
    """A message of `session_targets`: type and streams, time, length, body."""
    head = bytes((kind,)) + time.to_bytes(2, "big") + len(payload).to_bytes(2, "big")
    return head + payload


def _call(name: str, *values: amf0.Value, stream: int = 0) -> bytes:
    return _frame(11 | stream << 4, amf0.encode(name, 4.0, *values))


def _server_sessions() -> list[bytes]:
    start = b"\x00\x00"  # nothing refused
    publish = [
        _call("connect", _CONNECT),
        _call("releaseStream", None, "key"),
        _call("FCPublish", None, "key"),
        _call("createStream", None),
    ]
    media = [
        _frame(10 | 0x10, _METADATA),
        *(_frame(7 | 0x10, body, 40 * i) for i, body in enumerate(_video_bodies()[:4])),
        *(_frame(6 | 0x10, body, 23 * i) for i, body in enumerate(_audio_bodies()[:3])),
        _frame(14 | 0x10, b"\x09\x00\x00\x03\x00\x00\x05\x00\x00\x00\x00abc\x00\x00\x00\x0e" * 2),
    ]
    end = [_call("FCUnpublish", None, "key"), _call("deleteStream", None, 1.0)]
    play = [
        _call("play", None, "key/720p", -2000.0, stream=1),
        _frame(3, b"\x00\x03\x00\x00\x00\x01\x00\x00\x0b\xb8"),
        _call("pause", None, True, 0.0, stream=1),
        _call("pause", None, False, 0.0, stream=1),
        _call("receiveVideo", None, False, stream=1),
        _call("receiveVideo", None, True, stream=1),
        _call("seek", None, 0.0, stream=1),
        _call("getStreamLength", None, "key"),
        _call("closeStream", None, stream=1),
    ]
    ask = _call("publish", None, "key", "live", stream=1)
    client = ClientSession("rtmp://host/live/key", "publish", 128, zeros)
    client.start()
    client.receive_data(b"\x03" + bytes(2 * PACKET_SIZE), 0.0)
    connect = client.data_to_send()[1 + 2 * PACKET_SIZE :]
    return [
        b"\x01\x30" + start + b"".join(publish),
        b"\x05\x00" + start + b"".join(media + end),
        b"\x03\x40" + start + b"".join(play),
        b"\x03\x40\xff\xff" + b"".join(play),
        b"\x07\x25" + start + b"".join(play[1:] + play[:1]),
        b"\x03\x00\x5a\x5a" + b"".join([_call("publish", None, "key", "live", stream=1), *media]),
        b"\x00\x20" + start + connect,
        b"\x05\x00" + start + _frame(3, b"\x00\x06\x00\x00\x00\x07"),
        b"\x05\x00" + start + _frame(4, b"\x00\x00\x10\x00"),
        # Cut after some bytes, so that answers come in between: refused, late, withdrawn.
        b"\x01\x10\x00\x02" + publish[0] * 2,
        b"\x01\x00" + start + ask,
        b"\x03\x20\x00\x04" + ask + end[1] + ask + play[0],
        b"\x03\x20\x00\x04" + ask + _call("closeStream", None, stream=1) + ask,
        b"\x03\x40" + start + _call("createStream", None) * 9 + _call("publish", None, stream=3),
        b"\x03\x40" + start + b"".join(_call("play", None, stream=i) for i in range(4)) * 3,
        b"\x05\x40" + start + _call("publish", None, False, stream=1) + play[0] + end[0],
        b"\x05\x40" + start + _call("play", None, "key", stream=2) + ask + end[1],
        b"\x07\x40" + start + _call("play", None, False, stream=1) + play[0] + publish[0],
        b"\x07\x40" + start + _call("receiveAudio", None, 0.0, stream=1) * 2 + ask + play[-1],
        b"\x05\x00" + start + _frame(8 | 0x10, b"\x00" + _METADATA[:40]) + _frame(2, b""),
        b"\x05\x00" + start + _frame(10 | 0x10, _METADATA[:60]) + media[-1],
        b"\x05\x00"
        + start
        + _frame(3, b"\x00\x06\x00\x00\x00\x07")
        + _frame(4, b"\x00\x00\x10\x00"),
    ]


def _client_sessions() -> list[bytes]:
    status: amf0.Value = {"level": "status", "code": "NetStream.Publish.Start", "description": "d"}
    playing: amf0.Value = {"level": "status", "code": "NetStream.Play.Start", "description": "d"}
    over: amf0.Value = {"level": "status", "code": "NetStream.Play.Stop", "description": "d"}
    results = [
        _frame(11, amf0.encode("_result", 1.0, {"fmsVer": "F"}, {"code": "ok"})),
        _frame(11, amf0.encode("_result", 4.0, None, 1.0)),
        _frame(11, amf0.encode("_result", 2.0, None, 1.0)),
    ]
    publish = [*results, _frame(11 | 0x10, amf0.encode("onStatus", 0.0, None, status))]
    play = [
        *results,
        _frame(11 | 0x10, amf0.encode("onStatus", 0.0, None, playing)),
        _frame(10 | 0x10, amf0.encode("onMetaData", amf0.EcmaArray({"width": 1.0}))),
        _frame(7 | 0x10, _video_bodies()[0]),
        _frame(6 | 0x10, _audio_bodies()[0]),
        _frame(11 | 0x10, amf0.encode("onStatus", 0.0, None, over)),
    ]
    raw = replies.connect_accepted(1.0, 5000, 5000, 4096) + user_control(
        UserControl.PING_REQUEST, 7
    )
    return [
        b"\x01\x00" + b"".join(publish),
        b"\x03\x60" + b"".join(play),
        b"\x00\x00" + raw,
        b"\x01\x00" + _frame(11, amf0.encode("_error", 1.0, None, {"code": "no"})),
    ]


def _snapshots() -> list[bytes]:
    session = ServerSession(SessionConfig(random=zeros))
    for data in (
        b"\x03" + bytes(2 * PACKET_SIZE),
        encode_command(3, 0, 128, "connect", 1.0, _CONNECT),
    ):
        session.receive_data(data, 0.0)
    (event,) = session.events_received()
    assert isinstance(event, ConnectRequested)
    session.accept(event.request_id)
    session.receive_data(encode_command(3, 0, 128, "createStream", 2.0, None), 0.0)
    begun = encode_message(70, 8, 0, 1, bytes(300), 128)[:200]
    play = encode_command(8, 1, 128, "play", 3.0, None, "key")
    session.receive_data(begun[:141] + play + begun[141:], 0.0)
    session.data_to_send()
    data = session.snapshot().to_bytes()
    return [b"\x00" + data, b"\x01" + data]


def _video_bodies() -> list[bytes]:
    unit = avc.join_avcc([_SEI, _IDR])
    return [
        avc_sequence_header(_HIGH.encode()),
        avc_nalus(unit, 0, True),
        avc_nalus(avc.join_avcc([_SLICE]), 40, False),
        avc_nalus(avc.join_avcc([_BASELINE_SPS, _PPS, _IDR]), -40, True),
        avc_nalus(avc.to_annexb([_IDR]), 0, True),
        avc_end_of_sequence(),
        b"\x90avc1" + _BASELINE.encode(),
        b"\x91avc1\x00\x00\x00" + unit,
        b"\x93avc1" + unit,
        b"\x94avc1" + amf0.encode("colorInfo", {}),
        b"\x90hvc1" + _HEVC.encode(),
        b"\x91hvc1\x00\x00\x28" + avc.join_avcc([_VPS, b"\x26\x01\xaf\x10"]),
        b"\xa3hvc1" + avc.join_avcc([b"\x02\x01\xd0\x20"]),
        b"\x1c\x00\x00\x00\x00" + _HEVC.encode(),
        b"\x17\x00\x00\x00\x00" + _HEVC.encode(),
        b"\x90av01" + _AV1.encode(),
        b"\x91av01" + _KEY_FRAME,
        b"\xa1av01\x30\x30\x0a",
        b"\x90hvc1\x01",
        b"\x96\x01avc1\x00" + (3 + len(unit)).to_bytes(3, "big") + bytes(3) + unit,
        b"\x96\x21avc1\x01\x00\x00\x01ahvc1\x00\x00\x00\x04\x00\x00\x00b",
        b"\x97\x02\x00\x00\x01\x03avc1" + unit,
        b"\x57\x00",
        b"\x22\x00\x00",
    ]


def _audio_bodies() -> list[bytes]:
    return [
        aac_sequence_header(_ASC.encode()),
        aac_frame(b"\x21\x10\x05\x20"),
        aac_frame(_ADTS),
        b"\x2f\xff\xfb\x90\x00",
        b"\x90mp4a" + _ASC.encode(),
        b"\x91mp4a\x21\x10\x05",
        b"\x91Opus\xfc",
        b"\x95\x11mp4a\x00\x00\x00\x02ab\x01\x00\x00\x01c",
        b"\x97\x02\x00\x00\x01\x01.mp3\xff\xfb",
        b"\xb2\x00",
    ]


def _flv_files() -> list[bytes]:
    tags = [
        Tag(TagType.SCRIPT, 0, amf0.encode("onMetaData", amf0.EcmaArray({"width": 1.0}))),
        Tag(TagType.VIDEO, 0, _video_bodies()[0]),
        Tag(TagType.AUDIO, 0, _audio_bodies()[0]),
        Tag(TagType.VIDEO, 0xFFFFFFF0, _video_bodies()[1]),
        Tag(TagType.VIDEO, 0x100000010, _video_bodies()[2]),
    ]
    file = encode_file_header(True, True) + b"".join(encode_tag(tag) for tag in tags)
    return [b"\x00" + file, b"\x09" + file]


def _demuxings(video: Sequence[bytes], audio: Sequence[bytes]) -> list[bytes]:
    """Operations of the demuxer target: kind, timestamp, length, body."""

    def step(kind: int, time: int, payload: bytes) -> bytes:
        timestamp = time.to_bytes(4 if kind & 0x80 else 2, "big")
        return bytes((kind,)) + timestamp + len(payload).to_bytes(2, "big") + payload

    legacy = b"".join(step(8, 40 * i, body) for i, body in enumerate(video[:5]))
    sounds = b"".join(step(5, 23 * i, body) for i, body in enumerate(audio))
    extended = b"".join(
        step(0x88, (0xFFFFFE00 + 40 * i) % 2**32, body) for i, body in enumerate(video[6:])
    )
    jump = step(8, 50_000, video[1]) + step(8, 0, video[1]) + step(8, 0, video[1])
    shorthand = step(3, 0, _HIGH.encode()) + step(3, 0, avc.join_avcc([_IDR])) + step(2, 0, b"\x02")
    return [legacy + sounds, extended + sounds, legacy + jump + step(9, 0, audio[1]), shorthand]


def _example(hint: Any) -> Any:
    """Some value of a type that envelopes can carry."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _example(next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        inner = arguments[:1] if arguments[-1] is Ellipsis else arguments
        return tuple(_example(argument) for argument in inner)
    if origin is dict:
        return {_example(arguments[0]): _example(arguments[1])}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return hint(
            **{field.name: _example(hints[field.name]) for field in dataclasses.fields(hint)}
        )
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    if isinstance(hint, type) and issubclass(hint, tuple):  # a NamedTuple
        return hint(*(_example(field) for field in typing.get_type_hints(hint).values()))
    examples: dict[Any, Callable[[], Any]] = {
        int: lambda: 7,
        float: lambda: 1.5,
        bool: lambda: True,
        str: lambda: "x",
        bytes: lambda: b"x",
        Fraction: lambda: Fraction(30000, 1001),
    }
    return examples[hint]()
