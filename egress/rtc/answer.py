"""The answer to a viewer's offer: what is sent, and where it is asked for. Pure.

- Pictures are H.264 with packetization-mode 1, chosen among what the viewer offers before anything
  is said: the payload type that is answered is the one that is sent.
- One section of pictures and one of sound are taken, both `sendonly` and bundled, with RTCP on the
  same port; all others are refused by port 0, in their places (RFC 3264 6).
- This end is ICE-lite with one address for all, and the passive one in DTLS where it may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from common.errors import OfferUnfit
from common.webrtc.offer import PROTOCOLS, Codec, Media, Offer

CNAME: Final = "tfarm"
_FEEDBACK: Final = ("nack", "nack pli", "ccm fir", "goog-remb")
_BASELINE: Final = "42"  # profile_idc of what every viewer decodes
# Of candidates: type preference 126, local preference by the order, component 1 (RFC 8445 5.1.2.1).
_HOST_PRIORITY: Final = 126 << 24 | 255


@dataclass(frozen=True, slots=True)
class Track:
    """What one section is sent."""

    media: Media
    codec: Codec
    rtx: Codec | None = None  # for repeats (RFC 4588); None: they have the numbers they had

    @property
    def payload_type(self) -> int:
        return self.codec.payload_type


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a viewer is sent."""

    video: Track
    audio: Track | None


@dataclass(frozen=True, slots=True)
class Ours:
    """This end of a session."""

    ufrag: str
    password: str = field(repr=False)
    fingerprint: str  # the algorithm and the digest
    addresses: Sequence[tuple[str, int]]
    session: int  # a number of the description's
    video_ssrc: int
    rtx_ssrc: int
    audio_ssrc: int


def choose(offer: Offer, profile: str = _BASELINE) -> Chosen:
    """Choose what is sent; `profile`: profile_idc of the stream in hex. Raises OfferUnfit."""
    videos = [one for one in offer.media if one.kind == "video" and one.may_receive]
    if not videos:
        raise OfferUnfit("the offer does not ask for video: it needs a recvonly section of it")
    if not any(one.protocol in PROTOCOLS for one in videos):
        raise OfferUnfit(f"video by {videos[0].protocol}: UDP/TLS/RTP/SAVPF is needed")
    for media in videos:
        codec = _h264(media, profile)
        if codec is not None and media.is_muxed:
            return Chosen(Track(media, codec, _rtx(media, codec)), _sound(offer))
    if any(_h264(media, profile) for media in videos):
        raise OfferUnfit("the offer is without rtcp-mux: all here goes by one port")
    kinds = dict.fromkeys(codec.name for media in videos for codec in media.codecs)
    helpers = ("RTX", "RED", "ULPFEC", "FLEXFEC-03")
    names = ", ".join(name[:20] for name in list(kinds)[:12] if name not in helpers)
    what = names or "nothing that is known"
    raise OfferUnfit(f"the stream is H.264 with packetization-mode=1, and the offer has {what}")


def _h264(media: Media, profile: str) -> Codec | None:
    """Of its payload types of H.264 the nearest to the stream's profile."""
    fit = [
        codec
        for codec in media.named("H264")
        if codec.parameters.get("packetization-mode") == "1" and codec.clock == 90_000
    ]
    by_profile = {
        codec.parameters.get("profile-level-id", "42")[:2].lower(): codec for codec in fit[::-1]
    }
    return by_profile.get(profile) or by_profile.get(_BASELINE) or (fit[0] if fit else None)


def _rtx(media: Media, codec: Codec) -> Codec | None:
    wanted = str(codec.payload_type)
    return next((one for one in media.named("RTX") if one.parameters.get("apt") == wanted), None)


def _sound(offer: Offer) -> Track | None:
    for media in offer.media:
        if media.kind == "audio" and media.may_receive and media.is_muxed:
            codec = next((one for one in media.named("OPUS") if one.clock == 48_000), None)
            if codec is not None:
                return Track(media, codec)
    return None


def write(offer: Offer, chosen: Chosen, ours: Ours) -> str:
    """The answer's text."""
    taken = [track for track in (chosen.video, chosen.audio) if track is not None]
    together = [
        media.mid for media in offer.media if media.mid and any(t.media is media for t in taken)
    ]
    lines = [
        "v=0",
        f"o=- {ours.session} 0 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        *([f"a=group:BUNDLE {' '.join(together)}"] if together else []),
        "a=msid-semantic: WMS *",
    ]
    for media in offer.media:
        track = next((one for one in taken if one.media is media), None)
        lines += _section(offer, track, ours) if track is not None else _refused(media)
    return "\r\n".join(lines) + "\r\n"


def _refused(media: Media) -> list[str]:
    formats = media.formats or "0"
    lines = [f"m={media.kind} 0 {media.protocol} {formats}", "c=IN IP4 0.0.0.0", "a=inactive"]
    return [*lines, f"a=mid:{media.mid}"] if media.mid else lines


def _section(offer: Offer, track: Track, ours: Ours) -> list[str]:
    media, number = track.media, track.payload_type
    is_video = media.kind == "video"
    formats = f"{number} {track.rtx.payload_type}" if track.rtx is not None else f"{number}"
    return [
        f"m={media.kind} 9 {media.protocol} {formats}",
        "c=IN IP4 0.0.0.0",
        *([f"a=mid:{media.mid}"] if media.mid else []),
        "a=sendonly",
        "a=rtcp-mux",
        f"a=ice-ufrag:{ours.ufrag}",
        f"a=ice-pwd:{ours.password}",
        f"a=fingerprint:{ours.fingerprint}",
        f"a=setup:{'active' if offer.is_passive else 'passive'}",
        *(_video(track, ours) if is_video else _audio(track, ours)),
        *[_candidate(at, address) for at, address in enumerate(ours.addresses)],
        "a=end-of-candidates",
    ]


def _video(track: Track, ours: Ours) -> list[str]:
    number, given = track.payload_type, track.codec.parameters
    level = given.get("profile-level-id", "42e01f")
    level = level if len(level) == 6 and level.isalnum() else "42e01f"
    lines = [
        f"a=rtpmap:{number} H264/90000",
        f"a=fmtp:{number} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={level}",
    ]
    lines += [f"a=rtcp-fb:{number} {one}" for one in _FEEDBACK if one in track.codec.feedback]
    ssrcs = [ours.video_ssrc]
    if track.rtx is not None:
        again = track.rtx.payload_type
        lines += [f"a=rtpmap:{again} rtx/90000", f"a=fmtp:{again} apt={number}"]
        ssrcs.append(ours.rtx_ssrc)
        lines.append(f"a=ssrc-group:FID {ours.video_ssrc} {ours.rtx_ssrc}")
    return [*lines, "a=msid:tfarm video", *[f"a=ssrc:{ssrc} cname:{CNAME}" for ssrc in ssrcs]]


def _audio(track: Track, ours: Ours) -> list[str]:
    number = track.payload_type
    # without `stereo` browsers make one channel of two
    parameters = "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"
    return [
        f"a=rtpmap:{number} opus/48000/2",
        f"a=fmtp:{number} {parameters}",
        *[f"a=rtcp-fb:{number} nack" for _ in range("nack" in track.codec.feedback)],
        "a=msid:tfarm audio",
        f"a=ssrc:{ours.audio_ssrc} cname:{CNAME}",
    ]


def _candidate(at: int, address: tuple[str, int]) -> str:
    host, port = address
    priority = _HOST_PRIORITY | (65_535 - at) << 8
    return f"a=candidate:{at + 1} 1 udp {priority} {host} {port} typ host"
