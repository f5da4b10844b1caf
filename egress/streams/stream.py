"""One stream as egress sees it: its renditions, its generations, its end. Pure.

Every placement of a stream has a generation; a higher one replaces the one before. Without a cut
it does so at once. With a cut the new one's renditions are held back until the old one's
`GenerationEnd`, or 300 ms. The source rendition and the shared tags come from ingest whatever the
placement is: they go on as long as their numbers do.

A stream outlives its publisher by the `hold_ms` of its `StreamClosed`; one whose ingest died
without a word is given up like that after some seconds of silence. Rings and the order of time
stay: where another ingest takes a stream over and counts its time from an earlier point, one offset
puts all of its tags behind what was sent.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from common.config.ladder import SOURCE, Template
from common.flv import amf0
from common.flv.tag import TagType
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import (
    HEADER,
    REPLAY,
    SHARED,
    GenerationEnd,
    RenditionOpen,
    StreamClosed,
    StreamOpen,
    Tags,
)
from egress.rtmp.on_metadata import audio_members, with_audio
from egress.streams.gop_buffer import AUDIO, DATA
from egress.streams.rendition import Rendition

CUT_WAIT_S = 0.3  # for the end of a generation that is cut
END_WAIT_S = 0.3  # for what is still in a worker when the publisher ends
SILENT_S = 20.0  # ingest says every 5 s that a publisher is there, be it ever so silent
# Ingest tells the end of a hold itself, at a tick, and takes its publisher back up to then: workers
# say a generation's headers once, so that renditions of a stream that ended here too early have
# none.
LATE_S = 0.5
MIN_STEP_MS = 40  # between the last tag of one ingest and the first of the next
MAX_HELD = 2_000  # messages of the next generation
MAX_ABSENT = 32  # renditions whose headers are kept while they are not announced

_KINDS = {8: AUDIO, 18: DATA}
_TIMED = (TagType.VIDEO, TagType.AUDIO)  # whose times are the stream's

MediaMessage = RenditionOpen | Tags | GenerationEnd


class StreamState(Enum):
    """Where a stream is in its life."""

    LIVE = "live"
    HELD = "held"  # the publisher is away
    ENDING = "ending"  # it is over; the last tags may still be on their way
    ENDED = "ended"


_OPEN = (StreamState.LIVE, StreamState.HELD)


class Stream:
    """One stream. Every method that takes a message may touch renditions: see `touched`.

    Tags of a generation above all known ones must not come here: see `knows`.
    """

    def __init__(self, message: StreamOpen, now: float) -> None:
        self.stream_id: StreamId = message.stream_id
        self.generation: Generation = message.generation
        self.template: Template = message.template
        self.transcoded: tuple[str, ...] = message.renditions
        self.state = StreamState.LIVE
        self.reason = ""  # of the end
        self.renditions: dict[str, Rendition] = {}
        self.touched: set[str] = set()  # renditions that may be due; the caller empties it
        self.stale = 0  # messages of ended generations
        self._floor = message.generation  # ingest's tags come with this generation or a later one
        self._revoked = Generation(-1)
        self._next: StreamOpen | None = None
        self._held: list[tuple[MediaMessage, Sequence[bytes]]] = []
        self._held_since: float | None = None
        # Of this generation's renditions that are gone, or not announced yet: to begin with.
        self._absent: dict[str, tuple[RenditionOpen, bytes, bytes]] = {}
        self._generation_ended = False
        self._deadline: float | None = None  # of HELD and ENDING
        self._is_silent = False  # held because nothing came, not because its end was told
        self._last_tag_s = now  # of those that tell the time
        self._quiet_since = now  # since the last tag, or since it was opened
        self._may_restart = False  # the next source headers tell whether another ingest sends
        self._restarted = False  # it does, and none of its times is known yet
        self._offset_ms = 0  # from ingest's stream time to what goes out
        self._source_metadata = b""
        self._audio_header = b""
        self._audio: dict[str, amf0.Value] = {}
        self._make_renditions()

    def knows(self, generation: Generation) -> bool:
        """Whether a generation is this stream's, was, or will be by a cut that was announced."""
        return generation <= (self._next or self).generation

    @property
    def is_changing(self) -> bool:
        """Whether media moves what is due: held tags, and a last one before the end."""
        return self._next is not None or self.state is StreamState.ENDING

    # ---- the life of the stream ---------------------------------------------------------------

    def open(self, message: StreamOpen, now: float) -> tuple[str, ...]:
        """A publisher again, or a new placement. Returns the renditions that are gone by it."""
        if message.generation < self.generation or self.state is StreamState.ENDED:
            return ()
        was_away = self.state is not StreamState.LIVE
        self.state = StreamState.LIVE
        self._deadline = None
        self._is_silent = False
        self._quiet_since = now
        if was_away:
            # Another connection, perhaps another encoder: it begins at a keyframe.
            self.renditions[SOURCE].start_over()
        if self._next is not None and self._next.generation == message.generation:
            self._next = replace(
                self._next, template=message.template, renditions=message.renditions
            )
            return ()  # announced already: its cut stands
        if message.generation == self.generation:
            self.template, self.transcoded = message.template, message.renditions
            self._generation_ended = False
            return self._make_renditions()
        gone = self._switch(now) if self._next is not None else ()
        if message.generation <= self.generation:
            return gone
        self._next = message
        if message.splice_ms is None or was_away:
            self._floor = message.generation
            gone += self._switch(now)
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
        has_tail = (
            self.transcoded and not self._generation_ended and self._revoked < self.generation
        )
        self._deadline = now + END_WAIT_S if has_tail else now

    def revoke(self, generation: Generation) -> int | None:
        """Take no more of a lost generation; returns the last PTS that any rendition got."""
        self._revoked = max(self._revoked, generation)
        if self._next is not None and self._next.generation <= generation:
            self._held.clear()
        times = [
            rendition.last_pts_ms
            for name, rendition in self.renditions.items()
            if name != SOURCE and rendition.last_pts_ms is not None
        ]
        return max(times) - self._offset_ms if times else None

    def due_at(self) -> float | None:
        """When `tick` wants to be called."""
        due = self._deadline
        if self._held_since is not None:
            splice = self._held_since + CUT_WAIT_S
            due = splice if due is None else min(due, splice)
        if self.state is StreamState.LIVE:
            silent = self._quiet_since + SILENT_S
            due = silent if due is None else min(due, silent)
        return due

    def tick(self, now: float) -> tuple[str, ...]:
        """Do what time asks for; see `state`. Returns the renditions that are gone by it."""
        gone: tuple[str, ...] = ()
        if self._held_since is not None and now >= self._held_since + CUT_WAIT_S:
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
                rendition.end(now)
        return gone

    # ---- media --------------------------------------------------------------------------------

    def take(self, message: MediaMessage, payloads: Sequence[bytes], now: float) -> tuple[str, ...]:
        """Media of a known generation. Returns the renditions that are gone by it."""
        if self.state is StreamState.ENDED:
            return ()
        generation = message.generation
        if isinstance(message, GenerationEnd):
            return self._end_generation(generation, now)
        if message.rendition in (SOURCE, SHARED):
            if generation < self._floor:
                self.stale += 1
            else:
                self._apply(message, payloads, now)
            return ()
        if generation <= self._revoked or generation < self.generation:
            self.stale += 1
        elif generation == self.generation:
            if not self._is_cut(message):
                self._apply(message, payloads, now)
        elif len(self._held) < MAX_HELD:
            if self._held_since is None and isinstance(message, Tags):
                self._held_since = now
            self._held.append((message, payloads))
        return ()

    def _is_cut(self, message: RenditionOpen | Tags) -> bool:
        """Whether tags of the old generation belong to the next one's side of the cut."""
        splice_ms = self._next.splice_ms if self._next is not None else None
        if splice_ms is None or not isinstance(message, Tags):
            return False
        return bool(message.tags) and message.tags[0][1] >= splice_ms

    def _end_generation(self, generation: Generation, now: float) -> tuple[str, ...]:
        if generation != self.generation:
            return ()
        if self._next is not None:
            return self._switch(now)
        self._generation_ended = True
        if self.state is StreamState.ENDING:
            self._deadline = now
        return ()

    def _switch(self, now: float) -> tuple[str, ...]:
        """Make the next generation the current one and let its held tags go."""
        message, self._next = self._next, None
        held, self._held = self._held, []
        self._held_since = None
        if message is None:
            return ()
        self.generation = message.generation
        self.template, self.transcoded = message.template, message.renditions
        self._generation_ended = False
        for name, rendition in self.renditions.items():
            if name == SOURCE:
                rendition.continue_generation()
                self._may_restart = True
            else:
                rendition.start_generation()
        # Before it and behind it: whoever waits, or is gone now, is numbered by the one before.
        self._absent.clear()
        gone = self._make_renditions()
        self._absent.clear()
        if self.generation > self._revoked:
            for media, payloads in held:
                if not isinstance(media, GenerationEnd):
                    self._apply(media, payloads, now)
        return gone

    def _make_renditions(self) -> tuple[str, ...]:
        """Bring `renditions` in line with `renditions`; returns those that are gone."""
        wanted = (*self.transcoded, SOURCE)
        gone = tuple(name for name in self.renditions if name not in wanted)
        for name in gone:
            self._keep_headers(name, self.renditions.pop(name))
            self.touched.discard(name)
        for name in wanted:
            rendition = self.renditions.get(name)
            if rendition is None:
                rendition = self.renditions[name] = Rendition(
                    name, is_transcoded=name != SOURCE, audio_hold_s=0.0, flush_s=0.0
                )
                rendition.gop_buffer.headers = rendition.gop_buffer.headers._replace(
                    audio=self._audio_header
                )
                if name in self._absent:
                    self._open_rendition(*self._absent.pop(name))
            rendition.audio_hold_s = self.template.audio_hold_ms / 1000
            rendition.flush_s = self.template.flush_ms / 1000
        return gone

    def _apply(self, message: RenditionOpen | Tags, payloads: Sequence[bytes], now: float) -> None:
        if isinstance(message, RenditionOpen):
            metadata, header = (*payloads, b"", b"")[:2]
            self._open_rendition(message, metadata, header)
            return
        begin_ms = _first_ms(message)
        if begin_ms is not None:
            if self._restarted:
                self._restarted = False
                self._offset_ms = self._offset_for(begin_ms, now)
            self._last_tag_s = now
        self._quiet_since = now
        if self._is_silent:
            self._is_silent = False
            self.state = StreamState.LIVE
            self._deadline = None
        if self._offset_ms:
            message = self._moved(message)
        if message.rendition == SHARED:
            self._shared(message, payloads, now)
        else:
            rendition = self.renditions.get(message.rendition)
            if rendition is None:
                self.stale += 1
                return
            rendition.tags(message.first_number, message.tags, payloads, now, message.sent_s)
            self.touched.add(message.rendition)

    def _open_rendition(self, message: RenditionOpen, metadata: bytes, header: bytes) -> None:
        rendition = self.renditions.get(message.rendition)
        if rendition is None:
            # It comes, or comes back: its worker says so here, and later its ingest.
            if message.rendition in self._absent or len(self._absent) < MAX_ABSENT:
                self._absent[message.rendition] = message, metadata, header
        elif message.rendition == SOURCE:
            if self._may_restart:
                self._may_restart = False
                self._restarted |= not rendition.goes_on(message.first_number)
            rendition.open(metadata, header, message.first_number)
            if metadata:
                self._source_metadata = metadata
                self._know_audio()
        else:
            rendition.open(with_audio(metadata, self._audio), header, message.first_number)

    def _keep_headers(self, name: str, rendition: Rendition) -> None:
        """It is not announced any more; should it be again, its worker may have said all of it."""
        if rendition.video_header:
            first = RenditionOpen(self.stream_id, self.generation, name, 0)
            self._absent[name] = first, rendition.metadata, rendition.video_header

    def _offset_for(self, dts_ms: int, now: float) -> int:
        """Lets a time that begins anew land at now, after everything that was sent."""
        sent = [
            time for r in self.renditions.values() for time in r.gop_buffer.last_dts_ms.values()
        ]
        if not sent or dts_ms > max(sent):
            return 0
        away_ms = round((now - self._last_tag_s) * 1000)
        return max(sent) + max(MIN_STEP_MS, away_ms) - dts_ms

    def _moved(self, message: Tags) -> Tags:
        offset_ms = self._offset_ms
        tags = tuple(
            [(kind, dts + offset_ms, flags, came_s) for kind, dts, flags, came_s in message.tags]
        )
        return replace(message, tags=tags)

    def _shared(self, message: Tags, payloads: Sequence[bytes], now: float) -> None:
        renditions = self.renditions.values()
        for (tag_type, dts_ms, flags, received_s), payload in zip(
            message.tags, payloads, strict=False
        ):
            kind = _KINDS.get(tag_type)
            if kind is None:
                continue
            if kind == AUDIO and flags & HEADER:
                if payload == self._audio_header:
                    continue  # a repetition; who joins gets it from the ring
                self._audio_header = payload
                self._know_audio()
            for rendition in renditions:
                rendition.shared(kind, dts_ms, flags, payload, received_s, now)
        self.touched.update(self.renditions)

    def _know_audio(self) -> None:
        """What is known of the audio changed: the renditions' metadata tell it to who joins."""
        audio = audio_members(self._source_metadata, self._audio_header)
        if audio == self._audio:
            return
        self._audio = audio
        for name, rendition in self.renditions.items():
            if name != SOURCE and rendition.metadata:
                rendition.set_metadata(with_audio(rendition.metadata, audio))


def _first_ms(message: Tags) -> int | None:
    """The time that these tags begin at; None where they tell none.

    A replay repeats what was sent, by whomever, a header has no time, and a data message that comes
    before its publisher's first picture has that of the last one's.
    """
    for tag_type, dts_ms, flags, _ in message.tags:
        if tag_type in _TIMED and not flags & (HEADER | REPLAY):
            return dts_ms
    return None
