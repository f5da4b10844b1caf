"""A rendition on its way to another host: a subscriber that gives it to the link. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from common.config.ladder import SOURCE
from common.errors import ProtocolError
from common.ipc.media_messages import KEY, RenditionVideo
from common.link.serving import Serving
from common.media.units import VideoConfig
from egress.streams.rendition import Rendition
from egress.streams.tag import Config, Tag


class Feed:
    """One rendition for one host."""

    def __init__(
        self, serving: Serving, digest: str, rendition: Rendition, on_end: Callable[[str], object]
    ) -> None:
        self._serving = serving
        self._digest = digest
        self._rendition = rendition
        self._on_end = on_end
        self._is_replay = False

    def begin(self) -> None:
        """Subscribe: the GOP that is there goes at once, as a replay."""
        self._is_replay = True
        self._rendition.subscribe(self)
        self._is_replay = False

    def close(self) -> None:
        """Take nothing more."""
        self._rendition.unsubscribe(self)

    # ---- the subscriber -----------------------------------------------------------------------

    def on_config(self, config: Config, /) -> None:
        name, serving, digest = self._rendition.name, self._serving, self._digest
        if config.publisher is not None and config.publisher.script:
            serving.publisher(digest, SOURCE, config.publisher.script)
        if config.video is not None:
            script = config.script.body if config.script is not None else b""
            serving.headers(digest, name, _described(config.video), script, config.video.body)
        if config.audio is not None:
            serving.sound_header(digest, config.audio)

    def on_units(self, tags: Sequence[Tag], /) -> None:
        if self._rendition.is_sound_alone:  # it crosses as the sound of all renditions
            tags = [replace(tag, flags=tag.flags & ~KEY) for tag in tags]
        self._serving.tags(self._digest, self._rendition.name, tags, is_replay=self._is_replay)

    def on_end(self, reason: str, /) -> None:
        self._on_end(reason)


def _described(header: Tag) -> RenditionVideo:
    """What the pictures are, as far as their header can be read."""
    try:
        config = header.media_config()
    except ProtocolError:
        config = None
    if not isinstance(config, VideoConfig):
        return RenditionVideo(header.codec, 0, 0)
    return RenditionVideo(header.codec, config.width, config.height)
