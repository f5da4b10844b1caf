"""Which renditions of a stream are taken to be cut while somebody watches it. Pure.

All that are made whoever plays them. Of those that are made on demand, whose playlists, parts or
segments somebody has asked for lately: to take one is to demand it. The one that was asked for last
stays, since the sound comes with it.
"""

from collections.abc import Sequence
from math import inf
from typing import Protocol

from common.config.ladder import SOURCE
from common.ipc.identity import StreamId
from egress.sound.carried import FMP4, CarriedSound, carried
from egress.sound.coded import SoundForms
from egress.streams.rendition import Rendition
from egress.streams.stream import Stream, StreamState
from egress.streams.subscribers import Start
from egress.streams.tag import Config, Tag


class Taker(Protocol):
    """What gets a rendition's configuration and tags, by the rendition's name."""

    def configure(self, name: str, config: Config, /) -> None: ...

    def take(self, name: str, tags: Sequence[Tag], /) -> None: ...

    def rendition_ended(self, name: str, /) -> None: ...


class RenditionFeed:
    """A `Subscriber` of one rendition: it gives what comes to its `Taker`."""

    def __init__(self, taker: Taker, rendition: Rendition, forms: SoundForms | None) -> None:
        self._taker = taker
        self._rendition = rendition
        self._carried = carried(self, rendition.stream_id, FMP4, forms)

    @property
    def stream_id(self) -> StreamId:
        return self._rendition.stream_id

    def begin(self) -> None:
        self._rendition.subscribe(self._carried, Start.FIRST)

    def close(self) -> None:
        self._rendition.unsubscribe(self._carried)
        if isinstance(self._carried, CarriedSound):
            self._carried.close()

    def on_config(self, config: Config, /) -> None:
        self._taker.configure(self._rendition.name, config)

    def on_units(self, tags: Sequence[Tag], /) -> None:
        self._taker.take(self._rendition.name, tags)

    def on_end(self, reason: str, /) -> None:
        self._taker.rendition_ended(self._rendition.name)


class Feeds:
    """Those of one stream."""

    def __init__(self, taker: Taker, stream: Stream, forms: SoundForms | None) -> None:
        self._taker = taker
        self._stream = stream
        self._forms = forms
        self._known: dict[str, Rendition] = {}  # that were here, taken or not
        self._taken: dict[str, RenditionFeed] = {}
        self._asked_s: dict[str, float] = {}  # of those on demand, when one was asked for last …
        self._begun_s: dict[str, float] = {}  # … and since when it is taken
        self._on_demand: frozenset[str] = frozenset()

    def __contains__(self, name: object) -> bool:
        """Whether a rendition is taken."""
        return name in self._taken

    def __bool__(self) -> bool:
        return bool(self._taken)

    @property
    def may_go_on(self) -> bool:
        """Whether somebody may ask for another rendition, now that none is taken."""
        is_over = self._stream.state in (StreamState.ENDING, StreamState.ENDED)
        return not is_over and any(name in self._stream.renditions for name in self._on_demand)

    def is_on_demand(self, name: str) -> bool:
        """Whether a rendition is made only while somebody watches it."""
        return name in self._on_demand

    def news(self, *, with_source: bool) -> list[str]:
        """The renditions of the stream that were not here, or are others of a known name."""
        stream = self._stream
        self._on_demand = stream.template.names_on_demand
        return [
            name
            for name, rendition in stream.renditions.items()
            if self._known.get(name) is not rendition
            and (name != SOURCE or with_source or not stream.transcoded)
            and not rendition.is_sound_alone  # which is the track of the sound
        ]

    def note(self, name: str) -> Rendition:
        """Note a rendition as it is now; it is not taken by this."""
        rendition = self._known[name] = self._stream.renditions[name]
        return rendition

    def knows(self, name: str) -> bool:
        """Whether there was a rendition of this name."""
        return name in self._known

    def begin(self, name: str) -> None:
        """Take a rendition: its tags come from now on, those of its last GOPs at once."""
        feed = self._taken[name] = RenditionFeed(self._taker, self._known[name], self._forms)
        feed.begin()

    def end(self, name: str) -> None:
        """Take a rendition no more."""
        feed = self._taken.pop(name, None)
        if feed is not None:
            feed.close()

    def forget(self, name: str) -> None:
        """A rendition has ended by itself."""
        self._taken.pop(name, None)
        self._known.pop(name, None)

    def end_all(self) -> None:
        """Take nothing any more."""
        for name in tuple(self._taken):
            self.end(name)

    # ---- on demand ----------------------------------------------------------------------------

    def ask(self, name: str, now: float) -> bool:
        """Somebody watches a rendition; whether it is now to be taken, as nobody did."""
        if name not in self._on_demand:
            return False
        self._asked_s[name] = now
        is_new = name in self._known and name not in self._taken
        if is_new:
            self._begun_s[name] = now
        return is_new

    def begun_s(self, name: str) -> float:
        """Since when a rendition on demand is taken; of others it does not matter."""
        return self._begun_s.get(name, -inf)

    def unasked(self, since_s: float) -> list[str]:
        """The renditions on demand that nobody has asked for since then, but for the last feed."""
        asked_s = self._asked_s
        found = [
            name
            for name in self._taken
            if name in self._on_demand and asked_s.get(name, -inf) < since_s
        ]
        if len(found) == len(self._taken) and found:
            found.remove(max(found, key=lambda name: asked_s.get(name, -inf)))
        return found
