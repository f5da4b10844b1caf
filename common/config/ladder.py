"""Renditions, templates, and the ladder that a template gives for one source. Pure.

A template is what an operator wrote; a `Ladder` is what a source of a known size gets from it: the
renditions that are made, each with the rectangle that the picture fills, and those left out, with
why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from common.config.access import NOBODY, Rules, Signing
from common.config.hooks import Hooks
from common.config.limits import StreamLimits
from common.config.pushes import PushRule
from common.config.recording import Recording
from common.media.units import VideoCodec

PROFILE = "main"  # of H.264, where none is given
SOURCE = "source"  # the rendition that is the stream as published, not transcoded
MIN_SIDE = 16  # of a frame, in samples …
MIN_SIDE_AV1 = 64  # … and of one of AV1, by SVT-AV1
# What renditions are made of. Every player takes H.264, so some rendition is always that.
RENDITION_CODECS = (VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1)
MIN_BITRATE_BPS = 16_000


class Takeover(StrEnum):
    """What becomes of a second publisher on a key in use."""

    ALWAYS = "always"  # it replaces the first
    IDLE = "idle"  # it replaces the first when that one has been silent for some seconds
    NEVER = "never"  # it is refused


class AwayPicture(StrEnum):
    """What players get while the publisher is away."""

    FREEZE = "freeze"
    NONE = "none"


DEFAULT_QUALITY = 23.0  # x264's own
DEFAULT_QUALITY_EVERY_MS = 10_000


class RateControl(StrEnum):
    """What an encoder spends on a rendition's pictures."""

    CBR = "cbr"  # the bitrate is the most too
    VBR = "vbr"  # the bitrate on average, `peak_bps` at most
    QUALITY = "quality"  # what they need to look so good, the bitrate at most


class MadeWhen(StrEnum):
    """When a rendition is made."""

    ALWAYS = "always"
    DEMANDED = "watched"  # while somebody plays it, or waits for it


class RenditionFit(StrEnum):
    """How a picture of another aspect gets into a rendition's width and height."""

    SHORT_SIDE = "short-side"  # long side into the long one, short into the short; no black bars
    BOX = "box"  # always that width and height: black bars fill what the picture leaves


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
    bitrate_bps: int  # of frames of that size; smaller ones get less, by their pixels
    fps: Fraction | None = Fraction(30)  # at most; None: as the source
    profile: str = PROFILE  # baseline | main | high, of H.264
    preset: str = "p3"  # NVENC p1..p7; mapped to an x264 preset in software
    vbv_ms: int = 1000  # VBV buffer: the peak x this
    cost: float | None = None  # by hand, in the device's capacity unit
    rate_control: RateControl = RateControl.CBR
    maxrate_bps: int | None = None  # VBR: the peak; None: 3/2 of the bitrate
    fit: RenditionFit | None = None  # None: as the template
    codec: VideoCodec = VideoCodec.H264  # of RENDITION_CODECS
    when: MadeWhen | None = None  # None: as the template
    quality: float | None = None  # of QUALITY: x264's CRF or NVENC's CQ; None: DEFAULT_QUALITY
    quality_floor: float | None = None  # SSIM below which somebody is told; None: nobody is


@dataclass(frozen=True, slots=True)
class Template:
    """A named ladder with all that holds for the streams of its app."""

    name: str
    renditions: tuple[Rendition, ...]
    gop_ms: int = 2000
    hold_ms: int = 10_000  # how long rings and players outlive a lost publisher
    wait_ms: int = 5_000  # how long a player waits for a publisher
    max_source: tuple[int, int, int] = (1920, 1080, 60)  # width, height, fps that are expected
    publish_keys: tuple[str, ...] = ()  # SHA-256 hex digests; empty: anyone may
    play_keys: tuple[str, ...] = ()
    takeover: Takeover = Takeover.IDLE
    away_picture: AwayPicture = AwayPicture.FREEZE
    policy: tuple[Pipeline, ...] = (Pipeline.GPU_ONLY, Pipeline.HYBRID, Pipeline.SOFTWARE)
    cost: float | None = None  # of a whole stream, by hand
    flush_ms: int = 0  # 0: each frame at once; else egress merges writes for this long
    audio_hold_ms: int = 45  # how long audio may wait to ride with a video frame
    fit: RenditionFit = RenditionFit.SHORT_SIDE
    audio_levels: bool = False  # a child measures the sound now and then
    utc: bool = False  # a picture says in user data when its source picture came in
    idle_timeout_s: float | None = None  # a publisher that sends nothing; None: as ingest's
    limits: StreamLimits = field(default_factory=StreamLimits)  # what is beyond them is refused
    needs_stream_key: bool = False  # who publishes a stream without keys of its own is refused
    signing: Signing = field(default_factory=Signing)
    publish_rules: Rules = ()  # empty: one for each way that is configured
    play_rules: Rules = ()  # likewise
    hooks: Hooks = field(default_factory=Hooks)
    audio_only: str = ""  # the name of a rendition that has the sound alone; empty: none
    pushes: tuple[PushRule, ...] = ()
    renditions_when: MadeWhen = MadeWhen.ALWAYS
    linger_ms: int = 10_000  # how long one is made after its last viewer, if only while watched
    expected_use: float = 1.0  # of what is made on demand, the part that is booked
    # Of unregistered user data in SEI that renditions keep: UUIDs, as `uuid.UUID` writes them
    sei_uuids: tuple[str, ...] = ()
    recording: Recording = field(default_factory=Recording)
    multitrack_video: bool = True  # a publisher's video tracks may stand in for renditions
    quality_every_ms: int = DEFAULT_QUALITY_EVERY_MS  # how often its SSIM is measured; 0: never
    takes_backup: bool = False  # a second publisher may stand by, as `KEY#backup`
    backup_after_s: float = 2.0  # without a picture of the main publisher
    backup_after_black_s: float | None = None  # of pictures; None: they are not looked at for it
    backup_after_silent_s: float | None = None  # of sound; likewise
    backup_return_s: float = 5.0  # of pictures of the main publisher, before it is gone back to

    @property
    def names_on_demand(self) -> frozenset[str]:
        """The renditions that are made only while somebody watches them."""
        return frozenset(
            rendition.name
            for rendition in self.renditions
            if (rendition.when or self.renditions_when) is MadeWhen.DEMANDED
        )

    def rendition_names(self) -> tuple[str, ...]:
        names = [rendition.name for rendition in self.renditions]
        return (*names, *([self.audio_only] if self.audio_only else []), SOURCE)

    @property
    def plain_renditions(self) -> tuple[Rendition, ...]:
        """Those that every player takes: of H.264."""
        return tuple(one for one in self.renditions if one.codec is VideoCodec.H264)

    def without_access(self) -> "Template":
        """The same for those who let nobody in: without keys, and closed."""
        return replace(
            self,
            publish_keys=(),
            play_keys=(),
            needs_stream_key=False,
            signing=Signing(),
            hooks=Hooks(),
            pushes=(),
            publish_rules=NOBODY,
            play_rules=NOBODY,
        )


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """What the publisher's parameter sets say, and the rate measured or declared."""

    width: int  # cropped luma samples
    height: int
    sar: Fraction = Fraction(1)
    fps: Fraction | None = None  # None: not known yet
    reference_frames: int = 0  # that a decoder keeps; 0: not known
    bits_per_pixel: int = 12  # of a decoded picture in host memory; 12: 4:2:0 of 8 bits
    bit_depth: int = 8
    chroma_format: int = 1  # 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4
    passed: tuple[str, ...] = ()  # renditions that are tracks of the publisher, and not made

    @property
    def described(self) -> str:
        """Size and rate, for people."""
        rate = f" at {float(self.fps):.4g} fps" if self.fps is not None else ""
        return f"{self.width}x{self.height}{rate}"


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
    codec: VideoCodec = VideoCodec.H264
    quality: float | None = None
    quality_floor: float | None = None
    quality_every_ms: int = 0

    @property
    def target_quality(self) -> float | None:
        """What is aimed at, as CRF or CQ; None: the bitrate is."""
        if self.rate_control is not RateControl.QUALITY:
            return None
        return DEFAULT_QUALITY if self.quality is None else self.quality

    @property
    def peak_bps(self) -> int:
        """The most that the VBV lets through."""
        if self.rate_control is not RateControl.VBR:
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
    """The ladder of `template` for `source`: aspect kept, nothing enlarged.

    With `RenditionFit.SHORT_SIDE` the picture's long side goes into the rendition's long side and
    its short side into the short one, and the frame is the picture: upright sources get upright
    renditions, and there are no black bars. With `BOX` the frame is as the template has it, and
    the picture lies in its middle.

    A rendition whose fitted picture would be larger than the source is left out. When all would,
    one rendition of the source's own display size stands in for the smallest, under its name. So it
    is with those of H.264 alone, where others are left: there is always one for every player.

    A frame that is smaller than the template's gets that much less of its bitrate: bits a pixel are
    what the operator chose, at any size.
    """
    renditions = []
    omitted = []
    for rendition in template.renditions:
        width, height = _box(template, rendition, source)
        fitted = _fit(template, rendition, source)
        if fitted is None:
            omitted.append(
                OmittedRendition(
                    rendition.name,
                    f"{width}x{height} would enlarge the source's {source.width}x{source.height}",
                )
            )
        else:
            renditions.append(fitted)
    plain = template.plain_renditions or template.renditions
    if plain and all(one.codec is not plain[0].codec for one in renditions):
        smallest = min(plain, key=lambda r: r.width * r.height)
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


def is_turned(
    template: Template, made: Mapping[str, tuple[int, int]], source: SourceFormat
) -> bool:
    """Whether frames stand upright for a source that lies, or lie for one that is upright.

    `made`: width and height by rendition, as they were fitted to what the source was before.
    """
    shown_width, shown_height = display_size(source)
    if shown_width == shown_height:
        return False
    return any(
        width != height and (width < height) != (shown_width < shown_height)
        for rendition in template.renditions
        if fit_of(template, rendition) is RenditionFit.SHORT_SIDE
        for width, height in (made.get(rendition.name, (0, 0)),)
    )


def fit_of(template: Template, rendition: Rendition) -> RenditionFit:
    """The fit that holds for a rendition."""
    return template.fit if rendition.fit is None else rendition.fit


def _box(template: Template, rendition: Rendition, source: SourceFormat) -> tuple[int, int]:
    """The rendition's width and height, turned as the source is where its fit says so."""
    width, height = rendition.width, rendition.height
    if fit_of(template, rendition) is RenditionFit.BOX:
        return width, height
    shown_width, shown_height = display_size(source)
    long, short = max(width, height), min(width, height)
    return (long, short) if shown_width >= shown_height else (short, long)


def _fit(template: Template, rendition: Rendition, source: SourceFormat) -> RenditionFormat | None:
    width, height = display_size(source)
    box = _box(template, rendition, source)
    scale = min(box[0] / width, box[1] / height)
    if scale > 1:
        return None
    picture = _side(width * scale, box[0]), _side(height * scale, box[1])
    is_box = fit_of(template, rendition) is RenditionFit.BOX
    frame = box if is_box else _least(picture, rendition.codec)
    return _fitted(template, rendition, frame, picture)


def _side(wanted: Fraction, side: int) -> int:
    """A picture's side in that of its box, even.

    One sample row or column of rounding is no letterbox: 1280x720 into 854x480 fills it.
    """
    even = min(side, _even(wanted))
    return side if side - even <= 2 else even


def _source_sized(
    template: Template, rendition: Rendition, source: SourceFormat
) -> RenditionFormat:
    width, height = display_size(source)
    picture = _even(width), _even(height)
    return _fitted(template, rendition, _least(picture, rendition.codec), picture)


def min_side(codec: VideoCodec) -> int:
    """The shortest side of a frame that encoders of a codec take."""
    return MIN_SIDE_AV1 if codec is VideoCodec.AV1 else MIN_SIDE


def _least(size: tuple[int, int], codec: VideoCodec) -> tuple[int, int]:
    """A frame for a picture of that size; encoders take none that is smaller than this."""
    least = min_side(codec)
    return max(least, size[0]), max(least, size[1])


def _fitted(
    template: Template, rendition: Rendition, frame: tuple[int, int], picture: tuple[int, int]
) -> RenditionFormat:
    width, height = frame
    picture_width, picture_height = picture
    share = Fraction(width * height, rendition.width * rendition.height)
    maxrate = rendition.maxrate_bps
    return RenditionFormat(
        name=rendition.name,
        width=width,
        height=height,
        picture_x=(width - picture_width) // 4 * 2,
        picture_y=(height - picture_height) // 4 * 2,
        picture_width=picture_width,
        picture_height=picture_height,
        fps=rendition.fps,
        bitrate_bps=_bitrate(rendition.bitrate_bps, share),
        vbv_ms=rendition.vbv_ms,
        gop_ms=template.gop_ms,
        profile=rendition.profile,
        preset=rendition.preset,
        rate_control=rendition.rate_control,
        maxrate_bps=None if maxrate is None else _bitrate(maxrate, share),
        codec=rendition.codec,
        quality=rendition.quality,
        quality_floor=rendition.quality_floor,
        quality_every_ms=template.quality_every_ms,
    )


def _bitrate(of_whole_bps: int, share: Fraction) -> int:
    """What is left of a bitrate for a frame with `share` of the template's pixels."""
    if share >= 1:
        return of_whole_bps
    return max(min(MIN_BITRATE_BPS, of_whole_bps), round(of_whole_bps * share))


def _even(value: Fraction) -> int:
    return max(2, round(value / 2) * 2)
