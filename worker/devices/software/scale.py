"""Scaling on the host with libswscale, through PyAV's filter graphs.

A rendition's graph scales bicubically straight into its rectangle of the frame (`pad` lends `scale`
its buffer) and leaves the rest black; pixel format and range become the encoder's. The work is done
in the encoder's thread, so that renditions scale in parallel. A picture that is already what the
rendition wants is handed on as it is. HDR and wide gamut become SDR behind the scaling
(`tone_mapping.py`).

A small rendition is scaled from a larger one of the same picture, which has fewer samples to read,
where that one was scaled from the source itself: more than one step in between would show
(docs/performance.md has the SSIM of one).
"""

import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import av.error
import av.filter
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from common.config.ladder import Ladder, RenditionFormat, SourceFormat
from common.errors import DeviceLost, EncodeFailed
from common.media.pictures import PictureFormat
from worker.devices.backend import Picture
from worker.devices.letterbox import Rectangle, fit_picture, rendition_picture
from worker.devices.software.decode import MILLISECONDS, SoftPicture, buffer_arguments
from worker.devices.software.luma import luma_of
from worker.devices.software.tone_mapping import add_tone_mapping, hald_image
from worker.devices.tone_mapping import BT709, BT2020, HLG, PQ, shown_format
from worker.quality.kept_luma import HostLuma

# The larger rendition has at least so many rows for one of the smaller: less is another filter's
# work on almost the same samples.
MIN_STEP = 1.25
MAX_FORMS = 2  # of pictures at a time: the source's, and those of a larger rendition


def pixel_format(pictures: PictureFormat) -> str:
    """Return what the renditions of a source are made of: 4:2:0 of 8 bits in the source's range."""
    return "yuvj420p" if shown_format(pictures).full_range else "yuv420p"


class SoftSurface:
    """A rendition's frame, made by `prepare`. Satisfies `soft_encode.HostSurface`."""

    __slots__ = ("_frame", "_larger", "_lock", "_picture", "_scaler", "pts_ms")

    def __init__(
        self, picture: SoftPicture, scaler: "_RenditionScaler", larger: "SoftSurface | None" = None
    ) -> None:
        """`larger`: the surface that this one is scaled from, in place of the picture."""
        self.pts_ms = picture.pts_ms
        self._picture = picture
        self._scaler = scaler
        self._larger = larger
        self._frame: VideoFrame | None = None
        self._lock = threading.Lock()  # two encoders' threads may want it

    def prepare(self) -> None:
        with self._lock:
            if self._frame is None:
                self._frame = self._scale()

    def _scale(self) -> VideoFrame:
        picture = self._picture
        if self._larger is None:
            return self._scaler.scale(picture, picture.frame)
        frame = self._larger.video_frame()
        self._larger = None
        return self._scaler.scale(picture, frame)

    def video_frame(self) -> VideoFrame:
        """The frame in host memory."""
        if self._frame is None:
            self.prepare()
        assert self._frame is not None
        return self._frame

    def kept_luma(self) -> HostLuma:
        """The frame is nobody's to write, so it is kept as it is."""
        return HostLuma(luma_of(self.video_frame()))


class SoftScaler:
    """A `worker.devices.backend.Scaler`."""

    def __init__(self, ladder: Ladder, pictures: PictureFormat, format_name: str = "") -> None:
        """`format_name`: of the frames, if not `pixel_format`."""
        self._renditions = [
            _RenditionScaler(rendition, pictures, format_name or pixel_format(pictures))
            for rendition in ladder.renditions
        ]
        self._larger = larger_renditions(ladder, pictures)

    def scale(self, picture: Picture, wanted: Sequence[int]) -> list[SoftSurface]:
        assert isinstance(picture, SoftPicture)
        made: dict[int, SoftSurface] = {}
        for index in sorted(wanted):  # the larger ones first, as ladders have them
            rendition = self._renditions[index]
            larger = made.get(self._larger.get(index, -1)) if rendition.is_for(picture) else None
            made[index] = SoftSurface(picture, rendition, larger)
        return [made[index] for index in wanted]

    def close(self) -> None:
        self._renditions = []


class _Graph(NamedTuple):
    """A filter graph, and where pictures are pushed in."""

    graph: av.filter.Graph
    source: FilterContext


def _mapped_transfer(picture: SoftPicture, frame: VideoFrame) -> int:
    """The transfer of a source's own frame whose tones renditions cannot show; 0: they can."""
    if frame is not picture.frame:
        return 0  # it is a larger rendition's
    transfer = int(frame.color_trc)
    if transfer in (PQ, HLG):
        return transfer
    return BT709 if int(frame.color_primaries) == BT2020 else 0


class _RenditionScaler:
    """Scales for one rendition; its graphs are made anew when the pictures change their form."""

    def __init__(
        self, rendition: RenditionFormat, pictures: PictureFormat, format_name: str
    ) -> None:
        self._rendition = rendition
        self._fitted_to = (pictures.width, pictures.height, pictures.sar)
        self._format = format_name
        is_full = shown_format(pictures).full_range
        self._range = ColorRange.JPEG if is_full else ColorRange.MPEG
        # by the form of the pictures that it is for; None: they are left as they are
        self._graphs: dict[tuple[object, ...], _Graph | None] = {}
        # Where a smaller rendition has dropped pictures, its thread may come for a later one's.
        self._lock = threading.Lock()

    def is_for(self, picture: SoftPicture) -> bool:
        """Return whether the ladder was fitted to pictures of this shape."""
        return (picture.width, picture.height, picture.sar) == self._fitted_to

    def scale(self, picture: SoftPicture, frame: VideoFrame) -> VideoFrame:
        """Make the rendition's frame of a picture from its own frame, or one with all of it."""
        with self._lock:
            return self._scale(picture, frame)

    def _scale(self, picture: SoftPicture, frame: VideoFrame) -> VideoFrame:
        try:
            made = self._graph_for(picture, frame)
            if made is None:
                return frame
            made.source.push(frame)
            scaled = made.graph.vpull()
        except (MemoryError, av.error.MemoryError) as error:
            raise DeviceLost("out of memory in the scaler") from error
        except (av.error.FFmpegError, OverflowError) as error:
            self._graphs.clear()
            what = f"{frame.width}x{frame.height} {frame.format.name}, matrix {frame.colorspace}"
            raise EncodeFailed(f"{self._rendition.name}: {what} is not scaled: {error}") from error
        scaled.pts = picture.pts_ms
        scaled.time_base = MILLISECONDS
        return scaled

    def _graph_for(self, picture: SoftPicture, frame: VideoFrame) -> "_Graph | None":
        name = frame.format.name
        form = (
            frame.width,
            frame.height,
            name,
            picture.sar,
            frame.color_range,
            frame.colorspace,
            transfer := _mapped_transfer(picture, frame),
        )
        if form not in self._graphs:
            if len(self._graphs) >= MAX_FORMS:
                self._graphs.clear()
            self._graphs[form] = self._make_graph(picture, frame, transfer)
        return self._graphs[form]

    def _make_graph(
        self, picture: SoftPicture, frame: VideoFrame, transfer: int
    ) -> "_Graph | None":
        """`transfer`: that of tones to be mapped; 0: there are none."""
        rendition = self._rendition
        place = self._place(picture)
        fills = (place.width, place.height) == (rendition.width, rendition.height)
        if (
            fills
            and (frame.width, frame.height) == (rendition.width, rendition.height)
            and frame.format.name == self._format
            and not transfer
        ):
            return None
        graph = av.filter.Graph()
        graph.threads = 1
        out_range = "pc" if self._range is ColorRange.JPEG else "tv"
        source = graph.add("buffer", buffer_arguments(frame))
        size = f"{place.width}:{place.height}:flags=bicubic"
        table: FilterContext | None = None
        if transfer:
            matrix = "bt709" if frame.colorspace == BT709 else "bt2020"
            scaled = graph.add("scale", f"{size}:in_color_matrix={matrix}")
            last, table = add_tone_mapping(graph, scaled)
        else:
            scaled = last = graph.add("scale", f"{size}:out_range={out_range}")
        source.link_to(scaled)
        nodes = [last, graph.add("format", self._format)]
        if not fills:
            pad = f"{rendition.width}:{rendition.height}:{place.x}:{place.y}:black"
            nodes.append(graph.add("pad", pad))
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        if table is not None:
            table.push(hald_image(transfer))
            table.push(None)
        return _Graph(graph, source)

    def _place(self, picture: SoftPicture) -> Rectangle:
        if self.is_for(picture):
            return rendition_picture(self._rendition)
        source = SourceFormat(picture.width, picture.height, picture.sar)
        return fit_picture(source, self._rendition.width, self._rendition.height)


def larger_renditions(ladder: Ladder, pictures: PictureFormat) -> Mapping[int, int]:
    """By rendition: the one that it is scaled from; those scaled from the source are absent. Pure.

    Both show the whole picture, without letterbox, and the same ones.
    """
    direct: list[int] = []  # scaled from the source, largest first
    larger: dict[int, int] = {}
    for index, rendition in enumerate(ladder.renditions):
        if rendition_picture(rendition) != Rectangle(0, 0, rendition.width, rendition.height):
            continue
        fitting = [
            other
            for other in direct
            if ladder.renditions[other].fps == rendition.fps
            and ladder.renditions[other].height >= MIN_STEP * rendition.height
            and ladder.renditions[other].width >= MIN_STEP * rendition.width
        ]
        if fitting:
            larger[index] = fitting[-1]
        elif (rendition.width, rendition.height) != (pictures.width, pictures.height):
            direct.append(index)
    return larger
