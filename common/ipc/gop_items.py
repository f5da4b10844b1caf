"""What of a stream's last GOP goes from one ingest to another (`GopTransfer`). Pure values."""

from dataclasses import dataclass
from enum import Enum


class TransferKind(Enum):
    """The kind of an item of a `GopTransfer`, and of its payload."""

    METADATA = "metadata"  # the body of onMetaData
    VIDEO_CONFIG = "video-config"  # the codec's configuration record
    AUDIO_CONFIG = "audio-config"  # likewise; empty for codecs that have none
    VIDEO = "video"  # a unit's data
    AUDIO = "audio"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class TransferItem:
    """One item of a `GopTransfer`."""

    kind: TransferKind
    codec: str = ""  # of `common.media.units`; of audio and video
    dts_ms: int = 0
    composition_ms: int = 0  # PTS - DTS
    flags: int = 0  # as ingest/streams/gop_transfer.py has them
    received_s: float = 0.0
