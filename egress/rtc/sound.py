"""A stream's sound as Opus packets, made once for all viewers, whatever rendition they watch. Pure.

Every rendition brings the same sound; what came already is dropped. Opus goes out as it is. AAC and
MP3 are coded by a process that may (`worker/opus/`): frames go there, packets come back with
their times in samples. Other sound is omitted. Timestamps count samples: times in ms would jitter.
"""

from collections.abc import Callable, Sequence
from typing import Final

from common.codecs.opus import packet_samples
from common.errors import ProtocolError
from common.ipc.sound_messages import SoundFrames
from common.media.units import AudioCodec, AudioConfig, AudioUnit
from common.rtp.header import OPUS_CLOCK_HZ
from common.rtp.history import Frame, History
from egress.streams.tag import Config, Tag

CODED: Final = (AudioCodec.AAC, AudioCodec.MP3)  # to Opus
MAX_STEP: Final = OPUS_CLOCK_HZ // 50  # samples between a time and the count that are no jump
MAX_BYTES: Final = 4 * 1024  # of a packet: RTP may carry it in one datagram up to 1200
_PER_MS: Final = OPUS_CLOCK_HZ // 1000

OnFrame = Callable[[History, Frame], object]
Encode = Callable[[SoundFrames], object]


class Sound:
    """Of one stream."""

    def __init__(self, stream: str, on_frame: OnFrame, encode: Encode) -> None:
        """`on_frame` gets each packet; `encode` has frames coded, by whoever can just now."""
        self.history = History(has_keys=False)
        self.problem = ""  # why there is none
        self._stream = stream
        self._on_frame = on_frame
        self._encode = encode
        self._last_ms: int | None = None
        self._header: Tag | None = None
        self._config: AudioConfig | None = None
        self._samples = 0  # the time of the next packet, where they follow each other
        self._has_begun = False
        self._codec = AudioCodec.AAC

    def take(self, config: Config, tags: Sequence[Tag]) -> None:
        """Take sound as a rendition brings it."""
        if config.audio is not self._header:
            self._header = config.audio
            self._configure()
        frames: list[tuple[int, bytes]] = []
        for tag in tags:
            if self._last_ms is not None and tag.dts_ms <= self._last_ms:
                continue
            self._last_ms = tag.dts_ms
            try:
                unit = tag.unit()
            except ProtocolError:
                continue
            if not isinstance(unit, AudioUnit) or not unit.data:
                continue
            if unit.codec is AudioCodec.OPUS:
                self._take_opus(unit)
            elif unit.codec in CODED and not tag.is_replay:
                # FLV's first byte is no part of MP3
                data = bytes(unit.data) if unit.codec is AudioCodec.AAC else bytes(unit.data[1:])
                frames.append((tag.dts_ms, data))
                self._codec = unit.codec
            else:
                self.problem = f"{unit.codec.label} is not sent by WebRTC"
        if frames:
            self._send_to_encoder(frames)

    def coded(self, time_samples: int, packet: bytes) -> None:
        """Take a packet that was coded, with its time in samples of 48 kHz."""
        self._append(time_samples, packet)

    def _configure(self) -> None:
        self._config = None
        if self._header is not None:
            try:
                config = self._header.media_config()
            except ProtocolError:
                return
            self._config = config if isinstance(config, AudioConfig) else None

    def _send_to_encoder(self, frames: Sequence[tuple[int, bytes]]) -> None:
        codec = self._codec
        record = b""
        if codec is AudioCodec.AAC:
            if self._config is None or self._config.codec is not codec:
                return  # it cannot be decoded yet
            record = self._config.record
        times = tuple(time_ms for time_ms, _ in frames)
        data = tuple(data for _, data in frames)
        self._encode(SoundFrames(self._stream, codec.value, record, times, data))

    def _take_opus(self, unit: AudioUnit) -> None:
        packet = bytes(unit.data)
        try:
            size = packet_samples(packet)
        except ProtocolError:
            return
        samples = unit.dts_ms * _PER_MS
        if self._has_begun and abs(samples - self._samples) < MAX_STEP:
            samples = self._samples
        self._samples, self._has_begun = samples + size, True
        self._append(samples, packet)

    def _append(self, samples: int, packet: bytes) -> None:
        if not 0 < len(packet) <= MAX_BYTES:
            return
        frame = self.history.append([packet], samples / _PER_MS, is_key=False)
        self._on_frame(self.history, frame)
