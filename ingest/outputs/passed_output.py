"""Renditions that are a publisher's own tracks, on their way to the egresses.

Each goes where a worker's would go: to the stream's home, and to whoever wants this rendition. Who
begins with it is given its headers and its last GOP first; who cuts segments, the whole GOPs before
it too. Pure but for the feeds it is given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from common.flv.on_metadata import video_metadata
from common.flv.tag import TagType
from common.flv.video import video_body, video_header_body
from common.ipc.identity import Generation
from common.ipc.kinds import takes_last_gop
from common.ipc.media_messages import KEY, REPLAY, RenditionVideo, TagHeader
from common.media.gop_buffer import GopBuffer
from common.media.last_gops import LastGops
from common.media.units import VideoConfig, VideoUnit
from ingest.outputs.outbox import EgressFeed

MAX_GOP_MS = 21_000  # a template's `gop` is 20 s at most
_VIDEO = int(TagType.VIDEO)


@dataclass(slots=True)
class _Passed:
    """One rendition."""

    config: VideoConfig
    video: RenditionVideo
    metadata: bytes
    header: bytes
    gop: GopBuffer[VideoUnit] = field(default_factory=lambda: GopBuffer(max_ms=MAX_GOP_MS))
    last: LastGops[Sequence[VideoUnit]] = field(default_factory=LastGops)


class PassedOutput:
    """Those of one stream."""

    def __init__(self) -> None:
        self._passed: dict[str, _Passed] = {}

    @property
    def names(self) -> Sequence[str]:
        """The renditions that there are."""
        return tuple(self._passed)

    def begin(
        self, name: str, config: VideoConfig, video: RenditionVideo, feeds: Iterable[EgressFeed]
    ) -> None:
        """A rendition begins, or goes on with other headers."""
        known = self._passed.get(name)
        if known is not None and (known.config, known.video) == (config, video):
            return
        metadata = video_metadata(
            config.codec, video.width, video.height, video.fps or Fraction(0), video.bitrate_bps
        )
        self._passed[name] = _Passed(config, video, metadata, video_header_body(config))
        for feed in feeds:
            feed.begun.discard(name)

    def end(self, name: str, feeds: Iterable[EgressFeed]) -> None:
        """A rendition is passed no more."""
        self._passed.pop(name, None)
        for feed in feeds:
            feed.begun.discard(name)

    def unit(
        self,
        name: str,
        unit: VideoUnit,
        feeds: Iterable[EgressFeed],
        generation: Generation,
        sent_s: float,
        *,
        keeps_last: bool,
    ) -> None:
        """Send a picture of a rendition. `keeps_last`: somebody cuts segments."""
        passed = self._passed.get(name)
        if passed is None:
            return
        is_key = unit.is_random_access
        if is_key:
            _keep_whole(passed, keeps_last)
        passed.gop.add(
            unit,
            len(unit.data),
            "video",
            unit.dts_ms,
            is_key=is_key,
            begins=is_key,
            set_anew=unit.discontinuity,
        )
        entry, body = _entry(unit), video_body(unit)
        for feed in feeds:
            if name not in feed.takes_passed:
                continue
            if name in feed.begun:
                feed.tags(generation, name, (entry,), (body,), sent_s)
            else:
                self._begin_at(feed, name, passed, generation)

    def _begin_at(
        self, feed: EgressFeed, name: str, passed: _Passed, generation: Generation
    ) -> None:
        """Give who takes it from now on what it can begin from."""
        feed.begun.add(name)
        feed.open_rendition(generation, name, passed.video, passed.metadata, passed.header)
        gops = [passed.gop.entries] if passed.gop.entries else []
        if gops and takes_last_gop(feed.link.child.kind):
            gops = [*passed.last, *gops]
        for units in gops:
            entries = [_entry(unit, REPLAY) for unit in units]
            feed.tags(generation, name, entries, [video_body(unit) for unit in units])


def _keep_whole(passed: _Passed, keeps_last: bool) -> None:
    """Keep the GOP that ends here, if anybody will want it."""
    if keeps_last and passed.gop.entries:
        passed.last.add(passed.gop.entries, passed.gop.size_bytes)
    else:
        passed.last.clear()


def _entry(unit: VideoUnit, flags: int = 0) -> TagHeader:
    if unit.is_random_access:
        flags |= KEY
    return TagHeader(_VIDEO, unit.codec, unit.dts_ms, unit.composition_ms, flags, unit.received_s)
