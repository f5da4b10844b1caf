"""Messages about captures: supervisor ↔ ingest. Pure values."""

from dataclasses import dataclass

from common.ipc.envelope import message
from common.ipc.identity import StreamId


@message("capture-stream")
@dataclass(frozen=True, slots=True)
class CaptureStream:
    """To ingest: write what this stream's publisher sent lately to a file.

    Answered by `CaptureWritten`, unless `request_id` is 0: then nobody waits for it, it is written
    only if there were not too many lately, and `headers_only` is left to the settings.
    """

    request_id: int
    stream_id: StreamId
    reason: str
    headers_only: bool = False


@message("capture-written")
@dataclass(frozen=True, slots=True)
class CaptureWritten:
    """Ingest answers `CaptureStream`: where the file is, or why there is none."""

    request_id: int
    stream_id: StreamId
    path: str = ""
    size_bytes: int = 0
    seconds: float = 0.0  # from its first message to its last
    error: str = ""  # empty: it is written
