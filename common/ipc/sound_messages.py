"""Messages between who needs sound in another form and the process that codes it. Pure values.

They go by a Unix socket of that process (`Endpoint.sound`), both ways on one connection. Who has
asked for no frame of a stream for a while has it forgotten.
"""

from dataclasses import dataclass
from typing import Final

from common.codecs.aac import AAC_LC, AudioSpecificConfig
from common.codecs.opus import RATE, STEREO_HEAD
from common.ipc.envelope import message
from common.media.units import AudioCodec

SAMPLE_RATE: Final = RATE  # Hz: times are counted in samples of it
CHANNELS: Final = 2
# What a form's packets are decoded by: always of 48 kHz in stereo, whatever the sound had.
RECORDS: Final = {
    AudioCodec.AAC: AudioSpecificConfig(AAC_LC, RATE, CHANNELS, CHANNELS).encode(),
    AudioCodec.OPUS: STEREO_HEAD,
}
# Samples of a packet. Opus has 20 ms, as WebRTC sends it.
PACKET_SAMPLES: Final = {AudioCodec.AAC: 1024, AudioCodec.OPUS: 960}
# What can be made another form of. An enum's members are equal to their names on the wire.
SOURCES: Final[frozenset[str]] = frozenset({AudioCodec.AAC, AudioCodec.MP3, AudioCodec.OPUS})


@message("sound-frames")
@dataclass(frozen=True, slots=True)
class SoundFrames:
    """Consecutive frames of a stream's sound, to be coded in another form."""

    stream: str  # whatever tells the asker's streams apart
    codec: str  # of `SOURCES`
    record: bytes  # AudioSpecificConfig, OpusHead; empty for MP3
    times_ms: tuple[int, ...]  # stream time of each
    frames: tuple[bytes, ...]
    form: str = AudioCodec.OPUS  # of `RECORDS`


@message("sound-packets")
@dataclass(frozen=True, slots=True)
class SoundPackets:
    """What has become of them: packets of `PACKET_SAMPLES`."""

    stream: str
    form: str
    times: tuple[int, ...]  # stream time of each, in samples of 48 kHz
    packets: tuple[bytes, ...]
