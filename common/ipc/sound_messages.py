"""Messages between who needs Opus and the process that codes it. Pure values.

They go by a Unix socket of that process (`Endpoint.sound`), both ways on one connection. Who has
asked for no frame of a stream for a while has it forgotten.
"""

from dataclasses import dataclass

from common.ipc.envelope import message


@message("sound-frames")
@dataclass(frozen=True, slots=True)
class SoundFrames:
    """Consecutive frames of a stream's sound, to be coded as Opus."""

    stream: str  # whatever tells the asker's streams apart
    codec: str  # "aac", "mp3"
    record: bytes  # AudioSpecificConfig; empty for MP3
    times_ms: tuple[int, ...]  # stream time of each
    frames: tuple[bytes, ...]


@message("opus-packets")
@dataclass(frozen=True, slots=True)
class OpusPackets:
    """What has become of them: packets of 20 ms."""

    stream: str
    times: tuple[int, ...]  # stream time of each, in samples of 48 kHz
    packets: tuple[bytes, ...]
