"""One rendition as it comes in: what of it goes out, in which order and when. Pure.

- A gap in the numbers, a new generation and a publisher who returns: nothing of the video goes out
  before the next keyframe; what is dropped is counted.
- Audio and data messages cross once a stream. In the source they lie as they came; in a transcoded
  rendition they wait for the rendition's video of their time, 200 ms at most. Video never waits for
  them.
- Times never step back within a kind: what would is dropped. An audio header has no time, and is
  given one that drops nothing behind it.
- A flush is due with each video frame; audio alone waits `audio_hold_s` for one to ride with.
"""

from collections import deque
from collections.abc import Sequence
from math import inf

from common.ipc.media_messages import HEADER, KEY, REPLAY
from common.process.stage_times import StageTimes
from egress.streams.gop_buffer import AUDIO, DATA, METADATA, VIDEO, Entry, GopBuffer
from egress.streams.rates import Rates

VIDEO_WAIT_S = 0.2  # how long audio waits for a rendition's video
MAX_WAITING = 1_000

_KINDS = {8: AUDIO, 9: VIDEO, 18: DATA}

_Waiting = tuple[int, int, int, bytes, float, float]  # kind, dts, flags, payload, received, taken


class Rendition:
    """One rendition of one stream. Call `advance` and `take` when `due_at` has come."""

    def __init__(
        self, name: str, *, is_transcoded: bool, audio_hold_s: float, flush_s: float
    ) -> None:
        self.name = name
        self._transit_stage = f"transit:{name}"
        self._egress_stage = f"egress:{name}"
        self._total_stage = f"total:{name}"
        self.gop_buffer = GopBuffer()
        self.rates = Rates()
        self.frames = 0
        self.bytes = 0
        self.dropped = 0  # tags that no player got
        self.last_pts_ms: int | None = None
        self.watched_since_s = inf  # tags sent before may have waited: they are not timed
        self.stages = StageTimes()
        self.audio_hold_s = audio_hold_s
        self.flush_s = flush_s
        self._is_transcoded = is_transcoded
        self._metadata = b""  # goes out with the next keyframe
        self._video_header = b""
        self._expected: int | None = None  # the next tag's number
        self._may_restart = False
        self._needs_key = True
        self._after_ms: int | None = None  # the keyframe has to be later than this
        self._unflushed: list[Entry] = []
        self._unflushed_since = 0.0
        self._came: list[tuple[float, float]] = []  # of their pictures: into the farm, and here
        self._going: list[tuple[float, float]] = []  # … of those that `take` gave last
        self._has_video = False  # among them
        self._waiting: deque[_Waiting] = deque()

    @property
    def has_start(self) -> bool:
        """Whether a player can begin, now or when what came is flushed."""
        return bool(self.gop_buffer.gop)

    @property
    def flushed(self) -> int:
        """How many entries of the GOP are flushed: those that a joiner gets at once."""
        return max(0, len(self.gop_buffer.gop) - len(self._unflushed))

    # ---- what comes in ------------------------------------------------------------------------

    def open(self, metadata: bytes, video_header: bytes, first_number: int) -> None:
        """Headers from the next tag on; empty ones change nothing."""
        # Those that wait for a keyframe may be another publisher's, who never sent one.
        if metadata and metadata != self.metadata:
            self._metadata = metadata
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
        if not self._video_header:
            self._video_header = self.gop_buffer.headers.video

    def set_metadata(self, payload: bytes) -> None:
        """Metadata for those who join; who plays already gets none."""
        if self._metadata:
            self._metadata = payload
        elif payload != self.gop_buffer.headers.metadata:
            self.gop_buffer.headers = self.gop_buffer.headers._replace(metadata=payload)

    @property
    def metadata(self) -> bytes:
        return self._metadata or self.gop_buffer.headers.metadata

    @property
    def video_header(self) -> bytes:
        return self._video_header or self.gop_buffer.headers.video

    def tags(
        self,
        first_number: int,
        tags: Sequence[tuple[int, int, int, float]],
        payloads: Sequence[bytes],
        now: float,
        sent_s: float = 0.0,
    ) -> None:
        """Tags of this rendition alone, in order; `sent_s` as in `Tags`."""
        is_timed = sent_s >= self.watched_since_s
        if is_timed:
            self.stages.add(self._transit_stage, now - sent_s)
        expected = self._meet(first_number)
        number = first_number
        for (tag_type, dts_ms, flags, received_s), payload in zip(tags, payloads, strict=False):
            number += 1
            if number <= expected:
                continue  # it came already
            kind = _KINDS.get(tag_type)
            if kind == VIDEO:
                self._video(dts_ms, flags, payload, received_s, now, is_timed)
            elif kind is not None:
                self._append(kind, dts_ms, flags, payload, received_s, now)
        self._expected = max(expected, number)

    def shared(
        self, kind: int, dts_ms: int, flags: int, payload: bytes, received_s: float, now: float
    ) -> None:
        """One audio or data tag of the stream."""
        if self._is_transcoded:
            video_ms = self.gop_buffer.last_dts_ms.get(VIDEO)
            if self._waiting or video_ms is None or dts_ms > video_ms:
                self._waiting.append((kind, dts_ms, flags, payload, received_s, now))
                if len(self._waiting) > MAX_WAITING:
                    self._release(now)
                return
        self._append(kind, dts_ms, flags, payload, received_s, now)

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

    def _video(
        self,
        dts_ms: int,
        flags: int,
        payload: bytes,
        received_s: float,
        now: float,
        is_timed: bool,
    ) -> None:
        if flags & HEADER:
            if payload != self.video_header:
                self._video_header = payload
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
        while self._waiting and self._waiting[0][1] <= dts_ms:
            self._release(now)
        if self._metadata:
            self._append(METADATA, dts_ms, 0, self._metadata, received_s, now)
            self._metadata = b""
        if self._video_header:
            self._append(VIDEO, dts_ms, HEADER, self._video_header, received_s, now)
            self._video_header = b""
        self._append(VIDEO, dts_ms, flags, payload, received_s, now)
        if is_timed:
            self._came.append((received_s, now))
        self._has_video = True
        self.frames += 1
        pts_ms = dts_ms + _composition_ms(payload)
        if self.last_pts_ms is None or pts_ms > self.last_pts_ms:
            self.last_pts_ms = pts_ms

    def _append(
        self, kind: int, dts_ms: int, flags: int, payload: bytes, received_s: float, now: float
    ) -> None:
        last_ms = self.gop_buffer.last_dts_ms.get(kind)
        if kind == AUDIO and flags & HEADER:
            # It came without a time: the sound behind it may be older than any picture.
            dts_ms = self.gop_buffer.last_dts_ms.get(VIDEO, 0) if last_ms is None else last_ms
        elif last_ms is not None and kind != METADATA:
            # Of one time there may be several data messages, but never two audio frames.
            is_repeated = dts_ms == last_ms and kind == AUDIO and flags & REPLAY
            if dts_ms < last_ms or is_repeated:
                self.dropped += not flags & REPLAY
                return
        if not self._unflushed:
            self._unflushed_since = now
        self._unflushed.append(self.gop_buffer.append(kind, dts_ms, flags, payload, received_s))
        self.bytes += len(payload)

    def _release(self, now: float) -> None:
        kind, dts_ms, flags, payload, received_s, _ = self._waiting.popleft()
        self._append(kind, dts_ms, flags, payload, received_s, now)

    # ---- what goes out ------------------------------------------------------------------------

    def due_at(self) -> float | None:
        """When `advance` and `take` want to be called; not later than now: at once."""
        due: float | None = None
        if self._unflushed:
            due = self._unflushed_since
            if self.flush_s:
                due += self.flush_s
            elif not self._has_video and self.gop_buffer.chains & VIDEO:
                due += self.audio_hold_s
        if self._waiting:
            released = self._waiting[0][5] + VIDEO_WAIT_S
            due = released if due is None else min(due, released)
        return due

    def advance(self, now: float) -> None:
        """Let go of audio that waited long enough for its video."""
        while self._waiting and self._waiting[0][5] + VIDEO_WAIT_S <= now:
            kind, dts_ms, flags, payload, received_s, since = self._waiting.popleft()
            # It has waited already: it rides with no further frame.
            self._append(kind, dts_ms, flags, payload, received_s, since)

    def end(self, now: float) -> None:
        """No more video comes: let go of all that waits for it."""
        while self._waiting:
            self._release(now)

    def take(self, now: float) -> Sequence[Entry]:
        """What is flushed now: everything that came."""
        entries = self._unflushed
        if entries:
            self._unflushed = []
            self._has_video = False
            self._going, self._came = self._came, []
        return entries

    def gone(self, now: float) -> None:
        """The last call that sends what was taken has returned."""
        for received_s, came_s in self._going:
            self.stages.add(self._egress_stage, now - came_s)
            self.stages.add(self._total_stage, now - received_s)
        self._going = []


def _composition_ms(payload: bytes) -> int:
    """PTS - DTS of an AVC picture; 0 where a body says none."""
    if len(payload) >= 5 and payload[0] & 0x8F == 7 and payload[1] == 1:
        return int.from_bytes(payload[2:5], "big", signed=True)
    return 0
