"""A stream's sound as Opus packets, made once for all viewers, whatever rendition they watch. Pure.

Every rendition brings the same sound; what came already is dropped. Opus goes out as it is, other
sound as the form of it that is coded (`egress.sound.coded`), with times in samples. Timestamps
count samples: times in ms would jitter.
"""

from collections.abc import Callable, Sequence
from typing import Final

from common.codecs.opus import packet_samples
from common.errors import ProtocolError
from common.ipc.identity import StreamId
from common.media.units import AudioCodec, AudioUnit
from common.rtp.header import OPUS_CLOCK_HZ
from common.rtp.history import Frame, History
from egress.sound.coded import CodedPacket, CodedSound, SoundForms
from egress.streams.tag import Config, Tag

MAX_STEP: Final = OPUS_CLOCK_HZ // 50  # samples between a time and the count that are no jump
MAX_BYTES: Final = 4 * 1024  # of a packet: RTP may carry it in one datagram up to 1200
_PER_MS: Final = OPUS_CLOCK_HZ // 1000

OnFrame = Callable[[History, Frame], object]


class Sound:
    """Of one stream."""

    def __init__(self, stream: StreamId, on_frame: OnFrame, forms: SoundForms) -> None:
        """`on_frame` gets each packet."""
        self.history = History(has_keys=False)
        self._stream = stream
        self._on_frame = on_frame
        self._forms = forms
        self._coded: CodedSound | None = None
        self._last_ms: int | None = None
        self._samples = 0  # the time of the next packet, where they follow each other
        self._has_begun = False

    def take(self, config: Config, tags: Sequence[Tag]) -> None:
        """Take sound as a rendition brings it."""
        other: list[Tag] = []
        for tag in tags:
            if self._last_ms is not None and tag.dts_ms <= self._last_ms:
                continue
            self._last_ms = tag.dts_ms
            if tag.codec == AudioCodec.OPUS:
                self._take_opus(tag)
            elif not tag.is_replay:
                other.append(tag)
        if other:
            if self._coded is None:
                self._coded = self._forms.listen(self._stream, AudioCodec.OPUS, self._on_packets)
            self._coded.take(config.audio, other)

    def close(self) -> None:
        """Nobody watches any more."""
        if self._coded is not None:
            self._forms.leave(self._coded, self._on_packets)
            self._coded = None

    def _on_packets(self, packets: Sequence[CodedPacket]) -> None:
        for packet in packets:
            self._append(packet.time, packet.data)

    def _take_opus(self, tag: Tag) -> None:
        try:
            unit = tag.unit()
            if not isinstance(unit, AudioUnit) or not unit.data:
                return
            packet = bytes(unit.data)
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
