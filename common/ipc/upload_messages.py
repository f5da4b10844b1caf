"""From the upload child to the supervisor: how far copies of recordings are. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from common.ipc.envelope import message


class UploadState(StrEnum):
    """How far the copies of an app's recordings are."""

    IDLE = "idle"  # all are in the bucket
    UPLOADING = "uploading"
    RETRYING = "retrying"  # the last attempt failed


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """The recordings of one app on their way to its bucket."""

    app: str
    bucket: str  # with its server
    state: UploadState
    reason: str = ""  # of the last failure; "": none since a file was taken
    seconds: float = 0.0  # in this state
    waiting_files: int = 0  # with the one on its way
    waiting_bytes: int = 0
    oldest_s: float = 0.0  # how long ago the oldest of them was finished
    sent_bytes: int = 0  # of the file on its way
    files: int = 0  # taken so far
    bytes: int = 0
    failures: int = 0  # so far


@message("upload-report")
@dataclass(frozen=True, slots=True)
class UploadReport:
    """From the upload child, once a second: each app whose recordings are copied."""

    uploads: tuple[UploadStatus, ...]
