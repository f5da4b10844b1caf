"""One rendition as it comes in: what of it goes out, in which order and when. Pure.

- A gap in the numbers, a new generation and a publisher who returns: nothing of the video goes out
  before the next keyframe; what is dropped is counted.
- Audio and data messages cross once a stream. In the source they lie as they came; in a transcoded
  rendition they wait for the rendition's video of their time, 200 ms at most. Video never waits for
  them.
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
from common.process.stage_times import StageTimes
from egress.streams.gop_buffer import GopBuffer
from egress.streams.rates import Rates
from egress.streams.subscribers import Start, Subscriber, Subscribers
from egress.streams.tag import AUDIO, DATA, VIDEO, Change, Config, PublisherInfo, Tag, read_tag

VIDEO_WAIT_S = 0.2  # how long audio waits for a rendition's video
MAX_WAITING = 1_000
MAX_CHANGES = 16  # of the configuration between two tags, each given to subscribers


class _Waiting(NamedTuple):
    """Audio or data that waits for the rendition's video of its time."""

    tag: Tag
    since_s: float


class Flush(NamedTuple):
    """What goes out at once."""

    tags: Sequence[Tag]
    changes: Sequence[Change]


class _Timing(NamedTuple):
    """When a picture came into the farm, and when it came here."""

    received_s: float
    came_s: float


class Rendition:
    """One rendition of one stream. Call `advance` and `flush` when `due_at` has come."""

    def __init__(
        self,
        stream_id: StreamId,
        name: str,
        *,
        is_transcoded: bool,
        audio_hold_s: float,
        flush_s: float,
        on_demand: Callable[[StreamId], object] = lambda _: None,
    ) -> None:
        """`on_demand` is called when a first subscriber comes that nobody had waited for."""
        self.stream_id = stream_id
        self.name = name
        self._transit_stage = f"transit:{name}"
        self._egress_stage = f"egress:{name}"
        self._total_stage = f"total:{name}"
        self.gop_buffer = GopBuffer()
        self.rates = Rates()
        self.frames = 0
        self.bytes = 0
        self.dropped = 0  # tags that no subscriber got
        self.last_pts_ms: int | None = None
        self.demanded_since_s = inf  # tags sent before may have waited: they are not timed
        self.stages = StageTimes()
        self.audio_hold_s = audio_hold_s
        self.flush_s = flush_s
        self._is_transcoded = is_transcoded
        self._on_demand = on_demand
        self._subscribers = Subscribers(name)
        self._script = b""  # goes out with the next keyframe
        self._video_header = b""
        self._expected: int | None = None  # the next tag's number
        self._may_restart = False
        self._needs_key = True
        self._after_ms: int | None = None  # the keyframe has to be later than this
        self._unflushed: list[Tag] = []
        self._unflushed_changes: list[Change] = []
        self._flushed_config = Config()  # in force for the first that is not flushed
        self._unflushed_since = 0.0
        self._came: list[_Timing] = []  # of the pictures that are not flushed
        self._going: list[_Timing] = []  # of those that were flushed last
        self._has_video = False  # among what is not flushed
        self._waiting: deque[_Waiting] = deque()

    # ---- subscribers --------------------------------------------------------------------------

    @property
    def is_subscribed(self) -> bool:
        return len(self._subscribers) > 0

    @property
    def has_start(self) -> bool:
        """Whether a subscriber can begin, now or when what came is flushed."""
        return bool(self.gop_buffer.tags)

    @property
    def flushed(self) -> int:
        """How many tags of the GOP are flushed: those that a subscriber gets at once."""
        return max(0, len(self.gop_buffer.tags) - len(self._unflushed))

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
        """Whether this number continues those that came."""
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
            header = read_tag(AUDIO, 0, HEADER, 0.0, publisher.audio_header)
            config = config._replace(audio=header)
        self.gop_buffer.config = self._flushed_config = config

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
            self.stages.add(self._transit_stage, now - sent_s)
        expected = self._meet(first_number)
        number = first_number
        for tag in tags:
            number += 1
            if number <= expected:
                continue  # it came already
            if tag.type == VIDEO:
                self._video(tag, now, is_timed)
            elif tag.type in (AUDIO, DATA):
                self._append(tag, now)
        self._expected = max(expected, number)

    def shared(self, tag: Tag, now: float) -> None:
        """One audio or data tag of the stream."""
        if self._is_transcoded:
            video_ms = self.gop_buffer.last_dts_ms.get(VIDEO)
            if self._waiting or video_ms is None or tag.dts_ms > video_ms:
                self._waiting.append(_Waiting(tag, now))
                if len(self._waiting) > MAX_WAITING:
                    self._release(now)
                return
        self._append(tag, now)

    def _meet(self, first_number: int) -> int:
        """Note what the next number tells; returns the first that has not come yet."""
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
        while self._waiting and self._waiting[0].tag.dts_ms <= dts_ms:
            self._release(now)
        if self._script or self._video_header:
            self._apply_headers(tag)
        self._append(tag, now)
        if is_timed:
            self._came.append(_Timing(tag.received_s, now))
        self._has_video = True
        self.frames += 1
        pts_ms = dts_ms + tag.composition_ms
        if self.last_pts_ms is None or pts_ms > self.last_pts_ms:
            self.last_pts_ms = pts_ms

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
        if not self._unflushed:
            self._unflushed_since = now
        self._unflushed.append(tag)
        self.gop_buffer.append(tag)
        self.bytes += len(tag.body)

    def _configure(self, config: Config) -> None:
        self.gop_buffer.configure(config)
        changes, at = self._unflushed_changes, len(self._unflushed)
        if len(changes) >= MAX_CHANGES and changes[-1].at == at:
            changes.pop()
        changes.append(Change(at, config))

    def _release(self, now: float) -> None:
        self._append(self._waiting.popleft().tag, now)

    # ---- what goes out ------------------------------------------------------------------------

    def due_at(self) -> float | None:
        """When `advance` and `flush` want to be called; not later than now: at once."""
        due: float | None = None
        if self._unflushed:
            due = self._unflushed_since
            if self.flush_s:
                due += self.flush_s
            elif not self._has_video and VIDEO in self.gop_buffer.last_dts_ms:
                due += self.audio_hold_s
        if self._waiting:
            released = self._waiting[0].since_s + VIDEO_WAIT_S
            due = released if due is None else min(due, released)
        return due

    def advance(self, now: float) -> None:
        """Let go of audio that waited long enough for its video."""
        while self._waiting and self._waiting[0].since_s + VIDEO_WAIT_S <= now:
            tag, since_s = self._waiting.popleft()
            # It has waited already: it waits for no further frame.
            self._append(tag, since_s)

    def release_all(self, now: float) -> None:
        """No more video comes: let go of all that waits for it."""
        while self._waiting:
            self._release(now)

    def take(self) -> Flush:
        """What is flushed now: everything that came, and where its configuration changes.

        A change behind the last tag stays for the next flush.
        """
        tags = self._unflushed
        if not tags:
            return Flush((), ())
        self._unflushed = []
        self._has_video = False
        self._going, self._came = self._came, []
        changes = self._unflushed_changes
        if changes:
            self._unflushed_changes = [
                Change(0, change.config) for change in changes if change.at == len(tags)
            ]
            changes = [change for change in changes if change.at < len(tags)]
        return Flush(tags, changes)

    def flush(self) -> None:
        """Give everything that came to all subscribers."""
        tags, changes = self.take()
        if tags:
            config = self._flushed_config
            if changes:
                self._flushed_config = changes[-1].config
            self._subscribers.flush(tags, changes, config)

    def note_sent(self, now: float) -> None:
        """The last call that sends what was flushed has returned."""
        for received_s, came_s in self._going:
            self.stages.add(self._egress_stage, now - came_s)
            self.stages.add(self._total_stage, now - received_s)
        self._going = []

    def end(self, reason: str) -> None:
        """End all subscribers."""
        self._subscribers.end(reason)


def _body(tag: Tag | None) -> bytes:
    return tag.body if tag is not None else b""
