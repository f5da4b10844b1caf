"""A sample of sound decoded, and how loud it is (IO: libavcodec).

Levels are in dB of full scale (dBFS): 0 is the loudest that 16-bit sound can be. A decoder is
opened for each sample and given its first frames for nothing: they overlap with those before.
"""

from dataclasses import dataclass
from typing import Final

import av
import av.error
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from common.media.units import AudioCodec
from worker.audio.sampling import Sample

FLOOR_DBFS: Final = -120.0  # of digital silence
FULL: Final = 0.95  # of full scale: AAC rounds off what was clipped before it
_PRIMING: Final = 2  # frames whose samples say nothing: each is half of the one before
_CODECS: Final = {AudioCodec.AAC: "aac", AudioCodec.MP3: "mp3float"}


@dataclass(frozen=True, slots=True)
class Loudness:
    """How loud a sample is."""

    peak_dbfs: float  # of the loudest channel
    quietest_dbfs: float  # the peak of the quietest channel
    rms_dbfs: float  # over all channels
    clipped: float  # the share of samples at full scale


class Undecodable(Exception):
    """Nothing of a sample could be decoded."""


def measure(sample: Sample) -> Loudness:
    """Decode a sample and measure it. Raises Undecodable."""
    planes = _decode(sample)
    if not planes:
        raise Undecodable("no frame of it could be decoded")
    channels = min(len(plane) for plane in planes)
    sound = np.concatenate([plane[:channels] for plane in planes], axis=1)
    sound = np.nan_to_num(np.abs(sound))
    peaks = sound.max(axis=1)
    return Loudness(
        _dbfs(float(peaks.max())),
        _dbfs(float(peaks.min())),
        _dbfs(float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))),
        float(np.mean(sound >= FULL)),
    )


def _decode(sample: Sample) -> list["np.ndarray[tuple[int, int], np.dtype[np.float32]]"]:
    planes = []
    try:
        decoder = av.CodecContext.create(_CODECS[sample.codec], "r")
        assert isinstance(decoder, AudioCodecContext)
        decoder.thread_count = 1
        if sample.record:
            decoder.extradata = sample.record
        for number, data in enumerate(sample.frames):
            try:
                frames = decoder.decode(av.Packet(data))
            except av.error.InvalidDataError:
                continue  # a damaged frame costs itself
            if number >= _PRIMING:
                planes += [_samples(frame) for frame in frames]
    except (av.error.FFmpegError, ValueError) as error:
        raise Undecodable(str(error)) from error
    return planes


def _samples(
    frame: "av.AudioFrame",
) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    """The samples by channel, 1.0 at full scale: these decoders give planes of floats."""
    return np.asarray(frame.to_ndarray(), np.float32)


def _dbfs(amplitude: float) -> float:
    return max(FLOOR_DBFS, 20 * float(np.log10(amplitude))) if amplitude > 0 else FLOOR_DBFS
