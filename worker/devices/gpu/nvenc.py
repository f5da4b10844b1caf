"""The options of NVENC for a rendition, and what FFmpeg's log says when it refuses. Pure.

Unknown option names are ignored by FFmpeg without a word, so the names stand here and are tested
against the encoder's own list. FFmpeg's error codes say little ("invalid argument" for a session
cap), its log lines carry the driver's reason: `read_failure` turns those into ours.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from common.config.ladder import PROFILE, RenditionFormat
from common.media.units import VideoCodec

_LOW_MEMORY = 256 * 1024**2
_STATUS = re.compile(r"OpenEncodeSessionEx failed: (?P<text>[^()]*)\((?P<code>\d+)\)")
_NO_MEMORY = 10
_CAP_REACHED = 21  # "incompatible client key": what drivers of today answer beyond the cap
_NO_ENCODER = frozenset({1, 2, 3, 4, 5})  # no such device, unsupported device, …


class Refusal(StrEnum):
    """Why an encoder does not open."""

    SESSION_CAP = "encoder session cap of the driver reached"
    NO_ENCODER = "this GPU has no such encoder"
    OLD_DRIVER = "the driver is too old for this FFmpeg's NVENC"
    NO_MEMORY = "out of device memory"
    OTHER = "the encoder does not open"


@dataclass(frozen=True, slots=True)
class Failure:
    """A refusal and the log line that names it."""

    refusal: Refusal
    detail: str

    def __str__(self) -> str:
        return f"{self.refusal.value} ({self.detail})" if self.detail else self.refusal.value


def encoder_options(rendition: RenditionFormat, fps: Fraction) -> dict[str, str]:
    """FFmpeg's options: a picture out of the call that took it in, no B-frames, no look-ahead.

    The session forces the IDRs, on its grid of stream time; the encoder's own GOP is twice as long,
    so that a source a little faster than said gets none in between.
    """
    gop = max(1, round(rendition.gop_ms * fps / 1000))
    return (
        _OWN[rendition.codec](rendition)
        | _rate(rendition)
        | {
            "preset": rendition.preset,
            "tune": "ull",
            "maxrate": str(rendition.peak_bps),
            "bufsize": str(rendition.vbv_bits),
            "g": str(2 * gop),
            "bf": "0",
            "delay": "0",
            "zerolatency": "1",
            "rc-lookahead": "0",
            "no-scenecut": "1",
            "forced-idr": "1",
            "a53cc": "0",  # captions are the session's
            "s12m_tc": "0",
            "extra_sei": "0",
        }
    )


def _rate(rendition: RenditionFormat) -> dict[str, str]:
    """A target quality is a kind of VBR to NVENC, which has no bitrate then, but its peak."""
    if rendition.target_quality is None:
        return {"rc": rendition.rate_control.value, "b": str(rendition.bitrate_bps)}
    return {"rc": "vbr", "cq": f"{rendition.target_quality:g}", "b": "0"}


# What an encoder has and the others have not, or have with other values.
_OWN: Mapping[VideoCodec, Callable[[RenditionFormat], dict[str, str]]] = {
    VideoCodec.H264: lambda rendition: {"profile": rendition.profile, "udu_sei": "0"},
    VideoCodec.H265: lambda rendition: {"profile": PROFILE, "udu_sei": "0"},
    VideoCodec.AV1: lambda rendition: {},
}


def read_failure(lines: Sequence[str], free_bytes: int) -> Failure:
    """Return what FFmpeg's log lines at a failed opening mean.

    Older drivers answer "out of memory" beyond the session cap; it is believed only when little
    device memory is free.
    """
    for line in lines:
        status = _STATUS.search(line)
        if status is not None:
            detail = line.strip()
            match int(status["code"]):
                case code if code in _NO_ENCODER:
                    return Failure(Refusal.NO_ENCODER, detail)
                case code if code == _CAP_REACHED:
                    return Failure(Refusal.SESSION_CAP, detail)
                case code if code == _NO_MEMORY and free_bytes >= _LOW_MEMORY:
                    return Failure(Refusal.SESSION_CAP, detail)
                case code if code == _NO_MEMORY:
                    return Failure(Refusal.NO_MEMORY, detail)
                case _:
                    return Failure(Refusal.OTHER, detail)
    for line in lines:
        if "required nvenc API version" in line or "minimum required Nvidia driver" in line:
            return Failure(Refusal.OLD_DRIVER, line.strip())
        if "libnvidia-encode" in line or "No capable devices found" in line:
            return Failure(Refusal.NO_ENCODER, line.strip())
        if "out of memory (10)" in line and free_bytes < _LOW_MEMORY:
            return Failure(Refusal.NO_MEMORY, line.strip())
    return Failure(Refusal.OTHER, lines[0].strip() if lines else "")
