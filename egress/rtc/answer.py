"""The answer to a viewer's offer: what is sent, and where it is asked for. Pure.

- Pictures are in the codec of the rendition, H.264 with packetization-mode 1, chosen among what the
  viewer offers before anything is said: the payload type that is answered is the one that is sent.
- One section of pictures and one of sound are taken, both `sendonly`.
"""

from dataclasses import dataclass
from typing import Final

from common.errors import OfferUnfit
from common.media.units import VideoCodec
from common.webrtc import description
from common.webrtc.codecs import (
    BASELINE,
    VIDEO,
    names_of,
    opus_lines,
    opus_of,
    rtx_of,
    video_lines,
)
from common.webrtc.description import End, Section
from common.webrtc.offer import PROTOCOLS, Codec, Media, Offer

CNAME: Final = "tfarm"
_FEEDBACK: Final = ("nack", "nack pli", "ccm fir", "goog-remb")


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
    """This end of a session, and the numbers of what it sends."""

    end: End
    video_ssrc: int
    rtx_ssrc: int
    audio_ssrc: int


def check(offer: Offer) -> None:
    """Raise OfferUnfit if `choose` could find nothing, whatever the codec."""
    for codec in VIDEO:
        try:
            choose(offer, "", codec)
        except OfferUnfit:
            continue
        return
    choose(offer)


def choose(offer: Offer, profile: str = BASELINE, video: VideoCodec = VideoCodec.H264) -> Chosen:
    """Choose what is sent; `profile` as a channel has it. Raises OfferUnfit."""
    videos = [one for one in offer.media if one.kind == "video" and one.may_receive]
    if not videos:
        raise OfferUnfit("the offer does not ask for video: it needs a recvonly section of it")
    if not any(one.protocol in PROTOCOLS for one in videos):
        raise OfferUnfit(f"video by {videos[0].protocol}: UDP/TLS/RTP/SAVPF is needed")
    fitting = [(media, VIDEO[video](media, profile)) for media in videos]
    for media, codec in fitting:
        if codec is not None and media.is_muxed:
            return Chosen(Track(media, codec, rtx_of(media, codec)), _sound(offer))
    if any(codec is not None for _, codec in fitting):
        raise OfferUnfit("the offer is without rtcp-mux: all here goes by one port")
    what = names_of(videos) or "nothing that is known"
    mode = " with packetization-mode=1" if video is VideoCodec.H264 else ""
    raise OfferUnfit(f"the stream is {video.label}{mode}, and the offer has {what}")


def _sound(offer: Offer) -> Track | None:
    for media in offer.media:
        if media.kind == "audio" and media.may_receive and media.is_muxed:
            codec = opus_of(media)
            if codec is not None:
                return Track(media, codec)
    return None


def write(offer: Offer, chosen: Chosen, ours: Ours) -> str:
    """The answer's text."""
    taken = [_video(chosen.video, ours)]
    if chosen.audio is not None:
        taken.append(_audio(chosen.audio, ours))
    return description.write(offer, taken, ours.end)


def _video(track: Track, ours: Ours) -> Section:
    types, ssrcs = [track.payload_type], [ours.video_ssrc]
    lines = video_lines(track.codec, track.rtx, _FEEDBACK)
    if track.rtx is not None:
        types.append(track.rtx.payload_type)
        ssrcs.append(ours.rtx_ssrc)
        lines.append(f"a=ssrc-group:FID {ours.video_ssrc} {ours.rtx_ssrc}")
    lines += ["a=msid:tfarm video", *[f"a=ssrc:{ssrc} cname:{CNAME}" for ssrc in ssrcs]]
    return Section(track.media, "sendonly", types, lines)


def _audio(track: Track, ours: Ours) -> Section:
    lines = [
        *opus_lines(track.codec),
        "a=msid:tfarm audio",
        f"a=ssrc:{ours.audio_ssrc} cname:{CNAME}",
    ]
    return Section(track.media, "sendonly", [track.payload_type], lines)
