"""One FLV tag as egress keeps it: what routes it stands beside the body. Pure.

A tag is read once, where its message comes in, and is then shared: by all renditions if it is
audio or data, and by all subscribers. Nobody changes one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from common.flv import tag as flv
from common.flv.audio import audio_body, audio_header_body
from common.flv.tag import TagType
from common.ipc.media_messages import HEADER, KEY, REPLAY, TagHeader
from common.media.units import AudioConfig, AudioUnit, Unit
from common.media.units import Config as MediaConfig

# As plain numbers, which is how they come and what is compared for every tag.
AUDIO: Final = int(TagType.AUDIO)
VIDEO: Final = int(TagType.VIDEO)
DATA: Final = int(TagType.SCRIPT)


@dataclass(slots=True)
class Tag:
    """One FLV tag. Not frozen, which would cost as much again for every tag that comes."""

    type: int
    codec: str  # of `common.media.units`; "" for script data
    dts_ms: int
    composition_ms: int  # PTS - DTS
    flags: int  # KEY, HEADER, REPLAY of `common.ipc.media_messages`
    body: bytes
    received_s: float = 0.0  # when its last byte came into the farm

    @property
    def is_key(self) -> bool:
        """Whether one can begin here: sound is flagged so where a rendition has it alone."""
        return self.flags & (KEY | HEADER) == KEY

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


def read_tags(
    headers: Sequence[TagHeader], bodies: Sequence[bytes], offset_ms: int = 0
) -> list[Tag]:
    """The tags that a message says these bodies are, `offset_ms` later."""
    return [
        Tag(tag_type, codec, dts_ms + offset_ms, composition_ms, flags, body, received_s)
        for (tag_type, codec, dts_ms, composition_ms, flags, received_s), body in zip(
            headers, bodies, strict=False
        )
    ]


def sound_tag(unit: AudioUnit, *, is_key: bool = False) -> Tag:
    """The tag of a frame of sound that was coded here."""
    flags = KEY if is_key else 0
    return Tag(AUDIO, unit.codec, unit.dts_ms, 0, flags, audio_body(unit), unit.received_s)


def sound_header(config: AudioConfig, dts_ms: int) -> Tag:
    """The tag of its sequence header."""
    return Tag(AUDIO, config.codec, dts_ms, 0, HEADER, audio_header_body(config))


class PublisherInfo(NamedTuple):
    """What is known of the stream's sound, perhaps ahead of its first tag in a rendition."""

    script: bytes = b""  # the publisher's own onMetaData, as a data message body
    audio_header: bytes = b""  # the sequence header, as a tag body
    audio_codec: str = ""


class Config(NamedTuple):
    """What a decoder needs before a rendition's units: header tags, None where there is none yet.

    Parts are compared by identity: a header that is repeated because the media begins anew is
    another tag with the same body.
    """

    script: Tag | None = None  # onMetaData
    video: Tag | None = None
    audio: Tag | None = None
    publisher: PublisherInfo | None = None  # of a transcoded rendition: its worker knows no sound

    @property
    def video_codec(self) -> str:
        """A name of `common.media.units`; "" while it is not known."""
        return self.video.codec if self.video is not None else ""


class Change(NamedTuple):
    """Another configuration from the tag with this index on."""

    at: int
    config: Config
