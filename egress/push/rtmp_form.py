"""A rendition's tags as the messages that a publisher sends: players' own, with other metadata.

Pure. A server takes onMetaData as a publisher's where `@setDataFrame` stands before it.
"""

from dataclasses import dataclass
from typing import Final

from common.flv import amf0
from egress.fanout.entries import METADATA, Entry
from egress.rtmp.from_units import RtmpForm

_SET: Final = amf0.encode("@setDataFrame")


@dataclass(frozen=True, slots=True)
class PublishForm(RtmpForm):
    """A `WireForm`."""

    @property
    def family(self) -> str:
        return "rtmp push"

    def step(self, entry: Entry, /) -> bytes:
        if entry.kind == METADATA:
            return self.absolute(METADATA, entry.dts_ms, entry.body)
        return RtmpForm.step(self, entry)

    def absolute(self, kind: int, dts_ms: int, body: bytes, /) -> bytes:
        sent = _SET + body if kind == METADATA else body
        return RtmpForm.absolute(self, kind, dts_ms, sent)

    def restart(self, entry: Entry, /) -> bytes:
        if entry.kind == METADATA:
            return self.absolute(METADATA, entry.dts_ms, entry.body)
        return RtmpForm.restart(self, entry)
