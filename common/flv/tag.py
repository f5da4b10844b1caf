"""FLV tags, and the files and HTTP-FLV responses that are rows of them (Adobe FLV 10.1 annex E).

An RTMP message of type 8, 9 or 18 is the payload, here "body", of the FLV tag of that type. What a
body holds stands in `common.flv.video` and `common.flv.audio`; `Tag.unit` is the way from the tag
to the coded media in it. Pure; FlvError for what cannot be read.
"""

from dataclasses import dataclass
from enum import IntEnum

from common.errors import FlvError
from common.flv.audio import audio_config_of, audio_unit_of
from common.flv.clock32 import Unwrapper, wrap
from common.flv.video import video_config_of, video_unit_of
from common.media.units import Config, DataUnit, Unit

MAX_PAYLOAD_BYTES = 0xFF_FFFF  # a tag's size field has 24 bits
_TAG_HEADER_BYTES = 11
_MAX_FILE_HEADER_BYTES = 1024


class TagType(IntEnum):
    """FLV tag types, which are RTMP message types too."""

    AUDIO = 8
    VIDEO = 9
    SCRIPT = 18


@dataclass(frozen=True, slots=True)
class Tag:
    """One FLV tag."""

    type: TagType
    dts_ms: int  # unwrapped, never the 32-bit field
    payload: bytes
    received_s: float = 0.0  # CLOCK_MONOTONIC; 0: not told

    def unit(self) -> Unit | None:
        """The coded media in it, its data a view of the body; None for what is no unit.

        Headers, commands and ends are none, nor is a message without track 0. Raises FlvError.
        """
        match self.type:
            case TagType.VIDEO:
                return video_unit_of(memoryview(self.payload), self.dts_ms, self.received_s)
            case TagType.AUDIO:
                return audio_unit_of(memoryview(self.payload), self.dts_ms, self.received_s)
            case TagType.SCRIPT:
                return DataUnit(self.dts_ms, self.payload, self.received_s)

    def config(self) -> Config | None:
        """The configuration in a sequence header; None for all else.

        Raises FlvError, or AvcError, for one that cannot be read.
        """
        match self.type:
            case TagType.VIDEO:
                return video_config_of(self.payload)
            case TagType.AUDIO:
                return audio_config_of(self.payload)
            case TagType.SCRIPT:
                return None


def encode_file_header(has_audio: bool, has_video: bool) -> bytes:
    """The FLV file header and the PreviousTagSize0 behind it."""
    flags = (4 if has_audio else 0) | (1 if has_video else 0)
    return b"FLV\x01" + bytes((flags,)) + b"\x00\x00\x00\x09" + b"\x00\x00\x00\x00"


def encode_tag(tag: Tag) -> bytes:
    """The tag with its header and the PreviousTagSize behind it; FlvError over 16 MiB - 1."""
    size = len(tag.payload)
    if size > MAX_PAYLOAD_BYTES:
        raise FlvError(f"tag of {size} bytes exceeds {MAX_PAYLOAD_BYTES}")
    timestamp = wrap(tag.dts_ms)
    return b"".join(
        (
            bytes((tag.type,)),
            size.to_bytes(3, "big"),
            (timestamp & 0xFF_FFFF).to_bytes(3, "big"),
            bytes((timestamp >> 24, 0, 0, 0)),
            tag.payload,
            (size + _TAG_HEADER_BYTES).to_bytes(4, "big"),
        )
    )


class FlvReader:
    """Takes the bytes of an FLV file or HTTP-FLV response in pieces of any size, gives its tags.

    Call `feed`, then `next` until it returns None. FlvError ends the reading. Tags of unknown types
    are skipped. Timestamps are unwrapped.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._buffer = bytearray()
        self._in_tags = False
        self._clock = Unwrapper()

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        self._buffer += data

    def next(self) -> Tag | None:
        """The next whole tag, or None when more bytes are needed."""
        if not self._in_tags and not self._read_file_header():
            return None
        while len(self._buffer) >= _TAG_HEADER_BYTES:
            head = self._buffer
            size = int.from_bytes(head[1:4], "big")
            if size > self._max_payload_bytes:
                raise FlvError(f"tag of {size} bytes exceeds {self._max_payload_bytes}")
            if head[0] & 0x20:
                raise FlvError("encrypted tag")
            end = _TAG_HEADER_BYTES + size
            if len(head) < end + 4:
                return None
            previous = int.from_bytes(head[end : end + 4], "big")
            if previous != end and previous != 0:  # some writers leave it 0
                raise FlvError(f"tag of {end} bytes followed by a PreviousTagSize of {previous}")
            kind = head[0] & 0x1F
            timestamp = head[7] << 24 | int.from_bytes(head[4:7], "big")
            payload = bytes(head[_TAG_HEADER_BYTES:end])
            del self._buffer[: end + 4]
            dts_ms = self._clock.unwrap(timestamp)
            if kind in (TagType.AUDIO, TagType.VIDEO, TagType.SCRIPT):
                return Tag(TagType(kind), dts_ms, payload)
        return None

    def _read_file_header(self) -> bool:
        head = bytes(self._buffer[:9])
        if not b"FLV"[: len(head)] == head[:3]:
            raise FlvError(f"data that begin with {head[:3].hex(' ')}, not with FLV")
        if len(head) < 9:
            return False
        size = int.from_bytes(head[5:9], "big")
        if not 9 <= size <= _MAX_FILE_HEADER_BYTES:
            raise FlvError(f"FLV header of {size} bytes")
        if len(self._buffer) < size + 4:
            return False
        del self._buffer[: size + 4]
        self._in_tags = True
        return True
