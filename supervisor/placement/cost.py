"""What a stream costs, and what a device has, in the unit of placement. Pure.

The unit is one megapixel encoded a second; a decoded one counts 0.15. A 720p30 source on the
built-in ladder costs about 51, a 1080p60 source about 66. A source of which nothing is known yet
counts as a small camera, about 0.1: whether it fits is decided when its size is known. A host core
is taken as 100 units: libx264 veryfast encodes about 60 720p frames a second on one, scaling and
decoding beside it, with a reserve. Costs by hand (`cost = …`) and capacities by hand
(`capacity = …`) replace these numbers.

`tfarm calibrate` measures them for a template on a device; a stream there then draws on decoders,
scaling, encoders, memory and cores as it was measured, in proportion to its pixel rates. A cost by
hand is taken as it is, calibrated or not.

A stream draws on other resources in each pipeline, so its cost is kept in parts until that is
known.

Of renditions that are made on demand, what a template expects of their use is booked: of their
encoding, and of decoding where all are made so. Of those that are tracks of the publisher nothing
is. Memory and encoder sessions are booked whole: there is no step back from these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from common.config.ladder import Pipeline, SourceFormat, Template, fit_ladder
from common.config.settings import Calibration
from common.media.units import VideoCodec

DECODE_WEIGHT = 0.15
CAPACITY_PER_CORE = 100.0
# Beside a GPU without an encoder a unit takes more of the host: 16 cores of a server, with a worker
# for 8 of them, kept 16 streams, 46.8 units each, in 4 runs of 5 (docs/gpu-internals.md); so 15.
HYBRID_WEIGHT = 2.2
# What the host's encoders take for a pixel, in those of x264, by their `p3` (docs/ladder.md); of
# NVENC it is taken as one.
HOST_WEIGHTS = {VideoCodec.H264: 1.0, VideoCodec.H265: 5.5, VideoCodec.AV1: 1.6}
MEMORY_WEIGHTS = {VideoCodec.H264: 1.0, VideoCodec.H265: 2.2, VideoCodec.AV1: 2.0}
# Without calibration: about 85 % of the decode ceiling seen on an H100 (3,500 frames/s of 1080p).
GPU_CAPACITY = 900.0
# A session's CUDA memory: fixed part, and NV12 surfaces of the source's size that it holds.
# An estimate until calibration: decoder and encoder of a 1080p stream took 26.6 and 1.8 MiB.
SESSION_MEMORY_BYTES = 64 * 1024**2
SESSION_SURFACES = 24
# Host memory of a session, as measured: so many decoded pictures beside the reference frames (those
# that wait, are scaled, or are kept to be repeated), and so much an encoder and for its frames.
HOST_SESSION_BYTES = 3 * 1024**2
HOST_PICTURES = 8
FULL_HD30 = SourceFormat(1920, 1080, fps=Fraction(30))
UNKNOWN_REFERENCES = 4  # where only the size is known
ENCODER_BYTES = 3 * 1024**2
ENCODER_BYTES_PER_PIXEL = 28
THREAD_BYTES_PER_PIXEL = 4  # a further thread of an encoder
POOL_BYTES_PER_PIXEL = 12  # eight pictures for an encoder process (worker/pool/layout.py)
# What a source counts as until more is known of it: hardly more than the smallest that are
# published, so that a herd of these is let in at once; not nothing, so that a full farm refuses
# before Publish.Start, and that unknown ones are bounded.
NEWCOMER = SourceFormat(160, 90, fps=Fraction(5))


class Resource(StrEnum):
    """What can run out. Those in HOST_WIDE are the whole host's, the others a device's own."""

    LOAD = "load"  # of a GPU, in units
    DECODE = "decode"  # shares of a GPU's engines and of its memory, as measured
    SCALE = "scale"
    ENCODE = "encode"
    MEMORY = "memory"  # of a GPU, in bytes
    WORKER_MEMORY = "worker memory"  # of a worker's process, in bytes
    CORES = "cores"  # the host's cores, in units
    HYBRID_CORES = "hybrid cores"  # of these, what encoding for GPUs may take
    SESSIONS = "encoder sessions"  # NVENC, counted host-wide as GeForce drivers do


HOST_WIDE = frozenset({Resource.CORES, Resource.HYBRID_CORES, Resource.SESSIONS})
OF_WORKER = frozenset({Resource.WORKER_MEMORY})  # not shared by the workers of one GPU
ENGINES = (Resource.DECODE, Resource.SCALE, Resource.ENCODE)  # each 1.0 in all

Amounts = Mapping[Resource, float]


@dataclass(frozen=True, slots=True)
class StreamCost:
    """One stream's cost in parts."""

    decode: float  # units
    encode: float  # units
    renditions: int
    source_bytes: float  # of one decoded NV12 picture
    template: str = ""
    is_by_hand: bool = False
    decoder_bytes: float = 0.0  # of host memory, where the host decodes
    encoder_pixels: float = 0.0  # of a picture of each rendition together
    least_total: float = 0.0  # units, where the parts are not known, and what they add up to is
    host_extra: float = 0.0  # units that the host's encoders take more than x264 would
    host_pixels: float = 0.0  # as `encoder_pixels`, by what the host's encoders hold of each
    decode_use: float = 1.0  # how much of each is expected to be used
    encode_use: float = 1.0

    def as_used(self) -> "StreamCost":
        """The cost of the use that is expected."""
        return replace(
            self,
            decode=self.decode * self.decode_use,
            encode=self.encode * self.encode_use,
            least_total=self.least_total * self.encode_use,
            host_extra=self.host_extra * self.encode_use,
            decode_use=1.0,
            encode_use=1.0,
        )

    @property
    def total(self) -> float:
        return max(self.decode + self.encode, self.least_total)

    def total_on(self, pipeline: Pipeline) -> float:
        """Units of the whole stream, where that pipeline serves it."""
        return self.total + (self.host_extra if pipeline is Pipeline.SOFTWARE else 0.0)

    def worker_memory(self, pipeline: Pipeline, encoder_threads: int = 1) -> float:
        """Bytes of host memory that its worker takes for it in that pipeline."""
        per_pixel = ENCODER_BYTES_PER_PIXEL + THREAD_BYTES_PER_PIXEL * (encoder_threads - 1)
        pixels = max(self.host_pixels, self.encoder_pixels)
        encoders = self.renditions * ENCODER_BYTES + pixels * per_pixel
        match pipeline:
            case Pipeline.SOFTWARE:
                return HOST_SESSION_BYTES + self.decoder_bytes + encoders
            case Pipeline.HYBRID:  # its encoders are other processes'
                return HOST_SESSION_BYTES + self.encoder_pixels * POOL_BYTES_PER_PIXEL
            case Pipeline.GPU_ONLY:
                return HOST_SESSION_BYTES
            case Pipeline.PASSTHROUGH | Pipeline.REFUSE:
                return 0.0


def largest_source(template: Template) -> SourceFormat:
    """The source that its `max_source` describes."""
    width, height, fps = template.max_source
    return SourceFormat(width, height, fps=Fraction(fps))


def newcomer_cost(template: Template) -> StreamCost:
    """What is booked for a source before its size is known.

    Of each part that of a small camera, or of `max_source` where that is less; so nothing that is
    larger than either is refused for what it might be. A template's cost by hand is that of any
    source; its parts are not, and a large one's has less of encoding: 1080p30 is looked at as well.
    """
    sources = (NEWCOMER, largest_source(template), FULL_HD30)
    costs = [stream_cost(template, source) for source in sources]
    return StreamCost(
        min(cost.decode for cost in costs),
        min(cost.encode for cost in costs),
        min(cost.renditions for cost in costs),
        min(cost.source_bytes for cost in costs),
        template.name,
        costs[0].is_by_hand,
        min(cost.decoder_bytes for cost in costs),
        min(cost.encoder_pixels for cost in costs),
        least_total=template.cost or 0.0,
        host_extra=min(cost.host_extra for cost in costs),
        host_pixels=min(cost.host_pixels for cost in costs),
        decode_use=min(cost.decode_use for cost in costs),
        encode_use=min(cost.encode_use for cost in costs),
    )


def stream_cost(
    template: Template,
    source: SourceFormat,
    made: Mapping[str, tuple[int, int]] | None = None,
) -> StreamCost:
    """The cost of a source on a template; one of unknown rate counts at that of `max_source`.

    `made`: width and height by rendition of a session that is open: of these renditions, not of
    those that would be fitted to the source. A template's cost by hand is for the whole stream,
    whatever its source; a rendition's replaces the pixel rate of its rendition.
    """
    if made is not None:
        names, sizes = list(made), dict(made)
    else:
        ladder = fit_ladder(template, source)
        names = [fitted.name for fitted in ladder.renditions]
        sizes = {fitted.name: (fitted.width, fitted.height) for fitted in ladder.renditions}
    source_fps = source.fps or Fraction(template.max_source[2])
    decode = DECODE_WEIGHT * _megapixels(source.width, source.height, source_fps)
    encode = used = host_extra = host_pixels = 0.0
    for rendition in template.renditions:
        if rendition.name not in sizes:
            continue
        use = _expected_use(template, source, rendition.name)
        fps = min(rendition.fps, source_fps) if rendition.fps is not None else source_fps
        by_rate = _megapixels(*sizes[rendition.name], fps)
        own = rendition.cost if rendition.cost is not None else by_rate
        encode += own
        used += own * use
        width, height = sizes[rendition.name]
        host_pixels += width * height * MEMORY_WEIGHTS[rendition.codec]
        if rendition.cost is None and template.cost is None:
            host_extra += by_rate * (HOST_WEIGHTS[rendition.codec] - 1)
    decode_use = max((_expected_use(template, source, name) for name in names), default=1.0)
    encode_use = 1.0
    if encode:
        encode_use = used / encode
    if template.cost is not None:
        share = template.cost / (decode + encode)
        decode, encode = decode * share, encode * share
    is_by_hand = template.cost is not None or any(
        rendition.cost is not None for rendition in template.renditions
    )
    pixels = source.width * source.height
    pictures = (source.reference_frames or UNKNOWN_REFERENCES) + HOST_PICTURES
    return StreamCost(
        decode,
        encode,
        len(names),
        pixels * 1.5,
        template.name,
        is_by_hand,
        pictures * pixels * source.bits_per_pixel / 8,
        sum(width * height for width, height in sizes.values()),
        host_extra=host_extra,
        host_pixels=host_pixels,
        decode_use=decode_use,
        encode_use=encode_use,
    )


def _expected_use(template: Template, source: SourceFormat, name: str) -> float:
    """The part of a rendition's cost that is booked."""
    if name in source.passed:
        return 0.0
    return template.expected_use if name in template.names_on_demand else 1.0


def amounts(cost: StreamCost, pipeline: Pipeline, measured: Calibration | None = None) -> Amounts:
    """What the stream draws on in that pipeline, on a device that was calibrated or not."""
    cost = cost.as_used()
    if measured is not None and measured.path is pipeline and not cost.is_by_hand:
        return _as_measured(cost, measured)
    memory = SESSION_MEMORY_BYTES + SESSION_SURFACES * cost.source_bytes
    match pipeline:
        case Pipeline.GPU_ONLY:
            return {
                Resource.LOAD: cost.total,
                Resource.MEMORY: memory,
                Resource.SESSIONS: float(cost.renditions),
            }
        case Pipeline.HYBRID:
            cores = cost.encode + cost.host_extra
            cores = cores if cost.is_by_hand else HYBRID_WEIGHT * cores
            return {
                Resource.LOAD: cost.decode,
                Resource.MEMORY: memory,
                Resource.CORES: cores,
                Resource.HYBRID_CORES: cores,
            }
        case Pipeline.SOFTWARE:
            return {Resource.CORES: cost.total_on(pipeline)}
        case Pipeline.PASSTHROUGH | Pipeline.REFUSE:
            return {}


def load_of(cost: StreamCost, pipeline: Pipeline) -> float:
    """By pixel rate, what the stream takes of the capacity that its device has by itself.

    Of a GPU that is its load, of software the host's cores.
    """
    taken = amounts(cost, pipeline)
    return taken.get(Resource.LOAD, taken.get(Resource.CORES, 0.0))


def _as_measured(cost: StreamCost, measured: Calibration) -> Amounts:
    """Decoding goes by the source's pixel rate, encoding by the renditions'."""
    width, height, fps = measured.source
    decode = DECODE_WEIGHT * _megapixels(width, height, Fraction(fps))
    by_source = cost.decode / decode
    by_renditions = cost.encode / max(measured.units - decode, 1e-9)
    by_all = cost.total_on(measured.path) / measured.units
    if measured.path is Pipeline.SOFTWARE:
        return {Resource.CORES: measured.load * by_all}
    cores = measured.cores * by_all
    # Fixed parts don't shrink with a smaller picture: never below what was measured.
    memory = measured.memory_bytes * max(1.0, cost.source_bytes / (width * height * 1.5))
    taken = {
        Resource.LOAD: measured.load * by_all,
        Resource.DECODE: measured.decode * by_source,
        Resource.SCALE: measured.scale * max(by_source, by_renditions),
        Resource.MEMORY: memory,
        Resource.CORES: cores,
    }
    if measured.path is Pipeline.HYBRID:
        return taken | {Resource.HYBRID_CORES: cores}
    return taken | {
        Resource.ENCODE: measured.encode * by_renditions,
        Resource.SESSIONS: float(cost.renditions),
    }


def _megapixels(width: int, height: int, fps: Fraction) -> float:
    return float(width * height * fps) / 1e6
