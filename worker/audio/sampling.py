"""Which frames of a stream's sound are decoded: half a second of them, every few seconds. Pure.

Frames in between are looked at no further than their header. `now` is CLOCK_MONOTONIC in seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from common.errors import FlvError
from common.flv.audio import audio_config_of, audio_unit_of, is_audio_sequence_header
from common.flv.tag import TagType
from common.ipc.media_messages import REPLAY, TagHeader
from common.media.units import AudioCodec

EVERY_S: Final = 5.0
SAMPLE_MS: Final = 500
MAX_FRAMES: Final = 200  # of a sample: 2.5 ms each
MAX_BYTES: Final = 256 * 1024
DECODED: Final = (AudioCodec.AAC, AudioCodec.MP3)
_AUDIO: Final = int(TagType.AUDIO)


@dataclass(frozen=True, slots=True)
class Sample:
    """Consecutive frames, and what a decoder needs for them."""

    codec: AudioCodec
    record: bytes  # AudioSpecificConfig; empty for MP3
    frames: tuple[bytes, ...]


class Sampler:
    """Of one stream. `offset_s` spreads the streams over the seconds."""

    def __init__(self, now: float, offset_s: float = 0.0) -> None:
        self.came_s = now  # when sound last came
        self._due_s = now + offset_s
        self._record = b""
        self._codec: AudioCodec | None = None
        self._frames: list[bytes] = []
        self._bytes = 0
        self._first_ms = 0

    def take(
        self, headers: Sequence[TagHeader], bodies: Sequence[bytes], now: float
    ) -> Sample | None:
        """Take tags of sound; a sample when one is whole. Raises FlvError."""
        sample = None
        for header, body in zip(headers, bodies, strict=False):
            if header.type != _AUDIO or not body:
                continue
            if is_audio_sequence_header(body):
                self._configure(body)
            elif not header.flags & REPLAY:
                self.came_s = now
                if now >= self._due_s:
                    sample = self._add(header, body, now) or sample
        return sample

    def _configure(self, body: bytes) -> None:
        self._drop()
        self._record = b""
        config = audio_config_of(body)
        if config is not None:
            self._record = config.record

    def _add(self, header: TagHeader, body: bytes, now: float) -> Sample | None:
        try:
            unit = audio_unit_of(body, header.dts_ms)
        except FlvError:
            self._drop()
            raise
        if unit is None or unit.codec not in DECODED:
            return None
        if unit.codec is AudioCodec.AAC and not self._record:
            return None
        data = bytes(unit.data) if unit.codec is AudioCodec.AAC else bytes(unit.data[1:])
        if unit.codec is not self._codec or self._bytes + len(data) > MAX_BYTES:
            self._drop()
            self._codec = unit.codec
        if not self._frames:
            self._first_ms = header.dts_ms
        self._frames.append(data)
        self._bytes += len(data)
        passed_ms = header.dts_ms - self._first_ms
        if 0 <= passed_ms < SAMPLE_MS and len(self._frames) < MAX_FRAMES:
            return None
        record = self._record if unit.codec is AudioCodec.AAC else b""
        sample = Sample(unit.codec, record, tuple(self._frames))
        self._drop()
        self._due_s = now + EVERY_S
        return sample

    def _drop(self) -> None:
        self._frames.clear()
        self._bytes = 0
