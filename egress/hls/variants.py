"""The multivariant playlist of a stream: what can be played, and at which rates. Pure."""

from collections.abc import Sequence
from typing import TypeVar

from common.config.ladder import SOURCE
from common.media.units import VideoCodec
from egress.hls import playlists
from egress.hls.stream import DEFAULT_SOUND_BPS, SOUND, HlsStream
from egress.hls.tracks import PictureTrack, SoundTrack

R = TypeVar("R")


def by_codec(hls: HlsStream[R], names: Sequence[str]) -> list[str]:
    """The renditions of these that have pictures, those of a codec together, H.264 first."""
    found: dict[VideoCodec, list[str]] = {VideoCodec.H264: []}
    for name in names:
        track = hls.tracks.get(name)
        if track is not None and isinstance(track.cutting, PictureTrack):
            found.setdefault(track.cutting.config.codec, []).append(name)
    return [name for of_codec in found.values() for name in of_codec]


def multivariant(hls: HlsStream[R], names: Sequence[str], folder: str = "") -> str:
    """The playlist of these renditions, as far as they can be played, and the sound.

    Those of one codec stand together, as players switch within it, and H.264 first: some players
    begin with what stands first, whatever it is.
    """
    sound = hls.tracks.get(SOUND) if hls.is_there(SOUND) else None
    variants, sound_peak, sound_average = [], 0, 0.0
    has_captions = False
    if sound is not None:
        sound_peak = hls.peak_bps(SOUND)
        sound_average = sound.window.bitrates()[1] or DEFAULT_SOUND_BPS
    for name in by_codec(hls, names):
        track = hls.tracks[name]
        assert isinstance(track.cutting, PictureTrack)
        codecs = [track.cutting.codec]
        if sound is not None and isinstance(sound.cutting, SoundTrack):
            codecs.append(sound.cutting.codec)
        average = track.window.bitrates()[1] or hls.declared_bps(name)
        config = track.cutting.config
        has_captions = has_captions or track.cutting.has_captions
        variants.append(
            playlists.Variant(
                name,
                codecs,
                config.width,
                config.height,
                track.cutting.fps,
                hls.peak_bps(name) + sound_peak,
                max(1, round(average + sound_average)),
            )
        )
    listed = None
    if sound is not None and isinstance(sound.cutting, SoundTrack):
        listed = playlists.Sound(sound.cutting.config.channels, sound.cutting.config.language)
    alone = hls.stream.template.audio_only
    if alone in names and sound is not None and isinstance(sound.cutting, SoundTrack):
        average = max(1, round(sound_average))
        variants.append(
            playlists.Variant(SOUND, [sound.cutting.codec], 0, 0, None, sound_peak, average)
        )
    is_independent = SOURCE not in names
    return playlists.multivariant(
        variants,
        listed,
        is_independent=is_independent,
        has_captions=has_captions,
        folder=folder,
    )
