"""A rendition as packets, made once for all of its viewers: a `Subscriber` while it has any. Pure.

What viewers of WebRTC cannot be sent is found here: a codec that `payloads.py` does not have, and
pictures that are not shown in the order they are coded in. No browser decodes those by WebRTC.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from common.errors import ProtocolError
from common.ipc.identity import StreamId
from common.media.units import VideoCodec, VideoConfig, VideoUnit
from common.rtp.history import Frame, History
from egress.rtc.payloads import Packetiser, packetiser_of
from egress.streams.rendition import Rendition
from egress.streams.tag import AUDIO, VIDEO, Config, Tag

B_FRAMES: Final = (
    "its pictures have B-frames, which no browser plays by WebRTC: "
    "watch a transcoded rendition, or publish without them"
)


class Sink(Protocol):
    """Who takes a channel's frames."""

    def on_frame(self, channel: "Channel", frame: Frame) -> None:
        """The next picture of the channel; it is in its history, too."""

    def on_channel_end(self, channel: "Channel", reason: str) -> None:
        """Nothing follows. The viewer leaves by `remove`, now or later."""


class Channel:
    """One rendition and its viewers."""

    def __init__(
        self,
        rendition: Rendition,
        *,
        on_sound: Callable[[Config, Sequence[Tag]], object] = lambda config, tags: None,
        on_empty: Callable[["Channel"], object] = lambda _: None,
    ) -> None:
        """`on_sound` gets the rendition's sound, the same for every rendition of the stream."""
        self.rendition = rendition
        self.viewers: set[Sink] = set()
        self.history = History()
        self.problem = ""  # why nobody can watch this
        self.codec = VideoCodec.H264  # until another is known
        self.unreadable = 0  # pictures
        self.gop_ms = 0.0  # between the last two keyframes
        self.dropped = self.sent_bytes = 0  # of viewers who have left
        self._on_sound = on_sound
        self._on_empty = on_empty
        self._config = Config()
        self._packetiser: Packetiser | None = None  # until the codec is known
        self._last_ms: int | None = None  # the last picture's time of presentation
        self._key_ms: int | None = None
        self._is_subscribed = False
        # before its first viewer: his answer names what he is sent
        self.on_config(rendition.gop_buffer.config)

    @property
    def profile(self) -> str:
        """As `Packetiser` has it; empty, too, while nothing is known."""
        return self._packetiser.profile if self._packetiser is not None else ""

    @property
    def has_start(self) -> bool:
        """Whether a viewer can begin now."""
        return bool(self.history.since_key())

    def join(self, viewer: Sink) -> None:
        """Call a viewer from now on; what is there is in the history when this returns."""
        self.viewers.add(viewer)
        if not self._is_subscribed:
            self._is_subscribed = True
            self.history, self._last_ms, self._key_ms = History(), None, None
            self.rendition.subscribe(self)

    def remove(self, viewer: Sink) -> None:
        """Call a viewer no more."""
        self.viewers.discard(viewer)
        if not self.viewers and self._is_subscribed:
            self._is_subscribed = False
            self.rendition.unsubscribe(self)
            self._on_empty(self)

    # ---- the subscriber -----------------------------------------------------------------------

    def on_config(self, config: Config, /) -> None:
        self._config = config
        video = config.video
        if video is None:
            return
        try:
            self._configure(video)
        except ProtocolError as error:
            self._fail(f"it cannot be read: {error}")

    def on_units(self, tags: Sequence[Tag], /) -> None:
        sound = [tag for tag in tags if tag.type == AUDIO]
        if sound:
            self._on_sound(self._config, sound)
        for tag in tags:
            if tag.type == VIDEO and not self.problem:
                self._take(tag)

    def on_end(self, reason: str, /) -> None:
        self._is_subscribed = False
        for viewer in tuple(self.viewers):
            viewer.on_channel_end(self, reason)

    # ---- inside -------------------------------------------------------------------------------

    def _configure(self, header: Tag) -> None:
        config = header.media_config()
        if not isinstance(config, VideoConfig):
            return
        packetiser = packetiser_of(config)
        if packetiser is None:
            self._fail(
                f"it is {config.codec.label}, which WebRTC is not sent: watch a rendition of H.264"
            )
            return
        if self._packetiser is not None and config.codec is not self.codec:
            self._fail(f"it is {config.codec.label} now: watch it anew")
            return
        self.codec, self._packetiser = config.codec, packetiser

    def _take(self, tag: Tag) -> None:
        try:
            unit = tag.unit()
            if not isinstance(unit, VideoUnit) or self._packetiser is None:
                return
            payloads = self._packetiser.payloads(unit, is_key=tag.is_key)
        except ProtocolError:
            self.unreadable += 1
            return
        time_ms = unit.pts_ms
        if self._last_ms is not None and time_ms <= self._last_ms:
            if not tag.is_key:
                self._fail(B_FRAMES)
                return
            time_ms = self._last_ms + 1  # it begins anew
        if not payloads:
            return
        self._last_ms = time_ms
        if tag.is_key:
            if self._key_ms is not None:
                self.gop_ms = time_ms - self._key_ms
            self._key_ms = time_ms
        frame = self.history.append(payloads, time_ms, is_key=tag.is_key)
        for viewer in tuple(self.viewers):
            viewer.on_frame(self, frame)

    def _fail(self, problem: str) -> None:
        self.problem = problem
        for viewer in tuple(self.viewers):
            viewer.on_channel_end(self, problem)


class Channels:
    """The channels of all renditions that have viewers."""

    def __init__(self, on_sound: Callable[[StreamId, Config, Sequence[Tag]], object]) -> None:
        self._by_stream: dict[StreamId, dict[str, Channel]] = {}
        self._on_sound = on_sound

    def get(self, rendition: Rendition) -> Channel:
        """The rendition's channel, made for its first viewer."""
        stream_id = rendition.stream_id
        channels = self._by_stream.setdefault(stream_id, {})
        found = channels.get(rendition.name)
        if found is None or found.rendition is not rendition or found.problem:

            def on_sound(config: Config, tags: Sequence[Tag]) -> None:
                self._on_sound(stream_id, config, tags)

            found = Channel(rendition, on_sound=on_sound, on_empty=self._forget)
            channels[rendition.name] = found
        return found

    def names(self, stream_id: StreamId) -> list[str]:
        """The renditions of a stream that somebody watches."""
        return [name for name, one in self._by_stream.get(stream_id, {}).items() if one.viewers]

    def __iter__(self) -> Iterator[StreamId]:
        return iter(tuple(self._by_stream))

    def _forget(self, channel: Channel) -> None:
        stream_id, name = channel.rendition.stream_id, channel.rendition.name
        channels = self._by_stream.get(stream_id, {})
        channel.rendition.dropped += channel.dropped
        channel.rendition.sent_bytes += channel.sent_bytes
        channel.dropped = channel.sent_bytes = 0
        if channels.get(name) is channel:
            del channels[name]
            if not channels:
                del self._by_stream[stream_id]
