"""A rendition's viewers as one subscriber of it, who gives each what is flushed. Pure.

The pieces since the last keyframe are kept while somebody watches: what the next viewer begins
with. Who only waits for a keyframe is queued nothing until then.

Browsers wait for every track of a movie. So sound is one only while it comes: when it stops for
`SILENT_MS` of pictures, or comes again, bodies end, and who asks again gets another kind.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from common.ipc.identity import StreamId
from egress.http.from_units import OTHER_TRACKS, Piece, Pieces
from egress.http.viewer_queue import ViewerQueue
from egress.output import Audience
from egress.sound.carried import FMP4, CarriedSound, carried
from egress.sound.coded import SoundForms
from egress.streams.rendition import Rendition
from egress.streams.subscribers import Start
from egress.streams.tag import AUDIO, VIDEO, Config, Tag

SILENT_MS: Final = 1_500


class Sink(Protocol):
    """A viewer's connection."""

    queue: ViewerQueue

    @property
    def is_chunked(self) -> bool: ...

    def on_queued(self) -> None:
        """There is something in the queue: send it, now or when the socket takes it."""

    def finish(self, reason: str, *, is_over: bool) -> None:
        """Nothing follows. The viewer leaves the channel by `remove`, now or later."""


class PieceMaker(Protocol):
    """A rendition's tags as pieces of one container, made once for all viewers."""

    @property
    def problem(self) -> str:
        """Why this goes on in no body that has begun; "": it does."""

    @property
    def can_go_on(self) -> bool:
        """Whether it goes on in another body then."""

    def configure(self, config: Config, /) -> None:
        """Another configuration from the next tag on."""

    def append(self, tags: Sequence[Tag], /) -> list[Piece]:
        """Take the next tags; what is complete by them."""

    def head(self, *, is_chunked: bool) -> bytes:
        """What an answer begins with."""


class MakePieces(Protocol):
    """Makes a `PieceMaker`."""

    def __call__(self, *, has_sound: bool) -> PieceMaker: ...


class Channel:
    """One rendition and its viewers: a `Subscriber` of the rendition while it has any."""

    def __init__(
        self,
        rendition: Rendition,
        *,
        has_sound: bool = True,
        on_empty: Callable[["Channel"], object] = lambda _: None,
        make: MakePieces = Pieces,
        forms: SoundForms | None = None,
    ) -> None:
        """`has_sound`: bodies are made with sound while some comes, and end where that changes.

        `on_empty` is called when the last viewer has left. `forms`: of sound that fragmented MP4
        does not carry.
        """
        self.rendition = rendition
        self.has_sound = has_sound
        self.viewers: set[Sink] = set()
        self._on_empty = on_empty
        self._is_silent = False
        self._make = make
        self._taker = carried(self, rendition.stream_id, FMP4, forms)
        self._pieces = make(has_sound=has_sound)
        self._gop: list[Piece] = []  # since the last keyframe
        self._is_subscribed = False
        self._has_ended = False
        self._config = Config()
        self._dropped = self._sent_bytes = 0  # of viewers who have left

    @property
    def is_open(self) -> bool:
        """Whether another viewer can join."""
        return not self._pieces.problem and not self._has_ended

    def dropped(self) -> int:
        """Pictures that viewers missed because they were slow, those who left included."""
        return self._dropped + sum(viewer.queue.dropped for viewer in self.viewers)

    def sent_bytes(self) -> int:
        """What viewers took, those who left included."""
        return self._sent_bytes + sum(viewer.queue.sent_bytes for viewer in self.viewers)

    # ---- viewers ------------------------------------------------------------------------------

    def join(self, viewer: Sink, start: Start = Start.GOP) -> None:
        """Let a viewer in; what it begins with, if that is there, is in its queue then."""
        if not self._is_subscribed:
            self._is_subscribed = True
            self._begin_anew()
            self.rendition.subscribe(self._taker)
        self.viewers.add(viewer)
        if not self.is_open:  # it failed, or ended, in this call
            viewer.finish(self._pieces.problem or "this server failed", is_over=False)
        elif self._gop and start is not Start.LIVE:
            self._begin(viewer)
            viewer.queue.join(self._gop)
            viewer.on_queued()

    def remove(self, viewer: Sink) -> None:
        """The viewer is gone."""
        if viewer in self.viewers:
            self.viewers.discard(viewer)
            self._dropped += viewer.queue.dropped
            self._sent_bytes += viewer.queue.sent_bytes
        if not self.viewers:
            if self._is_subscribed:
                self._is_subscribed = False
                self.rendition.unsubscribe(self._taker)
                if isinstance(self._taker, CarriedSound):
                    self._taker.close()
            self._gop = []
            self._on_empty(self)

    # ---- the subscriber -----------------------------------------------------------------------

    def on_config(self, config: Config, /) -> None:
        self._config = config
        self._pieces.configure(config)

    def on_units(self, tags: Sequence[Tag], /) -> None:
        """Give everything that is complete by these."""
        if self.has_sound and self._is_silent != self._lacks_sound():
            self._end_begun(OTHER_TRACKS, is_over=False)
            self._begin_anew()
        self._give(self._pieces.append(tags))
        problem, can_go_on = self._pieces.problem, self._pieces.can_go_on
        if problem:
            self._end_begun(problem, is_over=not can_go_on)
            if can_go_on:
                self._begin_anew()
                self._give(self._pieces.append(tags))
        if not self.rendition.gop_buffer.tags:
            self._gop = []  # it outgrew its limits

    def on_end(self, reason: str, /) -> None:
        self._is_subscribed, self._has_ended = False, True
        for viewer in tuple(self.viewers):
            viewer.finish(reason, is_over=True)

    # ---- inside -------------------------------------------------------------------------------

    def _give(self, made: Sequence[Piece]) -> None:
        for piece in made:
            if piece.is_key:
                self._gop = [piece]
            elif self._gop:
                self._gop.append(piece)
        first_key = next((at for at, piece in enumerate(made) if piece.is_key), len(made))
        for viewer in tuple(self.viewers):
            start = 0 if viewer.queue.is_begun else first_key
            if start == len(made):
                continue
            if not viewer.queue.is_begun:
                self._begin(viewer)
            for piece in made[start:]:
                viewer.queue.offer(piece)
            viewer.on_queued()

    def _begin(self, viewer: Sink) -> None:
        viewer.queue.begin(self._pieces.head(is_chunked=viewer.is_chunked))

    def _begin_anew(self) -> None:
        """Make pieces for bodies that begin at the next keyframe."""
        self._is_silent = self._lacks_sound()
        self._gop = []
        self._pieces = self._make(has_sound=self.has_sound and not self._is_silent)
        self._pieces.configure(self._config)

    def _lacks_sound(self) -> bool:
        """Whether the last sound is long ago, as pictures go."""
        last_ms = self.rendition.gop_buffer.last_dts_ms
        sound_ms, picture_ms = last_ms.get(AUDIO), last_ms.get(VIDEO)
        return sound_ms is None or (picture_ms is not None and picture_ms - sound_ms > SILENT_MS)

    def _end_begun(self, reason: str, *, is_over: bool) -> None:
        """End those whose body cannot go on as it began; all, where asking again is of no use."""
        for viewer in tuple(self.viewers):
            if viewer.queue.is_begun or is_over:
                viewer.finish(reason, is_over=is_over)


class Channels:
    """The channels of all renditions that are watched, in one container."""

    def __init__(self, make: MakePieces = Pieces, forms: SoundForms | None = None) -> None:
        self._make = make
        self._forms = forms
        self._by_stream: dict[StreamId, list[Channel]] = {}

    def get(self, rendition: Rendition, *, has_sound: bool) -> Channel:
        """The rendition's channel, made for its first viewer, and anew where it can't go on."""
        channels = self._by_stream.setdefault(rendition.stream_id, [])
        for channel in channels:
            is_same = channel.rendition is rendition and channel.has_sound == has_sound
            if is_same and channel.is_open:
                return channel
        on_empty, make, forms = self._forget, self._make, self._forms
        made = Channel(rendition, has_sound=has_sound, on_empty=on_empty, make=make, forms=forms)
        channels.append(made)
        return channels[-1]

    def audience(self, stream_id: StreamId) -> dict[str, Audience]:
        """The viewers of a stream's renditions."""
        found: dict[str, Audience] = {}
        for channel in self._by_stream.get(stream_id, ()):
            name = channel.rendition.name
            before = found.get(name, Audience(0, 0))
            found[name] = Audience(
                before.players + len(channel.viewers),
                before.dropped + channel.dropped(),
                before.sent_bytes + channel.sent_bytes(),
            )
        return found

    def _forget(self, channel: Channel) -> None:
        stream_id = channel.rendition.stream_id
        channels = self._by_stream.get(stream_id, [])
        if channel in channels:
            channel.rendition.dropped += channel.dropped()
            channel.rendition.sent_bytes += channel.sent_bytes()
            channels.remove(channel)
            if not channels:
                del self._by_stream[stream_id]
