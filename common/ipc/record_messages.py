"""Between the supervisor and the record child: which streams there are, what is written. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum

from common.ipc.envelope import message
from common.ipc.identity import StreamId


class RecordState(StrEnum):
    """How far a recording is."""

    WAITING = "waiting"  # for the stream, or for a keyframe
    RECORDING = "recording"
    FAILED = "failed"  # nothing is written; it is tried again


@message("record-streams")
@dataclass(frozen=True, slots=True)
class RecordStreams:
    """To the record child: the streams that are recorded; whole, whenever it changes."""

    streams: tuple[StreamId, ...]


@dataclass(frozen=True, slots=True)
class RecordStatus:
    """One rendition of one stream on its way to files."""

    stream_id: StreamId
    rendition: str
    state: RecordState
    file: str = field(default="", repr=False)  # the last one, with its path; it holds the key
    reason: str = ""  # why the last attempt failed; "": it did not
    seconds: float = 0.0  # in this state
    bytes: int = 0  # written so far
    files: int = 0  # finished so far
    dropped: int = 0  # pictures that are in no file


@message("record-report")
@dataclass(frozen=True, slots=True)
class RecordReport:
    """From the record child, once a second: all of its recordings."""

    recordings: tuple[RecordStatus, ...]
    known: int  # which streams it was told: `common.ipc.push_messages.known_as`
