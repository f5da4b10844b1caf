"""Entries as the RTMP messages that players get. Pure.

Who got everything before an entry gets a type 1 chunk header, with the time as a step from the
entry before on the same chunk stream. Who joins gets the sequence header in absolute form at the
entry's time, then the entry with a step of zero. So the one message with an absolute, perhaps
extended, timestamp is short: old librtmp cannot read an extended timestamp in a message of several
chunks (docs/rtmp.md, Extended timestamps).
"""

from dataclasses import dataclass
from typing import Final

from common.rtmp.chunks import encode_delta, encode_message
from egress.fanout.entries import AUDIO, DATA, METADATA, VIDEO, Entry

CHUNK_SIZE: Final = 60_000  # of every player: the bytes are shared

# Chunk streams of our own: 2, 3 and 5 are the session's. Metadata stands apart from other data
# because its time is always 0.
_CHUNK_STREAM: Final = {VIDEO: 6, AUDIO: 7, DATA: 8, METADATA: 9}
_MESSAGE_TYPE: Final = {VIDEO: 9, AUDIO: 8, DATA: 18, METADATA: 18}


@dataclass(frozen=True, slots=True)
class RtmpForm:
    """A `WireForm`: chunks of messages on one message stream."""

    message_stream_id: int

    @property
    def family(self) -> str:
        return "rtmp"

    def step(self, entry: Entry, /) -> bytes:
        assert entry.step_ms is not None
        return _delta(entry, entry.step_ms)

    def absolute(self, kind: int, dts_ms: int, body: bytes, /) -> bytes:
        """A message that needs nothing sent before it. Metadata goes out with the time 0."""
        return encode_message(
            _CHUNK_STREAM[kind],
            _MESSAGE_TYPE[kind],
            0 if kind == METADATA else dts_ms,
            self.message_stream_id,
            body,
            CHUNK_SIZE,
        )

    def restart(self, entry: Entry, /) -> bytes:
        return _delta(entry, 0)


def _delta(entry: Entry, step_ms: int) -> bytes:
    kind = entry.kind
    return encode_delta(_CHUNK_STREAM[kind], _MESSAGE_TYPE[kind], step_ms, entry.body, CHUNK_SIZE)
