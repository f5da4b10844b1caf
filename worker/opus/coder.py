"""One stream's sound decoded, resampled and coded as Opus (IO: libavcodec)."""

from typing import Final, Literal

import av
import av.error
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler

from common.ipc.sound_messages import SoundFrames
from worker.opus.sample_times import PACKET, RATE, SampleTimes

BIT_RATE: Final = 96_000
MAX_FRAME_BYTES: Final = 64 * 1024
_BYTES: Final = PACKET * 2 * 2  # of a packet's samples: 16 bits, stereo
_DECODERS: Final = {"aac": "aac", "mp3": "mp3float"}

Coded = list[tuple[int, bytes]]


class Undecodable(Exception):
    """The sound cannot be decoded at all."""


class Coder:
    """Of one stream, and one configuration of it."""

    def __init__(self, codec: str, record: bytes) -> None:
        """Raises Undecodable."""
        self.key = (codec, record)
        self.undecoded = 0  # frames
        self._times = SampleTimes()
        self._samples = bytearray()
        try:
            self._decoder = _context(_DECODERS[codec], "r")
            self._decoder.thread_count = 1
            if record:
                self._decoder.extradata = record
            self._resampler = AudioResampler(format="s16", layout="stereo", rate=RATE)
            self._encoder = _encoder()
        except (av.error.FFmpegError, KeyError, ValueError) as error:
            raise Undecodable(str(error)) from error

    def code(self, frames: SoundFrames) -> Coded:
        """The packets that are whole by these frames, with their times in samples."""
        made: Coded = []
        for time_ms, data in zip(frames.times_ms, frames.frames, strict=False):
            if not 0 < len(data) <= MAX_FRAME_BYTES:
                continue
            try:
                decoded = self._decode(data)
            except (av.error.FFmpegError, ValueError):
                self.undecoded += 1  # a damaged frame costs itself
                continue
            if not decoded:
                continue
            if self._times.jumps(time_ms, len(self._samples) // 4):
                self._samples.clear()
            self._samples += decoded
            made += self._encode()
        return made

    def _decode(self, data: bytes) -> bytes:
        pieces: list[bytes] = []
        for frame in self._decoder.decode(av.Packet(data)):
            frame.pts = None
            pieces += [_interleaved(one) for one in self._resampler.resample(frame)]
        return b"".join(pieces)

    def _encode(self) -> Coded:
        made: Coded = []
        while len(self._samples) >= _BYTES:
            piece = bytes(self._samples[:_BYTES])
            del self._samples[:_BYTES]
            plane = np.frombuffer(piece, np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(plane, format="s16", layout="stereo")
            frame.sample_rate = RATE
            frame.pts = self._times.take()
            for packet in self._encoder.encode(frame):
                if packet.pts is not None and packet.pts >= 0:
                    made.append((packet.pts, bytes(packet)))
        return made


def _context(name: str, mode: Literal["r", "w"]) -> AudioCodecContext:
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, AudioCodecContext)
    return context


def _encoder() -> AudioCodecContext:
    encoder = _context("libopus", "w")
    encoder.format, encoder.layout, encoder.rate = "s16", "stereo", RATE
    encoder.bit_rate = BIT_RATE
    encoder.options = {"frame_duration": "20", "application": "audio"}
    return encoder


def _interleaved(frame: "av.AudioFrame") -> bytes:
    return np.ascontiguousarray(frame.to_ndarray(), np.int16).tobytes()
