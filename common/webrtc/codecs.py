"""Which payload types of an offer fit what tfarm sends and takes: H.264, AV1 and Opus. Pure."""

from typing import Final

from common.rtp.header import CLOCK_HZ, OPUS_CLOCK_HZ
from common.webrtc.offer import Codec, Media

BASELINE: Final = "42"  # profile_idc of what everybody decodes
DEFAULT_LEVEL: Final = "42e01f"  # of who does not say
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


def av1_of(media: Media) -> Codec | None:
    """Its payload type of AV1's Main profile."""
    fit = [codec for codec in media.named("AV1") if codec.clock == CLOCK_HZ]
    return next((one for one in fit if one.parameters.get("profile", "0") == "0"), None)


def av1_lines(codec: Codec, rtx: Codec | None, feedback: tuple[str, ...]) -> list[str]:
    """The attributes of AV1, with such feedback as both ends know."""
    parameters = [
        f"{name}={codec.parameters[name]}"
        for name in ("level-idx", "profile", "tier")
        if codec.parameters.get(name, "").isdigit()
    ]
    lines = [f"a=rtpmap:{codec.payload_type} AV1/{CLOCK_HZ}"]
    if parameters:
        lines.append(f"a=fmtp:{codec.payload_type} {';'.join(parameters)}")
    return lines + _helping(codec, rtx, feedback)


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
