"""Renditions, templates, and the ladder that a template gives for one source. Pure.

A template is what an operator wrote; a `Ladder` is what a source of a known size gets from it: the
renditions that are made, each with the rectangle that the picture fills, and those left out, with
why.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

SOURCE = "source"  # the rendition that is the stream as published, not transcoded


class Takeover(StrEnum):
    """What becomes of a second publisher on a key in use."""

    ALWAYS = "always"  # it replaces the first
    IDLE = "idle"  # it replaces the first when that one has been silent for some seconds
    NEVER = "never"  # it is refused


class AwayPicture(StrEnum):
    """What players get while the publisher is away."""

    FREEZE = "freeze"
    NONE = "none"


class RateControl(StrEnum):
    """How an encoder keeps a rendition's bitrate."""

    CBR = "cbr"  # the bitrate is the most too
    VBR = "vbr"  # the bitrate on average, `peak_bps` at most


class Pipeline(StrEnum):
    """The ways a stream can be served; a template lists them in order of preference."""

    GPU_ONLY = "gpu-only"
    HYBRID = "hybrid"
    SOFTWARE = "software"
    PASSTHROUGH = "passthrough"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Rendition:
    """One output as the operator wrote it."""

    name: str
    width: int  # even
    height: int  # even
    bitrate_bps: int
    fps: Fraction | None = Fraction(30)  # at most; None: as the source
    profile: str = "main"  # baseline | main | high
    preset: str = "p3"  # NVENC p1..p7; mapped to an x264 preset in software
    vbv_ms: int = 1000  # VBV buffer: the peak x this
    cost: float | None = None  # by hand, in the device's capacity unit
    rate_control: RateControl = RateControl.CBR
    maxrate_bps: int | None = None  # VBR: the peak; None: 3/2 of the bitrate


@dataclass(frozen=True, slots=True)
class Template:
    """A named ladder with all that holds for the streams of its app."""

    name: str
    renditions: tuple[Rendition, ...]
    gop_ms: int = 2000
    hold_ms: int = 10_000  # how long rings and players outlive a lost publisher
    wait_ms: int = 5_000  # how long a player waits for a publisher
    max_source: tuple[int, int, int] = (1920, 1080, 60)  # width, height, fps reserved at publish
    publish_keys: tuple[str, ...] = ()  # SHA-256 hex digests; empty: anyone may
    play_keys: tuple[str, ...] = ()
    takeover: Takeover = Takeover.IDLE
    away_picture: AwayPicture = AwayPicture.FREEZE
    policy: tuple[Pipeline, ...] = (Pipeline.GPU_ONLY, Pipeline.HYBRID, Pipeline.SOFTWARE)
    cost: float | None = None  # of a whole stream, by hand
    flush_ms: int = 0  # 0: each frame at once; else egress merges writes for this long
    audio_hold_ms: int = 45  # how long audio may wait to ride with a video frame

    def rendition_names(self) -> tuple[str, ...]:
        return (*(rendition.name for rendition in self.renditions), SOURCE)


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """What the publisher's parameter sets say, and the rate measured or declared."""

    width: int  # cropped luma samples
    height: int
    sar: Fraction = Fraction(1)
    fps: Fraction | None = None  # None: not known yet


@dataclass(frozen=True, slots=True)
class RenditionFormat:
    """One rendition fitted to a source: the frame it makes and where the picture lies in it."""

    name: str
    width: int
    height: int
    picture_x: int  # all even; the rest of the frame is black
    picture_y: int
    picture_width: int
    picture_height: int
    fps: Fraction | None
    bitrate_bps: int
    vbv_ms: int
    gop_ms: int
    profile: str
    preset: str
    rate_control: RateControl = RateControl.CBR
    maxrate_bps: int | None = None

    @property
    def peak_bps(self) -> int:
        """The most that the VBV lets through."""
        if self.rate_control is RateControl.CBR:
            return self.bitrate_bps
        return self.bitrate_bps * 3 // 2 if self.maxrate_bps is None else self.maxrate_bps

    @property
    def vbv_bits(self) -> int:
        return max(1, self.peak_bps * self.vbv_ms // 1000)

    @property
    def is_letterboxed(self) -> bool:
        return (self.picture_width, self.picture_height) != (self.width, self.height)


@dataclass(frozen=True, slots=True)
class OmittedRendition:
    """A rendition that this source does not get, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """The renditions made for one source, largest first, and what was left out."""

    renditions: tuple[RenditionFormat, ...]
    omitted: tuple[OmittedRendition, ...] = ()


def fit_ladder(template: Template, source: SourceFormat) -> Ladder:
    """The ladder of `template` for `source`: aspect kept, letterboxed, nothing enlarged.

    A rendition whose fitted picture would be larger than the source is left out. When all would,
    one rendition of the source's own display size stands in for the smallest, under its name.
    """
    renditions = []
    omitted = []
    for rendition in template.renditions:
        fitted = _fit(template, rendition, source)
        if fitted is None:
            omitted.append(
                OmittedRendition(
                    rendition.name,
                    f"{rendition.width}x{rendition.height} would enlarge the source's "
                    f"{source.width}x{source.height}",
                )
            )
        else:
            renditions.append(fitted)
    if not renditions and template.renditions:
        smallest = min(template.renditions, key=lambda r: r.width * r.height)
        renditions.append(_source_sized(template, smallest, source))
        omitted = [entry for entry in omitted if entry.name != smallest.name]
    renditions.sort(key=_size, reverse=True)  # an overloaded device takes from the first
    return Ladder(tuple(renditions), tuple(omitted))


def _size(fitted: RenditionFormat) -> tuple[int, Fraction, int]:
    """What makes a rendition larger than another: its frame, its rate, its bitrate."""
    fps = fitted.fps if fitted.fps is not None else Fraction(1_000_000)  # as many as the source
    return fitted.width * fitted.height, fps, fitted.bitrate_bps


def display_size(source: SourceFormat) -> tuple[Fraction, Fraction]:
    """Width and height of the source in square samples; SAR stretches, it never shrinks."""
    if source.sar >= 1:
        return source.width * source.sar, Fraction(source.height)
    return Fraction(source.width), source.height / source.sar


def _fit(template: Template, rendition: Rendition, source: SourceFormat) -> RenditionFormat | None:
    width, height = display_size(source)
    scale = min(rendition.width / width, rendition.height / height)
    if scale > 1:
        return None
    picture_width = min(rendition.width, _even(width * scale))
    picture_height = min(rendition.height, _even(height * scale))
    # One sample row or column of rounding is no letterbox: 1280x720 into 854x480 fills it.
    if rendition.width - picture_width <= 2:
        picture_width = rendition.width
    if rendition.height - picture_height <= 2:
        picture_height = rendition.height
    return _fitted(
        template, rendition, rendition.width, rendition.height, picture_width, picture_height
    )


def _source_sized(
    template: Template, rendition: Rendition, source: SourceFormat
) -> RenditionFormat:
    width, height = display_size(source)
    even = max(16, _even(width)), max(16, _even(height))
    return _fitted(template, rendition, *even, *even)


def _fitted(
    template: Template,
    rendition: Rendition,
    width: int,
    height: int,
    picture_width: int,
    picture_height: int,
) -> RenditionFormat:
    return RenditionFormat(
        name=rendition.name,
        width=width,
        height=height,
        picture_x=(width - picture_width) // 4 * 2,
        picture_y=(height - picture_height) // 4 * 2,
        picture_width=picture_width,
        picture_height=picture_height,
        fps=rendition.fps,
        bitrate_bps=rendition.bitrate_bps,
        vbv_ms=rendition.vbv_ms,
        gop_ms=template.gop_ms,
        profile=rendition.profile,
        preset=rendition.preset,
        rate_control=rendition.rate_control,
        maxrate_bps=rendition.maxrate_bps,
    )


def _even(value: Fraction) -> int:
    return max(2, round(value / 2) * 2)
