"""One FLV tag as egress keeps it: what routes it stands beside the body. Pure.

A tag is read once, where its message comes in, and is then shared: by all renditions if it is
audio or data, and by all subscribers. Nobody changes one.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from common.flv import tag as flv
from common.flv.audio import AudioFormat
from common.flv.tag import TagType
from common.ipc.media_messages import HEADER, KEY, REPLAY
from common.media.units import Config as MediaConfig
from common.media.units import Unit

# As plain numbers, which is how they come and what is compared for every tag.
AUDIO: Final = int(TagType.AUDIO)
VIDEO: Final = int(TagType.VIDEO)
DATA: Final = int(TagType.SCRIPT)

_AAC = int(AudioFormat.AAC)
_AVC = 7  # of a video body's first byte, without its frame type
_AVC_HEADER_BYTES = 5
_AAC_HEADER_BYTES = 2


@dataclass(slots=True)
class Tag:
    """One FLV tag. Not frozen, which would cost as much again for every tag that comes."""

    type: int
    codec: str  # "h264", "aac"; "" for a body that only FLV-shaped outputs can take
    dts_ms: int
    composition_ms: int  # PTS - DTS
    flags: int  # KEY, HEADER, REPLAY of `common.ipc.media_messages`
    body: bytes
    received_s: float = 0.0  # when its last byte came into the farm

    @property
    def is_key(self) -> bool:
        return self.type == VIDEO and self.flags & (KEY | HEADER) == KEY

    @property
    def is_replay(self) -> bool:
        return self.flags & REPLAY != 0

    @property
    def pts_ms(self) -> int:
        return self.dts_ms + self.composition_ms

    def unit(self) -> Unit | None:
        """The coded media without FLV's header, a view of the body; None for what is no unit.

        Raises FlvError for a body that cannot be read.
        """
        return flv.Tag(TagType(self.type), self.dts_ms, self.body, self.received_s).unit()

    def media_config(self) -> MediaConfig | None:
        """The configuration in a sequence header; None for all else.

        Raises FlvError, or AvcError, for one that cannot be read.
        """
        return flv.Tag(TagType(self.type), self.dts_ms, self.body).config()


def read_tag(tag_type: int, dts_ms: int, flags: int, received_s: float, body: bytes) -> Tag:
    """The tag that a message says this body is."""
    codec, composition_ms = "", 0
    if tag_type == VIDEO:
        if len(body) >= _AVC_HEADER_BYTES and body[0] & 0x8F == _AVC:
            codec = "h264"
            if body[1] == 1:
                composition_ms = int.from_bytes(body[2:5], "big", signed=True)
    elif tag_type == AUDIO and len(body) >= _AAC_HEADER_BYTES and body[0] >> 4 == _AAC:
        codec = "aac"
    return Tag(tag_type, codec, dts_ms, composition_ms, flags, body, received_s)


class PublisherInfo(NamedTuple):
    """What is known of the stream's sound, perhaps ahead of its first tag in a rendition."""

    script: bytes = b""  # the publisher's own onMetaData, as a data message body
    audio_header: bytes = b""  # the sequence header, as a tag body


class Config(NamedTuple):
    """What a decoder needs before a rendition's units: header tags, None where there is none yet.

    Parts are compared by identity: a header that is repeated because the media begins anew is
    another tag with the same body.
    """

    script: Tag | None = None  # onMetaData
    video: Tag | None = None
    audio: Tag | None = None
    publisher: PublisherInfo | None = None  # of a transcoded rendition: its worker knows no sound


class Change(NamedTuple):
    """Another configuration from the tag with this index on."""

    at: int
    config: Config
