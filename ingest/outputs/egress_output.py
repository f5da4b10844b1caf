"""One stream towards the egresses: its source rendition, its audio and data, opened and closed.

Tags of one read are put together and go out as few messages, a new one where the rendition
changes, so that the order of arrival stays. Audio waits to go with the next picture, as it would at
egress anyway. An egress that comes later is given the headers and the last GOP first.

A stream of which nobody watches anything rests: from a keyframe on its egresses get nothing but
headers and signs of life. The first player has them given the GOP from its keyframe on. So no time
steps back, and the source and the sound begin for him as if all had been there. Pure but for the
links it is given.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from common.config.ladder import SOURCE
from common.flv.audio import audio_body, audio_header_body
from common.flv.tag import TagType
from common.flv.video import video_body, video_header_body
from common.ipc.egress_homes import is_home
from common.ipc.identity import Generation, StreamId
from common.ipc.kinds import takes_last_gop
from common.ipc.media_messages import (
    HEADER,
    KEY,
    REPLAY,
    SHARED,
    RenditionVideo,
    StreamClosed,
    StreamOpen,
    TagHeader,
)
from common.media.units import AudioConfig, AudioUnit, DataUnit, VideoConfig, VideoUnit
from common.process.stage_times import StageDelays, StageTimes
from ingest.outputs.outbox import EgressFeed, Peers
from ingest.outputs.passed_output import PassedOutput
from ingest.streams.media_events import Metadata
from ingest.streams.source_gop import GopItem, ReplayItem, SourceGop

# Audio waits for a picture while pictures come as often as this; where they stop, a later read or
# tick ends the wait.
PIGGYBACK_S = 0.06
# Egress gives a stream up of which it hears nothing for 20 s (SILENT_S in
# egress/streams/stream.py).
SIGN_OF_LIFE_S = 5.0
RELEASE_MS = 3_000  # an egress that a stream goes to no more keeps it so long, for who comes now

_AUDIO, _VIDEO, _SCRIPT = int(TagType.AUDIO), int(TagType.VIDEO), int(TagType.SCRIPT)

Batch = tuple[str, list[TagHeader], list[bytes]]  # rendition, entries, bodies


class EgressOutput:
    """The feeds of one stream to all egresses, given its media in order."""

    def __init__(
        self,
        stream_id: StreamId,
        generation: Generation,
        peers: Peers,
        clock: Callable[[], float],
        delays: StageDelays | None = None,
    ) -> None:
        """`clock` is that of the times tags came at, CLOCK_MONOTONIC. `delays`: of all streams."""
        self.generation = generation
        self.stages = StageTimes(delays)
        self._clock = clock
        self._stream_id = stream_id
        self._peers = peers
        self._feeds: list[EgressFeed] = []
        self._paused: list[EgressFeed] = []  # to egresses that do not want the stream now
        self._ending: list[EgressFeed] = []  # only their last words are due
        self._rendition = SOURCE
        self._entries: list[TagHeader] = []
        self._bodies: list[bytes] = []
        self._picture_s = 0.0  # when the last one came
        self._life_shown_s = 0.0
        self._dropped = 0
        self._resting: SourceGop | None = None  # what egresses are given when it rests no more
        self._passed = PassedOutput()

    @property
    def has_unsent(self) -> bool:
        """Whether an egress is still owed an end."""
        return bool(self._ending)

    @property
    def has_players(self) -> bool:
        """Whether somebody plays any rendition of the stream, or waits for it."""
        return any(feed.link.has_players(self._stream_id, SHARED) for feed in self._feeds)

    @property
    def demanded(self) -> set[str]:
        """The renditions of the stream that somebody plays, or waits for."""
        return set().union(*(feed.link.demanded(self._stream_id) for feed in self._feeds))

    @property
    def has_source_players(self) -> bool:
        """Whether somebody plays the source rendition, or waits for it."""
        return any(feed.link.has_players(self._stream_id, SOURCE) for feed in self._feeds)

    @property
    def may_be_cut(self) -> bool:
        """Whether a process runs that cuts segments, of the source too if somebody asks for it."""
        return any(takes_last_gop(link.child.kind) for link in self._peers.egresses())

    @property
    def is_resting(self) -> bool:
        """Whether egresses get nothing of its media, as nobody watches it."""
        return self._resting is not None

    @property
    def dropped(self) -> int:
        """Tags that an egress did not get."""
        return self._dropped + sum(
            feed.dropped for feed in (*self._feeds, *self._paused, *self._ending)
        )

    def follow(self) -> list[EgressFeed]:
        """Drop feeds to who is gone, pause those to who wants nothing of the stream now.

        Gives those that begin, or begin again.
        """
        running = self._peers.egresses()
        for feeds in (self._feeds, self._paused):
            for feed in [entry for entry in feeds if entry.link not in running]:
                feeds.remove(feed)
                self._dropped += feed.dropped
        wanted = self._peers.subscribed(self._stream_id)
        unwanted = [feed for feed in self._feeds if feed.link not in wanted]
        if unwanted:
            self.flush()
            away = "no player of it is here"
            for feed in unwanted:
                self._feeds.remove(feed)
                feed.close(StreamClosed(self._stream_id, self.generation, away, RELEASE_MS))
            self._paused += unwanted
        known = [feed.link for feed in self._feeds]
        new = []
        for link in [entry for entry in wanted if entry not in known]:
            again = [feed for feed in self._paused if feed.link is link]
            self._paused = [feed for feed in self._paused if feed.link is not link]
            new += again or [EgressFeed(self._stream_id, link)]
        for feed in (*self._feeds, *new):
            takes = self._peers.takes(self._stream_id, feed.link.child, SOURCE)
            if takes and not feed.takes_source and feed not in new:
                self._feeds.remove(feed)  # it begins again, with the source
                new.append(feed)
            feed.takes_source = takes
        if new:
            self.wake()
            self.flush()
        for feed in new:
            feed.begun.clear()
        self._feeds += new
        self._route_passed()
        return new

    def rest(self, gop: SourceGop) -> None:
        """Send nothing from here on, in front of a keyframe; `gop` will have what came since.

        Who is no home of streams has asked for what comes, and gets it.
        """
        if self.is_resting or not all(is_home(feed.link.child) for feed in self._feeds):
            return
        self.flush()
        self._resting = gop
        for feed in self._feeds:
            feed.rest(self.generation)

    def wake(self) -> None:
        """Send what came since it rests, and whatever comes."""
        gop, self._resting = self._resting, None
        if gop is None:
            return
        items = since_key(gop.replay(with_sound=True))
        for rendition, entries, bodies in _replayed(items):
            for feed in self._feeds:
                feed.tags(self.generation, rendition, entries, bodies)

    def open(self, message: StreamOpen) -> None:
        """Report that the stream exists, has a publisher again, or another placement."""
        self.flush()
        if message.generation != self.generation:
            for feed in self._feeds:
                feed.begun.clear()
        self.generation = message.generation
        for feed in self._feeds:
            feed.open(message)

    def open_source(self, gop: SourceGop) -> None:
        """Begin the source rendition with the headers in force, or change them."""
        self.flush()
        for feed in self._feeds:
            self._open_source_at(feed, gop)

    def replay(self, feed: EgressFeed, message: StreamOpen, gop: SourceGop) -> None:
        """Give a new egress the stream, its headers and its last GOP.

        One that cuts segments gets the whole GOPs before it too, and the sound of that time.
        """
        feed.open(message)
        self._open_source_at(feed, gop)
        is_cut = takes_last_gop(feed.link.child.kind)
        items = gop.replay(with_sound=is_cut, with_last=is_cut and feed.takes_source)
        for rendition, entries, bodies in _replayed(items):
            feed.tags(self.generation, rendition, entries, bodies)

    def pass_renditions(self, renditions: Mapping[str, tuple[VideoConfig, RenditionVideo]]) -> None:
        """Send these renditions as they come from now on, and no others."""
        passed = self._passed
        for name in passed.names:
            if name not in renditions:
                passed.end(name, self._feeds)
        for name, (config, video) in renditions.items():
            passed.begin(name, config, video, self._feeds)
        self._route_passed()

    def pass_unit(self, rendition: str, unit: VideoUnit) -> None:
        """Send a picture of a rendition that is passed."""
        self._passed.unit(
            rendition,
            unit,
            self._feeds,
            self.generation,
            self._clock(),
            keeps_last=self.may_be_cut,
        )

    def _route_passed(self) -> None:
        for feed in self._feeds:
            feed.takes_passed = {
                name
                for name in self._passed.names
                if self._peers.takes(self._stream_id, feed.link.child, name)
            }
            feed.begun &= feed.takes_passed

    def put(self, item: GopItem) -> None:
        """Put a unit, or a header, behind those of the same read; as the tag that egress serves."""
        if self._resting is not None and not isinstance(item, AudioConfig):
            return
        tag = tag_of(item)
        if tag is None:
            return
        rendition, entry, body = tag
        if rendition != self._rendition:
            self.flush(is_piggybacked=rendition == SOURCE)
            self._rendition = rendition
        if rendition == SOURCE:
            self._picture_s = entry.received_s
        self._entries.append(entry)
        self._bodies.append(body)

    def end_read(self, now: float) -> None:
        """Send what one read has brought, but for audio that a picture will take along."""
        if self._rendition == SOURCE or now - self._picture_s > PIGGYBACK_S:
            self.flush()

    def flush(self, *, is_piggybacked: bool = False) -> None:
        """Send all that was put; `is_piggybacked`: a picture follows at once."""
        if not self._entries:
            return
        entries, bodies = self._entries, self._bodies
        self._entries, self._bodies = [], []
        sent_s = self._clock()
        for feed in self._feeds:
            feed.tags(
                self.generation,
                self._rendition,
                entries,
                bodies,
                sent_s,
                is_piggybacked=is_piggybacked,
            )
        for feed in self._paused:
            feed.skip(self._rendition, len(entries))
        if self._rendition == SOURCE:
            self.stages.add("ingest", sent_s - entries[-1].received_s)

    def lose(self) -> None:
        """A picture was lost: leave a gap in the source's numbers."""
        self.wake()
        self.flush()
        for feed in (*self._feeds, *self._paused):
            feed.lose()

    def close(self, message: StreamClosed) -> None:
        """The publisher is away; with `hold_ms` 0, for good."""
        if message.hold_ms:
            self.wake()  # who comes now sees its last picture
        self.flush()
        for feed in self._feeds:
            feed.close(message)
        if message.hold_ms == 0:
            self._release_feeds()

    def release(self) -> None:
        """Send nothing more but what is owed: another ingest has the stream."""
        self.flush()
        self._release_feeds()

    def tick(self, now: float) -> None:
        """Send what has waited for a picture in vain, and what could not be sent before."""
        self.end_read(now)
        for feed in (*self._feeds, *self._paused):
            feed.retry()
        if not self._ending:
            return
        links = self._peers.egresses()
        for feed in [e for e in self._ending if e.retry() or e.link not in links]:
            self._ending.remove(feed)
            self._dropped += feed.dropped

    def show_life(self, now: float) -> None:
        """Report now and then that the publisher is there, whether or not it sends anything."""
        if now - self._life_shown_s >= SIGN_OF_LIFE_S:
            self._life_shown_s = now
            for feed in self._feeds:
                feed.tags(self.generation, SHARED, (), ())

    def _release_feeds(self) -> None:
        self._ending += [*self._feeds, *self._paused]
        self._feeds, self._paused = [], []

    def _open_source_at(self, feed: EgressFeed, gop: SourceGop) -> None:
        config, metadata = gop.video_config, gop.metadata
        if config is not None:
            body = metadata.body if metadata else b""
            fps = config.fps or (metadata.fps if metadata else None) or Fraction(0)
            video = RenditionVideo(
                config.codec, config.width, config.height, 0, fps.numerator, fps.denominator
            )
            feed.open_source(self.generation, video, body, video_header_body(config))


def tag_of(item: GopItem) -> tuple[str, TagHeader, bytes] | None:
    """The rendition, entry and body of an item's tag; a header has no time, and may have no tag."""
    if isinstance(item, VideoUnit):
        flags = KEY if item.is_key else 0
        entry = TagHeader(
            _VIDEO, item.codec, item.dts_ms, item.composition_ms, flags, item.received_s
        )
        return SOURCE, entry, video_body(item)
    if isinstance(item, AudioUnit):
        entry = TagHeader(_AUDIO, item.codec, item.dts_ms, 0, 0, item.received_s)
        return SHARED, entry, audio_body(item)
    if isinstance(item, DataUnit):
        return SHARED, TagHeader(_SCRIPT, "", item.dts_ms, 0, 0, item.received_s), item.data
    header = audio_header_body(item)
    return (SHARED, TagHeader(_AUDIO, item.codec, 0, 0, HEADER, 0.0), header) if header else None


def since_key(items: Sequence[ReplayItem]) -> Iterator[ReplayItem]:
    """These without the sound that belongs in front of the keyframe: it was sent, or is over."""
    key = next((item for item in items if isinstance(item, VideoUnit)), None)
    for item in items:
        if key is None or not isinstance(item, AudioUnit) or item.dts_ms >= key.dts_ms:
            yield item


def _replayed(items: Iterable[ReplayItem]) -> Iterator[Batch]:
    """The tags of these, consecutive ones of a rendition together."""
    batch: Batch | None = None
    for item in items:
        if isinstance(item, Metadata | VideoConfig):
            continue
        tag = tag_of(item)
        if tag is None:
            continue
        rendition, entry, body = tag
        entry = entry._replace(flags=entry.flags | REPLAY)
        # a GOP is as much as one message may carry
        if batch is None or batch[0] != rendition or (entry.flags & KEY and rendition == SOURCE):
            if batch is not None:
                yield batch
            batch = (rendition, [], [])
        batch[1].append(entry)
        batch[2].append(body)
    if batch is not None:
        yield batch
