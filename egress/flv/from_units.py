"""Entries as FLV tags, and the begin of an FLV body. Pure.

A tag says its own time, so who joins needs no other form of it than who is in step.
"""

from dataclasses import dataclass
from typing import Final

from common.flv.tag import Tag, TagType, encode_file_header, encode_tag
from egress.fanout.entries import AUDIO, DATA, METADATA, VIDEO, Entry, Headers

PROTOCOL: Final = "http-flv"  # as status has it

_TYPES = {
    VIDEO: TagType.VIDEO,
    AUDIO: TagType.AUDIO,
    DATA: TagType.SCRIPT,
    METADATA: TagType.SCRIPT,
}


@dataclass(frozen=True, slots=True)
class FlvForm:
    """A `WireForm`."""

    @property
    def family(self) -> str:
        return PROTOCOL

    def step(self, entry: Entry, /) -> bytes:
        return self.absolute(entry.kind, entry.dts_ms, entry.body)

    def absolute(self, kind: int, dts_ms: int, body: bytes, /) -> bytes:
        """A tag. Metadata has the time 0."""
        return encode_tag(Tag(_TYPES[kind], 0 if kind == METADATA else dts_ms, body))

    def restart(self, entry: Entry, /) -> bytes:
        return self.step(entry)


FLV_FORM = FlvForm()


def file_header(headers: Headers, *, has_video: bool = True) -> bytes:
    """The begin of a body with these headers in force.

    It announces sound only where there is some: mpegts.js waits for what is announced.
    """
    has_audio = bool(headers.audio) or not has_video
    return encode_file_header(has_audio=has_audio, has_video=has_video)
