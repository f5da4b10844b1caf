"""The answer to a publisher's offer: what is taken of it. Pure.

One section of pictures and one of sound are taken, both `recvonly`; all others are refused.
Pictures are H.264 with packetization-mode 1, of the payload type that the publisher likes best;
sound is Opus. A publisher of sound alone is refused: the farm transcodes pictures.
"""

from dataclasses import dataclass
from typing import Final

from common.errors import OfferUnfit
from common.webrtc import description
from common.webrtc.codecs import h264_lines, h264_types, names_of, opus_lines, opus_of, rtx_of
from common.webrtc.description import End, Section
from common.webrtc.offer import PROTOCOLS, Codec, Media, Offer

_FEEDBACK: Final = ("nack", "nack pli", "goog-remb")


@dataclass(frozen=True, slots=True)
class Track:
    """What comes in one section."""

    media: Media
    codec: Codec
    rtx: Codec | None = None  # repeats (RFC 4588); None: they have the numbers they had

    @property
    def payload_type(self) -> int:
        return self.codec.payload_type


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a publisher is to send."""

    video: Track
    audio: Track | None


def choose(offer: Offer) -> Chosen:
    """Choose what is taken. Raises OfferUnfit."""
    videos = [one for one in offer.media if one.kind == "video" and one.may_send]
    if not videos:
        raise OfferUnfit("the offer sends no video: it needs a sendonly section of it")
    if not any(one.protocol in PROTOCOLS for one in videos):
        raise OfferUnfit(f"video by {videos[0].protocol}: UDP/TLS/RTP/SAVPF is needed")
    fit = [(media, codec) for media in videos for codec in h264_types(media)[:1]]
    if not fit:
        what = names_of(videos) or "nothing that is known"
        raise OfferUnfit(f"publish H.264 with packetization-mode=1: the offer has {what}")
    for media, codec in fit:
        if media.is_muxed:
            return Chosen(Track(media, codec, rtx_of(media, codec)), _sound(offer))
    raise OfferUnfit("the offer is without rtcp-mux: all here goes by one port")


def _sound(offer: Offer) -> Track | None:
    for media in offer.media:
        if media.kind == "audio" and media.may_send and media.is_muxed:
            codec = opus_of(media)
            if codec is not None:
                return Track(media, codec, rtx_of(media, codec))
    return None


def write(offer: Offer, chosen: Chosen, end: End) -> str:
    """The answer's text."""
    taken = []
    for track in (chosen.video, chosen.audio):
        if track is None:
            continue
        types = [track.payload_type]
        if track is chosen.video:
            lines = h264_lines(track.codec, track.rtx, _FEEDBACK)
            types += [track.rtx.payload_type] if track.rtx is not None else []
        else:
            lines = opus_lines(track.codec)
        taken.append(Section(track.media, "recvonly", types, lines))
    return description.write(offer, taken, end)
