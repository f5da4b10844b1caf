"""The configuration of AAC whose sequence header does not come, made of what is known. Pure.

Nearly all of it is AAC-LC. In this order it tells what the sound is:

1. what the stream's publisher sent before, where that agrees with 2;
2. how long the frames are, by the stamps and by the clock, if both agree: 1024 samples each; and
   what their first element is: a single channel or a pair;
3. onMetaData: `audiosamplerate`, `audiochannels` or `stereo`;
4. 44.1 kHz, stereo.

The rate of HE-AAC in onMetaData is that behind SBR, and its frames' length tells the core's, which
is what a header without SBR has to say. `now` is CLOCK_MONOTONIC in seconds.
"""

import math
import re
from collections.abc import Mapping

from common.codecs.aac import (
    AAC_LC,
    SAMPLE_RATES,
    AudioSpecificConfig,
    FirstElement,
    channel_configuration,
    first_element,
    usual_sample_rate,
)
from common.flv import amf0
from common.flv.clock32 import Unwrapper
from common.media.units import AudioCodec, AudioConfig, Data

WAIT_S = 0.5  # for the header, from the first frame on
WAIT_UNDECLARED_S = 1.0  # … where nothing but the frames tells their rate
DEFAULT_RATE = 44_100
DEFAULT_CHANNELS = 2
_FRAME_SAMPLES = 1024
_SAME = 0.04  # 44.1 and 48 kHz are apart by 0.09
_EXACT = 0.015
_IN_REAL_TIME = 0.3
_LEAST_FRAMES = 8
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:k?hz)?\s*", re.IGNORECASE)
_CHANNELS = {"mono": 1, "stereo": 2}
_TRUE = frozenset({"true", "yes", "1", "stereo"})


class MissingHeader:
    """Of one publisher."""

    def __init__(self, before: AudioConfig | None = None) -> None:
        """`before` is what the publisher before this one sent as its header."""
        self._before = before if before is not None and before.codec is AudioCodec.AAC else None
        self._rate: int | None = None  # declared
        self._channels: int | None = None
        self._clock = Unwrapper()
        self._first: tuple[int, float] | None = None  # stamp and arrival of the first frame
        self._newest_ms = 0  # the highest stamp, counted from the first, …
        self._newest_s = 0.0
        self._frames = self._before_newest = 0  # … and how many frames came before it
        self._elements = {FirstElement.SINGLE: 0, FirstElement.PAIR: 0}

    def declare(self, members: Mapping[str, amf0.Value]) -> None:
        """Take what onMetaData says."""
        self._rate = _rate(members.get("audiosamplerate")) or self._rate
        self._channels = _channels(members) or self._channels

    @property
    def likely_frame_ms(self) -> float:
        """How long a frame is, as far as is known before anything was measured."""
        return _FRAME_SAMPLES * 1000 / (self._rate or DEFAULT_RATE)

    def wait(self, timestamp: int, frame: Data, now: float) -> bool:
        """Take a frame that came before any header; whether one is still waited for."""
        stamp_ms = self._clock.unwrap(timestamp)
        if self._first is None:
            self._first = (stamp_ms, now)
        since_ms = stamp_ms - self._first[0]
        if since_ms > self._newest_ms:
            self._newest_ms, self._newest_s = since_ms, now
            self._before_newest = self._frames
        self._frames += 1
        element = first_element(frame)
        if element in self._elements:
            self._elements[element] += 1
        wait_s = WAIT_S if self._rate is not None else WAIT_UNDECLARED_S
        return now - self._first[1] < wait_s

    def make(self) -> bytes:
        """The configuration's bytes, as far as is known by now."""
        measured = self._measured_rate()
        before = self._before
        if before is not None and self._agrees(AudioSpecificConfig.parse(before.record), measured):
            return before.record
        rate = self._rate or measured or DEFAULT_RATE
        if measured is not None and not _is_same(rate, measured):
            rate = measured
        channels = self._channels or DEFAULT_CHANNELS
        singles, pairs = self._elements[FirstElement.SINGLE], self._elements[FirstElement.PAIR]
        if channels <= 2 and singles != pairs:
            channels = 1 if singles > pairs else 2
        made = AudioSpecificConfig(AAC_LC, rate, channels, channel_configuration(channels))
        return made.encode()

    def _agrees(self, before: AudioSpecificConfig, measured: int | None) -> bool:
        if measured is not None:
            return _is_same(before.sample_rate, measured)
        return self._rate is None or any(
            _is_same(rate, self._rate) for rate in (before.sample_rate, before.output_rate)
        )

    def _measured_rate(self) -> int | None:
        """The rate by the frames' length; None where stamps and clock do not agree on it."""
        if self._first is None or self._before_newest < _LEAST_FRAMES:
            return None
        by_clock_ms = (self._newest_s - self._first[1]) * 1000
        if abs(by_clock_ms - self._newest_ms) > _IN_REAL_TIME * self._newest_ms:
            return None
        rate = _FRAME_SAMPLES * 1000 * self._before_newest / self._newest_ms
        nearest = min(SAMPLE_RATES, key=lambda usual: abs(usual - rate))
        return nearest if abs(nearest - rate) <= _EXACT * nearest else None


def _is_same(a: int, b: int) -> bool:
    return abs(a - b) <= _SAME * b


def _number(value: amf0.Value) -> float | None:
    """A number, also one that is written as a text; some encoders do."""
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        return float(match[1]) if match else None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _rate(value: amf0.Value) -> int | None:
    number = _number(value)
    if number is None:
        return None
    return usual_sample_rate(number * 1000 if number < 200 else number)  # some say 44.1


def _channels(members: Mapping[str, amf0.Value]) -> int | None:
    value = members.get("audiochannels")
    number = _number(value)
    if isinstance(value, str) and number is None:
        number = _CHANNELS.get(value.strip().lower())
    if number is not None and 1 <= number <= 8:
        return round(number)
    stereo = members.get("stereo")
    if isinstance(stereo, str):
        return 2 if stereo.strip().lower() in _TRUE else 1
    if isinstance(stereo, bool | int | float):
        return 2 if stereo else 1
    return None
