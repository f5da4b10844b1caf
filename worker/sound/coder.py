"""One stream's sound decoded, resampled, mixed to stereo and coded in a form (IO: libavcodec)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

import av
import av.error
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler

from common.codecs.opus import RATE, OpusHead
from common.errors import ProtocolError
from common.ipc.sound_messages import CHANNELS, PACKET_SAMPLES, SoundFrames
from common.media.units import AudioCodec
from worker.sound.sample_times import SampleTimes

MAX_FRAME_BYTES: Final = 64 * 1024
# Of Opus that a decoder begins with: it refers to what came before, and is noise, loud at times
# (RFC 7845, 4.6).
PRE_ROLL: Final = 3_840  # samples: 80 ms
_SAMPLE_BYTES: Final = CHANNELS * 4  # interleaved floats
_DECODERS: Final[dict[str, str]] = {
    AudioCodec.AAC: "aac",
    AudioCodec.MP3: "mp3float",
    AudioCodec.OPUS: "opus",
}

Coded = list[tuple[int, bytes]]


class Undecodable(Exception):
    """The sound cannot be decoded at all."""


class Coder:
    """Of one stream, one configuration of it, and one form."""

    def __init__(self, codec: str, record: bytes, form: str) -> None:
        """Raises Undecodable."""
        self.key = (codec, record)
        self.undecoded = 0  # frames
        self._times = SampleTimes()
        self._samples = bytearray()
        self._mute = PRE_ROLL * _SAMPLE_BYTES if codec == AudioCodec.OPUS else 0
        try:
            self._packet = PACKET_SAMPLES[AudioCodec(form)]
            self._decoder = _context(_DECODERS[codec], "r")
            self._decoder.thread_count = 1
            if record:
                self._decoder.extradata = _record_of(codec, record)
            self._resampler = AudioResampler(format="flt", layout="stereo", rate=RATE)
            self._encoder = _ENCODERS[AudioCodec(form)]()
        except (av.error.FFmpegError, KeyError, ValueError, ProtocolError) as error:
            raise Undecodable(str(error)) from error

    def code(self, frames: SoundFrames) -> Coded:
        """The packets that are whole by these frames, with their times in samples.

        A packet's time is that of its first sample behind the decoder. So the first of all, which
        has the encoder's priming alone, is before the sound; no time is below 0.
        """
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
            if self._times.jumps(time_ms, len(self._samples) // _SAMPLE_BYTES):
                self._samples.clear()
            if self._mute:
                muted = min(self._mute, len(decoded))
                decoded = bytes(muted) + decoded[muted:]
                self._mute -= muted
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
        size = self._packet * _SAMPLE_BYTES
        while len(self._samples) >= size:
            piece = np.frombuffer(bytes(self._samples[:size]), np.float32)
            del self._samples[:size]
            frame = _frame_of(piece, self._encoder.format.name)
            frame.pts = self._times.take(self._packet)
            for packet in self._encoder.encode(frame):
                if packet.pts is not None and packet.pts >= 0:
                    made.append((packet.pts, bytes(packet)))
        return made


def _context(name: str, mode: Literal["r", "w"]) -> AudioCodecContext:
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, AudioCodecContext)
    return context


def _encoder(name: str, sample_format: str, bit_rate: int) -> AudioCodecContext:
    encoder = _context(name, "w")
    encoder.format, encoder.layout, encoder.rate = sample_format, "stereo", RATE
    encoder.bit_rate = bit_rate
    return encoder


def _opus() -> AudioCodecContext:
    encoder = _encoder("libopus", "flt", 96_000)
    encoder.options = {"frame_duration": "20", "application": "audio"}
    return encoder


def _aac() -> AudioCodecContext:
    return _encoder("aac", "fltp", 128_000)


_ENCODERS: Final[dict[AudioCodec, Callable[[], AudioCodecContext]]] = {
    AudioCodec.OPUS: _opus,
    AudioCodec.AAC: _aac,
}


def _record_of(codec: str, record: bytes) -> bytes:
    """What a decoder is configured by, so that it leaves no sample out: times are counted by them.

    By `pre_skip` FFmpeg's decoder would leave out the first ones of all, which the publisher's
    times are of too.
    """
    if codec != AudioCodec.OPUS:
        return record
    return replace(OpusHead.parse(record), pre_skip=0).encode()


def _frame_of(samples: "np.ndarray[tuple[int], np.dtype[np.float32]]", form: str) -> av.AudioFrame:
    """Interleaved stereo samples as an encoder takes them."""
    if form == "fltp":
        plane = np.ascontiguousarray(samples.reshape(-1, CHANNELS).T)
    else:
        plane = samples.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(plane, format=form, layout="stereo")
    frame.sample_rate = RATE
    return frame


def _interleaved(frame: av.AudioFrame) -> bytes:
    return np.ascontiguousarray(frame.to_ndarray(), np.float32).tobytes()
