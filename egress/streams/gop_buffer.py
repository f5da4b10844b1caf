"""One rendition's headers and its tags since the last keyframe, in the form that goes out. Pure.

A tag becomes an `Entry` once. Its bytes for players who got everything before it (a type 1 chunk
header, the time as a step from the entry before on the same chunk stream) are made on first use and
shared by all of them. The forms that need nothing before them are made only for who joins or
resumes: the sequence header in absolute form at the entry's time, then the entry with a step of
zero. So the one message with an absolute, perhaps extended, timestamp is short: old librtmp cannot
read an extended timestamp in a message of several chunks (docs/rtmp.md, Extended timestamps).

Times are stream time, wrapped to 32 bits only in the bytes.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from common.ipc.media_messages import HEADER, KEY
from common.rtmp.chunks import encode_delta, encode_message

# Kinds are bits, so that what a player receives and what it is ready for are sets.
VIDEO: Final = 1
AUDIO: Final = 2
DATA: Final = 4
METADATA: Final = 8
EVERYTHING: Final = VIDEO | AUDIO | DATA | METADATA

CHUNK_SIZE: Final = 60_000  # of every player: the bytes are shared

# Chunk streams of our own: 2, 3 and 5 are the session's. Metadata stands apart from other data
# because its time is always 0.
_CHUNK_STREAM: Final = {VIDEO: 6, AUDIO: 7, DATA: 8, METADATA: 9}
_MESSAGE_TYPE: Final = {VIDEO: 9, AUDIO: 8, DATA: 18, METADATA: 18}

MAX_GOP_MS: Final = 10_500
# A longer one, between pictures that go on, is a clock that was set: nothing lasted for so long.
# Of pictures none is: who begins in front of it would see a still for that time.
MAX_SOUND_STEP_MS: Final = 5_000
MAX_GOP_BYTES: Final = 16 * 1024 * 1024
MAX_GOP_ENTRIES: Final = 4_000


class Headers(NamedTuple):
    """What a decoder needs before a rendition's tags; each may be empty."""

    metadata: bytes = b""  # an onMetaData message body
    video: bytes = b""  # sequence header tag bodies
    audio: bytes = b""


class Entry:
    """One tag of one rendition. Not frozen: it keeps the bytes that it was asked for."""

    __slots__ = (
        "_absolute",
        "_restart",
        "_shared",
        "dts_ms",
        "flags",
        "headers",
        "kind",
        "payload",
        "received_s",
        "step_ms",
    )

    def __init__(
        self,
        kind: int,
        dts_ms: int,
        flags: int,
        payload: bytes,
        headers: Headers,
        step_ms: int | None,
        received_s: float,
    ) -> None:
        self.kind = kind
        self.dts_ms = dts_ms
        self.flags = flags
        self.payload = payload
        self.headers = headers  # in force for this entry
        self.received_s = received_s
        self.step_ms = step_ms  # None: no time before it on its chunk stream
        self._shared: bytes | None = None
        self._restart: bytes | None = None
        self._absolute: tuple[int, bytes] | None = None

    @property
    def is_key(self) -> bool:
        return self.kind == VIDEO and self.flags & (KEY | HEADER) == KEY

    @property
    def is_header(self) -> bool:
        return self.flags & HEADER != 0

    def shared(self, message_stream_id: int) -> bytes:
        """For players who got the entry before this one on its chunk stream."""
        if self.step_ms is None:
            return self.absolute(message_stream_id)
        if self._shared is None:
            self._shared = encode_delta(
                _CHUNK_STREAM[self.kind],
                _MESSAGE_TYPE[self.kind],
                self.step_ms,
                self.payload,
                CHUNK_SIZE,
            )
        return self._shared

    def absolute(self, message_stream_id: int) -> bytes:
        """For players who got nothing yet on its chunk stream."""
        if self._absolute is None or self._absolute[0] != message_stream_id:
            wire = absolute(self.kind, self.dts_ms, message_stream_id, self.payload)
            self._absolute = message_stream_id, wire
        return self._absolute[1]

    def restart(self) -> bytes:
        """For players who were just sent a header of this kind with this entry's time."""
        if self._restart is None:
            self._restart = encode_delta(
                _CHUNK_STREAM[self.kind], _MESSAGE_TYPE[self.kind], 0, self.payload, CHUNK_SIZE
            )
        return self._restart


def absolute(kind: int, dts_ms: int, message_stream_id: int, payload: bytes) -> bytes:
    """A message that needs nothing sent before it. Metadata goes out with the time 0."""
    return encode_message(
        _CHUNK_STREAM[kind],
        _MESSAGE_TYPE[kind],
        0 if kind == METADATA else dts_ms,
        message_stream_id,
        payload,
        CHUNK_SIZE,
    )


class GopBuffer:
    """Entries in the order in which they go out; what a joiner starts from.

    The caller appends in order of time for each kind, but for an audio header ahead of all audio:
    no time is counted from it. A GOP over the limits is forgotten: who joins then waits for the
    next keyframe.
    """

    def __init__(self) -> None:
        self.headers = Headers()
        self.chains = 0  # kinds that steps count for: a player must have got one of each
        self.last_dts_ms: dict[int, int] = {}  # by kind
        self._gop: list[Entry] = []  # since the last keyframe, that included; empty: no start
        self._gop_bytes = 0
        self._gop_from_ms: dict[int, int] = {}  # by kind: one may be ahead of the other

    @property
    def gop(self) -> Sequence[Entry]:
        """The entries since the last keyframe; empty when a joiner has to wait for one."""
        return self._gop

    def append(
        self, kind: int, dts_ms: int, flags: int, payload: bytes, received_s: float = 0.0
    ) -> Entry:
        """Take the next entry; a sequence header or metadata is in force from it on."""
        if kind == METADATA:
            self.headers = self.headers._replace(metadata=payload)
        elif flags & HEADER:
            if kind == VIDEO:
                self.headers = self.headers._replace(video=payload)
            elif kind == AUDIO:
                self.headers = self.headers._replace(audio=payload)
        step_ms = None
        if kind in (VIDEO, AUDIO):
            last_ms = self.last_dts_ms.get(kind)
            if last_ms is not None:
                step_ms = dts_ms - last_ms
            self.chains |= kind
        if kind != AUDIO or not flags & HEADER:
            self.last_dts_ms[kind] = dts_ms
        entry = Entry(kind, dts_ms, flags, payload, self.headers, step_ms, received_s)
        if entry.is_key:
            self._gop = []
            self._gop_bytes = 0
            self._gop_from_ms = {}
        elif not self._gop:
            return entry
        self._gop.append(entry)
        self._gop_bytes += len(payload)
        if (
            len(self._gop) > MAX_GOP_ENTRIES
            or self._gop_bytes > MAX_GOP_BYTES
            or self._gop_ms(entry) > MAX_GOP_MS
        ):
            self._gop = []
        return entry

    def _gop_ms(self, entry: Entry) -> int:
        """How long the GOP is, by pictures or by sound: headers and data messages tell nothing."""
        kind, dts_ms = entry.kind, entry.dts_ms
        if entry.is_header or kind not in (VIDEO, AUDIO):
            return 0
        if kind == AUDIO and (entry.step_ms or 0) > MAX_SOUND_STEP_MS:
            self._gop_from_ms[AUDIO] = dts_ms
        return dts_ms - self._gop_from_ms.setdefault(kind, dts_ms)
