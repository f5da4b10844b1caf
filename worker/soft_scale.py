"""Scaling on the host with libswscale, through PyAV's filter graphs.

A rung's graph scales bicubically straight into its rectangle of the frame (`pad` lends `scale` its
buffer) and leaves the rest black; pixel format and range become the encoder's. The work is done in
the encoder's thread, so that rungs scale in
parallel. A picture that is already what the rung wants is handed on as it is.
"""

from collections.abc import Sequence

import av.error
import av.filter
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from common.avc import SpsInfo
from common.errors import DeviceLost, EncodeFailed
from common.ladder import Ladder, Rung, SourceFormat
from worker.backend import Picture
from worker.letterbox import Rectangle, fit_picture, rung_picture
from worker.soft_decode import MILLISECONDS, SoftPicture, buffer_arguments


def pixel_format(sps: SpsInfo) -> str:
    """What the rungs of a source are made of: 4:2:0 of 8 bits in the source's range."""
    return "yuvj420p" if sps.full_range else "yuv420p"


class SoftSurface:
    """A rung's frame, made by `prepare`. Satisfies `soft_encode.HostSurface`."""

    __slots__ = ("_frame", "_picture", "_scaler", "pts_ms")

    def __init__(self, picture: SoftPicture, scaler: "_RungScaler") -> None:
        self.pts_ms = picture.pts_ms
        self._picture = picture
        self._scaler = scaler
        self._frame: VideoFrame | None = None

    def prepare(self) -> None:
        self._frame = self._scaler.scale(self._picture)

    def video_frame(self) -> VideoFrame:
        """The frame in host memory."""
        if self._frame is None:
            self.prepare()
        assert self._frame is not None
        return self._frame


class SoftScaler:
    """A `worker.backend.Scaler`."""

    def __init__(self, ladder: Ladder, sps: SpsInfo) -> None:
        self._rungs = [_RungScaler(rung, sps) for rung in ladder.rungs]

    def scale(self, picture: Picture, wanted: Sequence[int]) -> list[SoftSurface]:
        assert isinstance(picture, SoftPicture)
        return [SoftSurface(picture, self._rungs[index]) for index in wanted]

    def close(self) -> None:
        self._rungs = []


class _RungScaler:
    """Scales for one rung; its graph is made anew when the pictures change their form."""

    def __init__(self, rung: Rung, sps: SpsInfo) -> None:
        self._rung = rung
        self._fitted_to = (sps.width, sps.height, sps.sar)
        self._format = pixel_format(sps)
        self._range = ColorRange.JPEG if sps.full_range else ColorRange.MPEG
        self._graph: av.filter.Graph | None = None
        self._form: tuple[object, ...] = ()  # of the pictures that `_graph` is for

    def scale(self, picture: SoftPicture) -> VideoFrame:
        frame = picture.frame
        name = frame.format.name
        form = (frame.width, frame.height, name, picture.sar, frame.color_range, frame.colorspace)
        if form != self._form:
            self._form = form
            self._graph = self._make_graph(picture)
        if self._graph is None:
            return frame
        try:
            self._graph.vpush(frame)
            scaled = self._graph.vpull()
        except (MemoryError, av.error.MemoryError) as error:
            raise DeviceLost("out of memory in the scaler") from error
        except av.error.FFmpegError as error:
            self._form = ()
            raise EncodeFailed(f"{self._rung.name}: scaling failed: {error}") from error
        scaled.pts = picture.pts_ms
        scaled.time_base = MILLISECONDS
        return scaled

    def _make_graph(self, picture: SoftPicture) -> av.filter.Graph | None:
        frame, rung = picture.frame, self._rung
        place = self._place(picture)
        fills = (place.width, place.height) == (rung.width, rung.height)
        if (
            fills
            and (frame.width, frame.height) == (rung.width, rung.height)
            and frame.format.name == self._format
        ):
            return None
        graph = av.filter.Graph()
        graph.threads = 1
        out_range = "pc" if self._range is ColorRange.JPEG else "tv"
        nodes = [
            graph.add("buffer", buffer_arguments(frame)),
            graph.add("scale", f"{place.width}:{place.height}:flags=bicubic:out_range={out_range}"),
            graph.add("format", self._format),
        ]
        if not fills:
            pad = f"{rung.width}:{rung.height}:{place.x}:{place.y}:black"
            nodes.append(graph.add("pad", pad))
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        return graph

    def _place(self, picture: SoftPicture) -> Rectangle:
        if (picture.width, picture.height, picture.sar) == self._fitted_to:
            return rung_picture(self._rung)
        source = SourceFormat(picture.width, picture.height, picture.sar)
        return fit_picture(source, self._rung.width, self._rung.height)
