"""One player's place in a rendition: what it still has to be sent, and what it misses. Pure.

A player who got every byte is *in step*: it has no queue, and the fan-out sends it the bytes that
all others in step get. Everyone else is served from a queue of references to shared bytes: who
joins, who waits for a keyframe, whose socket was full. The queue is bounded in milliseconds of
media: over it video is dropped up to a keyframe, audio stays in order until it is over twice the
bound. Each start and each resumption begins with the sequence headers in force, so that none is
ever missed (docs/rtmp.md, Slow players).

The caller tells it whatever is flushed while it is not in step (`offer`), takes `buffers`, and says
how much of them the socket took (`sent`).
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from egress.fanout.entries import (
    AUDIO,
    DATA,
    EVERYTHING,
    METADATA,
    VIDEO,
    Entry,
    EntryBuffer,
    WireForm,
)
from egress.streams.subscribers import Start

MAX_BUFFERS = 64  # a send; the kernel takes 1024
MAX_SEND_BYTES = 256 * 1024
MAX_ITEMS = 8_192  # queued, when their times show nothing
MAX_CONTROL_BYTES = 64 * 1024  # answers to a player who does not read


class _Item(NamedTuple):
    """Bytes that are queued."""

    data: bytes | bytearray  # a bytearray: the session's
    entry: Entry | None  # that they belong to; None: never dropped
    is_tag: bool  # they are that entry, not the header made to go before it


class Phase(Enum):
    """The phases of a play: which tags a player gets."""

    IDLE = "idle"  # nothing: no play, or it ended
    WAITING = "waiting"  # nothing before the next keyframe
    FLOWING = "flowing"
    PAUSED = "paused"


class SendQueue:
    """References to bytes that wait for one socket, and how far the first of them are sent."""

    __slots__ = ("_control_bytes", "_offset", "_queue", "_slack_ms", "_times", "sent_bytes")

    def __init__(self) -> None:
        self._queue: deque[_Item] = deque()
        self._offset = 0  # bytes of the first item that are sent
        self.sent_bytes = 0  # out of this queue, since it began to play
        self._times: dict[int, deque[int]] = {VIDEO: deque(), AUDIO: deque()}  # of what is queued
        self._control_bytes = 0
        self._slack_ms = 0  # the GOP that a joiner was given at once is no lag

    @property
    def has_queue(self) -> bool:
        return bool(self._queue)

    @property
    def lag_ms(self) -> int:
        """Media that waits, from the oldest queued tag of a kind to its newest one."""
        return max(map(_span_ms, self._times.values()))

    @property
    def is_flooding(self) -> bool:
        """True for a player that asks for answers and does not take them."""
        return self._control_bytes > MAX_CONTROL_BYTES

    def control(self, data: bytes) -> None:
        """Queue bytes of the session, before all media that has not begun to go out."""
        self._control_bytes += len(data)
        at = 1 if self._offset and type(self._queue[0].data) is not bytearray else 0
        if len(self._queue) > at:
            waiting = self._queue[at].data
            if type(waiting) is bytearray:
                waiting += data
                return
        self._queue.insert(at, _Item(bytearray(data), None, False))

    def finish(self, data: bytes) -> None:
        """Queue the session's last bytes, behind all media."""
        self._queue.append(_Item(data, None, False))

    def buffers(self) -> list[bytes | bytearray | memoryview]:
        """The bytes to send next: some of the queue, from the first byte that is not sent."""
        buffers: list[bytes | bytearray | memoryview] = []
        left = MAX_SEND_BYTES
        offset = self._offset
        for data, _, _ in self._queue:
            buffers.append(memoryview(data)[offset:] if offset else data)
            left -= len(data) - offset
            offset = 0
            if left <= 0 or len(buffers) == MAX_BUFFERS:
                break
        return buffers

    def sent(self, count: int) -> None:
        """The socket took `count` bytes of `buffers`."""
        self.sent_bytes += count
        count += self._offset
        queue = self._queue
        while queue and count >= len(queue[0].data):
            data, entry, is_tag = queue.popleft()
            count -= len(data)
            if entry is not None and is_tag:
                times = self._times.get(entry.kind)
                if times:
                    times.popleft()
            if type(data) is bytearray:
                self._control_bytes -= len(data)
        self._offset = count
        if not queue:
            self._slack_ms = 0

    def _requeue(self, queue: deque[_Item]) -> None:
        self._queue = queue
        for kind, times in self._times.items():
            times.clear()
            times.extend(
                entry.dts_ms
                for _, entry, is_tag in queue
                if entry is not None and is_tag and entry.kind == kind
            )


class Player(SendQueue):
    """One player's queue and state. `dropped` counts tags, because it was slow."""

    __slots__ = (
        "_audio_header",
        "_form",
        "_gap",
        "_paused_at_ms",
        "_queue_ms",
        "_ready",
        "_start",
        "dropped",
        "kinds",
        "phase",
    )

    def __init__(self, queue_ms: int) -> None:
        super().__init__()
        self.phase = Phase.IDLE
        self.kinds = EVERYTHING  # what it wants to receive
        self.dropped = 0
        self._start = Start.GOP
        self._form: WireForm | None = None  # since it joined
        self._queue_ms = queue_ms
        self._ready = 0  # kinds whose next entry it can take in its shared form
        self._gap = 0  # kinds that wait for their next start because of a drop
        self._audio_header = b""  # the last one sent ahead of its first frame
        self._paused_at_ms: int | None = None

    @property
    def form(self) -> WireForm:
        """How what it gets is wrapped."""
        assert self._form is not None
        return self._form

    @property
    def group(self) -> tuple[WireForm, int]:
        """Players in step with the same of these get the same bytes."""
        return self.form, self.kinds

    def is_in_step(self, buffer: EntryBuffer) -> bool:
        """True if what `buffer` gives next can be sent as the others in step get it."""
        needed = buffer.chains & self.kinds
        return self.phase is Phase.FLOWING and not self._queue and self._ready & needed == needed

    # ---- what the player asks for -------------------------------------------------------------

    def join(self, buffer: EntryBuffer, start: Start, form: WireForm, flushed: int) -> None:
        """Begin to play: from the GOP's first `flushed` entries, or at the next keyframe.

        Behind a GOP that is too long to be kept it begins with the keyframe as a still, and goes on
        with the sound.
        """
        self.kinds = EVERYTHING
        self.dropped = self.sent_bytes = 0
        self._gap = 0
        self._start = start
        self._form = form
        self._restart(buffer, start, flushed)

    def leave(self, *, discard: bool) -> None:
        """Play nothing more; `discard`: not even what is queued, but for a message under way."""
        self.phase = Phase.IDLE
        self._ready = 0
        if discard:
            # Without their entries: their times are no measure for what is played next.
            kept: list[_Item] = [
                _Item(item.data, None, False)
                for i, item in enumerate(self._queue)
                if (i == 0 and self._offset) or type(item.data) is bytearray
            ]
            self._requeue(deque(kept))

    def pause(self, buffer: EntryBuffer) -> None:
        """Stop; what is queued still goes out."""
        if self.phase in (Phase.WAITING, Phase.FLOWING):
            self.phase = Phase.PAUSED
            self._paused_at_ms = buffer.last_dts_ms.get(VIDEO)
            self._ready = 0

    def resume(self, buffer: EntryBuffer, flushed: int) -> None:
        """Go on at live: at the last keyframe when that is a new one, else at the next."""
        if self.phase is not Phase.PAUSED:
            return
        gop = buffer.gop
        is_new = bool(gop) and (self._paused_at_ms is None or gop[0].dts_ms > self._paused_at_ms)
        self._restart(buffer, self._start if is_new else Start.LIVE, flushed)

    def receive(self, *, audio: bool, video: bool) -> None:
        """Choose what to get; video that is switched on begins at a keyframe."""
        kinds = DATA | METADATA | (AUDIO if audio else 0) | (VIDEO if video else 0)
        self._ready &= kinds
        self.kinds = kinds

    def _restart(self, buffer: EntryBuffer, start: Start, flushed: int) -> None:
        self._ready = 0
        self.phase = Phase.WAITING
        if start is Start.GOP and buffer.gop and flushed > 0:
            entries = buffer.gop[:flushed]
            self._slack_ms = max(
                _span_ms([entry.dts_ms for entry in entries if entry.kind == kind])
                for kind in self._times
            )
            self._take(entries)
        elif start is Start.GOP and not buffer.gop and buffer.still is not None:
            self.phase = Phase.FLOWING
            self._begin(buffer.still)
            self._ready &= ~VIDEO  # what refers to it is of no use

    # ---- what goes in -------------------------------------------------------------------------

    def offer(self, entries: Sequence[Entry]) -> None:
        """Take what was flushed; for a player who is not in step."""
        if self.phase in (Phase.WAITING, Phase.FLOWING):
            self._take(entries)
            self._bound()

    def fall_behind(self, data: bytes, sent: int, entries: Sequence[Entry]) -> None:
        """The socket took only `sent` bytes of `data`, the shared form of `entries`."""
        if sent <= 0:
            self.offer(entries)
            return
        # The message under way has to be finished, and one flush is short: it stays whole.
        self._queue.append(_Item(data, None, False))
        self._offset = sent

    def _take(self, entries: Sequence[Entry]) -> None:
        key = None
        if self.phase is Phase.WAITING:  # the last one, if a backlog brings several
            key = next((entry for entry in reversed(entries) if entry.is_key), None)
        for entry in entries:
            kind = entry.kind
            if self.phase is Phase.WAITING:
                if entry is key:
                    self.phase = Phase.FLOWING
                    self._begin(entry)
            elif not kind & self.kinds:
                self._ready &= ~kind
            elif self._ready & kind:
                self._push(entry.shared(self.form), entry)
            elif kind == VIDEO:
                if entry.is_key:
                    self._push_key(entry)
                elif self._gap & VIDEO and not entry.is_header:
                    self.dropped += 1  # a header comes again with the keyframe
            elif kind == AUDIO:
                self._push_first_audio(entry)
            else:
                self._push(entry.absolute(self.form), entry)

    def _begin(self, key: Entry) -> None:
        """Headers, then the keyframe: what a decoder needs to start here."""
        headers = key.headers
        if headers.metadata:
            self._push_header(METADATA, key.dts_ms, headers.metadata)
        self._audio_header = b""
        if key.kind == AUDIO:  # of a rendition that has the sound alone
            self._push_first_audio(key)
        if key.kind == AUDIO or not self.kinds & VIDEO:
            return
        at = len(self._queue)
        self._push_key(key)
        if headers.audio and self.kinds & AUDIO:
            # between the video header and the keyframe: all headers come before all media
            wire = self.form.absolute(AUDIO, key.dts_ms, headers.audio)
            self._queue.insert(at + 1 if headers.video else at, _Item(wire, None, False))
            self._audio_header = headers.audio

    def _push_key(self, key: Entry) -> None:
        self._restart_at(key, self._queue)
        self._note(key)
        self._ready |= VIDEO
        self._gap &= ~VIDEO

    def _push_first_audio(self, entry: Entry) -> None:
        header = entry.headers.audio
        if header and not entry.is_header and header is not self._audio_header:
            self._push_header(AUDIO, entry.dts_ms, header)
        self._audio_header = header
        self._push(entry.absolute(self.form), entry)
        self._ready |= AUDIO

    def _push_header(self, kind: int, dts_ms: int, payload: bytes) -> None:
        wire = self.form.absolute(kind, dts_ms, payload)
        self._queue.append(_Item(wire, None, False))

    def _push(self, wire: bytes, entry: Entry) -> None:
        self._queue.append(_Item(wire, entry, True))
        self._note(entry)

    def _note(self, entry: Entry) -> None:
        times = self._times.get(entry.kind)
        if times is not None:
            times.append(entry.dts_ms)

    # ---- the bound ----------------------------------------------------------------------------

    def _bound(self) -> None:
        limit_ms = self._queue_ms + self._slack_ms
        # Each kind by its own times: how far one is ahead of the other is no lag of the player's.
        video, audio = self._times[VIDEO], self._times[AUDIO]
        is_long = len(self._queue) > MAX_ITEMS
        if video and (is_long or _span_ms(video) > limit_ms):
            self._slack_ms = 0
            self._drop(VIDEO, self._last_key(video[-1] - self._queue_ms // 2))
        if audio and (is_long or _span_ms(audio) > 2 * limit_ms):
            self._drop(AUDIO, None if is_long else self._audio_since(audio[-1] - limit_ms))

    def _last_key(self, since_ms: int) -> Entry | None:
        """The last queued keyframe that is not older; none: the next one that comes."""
        for i in range(len(self._queue) - 1, 0 if self._offset else -1, -1):
            entry = self._queue[i].entry
            if entry is not None and entry.is_key:
                return entry if entry.dts_ms >= since_ms else None
        return None

    def _audio_since(self, since_ms: int) -> Entry | None:
        for i, (_, entry, is_tag) in enumerate(self._queue):
            if i == 0 and self._offset:
                continue
            if entry is not None and is_tag and entry.kind == AUDIO and entry.dts_ms >= since_ms:
                return entry
        return None

    def _drop(self, kind: int, until: Entry | None) -> None:
        """Drop what is queued of `kind` before `until`, and begin anew there; None: all of it."""
        queue: deque[_Item] = deque()
        is_kept = False
        for i, item in enumerate(self._queue):
            _, entry, is_tag = item
            if entry is None or entry.kind != kind or is_kept or (i == 0 and self._offset):
                queue.append(item)
            elif entry is until and is_tag:
                is_kept = True
                self._restart_at(entry, queue)
            elif is_tag and not entry.is_header:  # the header in force comes again where it goes on
                self.dropped += 1
        if not is_kept:
            self._ready &= ~kind
            self._gap |= kind
        if kind == AUDIO:
            self._audio_header = b""
        self._requeue(queue)

    def _restart_at(self, entry: Entry, queue: deque[_Item]) -> None:
        kind = entry.kind
        header = entry.headers.video if kind == VIDEO else entry.headers.audio
        if header and not entry.is_header:
            wire = self.form.absolute(kind, entry.dts_ms, header)
            queue.append(_Item(wire, entry, False))
            queue.append(_Item(entry.restart(self.form), entry, True))
        else:
            queue.append(_Item(entry.absolute(self.form), entry, True))


def _span_ms(times: Sequence[int]) -> int:
    """The span from the first of some times to the last."""
    return times[-1] - times[0] if times else 0
