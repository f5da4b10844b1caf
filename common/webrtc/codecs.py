"""Which payload types of an offer fit what tfarm sends and takes: H.264, H.265, AV1, Opus. Pure."""

from collections.abc import Callable, Iterable
from typing import Final

from common.media.units import VideoCodec
from common.rtp.header import CLOCK_HZ, OPUS_CLOCK_HZ
from common.webrtc.offer import Codec, Media

BASELINE: Final = "42"  # profile_idc of what everybody decodes
DEFAULT_LEVEL: Final = "42e01f"  # of who does not say
MAIN: Final = "1"  # general_profile_idc of H.265, which is meant where none is said
MAIN_10: Final = "2"
# Of codecs but H.264: what of an offered payload type is said again in the answer.
_ECHOED: Final = {
    "H265": ("level-id", "profile-id", "tier-flag"),
    "AV1": ("level-idx", "profile", "tier"),
}
# What browsers send in H.264, and what repeats or protects it.
_HELPERS: Final = ("RTX", "RED", "ULPFEC", "FLEXFEC-03")


def h264_types(media: Media) -> list[Codec]:
    """Its payload types of H.264 with packetization-mode 1, in the order of preference."""
    return [
        codec
        for codec in media.named("H264")
        if codec.parameters.get("packetization-mode") == "1" and codec.clock == CLOCK_HZ
    ]


def h264_near(media: Media, profile: str) -> Codec | None:
    """Of its payload types of H.264 the nearest to a profile, by profile_idc in hex."""
    fit = h264_types(media)
    by_profile = {
        codec.parameters.get("profile-level-id", BASELINE)[:2].lower(): codec for codec in fit[::-1]
    }
    return by_profile.get(profile) or by_profile.get(BASELINE) or (fit[0] if fit else None)


def h265_near(media: Media, profile: str) -> Codec | None:
    """Of its payload types of H.265 the one that takes a profile, by its number in digits.

    Main 10 takes Main as well (H.265 A.3.3). One transmission on one stream is all that is sent
    (RFC 7798 7.1, `tx-mode`).
    """
    fit = [
        codec
        for codec in media.named("H265")
        if codec.clock == CLOCK_HZ and codec.parameters.get("tx-mode", "SRST").upper() == "SRST"
    ]
    by_profile = {codec.parameters.get("profile-id", MAIN): codec for codec in fit[::-1]}
    if profile in (MAIN, ""):
        return by_profile.get(MAIN) or by_profile.get(MAIN_10)
    return by_profile.get(profile)


def av1_of(media: Media, profile: str = "") -> Codec | None:
    """Its payload type of AV1's Main profile, the only one that is sent."""
    fit = [codec for codec in media.named("AV1") if codec.clock == CLOCK_HZ]
    return next((one for one in fit if one.parameters.get("profile", "0") == "0"), None)


# What is sent of each codec of pictures: its payload type for a profile.
VIDEO: Final[dict[VideoCodec, Callable[[Media, str], Codec | None]]] = {
    VideoCodec.H264: h264_near,
    VideoCodec.H265: h265_near,
    VideoCodec.AV1: av1_of,
}


def rtx_of(media: Media, codec: Codec) -> Codec | None:
    """The payload type that repeats another's packets (RFC 4588)."""
    wanted = str(codec.payload_type)
    return next((one for one in media.named("RTX") if one.parameters.get("apt") == wanted), None)


def opus_of(media: Media) -> Codec | None:
    """Its payload type of Opus."""
    return next((one for one in media.named("OPUS") if one.clock == OPUS_CLOCK_HZ), None)


def names_of(media: list[Media]) -> str:
    """The codecs that an offer has in place of ours, for people."""
    kinds = dict.fromkeys(codec.name for one in media for codec in one.codecs)
    return ", ".join(name[:20] for name in list(kinds)[:12] if name not in _HELPERS)


def h264_lines(codec: Codec, rtx: Codec | None, feedback: tuple[str, ...]) -> list[str]:
    """The attributes of H.264, with such feedback as both ends know."""
    number = codec.payload_type
    level = codec.parameters.get("profile-level-id", DEFAULT_LEVEL)
    level = level if len(level) == 6 and level.isalnum() else DEFAULT_LEVEL
    lines = [
        f"a=rtpmap:{number} H264/{CLOCK_HZ}",
        f"a=fmtp:{number} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={level}",
    ]
    return lines + _helping(codec, rtx, feedback)


def video_lines(codec: Codec, rtx: Codec | None, feedback: tuple[str, ...]) -> list[str]:
    """The attributes of one of `VIDEO`, with such feedback as both ends know."""
    wanted = _ECHOED.get(codec.name)
    if wanted is None:
        return h264_lines(codec, rtx, feedback)
    lines = [f"a=rtpmap:{codec.payload_type} {codec.name}/{CLOCK_HZ}"]
    parameters = ";".join(_known(codec, wanted))
    if parameters:
        lines.append(f"a=fmtp:{codec.payload_type} {parameters}")
    return lines + _helping(codec, rtx, feedback)


def _known(codec: Codec, names: Iterable[str]) -> list[str]:
    """Its parameters of these names that are numbers, as it has them."""
    found = ((name, codec.parameters.get(name, "")) for name in names)
    return [f"{name}={value}" for name, value in found if value.isdigit() and len(value) < 4]


def _helping(codec: Codec, rtx: Codec | None, feedback: tuple[str, ...]) -> list[str]:
    """What is reported of a codec's packets, and how they are repeated."""
    number = codec.payload_type
    lines = [f"a=rtcp-fb:{number} {one}" for one in feedback if one in codec.feedback]
    if rtx is not None:
        again = rtx.payload_type
        lines += [f"a=rtpmap:{again} rtx/{CLOCK_HZ}", f"a=fmtp:{again} apt={number}"]
    return lines


def opus_lines(codec: Codec) -> list[str]:
    """The attributes of Opus in stereo: without `stereo` browsers make one channel of two."""
    number = codec.payload_type
    return [
        f"a=rtpmap:{number} opus/{OPUS_CLOCK_HZ}/2",
        f"a=fmtp:{number} minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1",
        *[f"a=rtcp-fb:{number} nack" for _ in range("nack" in codec.feedback)],
    ]
