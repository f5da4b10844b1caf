"""Messages between workers and encoder processes, on a link as media have. Pure values.

A worker decodes and scales, and its pictures lie in memory that both map (`worker/pool/`); what
crosses here says where, and what is to become of them. A stream is with one encoder process at a
time. Each time that it comes to one is an `opening`, numbered by the worker: answers of an earlier
one are of no use. Times are stream time in ms, or the host's CLOCK_MONOTONIC in seconds (`_s`).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from common.config.ladder import RenditionFormat
from common.ipc.envelope import message
from common.ipc.identity import Generation, StreamId
from common.media.pictures import PictureFormat

# ---- worker → encoder -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EncodedRendition:
    """A rendition that is to be encoded, and where its pictures lie in the pool."""

    format: RenditionFormat
    fps: Fraction  # that rate control goes by
    first_number: int  # of its next tag: more than any that was sent of it
    pitch: int  # bytes of a row
    offset: int  # of its first picture


@message("encoder-open")
@dataclass(frozen=True, slots=True)
class EncoderOpen:
    """Opens a stream's renditions, in the order of its ladder; the first picture is a keyframe."""

    stream_id: StreamId
    generation: Generation
    opening: int
    pool: str  # the name of the memory, which was passed before (`worker/pool/passing.py`)
    pictures: int  # places of each rendition
    queue_ms: int  # as `worker.queue`: how late a picture may be
    format: PictureFormat  # of the source: its colour
    renditions: tuple[EncodedRendition, ...]


class ScaledPicture(NamedTuple):
    """A picture of one rendition."""

    rendition: int  # index in `EncoderOpen.renditions`
    slot: int  # its place in the pool
    # To open the encoder anew for, with a keyframe of this rendition; 0: it stays
    fps_num: int = 0
    fps_den: int = 1
    begins: bool = False  # egress must hear what the rendition is: it was left out for a time


@message("encoder-pictures")
@dataclass(slots=True)  # not frozen: one is made for every picture
class EncoderPictures:
    """One decoded picture, scaled. Payloads: a SEI of each rendition, empty mostly."""

    stream_id: StreamId
    generation: Generation
    opening: int
    pts_ms: int
    is_key: bool
    is_replay: bool
    received_s: float  # when the last byte of its access unit came in
    scaled_s: float
    pictures: tuple[ScaledPicture, ...]
    is_saturated: bool = False  # every core of the host has a stream: one thread encodes all of it


@message("encoder-rest")
@dataclass(frozen=True, slots=True)
class EncoderRest:
    """A rendition gets no pictures until one opens its encoder anew: nobody plays it.

    Egress is told, with its headers, so that viewers who come hear what it will be.
    """

    stream_id: StreamId
    generation: Generation
    opening: int
    rendition: int


@message("encoder-close")
@dataclass(frozen=True, slots=True)
class EncoderClose:
    """Encode what came, then close. `is_end`: of the generation, for egress to hear last of it."""

    stream_id: StreamId
    generation: Generation
    opening: int
    reason: str
    is_end: bool


# ---- encoder → worker, as answers -------------------------------------------------------------


class EncodedPicture(NamedTuple):
    """A place that is free again, and what became of its picture."""

    rendition: int
    slot: int
    pts_ms: int
    size: int  # bytes of the tag that went to egress; 0: none did
    handover_s: float = 0.0  # from the scaler to the encoder …
    encode_s: float = 0.0
    mux_s: float = 0.0  # … and to egress


@message("encoder-done")
@dataclass(slots=True)
class EncoderDone:
    """Pictures that are encoded, or were dropped because they were late."""

    stream_id: StreamId
    generation: Generation
    opening: int
    pictures: tuple[EncodedPicture, ...]


@message("encoder-lost")
@dataclass(frozen=True, slots=True)
class EncoderLost:
    """A rendition cannot be encoded from this picture on; `pictures` of it are given back apart."""

    stream_id: StreamId
    generation: Generation
    opening: int
    rendition: int
    pts_ms: int
    reason: str


@message("encoder-measured")
@dataclass(frozen=True, slots=True)
class EncoderMeasured:
    """How much a keyframe is like the picture that it was made of."""

    stream_id: StreamId
    generation: Generation
    opening: int
    rendition: int
    ssim: float
    psnr_db: float
