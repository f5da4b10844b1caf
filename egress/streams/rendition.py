"""One rendition as it comes in: what of it goes out, in which order and when. Pure.

- A gap in the numbers, a new generation and a publisher who returns: nothing of the video goes out
  before the next keyframe; what is dropped is counted.
- Audio and data messages cross once a stream. In the source they lie as they came; in a transcoded
  rendition they wait for the rendition's video of their time, 200 ms at most. Video never waits for
  them. Before a rendition's first picture they wait as long, and are then let go of: nobody can
  begin by them, and sound that comes again with a first GOP is not taken for a repetition.
- While a rendition rests, as nobody plays it, nobody can begin by what was sent of it. Its sound is
  kept for as long as its first GOP may reach back when it is made again, and goes with that.
- Times never step back within a type: what would is dropped. An audio header has no time, and is
  given one that drops nothing behind it.
- A flush is due with each video frame; audio alone waits `audio_hold_s` for one to go out with.

What is flushed goes to all subscribers, whatever they are.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

from common.ipc.identity import StreamId
from common.ipc.media_messages import HEADER, KEY, REPLAY
from common.media.rates import Throughput
from common.process.stage_times import StageDelays, StageTimes
from egress.streams.gop_buffer import GopBuffer
from egress.streams.resting_sound import RestingSound
from egress.streams.subscribers import Start, Subscriber, Subscribers
from egress.streams.tag import AUDIO, DATA, VIDEO, Change, Config, PublisherInfo, Tag

VIDEO_WAIT_S = 0.2  # how long audio waits for a rendition's video
CATCH_UP_S = 1.0  # as much longer where a rendition begins in the past
MAX_WAITING = 1_000
MAX_CHANGES = 16  # of the configuration between two tags, each given to subscribers


class _Waiting(NamedTuple):
    """Audio or data that waits for the rendition's video of its time."""

    tag: Tag
    since_s: float


class Flush(NamedTuple):
    """The tags that go out at once."""

    tags: Sequence[Tag]
    changes: Sequence[Change]
    config: Config  # in force before the first tag, but for a change there


class _Unflushed:
    """The tags that came since the last flush."""

    __slots__ = ("_changes", "_config", "has_video", "since_s", "tags")

    def __init__(self) -> None:
        self.tags: list[Tag] = []
        self.since_s = 0.0
        self.has_video = False
        self._changes: list[Change] = []
        self._config = Config()  # in force for the first tag

    def begin(self, config: Config) -> None:
        """Start with a configuration; before all else."""
        self._config = config

    def append(self, tag: Tag, now: float) -> None:
        if not self.tags:
            self.since_s = now
        self.tags.append(tag)

    def configure(self, config: Config) -> None:
        """Another configuration from the next tag on."""
        changes, at = self._changes, len(self.tags)
        if len(changes) >= MAX_CHANGES and changes[-1].at == at:
            changes.pop()
        changes.append(Change(at, config))

    def take(self) -> Flush:
        """Everything, but for a change behind the last tag: it stays for the next flush."""
        tags, changes, config = self.tags, self._changes, self._config
        if not tags:
            return Flush((), (), config)
        self.tags = []
        self.has_video = False
        if changes:
            self._changes = [Change(0, each.config) for each in changes if each.at == len(tags)]
            changes = [change for change in changes if change.at < len(tags)]
            if changes:
                self._config = changes[-1].config
        return Flush(tags, changes, config)


class _Times:
    """How long pictures take on their way; those that nobody waits for are not counted."""

    def __init__(self, name: str, delays: StageDelays | None) -> None:
        self.stages = StageTimes(delays)
        self._transit_stage = f"transit:{name}"
        self._egress_stage = f"egress:{name}"
        self._total_stage = f"total:{name}"
        self._came: list[
            tuple[Tag, float]
        ] = []  # pictures that are not flushed, and when they came
        self._going: list[tuple[Tag, float]] = []  # those that were flushed last

    def note_message(self, sent_s: float, now: float) -> None:
        self.stages.add(self._transit_stage, now - sent_s)

    def note_picture(self, tag: Tag, now: float) -> None:
        self._came.append((tag, now))

    def note_flush(self) -> None:
        self._going, self._came = self._came, []

    def note_sent(self, now: float) -> None:
        """The last call that sends what was flushed has returned."""
        for tag, came_s in self._going:
            self.stages.add(self._egress_stage, now - came_s)
            self.stages.add(self._total_stage, now - tag.received_s)
        self._going = []


# long: all that comes in of one, in order, and all that goes out
class Rendition:
    """One rendition of one stream. Call `advance` and `flush` when `due_at` has come."""

    is_sound_alone = False

    def __init__(
        self,
        stream_id: StreamId,
        name: str,
        *,
        is_transcoded: bool,
        audio_hold_s: float,
        flush_s: float,
        on_demand: Callable[[StreamId], object] = lambda _: None,
        delays: StageDelays | None = None,
        keeps_last: bool = False,
    ) -> None:
        """`on_demand` is called when a first subscriber comes that nobody had waited for.

        `delays` are the process's. `keeps_last`: the last whole GOPs are kept too.
        """
        self.stream_id = stream_id
        self.name = name
        self.gop_buffer = GopBuffer(keeps_last=keeps_last)
        self.throughput = Throughput()
        self._counted = 0  # bytes of all types, in `throughput`
        self.frames = self.bytes = 0
        self.dropped = 0  # tags that no subscriber got
        self.sent_bytes = 0  # to viewers who have left
        self.last_pts_ms: int | None = None
        self.demanded_since_s = inf  # tags sent before may have waited: they are not timed
        self.audio_hold_s = audio_hold_s
        self.flush_s = flush_s
        self._times = _Times(name, delays)
        self._is_transcoded = is_transcoded
        self._on_demand = on_demand
        self._subscribers = Subscribers(name)
        self._script = self._video_header = b""  # they go out with the next keyframe
        self._expected: int | None = None  # the next tag's number
        self._may_restart = False
        self._needs_key = True
        self._after_ms: int | None = None  # the keyframe has to be later than this
        self._unflushed = _Unflushed()
        self._waiting: deque[_Waiting] = deque()
        self._resting: RestingSound | None = None  # up to the first picture behind a rest
        self.rest_sound_ms = 0  # how far back that may be

    @property
    def stages(self) -> StageTimes:
        return self._times.stages

    # ---- subscribers --------------------------------------------------------------------------

    @property
    def is_subscribed(self) -> bool:
        return len(self._subscribers) > 0

    @property
    def has_start(self) -> bool:
        """True if a subscriber can begin, now or when what came is flushed."""
        return bool(self.gop_buffer.tags) or self.gop_buffer.is_still

    @property
    def flushed(self) -> int:
        """How many tags of the GOP are flushed: those that a subscriber gets at once."""
        return max(0, len(self.gop_buffer.tags) - len(self._unflushed.tags))

    def subscribe(self, subscriber: Subscriber, start: Start = Start.GOP) -> bool:
        """Give a subscriber all that is flushed from now on, from a keyframe; False: it failed."""
        is_taken = self._subscribers.add(subscriber, start, self.gop_buffer, self.flushed)
        if self.demanded_since_s == inf:
            self._on_demand(self.stream_id)
        return is_taken

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Call it no more."""
        self._subscribers.remove(subscriber)

    # ---- what comes in ------------------------------------------------------------------------

    def rest(self) -> None:
        """It is not made any more: forget what a subscriber could begin from."""
        if self._resting is None:
            self._resting = RestingSound(self.rest_sound_ms)
            self._needs_key = True
            self.gop_buffer.forget()
            waiting, self._waiting = self._waiting, deque()
            for tag, since_s in waiting:
                self.shared(tag, since_s)

    def open(self, script: bytes, video_header: bytes, first_number: int) -> None:
        """Headers from the next tag on; empty ones change nothing."""
        # Those that wait for a keyframe may be another publisher's, who never sent one.
        if script and script != self.script:
            self._script = script
        if video_header and video_header != self.video_header:
            self._video_header = video_header
        self._meet(first_number)
        self._expected = max(self._expected or 0, first_number)

    def goes_on(self, first_number: int) -> bool:
        """True if this number continues those that came."""
        return self._expected is None or first_number == self._expected

    def continue_generation(self) -> None:
        """The same publisher under another generation; if the numbers do not go on, another one."""
        self._may_restart = True

    def start_generation(self) -> None:
        """Other tags from here on, numbered anew: they begin at a keyframe after the last one."""
        self._expected = None
        self.start_over()

    def start_over(self) -> None:
        """The numbers go on and the media does not: it begins at a later keyframe, with headers."""
        self._needs_key = True
        self._after_ms = self.gop_buffer.last_dts_ms.get(VIDEO)
        if not self._video_header and self.gop_buffer.config.video is not None:
            self._video_header = self.gop_buffer.config.video.body

    def begin(self, publisher: PublisherInfo) -> None:
        """Start with what is known of the stream's sound; before all else."""
        config = Config(publisher=publisher if self._is_transcoded else None)
        if publisher.audio_header:
            header = Tag(AUDIO, publisher.audio_codec, 0, 0, HEADER, publisher.audio_header)
            config = config._replace(audio=header)
        self.gop_buffer.config = config
        self._unflushed.begin(config)

    def set_publisher(self, publisher: PublisherInfo) -> None:
        """Note what is known of the stream's sound; for a transcoded rendition."""
        self._configure(self.gop_buffer.config._replace(publisher=publisher))

    @property
    def script(self) -> bytes:
        """The rendition's onMetaData, from the next keyframe on."""
        return self._script or _body(self.gop_buffer.config.script)

    @property
    def video_header(self) -> bytes:
        """The video sequence header from the next keyframe on."""
        return self._video_header or _body(self.gop_buffer.config.video)

    def tags(self, first_number: int, tags: Sequence[Tag], now: float, sent_s: float = 0.0) -> None:
        """Tags of this rendition alone, in order; `sent_s` as in the message `Tags`."""
        is_timed = sent_s >= self.demanded_since_s
        if is_timed:
            self._times.note_message(sent_s, now)
        expected = self._meet(first_number)
        number, frames = first_number, self.frames
        for tag in tags:
            number += 1
            if number <= expected:
                continue  # it came already
            if tag.type == VIDEO:
                self._video(tag, now, is_timed)
            elif tag.type in (AUDIO, DATA):
                self._append(tag, now)
        self._expected = max(expected, number)
        # with the sound since the last time
        self.throughput.count(self.frames - frames, self.bytes - self._counted, now)
        self._counted = self.bytes

    def shared(self, tag: Tag, now: float) -> None:
        """One audio or data tag of the stream."""
        if self._resting is not None:
            if not self._resting.keeps(tag):
                self._append(tag, now)
            return
        video_ms = self.gop_buffer.last_dts_ms.get(VIDEO)
        is_early = video_ms is None and not tag.flags & HEADER
        may_wait = self._is_transcoded or self._waiting or is_early
        if may_wait and (self._waiting or video_ms is None or tag.dts_ms > video_ms):
            self._wait(tag, now)
            if len(self._waiting) > MAX_WAITING:
                self._append(self._waiting.popleft().tag, now)
            return
        self._append(tag, now)

    def _wait(self, tag: Tag, now: float) -> None:
        """Keep a tag for the video of its time.

        The sound of a first GOP comes behind what waits already, and begins before it.
        """
        at = len(self._waiting)
        if tag.flags & REPLAY and not tag.flags & HEADER:
            while at and self._waiting[at - 1].tag.dts_ms > tag.dts_ms:
                at -= 1
        self._waiting.insert(at, _Waiting(tag, now))

    def _meet(self, first_number: int) -> int:
        """Take note of the next number; returns the first that has not come yet."""
        if self._may_restart:
            self._may_restart = False
            if first_number != self._expected:
                self.start_generation()
        if self._expected is None:
            return first_number
        if first_number > self._expected:
            self._needs_key = True
            return first_number
        return self._expected

    def _video(self, tag: Tag, now: float, is_timed: bool) -> None:
        dts_ms, flags = tag.dts_ms, tag.flags
        if flags & HEADER:
            if tag.body != self.video_header:
                self._video_header = tag.body
            return
        last_ms = self.gop_buffer.last_dts_ms.get(VIDEO)
        is_start = flags & KEY and (self._after_ms is None or dts_ms > self._after_ms)
        if self._needs_key and not is_start:
            self.dropped += not flags & REPLAY
            return
        if last_ms is not None and (dts_ms < last_ms or (dts_ms == last_ms and flags & REPLAY)):
            # A replay repeats what is here; anything else that steps back breaks the chain of
            # references, so that the rest of its GOP is of no use either.
            if not flags & REPLAY:
                self.dropped += 1
                self._needs_key = True
            return
        if flags & KEY:
            self._needs_key = False
            self._after_ms = None
            if self._resting is not None:
                kept, self._resting = self._resting.since(dts_ms), None
                self._waiting.extendleft(_Waiting(one, now + CATCH_UP_S) for one in reversed(kept))
        self.release_all(now, dts_ms)
        if self._script or self._video_header:
            self._apply_headers(tag)
        self._keep(tag, now)
        if is_timed:
            self._times.note_picture(tag, now)
        self._unflushed.has_video = True
        self.frames += 1
        pts_ms = dts_ms + tag.composition_ms
        if self.last_pts_ms is None or pts_ms > self.last_pts_ms:
            self.last_pts_ms = pts_ms
        if self._waiting and not (self._is_transcoded or flags & REPLAY):
            self.release_all(now)  # what came before the source's first picture

    def _apply_headers(self, tag: Tag) -> None:
        """Put the headers that came into force with this picture."""
        config = self.gop_buffer.config
        if self._script:
            script = Tag(DATA, "", tag.dts_ms, 0, HEADER, self._script, tag.received_s)
            config = config._replace(script=script)
        if self._video_header:
            header = replace(tag, composition_ms=0, flags=HEADER, body=self._video_header)
            config = config._replace(video=header)
        self.bytes += len(self._script) + len(self._video_header)
        self._script = self._video_header = b""
        self._configure(config)

    def _append(self, tag: Tag, now: float) -> None:
        """Take audio or data, if it is in order."""
        last_ms = self.gop_buffer.last_dts_ms.get(tag.type)
        if tag.type == AUDIO and tag.flags & HEADER:
            # It came without a time: the sound behind it may be older than any picture.
            dts_ms = self.gop_buffer.last_dts_ms.get(VIDEO, 0) if last_ms is None else last_ms
            self._configure(self.gop_buffer.config._replace(audio=replace(tag, dts_ms=dts_ms)))
            self.bytes += len(tag.body)
            return
        if last_ms is not None:
            # Of one time there may be several data messages, but never two audio frames.
            is_repeated = tag.dts_ms == last_ms and tag.type == AUDIO and tag.flags & REPLAY
            if tag.dts_ms < last_ms or is_repeated:
                self.dropped += not tag.flags & REPLAY
                return
        self._keep(tag, now)

    def _keep(self, tag: Tag, now: float) -> None:
        self._unflushed.append(tag, now)
        self.gop_buffer.append(tag)
        self.bytes += len(tag.body)

    def _configure(self, config: Config) -> None:
        self.gop_buffer.configure(config)
        self._unflushed.configure(config)

    # ---- what goes out ------------------------------------------------------------------------

    def due_at(self) -> float | None:
        """When `advance` and `flush` want to be called; not later than now: at once."""
        due: float | None = None
        if self._unflushed.tags:
            due = self._unflushed.since_s
            if self.flush_s:
                due += self.flush_s
            elif not self._unflushed.has_video and VIDEO in self.gop_buffer.last_dts_ms:
                due += self.audio_hold_s
        if self._waiting:
            released = self._waiting[0].since_s + VIDEO_WAIT_S
            due = released if due is None else min(due, released)
        return due

    def advance(self, now: float) -> None:
        """Let go of audio that waited long enough for its video."""
        has_pictures = VIDEO in self.gop_buffer.last_dts_ms
        while self._waiting and self._waiting[0].since_s + VIDEO_WAIT_S <= now:
            tag, since_s = self._waiting.popleft()
            if has_pictures or tag.flags & HEADER:
                # It has waited already: it waits for no further frame.
                self._append(tag, since_s)

    def release_all(self, now: float, until_ms: float = inf) -> None:
        """The video of these times has come, or comes no more: let go of what waits for it."""
        while self._waiting and self._waiting[0].tag.dts_ms <= until_ms:
            self._append(self._waiting.popleft().tag, now)

    def take(self) -> Flush:
        """Take everything that came, and where its configuration changes."""
        if self._unflushed.tags:
            self._times.note_flush()
        return self._unflushed.take()

    def flush(self) -> None:
        """Give everything that came to all subscribers."""
        flush = self.take()
        if flush.tags:
            self._subscribers.flush(*flush)

    def note_sent(self, now: float) -> None:
        """The last call that sends what was flushed has returned."""
        self._times.note_sent(now)

    def end(self, reason: str) -> None:
        """End all subscribers."""
        self._subscribers.end(reason)


def _body(tag: Tag | None) -> bytes:
    return tag.body if tag is not None else b""
