"""worker/audio/decode.py: real AAC and MP3, measured."""

from collections.abc import Callable

import av
import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext

from common.media.units import AudioCodec
from worker.audio.decode import FLOOR_DBFS, Undecodable, measure
from worker.audio.level_rules import LEVEL_RULES
from worker.audio.sampling import Sample

RATE = 48_000
Wave = Callable[[np.ndarray], np.ndarray]


def tone(amplitude: float) -> Wave:
    return lambda at: amplitude * np.sin(2 * np.pi * 440 * at)


def encoded(left: Wave, right: Wave, codec: str = "aac", seconds: float = 0.6) -> Sample:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "stereo", "fltp"
    encoder.bit_rate = 192_000
    encoder.open()
    size = encoder.frame_size
    frames: list[bytes] = []
    for index in range(int(RATE * seconds / size)):
        at = np.arange(index * size, (index + 1) * size) / RATE
        samples = np.stack([left(at), right(at)]).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
        frame.sample_rate, frame.pts = RATE, index * size
        frames += [bytes(packet) for packet in encoder.encode(frame)]
    is_aac = codec == "aac"
    record = bytes(encoder.extradata or b"") if is_aac else b""
    return Sample(AudioCodec.AAC if is_aac else AudioCodec.MP3, record, tuple(frames[2:]))


def silent(at: np.ndarray) -> np.ndarray:
    return np.zeros_like(at)


@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_the_level_of_a_tone(codec: str) -> None:
    found = measure(encoded(tone(0.5), tone(0.5), codec))
    assert found.peak_dbfs == pytest.approx(-6.0, abs=0.7)
    assert found.rms_dbfs == pytest.approx(-9.0, abs=0.7)
    assert found.quietest_dbfs == pytest.approx(found.peak_dbfs, abs=0.3)
    assert found.clipped == 0


def test_silence() -> None:
    found = measure(encoded(silent, silent))
    assert found.peak_dbfs < -90
    assert found.rms_dbfs >= FLOOR_DBFS


def test_one_channel() -> None:
    found = measure(encoded(tone(0.5), silent))
    assert found.peak_dbfs - found.quietest_dbfs > 40


def test_clipping() -> None:
    def clipped(at: np.ndarray) -> np.ndarray:
        return np.clip(tone(4.0)(at), -1, 1)

    (rule,) = [rule for rule in LEVEL_RULES if rule.code == "clipping"]
    assert measure(encoded(clipped, clipped)).clipped > 2 * rule.enter
    assert measure(encoded(tone(0.9), tone(0.9))).clipped < rule.leave


def test_what_cannot_be_decoded_is_said() -> None:
    good = encoded(tone(0.5), tone(0.5))
    with pytest.raises(Undecodable):
        measure(Sample(AudioCodec.AAC, b"", (b"\xff" * 40,) * 20))
    with pytest.raises(Undecodable):
        measure(Sample(AudioCodec.AAC, good.record, ()))
    damaged = (*good.frames[:5], b"\xff\x00\xff", *good.frames[6:])
    assert measure(Sample(AudioCodec.AAC, good.record, damaged)).peak_dbfs > -12
