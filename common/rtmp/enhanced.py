"""What `connect` says of Enhanced RTMP v2, both ways: codecs that a peer takes, and those of ours.

A peer names FourCCs in `fourCcList` (version 1), "*" among them for all that there are, or as the
names of `videoFourCcInfoMap`, each with flags of what it can do with it. It is answered in the
first object of the `_result`, and only a peer that said any of it: to all others the answer stays
as it has been for twenty years. What is said is what is done, no more. Pure.
"""

from typing import Final

from common.flv import amf0
from common.flv.video import fourcc_of
from common.media.units import VideoCodec

_LIST: Final = "fourCcList"
_VIDEO: Final = "videoFourCcInfoMap"
_AUDIO: Final = "audioFourCcInfoMap"
_CAPS: Final = "capsEx"
ANY: Final = "*"
_OPUS: Final = "Opus"
MAX_NAMED: Final = 64  # FourCCs that are looked at; there are a dozen

CAN_DECODE, CAN_ENCODE, CAN_FORWARD = 1, 2, 4
_MOD_EX: Final = 4  # of capsEx: its extensions are passed over. No reconnect, no further tracks


def is_enhanced(members: dict[str, amf0.Value]) -> bool:
    """Whether a peer's command object says anything of Enhanced RTMP."""
    return any(name in members for name in (_LIST, _VIDEO, _AUDIO, _CAPS))


def named_fourccs(members: dict[str, amf0.Value]) -> frozenset[str]:
    """The FourCCs that a peer can decode or pass on, `ANY` perhaps among them."""
    found: list[amf0.Value] = []
    named = members.get(_LIST)
    if isinstance(named, list):
        found += named[:MAX_NAMED]
    found += _flagged(members.get(_VIDEO))
    # all sound that there is, which says nothing of pictures
    found += [_OPUS if name == ANY else name for name in _flagged(members.get(_AUDIO))]
    return frozenset(name for name in found if isinstance(name, str) and len(name) in (1, 4))


def _flagged(named: amf0.Value) -> list[amf0.Value]:
    """The names of a map that has flags of what a peer can do with each."""
    if not isinstance(named, dict):
        return []
    return [
        name
        for name, flags in list(named.items())[:MAX_NAMED]
        if isinstance(flags, float) and int(flags) & (CAN_DECODE | CAN_FORWARD)
    ]


def takes_opus(fourccs: frozenset[str]) -> bool:
    """Whether a peer that named these takes Opus; all take what classic FLV has a number for."""
    return ANY in fourccs or _OPUS in fourccs


def takes(fourccs: frozenset[str], codec: VideoCodec) -> bool:
    """Whether a peer that named these takes video of a codec; all take H.264, in classic form."""
    return codec is VideoCodec.H264 or ANY in fourccs or fourcc_of(codec) in fourccs


def answer() -> dict[str, amf0.Value]:
    """What the server says of itself."""
    passed_on = float(CAN_DECODE | CAN_FORWARD)
    video: dict[str, amf0.Value] = {
        fourcc_of(VideoCodec.H264): float(CAN_DECODE | CAN_ENCODE | CAN_FORWARD),
        fourcc_of(VideoCodec.H265): passed_on,
        fourcc_of(VideoCodec.AV1): passed_on,
    }
    coded = float(CAN_DECODE | CAN_ENCODE | CAN_FORWARD)
    audio: dict[str, amf0.Value] = {"mp4a": coded, _OPUS: coded, ".mp3": passed_on}
    return {_LIST: [*video, *audio], _VIDEO: video, _AUDIO: audio, _CAPS: float(_MOD_EX)}
