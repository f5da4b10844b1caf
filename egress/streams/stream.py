"""One stream as egress sees it: its renditions, its generations, its end. Pure.

Every placement of a stream has a generation; a higher one replaces the one before. Without a splice
point it does so at once. With one, the new generation's renditions are deferred until the old one's
`GenerationEnd`, or 300 ms. The source rendition and the shared tags come from ingest whatever the
placement is: they go on as long as their numbers do. A stream that goes from one host to another in
the same time, whichever of the two this is, has all of its next generation deferred like that.

A stream outlives its publisher by the `hold_ms` of its `StreamClosed`; one whose ingest died
without a word is given up like that after some seconds of silence. GOP buffers and the order of
time stay (`source_time`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from common.config.ladder import SOURCE, Template
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import (
    HEADER,
    KEY,
    SHARED,
    GenerationEnd,
    RenditionOpen,
    StreamClosed,
    StreamOpen,
    Tags,
)
from common.process.stage_times import StageDelays
from egress.streams.next_generation import MediaMessage, NextGeneration
from egress.streams.rendition import Rendition
from egress.streams.sound_alone import SoundRendition
from egress.streams.source_time import SourceTime
from egress.streams.tag import AUDIO, DATA, PublisherInfo, Tag, read_tags

# For what is still in a worker when the publisher ends. One that is well says when that was all, be
# it ever so busy; so this is for one that is lost or hangs. It is so long after each tag of it.
END_WAIT_S = 2.0
END_MOST_S = 10.0  # in all
SILENT_S = 20.0  # ingest says every 5 s that a publisher is there, be it ever so silent
# Ingest reports the end of a hold itself, at a tick, and takes its publisher back up to then:
# workers send a generation's headers once, so that renditions of a stream that ended here too early
# have none.
LATE_S = 0.5
REST_SOUND_MS = 1_500  # that is kept of a rendition that rests, beside a GOP's
MAX_ABSENT = 32  # renditions whose headers are kept while they are not announced


@dataclass(frozen=True, slots=True)
class _Headers:
    """The headers of a rendition that is gone, or not announced yet."""

    first_number: int
    script: bytes
    video_header: bytes
    is_resting: bool = False


class StreamState(Enum):
    """Where a stream is in its life."""

    LIVE = "live"
    HELD = "held"  # the publisher is away
    ENDING = "ending"  # it is over; the last tags may still be on their way
    ENDED = "ended"


_OPEN = (StreamState.LIVE, StreamState.HELD)


# long: one life, which each message that comes leads on
class Stream:
    """One stream. Every method that takes a message may touch renditions: see `touched`.

    Tags of a generation above all known ones must not come here: see `knows`.
    """

    def __init__(
        self,
        message: StreamOpen,
        now: float,
        on_demand: Callable[[StreamId], object] = lambda _: None,
        delays: StageDelays | None = None,
        *,
        keeps_last: bool = False,
    ) -> None:
        """`on_demand`, `delays` and `keeps_last` are passed on to each `Rendition`."""
        self.stream_id: StreamId = message.stream_id
        self.generation: Generation = message.generation
        self.template: Template = message.template
        self.transcoded: tuple[str, ...] = message.renditions
        self.passed: frozenset[str] = frozenset(message.passed)  # of these, the publisher's own
        self._set_aside: dict[str, _Headers] = {}  # of these, the headers of what a worker makes
        self.overrides = message.overrides  # of what its app has
        self.epoch_ms = message.epoch_ms  # Unix time at stream time 0; None: it is to come
        self.state = StreamState.LIVE
        self.reason = ""  # of the end
        self.renditions: dict[str, Rendition] = {}
        self.touched: set[str] = set()  # renditions that may be due; the caller empties it
        self.has_new_renditions = False  # the caller clears it
        self.stale = 0  # messages of ended generations
        self._floor = message.generation  # ingest's tags come with this generation or a later one
        self._revoked, self._is_remote = Generation(-1), _is_remote(message)
        self._next: NextGeneration | None = None
        self._absent: dict[str, _Headers] = {}  # of this generation's renditions
        self._deadline: float | None = None  # of HELD and ENDING
        self._over_s = 0.0  # the latest that ENDING may go on to
        self._generation_ended = self._is_silent = False  # silent: held, as nothing came
        self._time, self._quiet_since = SourceTime(now), now  # since the last tag, or the opening
        self._publisher = PublisherInfo()
        self._on_demand, self._delays, self._keeps_last = on_demand, delays, keeps_last
        self._make_renditions(message.epoch_ms)

    def knows(self, generation: Generation) -> bool:
        """True if a generation is, was, or will be this stream's by what was announced."""
        return generation <= (self._next.message if self._next else self).generation

    @property
    def is_changing(self) -> bool:
        """True while media changes `due_at`: deferred tags, and a last one before the end."""
        return self._next is not None or self.state is StreamState.ENDING

    @property
    def is_finished(self) -> bool:
        """True if its publisher is away, and all that came of him has been sent."""
        return self.state is not StreamState.LIVE and (
            self._generation_ended or not self.transcoded
        )

    # ---- the life of the stream ---------------------------------------------------------------

    def open(self, message: StreamOpen, now: float) -> tuple[Rendition, ...]:
        """A publisher again, or a new placement. Returns the renditions that are gone by it."""
        if message.generation < self.generation or self.state is StreamState.ENDED:
            return ()
        was_away = self.state is not StreamState.LIVE
        changes_host = self._changes_host(message)
        self.overrides = message.overrides
        self.epoch_ms = message.epoch_ms if self.epoch_ms is None else self.epoch_ms
        self.state = StreamState.LIVE
        self._deadline, self._is_silent, self._quiet_since = None, False, now
        if was_away:
            # Another connection, perhaps another encoder: it begins at a keyframe.
            self.renditions[SOURCE].start_over()
        following = self._next
        if following is not None and following.message.generation == message.generation:
            following.message = replace(
                following.message, template=message.template, renditions=message.renditions
            )
            self._pass(message.passed)
            return ()  # announced already: its splice point stands
        if message.generation == self.generation:
            self.template, self.transcoded = message.template, message.renditions
            self._generation_ended = False
            gone = self._make_renditions(message.epoch_ms)
            self._pass(message.passed)
            return gone
        gone = self._switch(now)
        if message.generation <= self.generation:
            return gone
        self._next = NextGeneration(message, is_whole=changes_host)
        if not changes_host and (message.splice_ms is None or was_away):
            self._floor = message.generation
            gone += self._switch(now)
        self._pass(message.passed)
        return gone

    def close(self, message: StreamClosed, now: float) -> None:
        """The publisher is gone."""
        if message.generation < self._floor or self.state not in _OPEN:
            return
        self.reason = message.reason
        self._is_silent = False
        if message.hold_ms > 0:
            self.state = StreamState.HELD
            self._deadline = now + message.hold_ms / 1000 + LATE_S
            return
        self.state = StreamState.ENDING
        is_sent = self._generation_ended or self._revoked >= self.generation
        has_tail = bool(self.transcoded) and not is_sent
        self._deadline, self._over_s = now + END_WAIT_S * has_tail, now + END_MOST_S

    def revoke(self, generation: Generation) -> int | None:
        """Take no more of a lost generation; returns the last PTS that any rendition got."""
        self._revoked = max(self._revoked, generation)
        if self._next is not None and self._next.message.generation <= generation:
            self._next.deferred.clear()
        own = (SOURCE, *self.passed)
        renditions = [found for name, found in self.renditions.items() if name not in own]
        times = [found.last_pts_ms for found in renditions if found.last_pts_ms is not None]
        return max(times) - self._time.offset_ms if times else None

    def due_at(self) -> float | None:
        """When `tick` wants to be called."""
        splice_s = self._next.due_at() if self._next is not None else None
        silent_s = self._quiet_since + SILENT_S if self.state is StreamState.LIVE else None
        due = [at for at in (self._deadline, splice_s, silent_s) if at is not None]
        return min(due, default=None)

    def tick(self, now: float) -> tuple[Rendition, ...]:
        """Do what time asks for; see `state`. Returns the renditions that are gone by it."""
        gone: tuple[Rendition, ...] = ()
        splice_s = self._next.due_at() if self._next is not None else None
        if splice_s is not None and now >= splice_s:
            gone = self._switch(now)
        if self.state is StreamState.LIVE and now >= self._quiet_since + SILENT_S:
            self.state = StreamState.HELD
            self._is_silent = True
            self.reason = "nothing came from its ingest"
            self._deadline = now + self.template.hold_ms / 1000
        if self._deadline is not None and now >= self._deadline:
            self.state = StreamState.ENDED
            self._deadline = None
            for rendition in self.renditions.values():
                rendition.release_all(now)
        return gone

    # ---- media --------------------------------------------------------------------------------

    def take(
        self, message: MediaMessage, payloads: Sequence[bytes], now: float
    ) -> tuple[Rendition, ...]:
        """Media of a known generation. Returns the renditions that are gone by it."""
        if self.state is StreamState.ENDED:
            return ()
        generation, following = message.generation, self._next
        if isinstance(message, GenerationEnd):
            return self._end_generation(generation, now)
        if message.rendition in (SOURCE, SHARED) or message.rendition in self.passed:
            if following is not None and following.is_whole:
                self._take_of_both(following, message, payloads, now)
            elif generation < self._floor:
                self.stale += 1
            else:
                self._apply(message, payloads, now)
            return ()
        if generation <= self._revoked or generation < self.generation:
            self.stale += 1
        elif generation == self.generation:
            if self._next is None or not self._next.has_taken_over(message):
                self._apply(message, payloads, now)
                if self._next is not None:
                    self._next.on_tags_before(now)
                elif self.state is StreamState.ENDING and not self._generation_ended:
                    self._deadline = min(now + END_WAIT_S, self._over_s)
        elif self._next is not None:
            self._next.defer(message, payloads, now)
        return ()

    def _take_of_both(
        self,
        following: NextGeneration,
        message: RenditionOpen | Tags,
        payloads: Sequence[bytes],
        now: float,
    ) -> None:
        """The source or shared tags, while another host sends the end of them."""
        if message.generation >= following.message.generation:
            following.defer(message, payloads, now)
        else:
            self._apply(message, payloads, now)
            following.on_tags_before(now)

    def _changes_host(self, message: StreamOpen) -> bool:
        """Tell if it goes on at another host in the same time, and some of it is still to come."""
        is_same = message.epoch_ms is not None and message.epoch_ms == self.epoch_ms
        if not is_same or _is_remote(message) == self._is_remote:
            return False
        has_tail = bool(self.transcoded) and not self._generation_ended and not self._is_remote
        return self.state is StreamState.LIVE or has_tail

    def _end_generation(self, generation: Generation, now: float) -> tuple[Rendition, ...]:
        if generation != self.generation:
            return ()
        if self._next is not None:
            return self._switch(now)
        self._generation_ended = True
        if self.state is StreamState.ENDING:
            self._deadline = now
        return ()

    def _switch(self, now: float) -> tuple[Rendition, ...]:
        """Make the next generation, if there is one, the current one; take its deferred media."""
        following, self._next = self._next, None
        if following is None:
            return ()
        message = following.message
        self.generation, self._generation_ended = message.generation, False
        self._is_remote = _is_remote(message)
        if following.is_whole:
            self._floor = message.generation
        self.template, self.transcoded = message.template, message.renditions
        for name, rendition in self.renditions.items():
            if name == SOURCE:
                rendition.continue_generation()
                if not following.is_whole:
                    self._time.allow_restart()
            elif name in self.passed:
                rendition.continue_generation()
            else:
                rendition.start_generation()
        # Before it and behind it: whoever waits, or is gone now, is numbered by the one before.
        self._absent.clear()
        self._set_aside.clear()
        gone = self._make_renditions(message.epoch_ms)
        self._absent.clear()
        if self.generation > self._revoked:
            for media in following.deferred:
                if not isinstance(media.message, GenerationEnd):
                    self._apply(media.message, media.payloads, now)
        return gone

    def _make_renditions(self, start_ms: int | None) -> tuple[Rendition, ...]:
        """Bring `renditions` in line with `transcoded`; returns those that are gone."""
        self._time.on_start(start_ms)
        alone = self.template.audio_only
        wanted = (*self.transcoded, *([alone] if alone else []), SOURCE)
        gone = tuple(self.renditions.pop(name) for name in [*self.renditions] if name not in wanted)
        for rendition in gone:
            self._keep_headers(rendition)
            self.touched.discard(rendition.name)
        for name in wanted:
            rendition = self.renditions.get(name) or self._make_rendition(name)
            rendition.audio_hold_s = self.template.audio_hold_ms / 1000
            rendition.flush_s = self.template.flush_ms / 1000
        return gone

    def _make_rendition(self, name: str) -> Rendition:
        make: Callable[..., Rendition] = partial(Rendition, is_transcoded=name != SOURCE)
        if name not in (*self.transcoded, SOURCE):
            make = partial(SoundRendition, gop_ms=self.template.gop_ms)
        rendition = self.renditions[name] = make(
            self.stream_id,
            name,
            audio_hold_s=0.0,
            flush_s=0.0,
            on_demand=self._on_demand,
            delays=self._delays,
            keeps_last=self._keeps_last,
        )
        self.has_new_renditions = True
        rendition.rest_sound_ms = self.template.gop_ms + REST_SOUND_MS
        rendition.begin(self._publisher)
        headers = self._absent.pop(name, None)
        if headers is not None:
            rendition.open(headers.script, headers.video_header, headers.first_number)
            if headers.is_resting:
                rendition.rest()
        return rendition

    def _apply(self, message: RenditionOpen | Tags, payloads: Sequence[bytes], now: float) -> None:
        if isinstance(message, RenditionOpen):
            script, header = (*payloads, b"", b"")[:2]
            self._open_rendition(message, script, header)
            return
        if not self._time.take(message, self._sent_ms(), now):
            self.stale += 1
            return
        self._quiet_since = now
        if self._is_silent:
            self._is_silent = False
            self.state = StreamState.LIVE
            self._deadline = None
        tags = read_tags(message.tags, payloads, self._time.offset_ms)
        if message.rendition == SHARED:
            self._shared(tags, now)
            return
        rendition = self.renditions.get(message.rendition)
        if rendition is None:
            self.stale += 1
            return
        rendition.tags(message.first_number, tags, now, message.sent_s)
        self.touched.add(message.rendition)

    def _open_rendition(self, message: RenditionOpen, script: bytes, header: bytes) -> None:
        name, first_number = message.rendition, message.first_number
        rendition = self.renditions.get(name)
        if rendition is None:
            # It comes, or comes back: its worker says so here, and later its ingest.
            if name in self._absent or len(self._absent) < MAX_ABSENT:
                own = script, header, message.is_resting
                self._absent[name] = _Headers(first_number, *own)
            return
        if name == SOURCE:
            self._time.on_headers(goes_on=rendition.goes_on(first_number))
            if script:
                self._set_publisher(self._publisher._replace(script=script))
        rendition.open(script, header, first_number)
        if message.is_resting:
            rendition.rest()
            if name == SOURCE:  # and with it the sound
                for alone in [one for one in self.renditions.values() if one.is_sound_alone]:
                    alone.rest()

    def set_aside(self, message: RenditionOpen, payloads: Sequence[bytes]) -> None:
        """Keep the headers of what a worker makes, or rests with, of a rendition that is passed.

        They are in force once the publisher's track stands in for it no more.
        """
        if message.generation == self.generation:
            script, header = (*payloads, b"", b"")[:2]
            self._set_aside[message.rendition] = _Headers(message.first_number, script, header)

    def _pass(self, names: Sequence[str]) -> None:
        """Take these renditions from ingest from now on, and no others.

        One that comes from elsewhere from now on begins at a keyframe behind what was sent.
        """
        before, self.passed = self.passed, frozenset(names)
        for name in before ^ self.passed:
            rendition = self.renditions.get(name)
            if rendition is None:
                continue
            headers = self._set_aside.pop(name, None)
            if name in self.passed and rendition.video_header:
                kept = _Headers(0, rendition.script, rendition.video_header)
                self._set_aside[name] = kept
            rendition.start_generation()
            if headers is not None:
                rendition.open(headers.script, headers.video_header, headers.first_number)

    def _keep_headers(self, rendition: Rendition) -> None:
        """Keep them: it may be announced again, and its worker may have sent all of it."""
        if rendition.video_header:
            headers = _Headers(0, rendition.script, rendition.video_header)
            self._absent[rendition.name] = headers

    def _sent_ms(self) -> Iterator[int]:
        """The times of the last tags, of each rendition and type."""
        for rendition in self.renditions.values():
            yield from rendition.gop_buffer.last_dts_ms.values()

    def _shared(self, tags: Sequence[Tag], now: float) -> None:
        renditions = self.renditions.values()
        for tag in tags:
            if tag.type not in (AUDIO, DATA):
                continue
            if tag.flags & KEY:  # whoever says so: one begins at pictures, but for sound alone
                tag.flags &= ~KEY
            if tag.type == AUDIO and tag.flags & HEADER:
                if tag.body == self._publisher.audio_header:
                    continue  # a repetition; subscribers have it
                self._set_publisher(
                    self._publisher._replace(audio_header=tag.body, audio_codec=tag.codec)
                )
            for rendition in renditions:
                rendition.shared(tag, now)
        self.touched.update(self.renditions)

    def _set_publisher(self, publisher: PublisherInfo) -> None:
        """Let the transcoded renditions know, whose workers know nothing of the sound."""
        if publisher == self._publisher:
            return
        self._publisher = publisher
        for name, rendition in self.renditions.items():
            if name != SOURCE:
                rendition.set_publisher(publisher)


def _is_remote(message: StreamOpen) -> bool:
    """Tell if another host has it: a relay brings it."""
    return message.worker is not None and message.worker.kind == "relay"


def is_another_start(stream: Stream, message: StreamOpen) -> bool:
    """True if a message opens a later start of a stream, whose time begins anew."""
    is_other = stream.epoch_ms is not None and stream.epoch_ms != message.epoch_ms
    return is_other and message.generation >= stream.generation
