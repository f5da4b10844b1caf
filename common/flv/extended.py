"""The extended header of Enhanced RTMP v2, shared by video and audio: ModEx, multitrack, FourCC.

Audio and video number their packet types differently, so the numbers of ModEx and multitrack are
arguments. Pure; FlvError for what cannot be read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic

from common.errors import FlvError
from common.media.units import AudioCodec, D, Data, VideoCodec

MAX_EXTENSIONS = 16  # one kind exists
MAX_TRACKS = 256  # as many ids as there are


class MultitrackKind(IntEnum):
    """AvMultitrackType."""

    ONE_TRACK = 0
    MANY_TRACKS = 1
    MANY_TRACKS_MANY_CODECS = 2


@dataclass(frozen=True, slots=True)
class Track(Generic[D]):
    """One track's part of a message; `data` starts behind the FourCC and the track's header."""

    track_id: int
    fourcc: bytes
    packet_type: int
    data: D


def extended_header(payload: Data, mod_ex: int) -> tuple[int, int]:
    """The packet type behind all ModEx extensions, and where the header goes on.

    The only extension there is, a timestamp offset below a millisecond, is skipped.
    """
    packet_type = payload[0] & 0x0F
    at = 1
    extensions = 0
    while packet_type == mod_ex:
        extensions += 1
        if extensions > MAX_EXTENSIONS:
            raise FlvError(f"more than {MAX_EXTENSIONS} ModEx")
        if at >= len(payload):
            raise FlvError("ModEx cut short")
        size = payload[at] + 1
        at += 1
        if size == 256:
            size = int.from_bytes(payload[at : at + 2], "big") + 1
            at += 2
        at += size
        if at >= len(payload):
            raise FlvError("ModEx reaches beyond its tag")
        packet_type = payload[at] & 0x0F
        at += 1
    return packet_type, at


def track_zero(payload: D, at: int, packet_type: int, multitrack: int) -> Track[D]:
    """Track 0 of the message, or its first track (with no data) when there is no track 0."""
    if packet_type != multitrack:
        return Track(0, _fourcc(payload, at), packet_type, payload[at + 4 :])
    first: Track[D] | None = None
    for track in _tracks(payload, at, multitrack):
        if track.track_id == 0:
            return track
        first = first or Track(track.track_id, track.fourcc, track.packet_type, payload[:0])
    if first is None:
        raise FlvError("multitrack message without a track")
    return first


def further_tracks(payload: D, at: int, packet_type: int, multitrack: int) -> Sequence[Track[D]]:
    """The message's tracks beyond the first, track 0."""
    if packet_type != multitrack:
        return ()
    return [track for track in _tracks(payload, at, multitrack) if track.track_id]


def _tracks(payload: D, at: int, multitrack: int) -> Iterator[Track[D]]:
    if at >= len(payload):
        raise FlvError("multitrack header cut short")
    kind, packet_type = payload[at] >> 4, payload[at] & 0x0F
    at += 1
    if packet_type == multitrack:
        raise FlvError("multitrack within multitrack")
    if kind > MultitrackKind.MANY_TRACKS_MANY_CODECS:
        raise FlvError(f"multitrack kind {kind}")
    fourcc = b""
    if kind != MultitrackKind.MANY_TRACKS_MANY_CODECS:
        fourcc = _fourcc(payload, at)
        at += 4
    tracks = 0
    while at < len(payload):
        tracks += 1
        if tracks > MAX_TRACKS:
            raise FlvError(f"more than {MAX_TRACKS} tracks")
        if kind == MultitrackKind.MANY_TRACKS_MANY_CODECS:
            fourcc = _fourcc(payload, at)
            at += 4
        track_id = payload[at : at + 1]
        at += 1
        end = len(payload)
        if kind != MultitrackKind.ONE_TRACK:
            end = at + 3 + int.from_bytes(payload[at : at + 3], "big")
            at += 3
        if not track_id or at > len(payload) or end > len(payload):
            raise FlvError("track reaches beyond its tag")
        yield Track(track_id[0], fourcc, packet_type, payload[at:end])
        at = end


@dataclass(frozen=True, slots=True)
class FurtherTrack:
    """A track that is not served: what is known of its part of a message."""

    track_id: int
    codec: str  # "H.264", or its FourCC
    size: int  # in bytes
    form: str = ""  # what its sequence header says of sound, for people; empty: this is none


def codec_name(codecs: Mapping[bytes, VideoCodec | AudioCodec], fourcc: bytes) -> str:
    """The codec of a FourCC for people."""
    codec = codecs.get(fourcc)
    return codec.label if codec is not None else fourcc_name(fourcc)


def fourcc_name(fourcc: bytes) -> str:
    """A FourCC for people, its bytes escaped where they are not printable ASCII."""
    return ascii(fourcc.decode("latin-1"))


def _fourcc(payload: Data, at: int) -> bytes:
    fourcc = bytes(payload[at : at + 4])
    if len(fourcc) < 4:
        raise FlvError("FourCC cut short")
    return fourcc
