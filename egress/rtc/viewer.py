"""What one viewer is sent and when: the begin, repeats, another rendition. Pure.

- It begins at the last keyframe, whose group is sent at `REPLAY_SPEED` until it has caught up. The
  timestamps run as fast, so that the browser buffers nothing: its delay is the same as of one who
  waited for the next keyframe.
- A browser that has lost more than repeats can mend asks for a keyframe. Encoders are everybody's
  and make none for one; it begins anew at the last one, unless the next is nearer.
- Another rendition is taken at a keyframe that both have: at that of the one that is sent, it is
  not sent before the other one's of the same time has come, `HOLD_S` at most.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from common.rtp import rtcp
from common.rtp.history import Frame, History
from egress.rtc.channel import Channel
from egress.rtc.track import REPLAY_SPEED, Numbers, Track

HOLD_S: Final = 0.15
NO_REPLAY_MS: Final = 100.0  # so little is sent at once
MAX_REPLAY_MS: Final = 6_000.0  # who is farther behind waits for the next keyframe
KEYFRAME_S: Final = 1.0  # between beginnings anew
OLD_SOUND_MS: Final = 300.0  # behind the pictures: a browser would wait for the like for good
ANEW_MS: Final = 20.0  # of timestamps, between the last picture and the beginning anew


class State(Enum):
    """What a viewer is sent."""

    CONNECTING = "connecting"  # nothing yet
    WAITING = "waiting"  # for a keyframe
    REPLAYING = "replaying"  # the last group, faster than real time
    LIVE = "live"
    SWITCHING = "switching"  # nothing, until the other rendition has its keyframe


class Viewer:
    """A `channel.Sink`."""

    def __init__(
        self,
        video: Numbers,
        audio: Numbers | None,
        send: Callable[[bytes], object],
        clock: Callable[[], float],
        *,
        is_live_start: bool = False,
        replay_speed: float = REPLAY_SPEED,
    ) -> None:
        """`is_live_start`: it begins at the next keyframe."""
        self.state = State.CONNECTING
        self.channel: Channel | None = None
        self.video = Track(video, send, replay_speed)
        self.audio = Track(audio, send) if audio is not None else None
        self.ended = ""  # why nothing follows
        self.switched = 0  # to another rendition
        self.is_refused_repeats = 0
        self._clock = clock
        self._is_live_start = is_live_start
        self._next: Channel | None = None  # the rendition to take at a keyframe
        self._pending: deque[Frame] = deque()  # REPLAYING: what is to be sent
        self._replay_ms = self._replay_s = 0.0  # where and when that began
        self._since_s = 0.0  # SWITCHING
        self._switch_ms = 0.0  # likewise: the time of both keyframes
        self._anew_s = -KEYFRAME_S
        self._sent_s = 0.0  # when the last picture was

    # ---- renditions ---------------------------------------------------------------------------

    def watch(self, channel: Channel) -> None:
        """Begin with a rendition; its tags come from now on."""
        self.channel = channel
        channel.join(self)

    def prefer(self, channel: Channel) -> None:
        """Take this rendition from the next keyframe on; the present one: stay."""
        if channel is self._next:
            return
        if self._next is not None:
            self._give_up_switch()
        if channel is not self.channel and not self.ended:
            self._next = channel
            channel.join(self)

    @property
    def rendition(self) -> str:
        """The name of what is sent."""
        return self.channel.rendition.name if self.channel is not None else ""

    def leave(self) -> None:
        """Take nothing any more."""
        self.ended = self.ended or "it left"
        self._pending.clear()
        for channel in (self.channel, self._next):
            if channel is not None:
                channel.remove(self)
        self._next = None

    # ---- time ---------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """The viewer can be sent something from now on."""
        if self.state is State.CONNECTING:
            self.state = State.WAITING
            if not self._is_live_start:
                self._begin(now)

    @property
    def is_timed(self) -> bool:
        """Whether `tick` has to be called every few milliseconds."""
        return self.state in (State.REPLAYING, State.SWITCHING) and not self.ended

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self.state is State.REPLAYING:
            self._replay(now)
        elif self.state is State.SWITCHING and now - self._since_s >= HOLD_S:
            self._give_up_switch()

    # ---- a channel's calls --------------------------------------------------------------------

    def on_frame(self, channel: Channel, frame: Frame) -> None:
        """Send a picture, or let it wait, or begin with it."""
        if channel is not self.channel:
            is_met = self.state is State.SWITCHING and frame.time_ms == self._switch_ms
            if is_met and frame.is_key and channel is self._next:
                self._switch()
            return
        if self.state is State.LIVE:
            if frame.is_key and self._next is not None:
                self._meet(frame)
            else:
                self._send(channel.history, frame)
        elif self.state is State.REPLAYING:
            self._pending.append(frame)
        elif self.state is State.WAITING and frame.is_key:
            self.state = State.LIVE
            self._send(channel.history, frame)

    def on_channel_end(self, channel: Channel, reason: str) -> None:
        """Go on with the other rendition, if there is one."""
        if channel is self._next:
            self._give_up_switch()
        elif channel is self.channel:
            following = self._next
            if following is None:
                self.ended = reason
                return
            self.channel, self._next = following, None
            self.state = State.WAITING
            self._pending.clear()
            channel.remove(self)
            if following.has_start:
                self._begin(self._clock())

    def on_sound(self, history: History, frame: Frame) -> None:
        """Send sound; what is replayed has none, nor has what came before it."""
        if self.audio is None or self.state not in (State.LIVE, State.SWITCHING):
            return
        if frame.time_ms >= self.video.last_ms - OLD_SOUND_MS:
            self.audio.send(history, frame)

    # ---- what the viewer says -----------------------------------------------------------------

    def on_lost(self, lost: rtcp.Lost) -> None:
        """Send again what it lacks."""
        track = self.video if lost.ssrc == self.video.numbers.ssrc else self.audio
        if track is None or lost.ssrc != track.numbers.ssrc:
            return
        for sequence in lost.sequences:
            if not track.repeat(sequence):
                self.is_refused_repeats += 1

    def on_keyframe_wanted(self, now: float) -> None:
        """Begin anew at the last keyframe, if that is sooner than the next one."""
        channel = self.channel
        if self.state is not State.LIVE or channel is None or now - self._anew_s < KEYFRAME_S:
            return
        frames = channel.history.since_key()
        if not frames:
            return
        behind_ms = frames[-1].time_ms - frames[0].time_ms
        if behind_ms <= NO_REPLAY_MS:
            return  # one was sent just now
        if behind_ms + behind_ms / (self.video.speed - 1) < channel.gop_ms or not channel.gop_ms:
            self._anew_s = now
            self._begin(now)

    def reports(self, unix_s: float, now: float, name: bytes) -> bytes | None:
        """The sender's reports; None while times do not run as the media's do."""
        if self.state not in (State.LIVE, State.SWITCHING) or not self.video.packets:
            return None
        media_ms = self.video.last_ms + (now - self._sent_s) * 1000
        tracks = [self.video]
        if self.audio is not None and self.audio.packets:
            tracks.append(self.audio)
        return rtcp.sender_reports([track.sent(media_ms) for track in tracks], name, unix_s)

    # ---- inside -------------------------------------------------------------------------------

    def _send(self, history: History, frame: Frame) -> None:
        self.video.send(history, frame)
        self._sent_s = self._clock()

    def _begin(self, now: float) -> None:
        """Begin at the last keyframe, or wait for the next one."""
        channel = self.channel
        frames = channel.history.since_key() if channel is not None else []
        if channel is None or not frames:
            self.state = State.WAITING
            return
        first_ms, newest_ms, speed = frames[0].time_ms, frames[-1].time_ms, self.video.speed
        behind_ms = newest_ms - first_ms
        is_repeated = self.video.packets > 0 and first_ms <= self.video.last_ms
        if is_repeated:  # its timestamps are to be behind all that was sent
            behind_ms += max(ANEW_MS, self.video.last_ms - newest_ms + ANEW_MS)
        if behind_ms > MAX_REPLAY_MS:
            self.state = State.WAITING
        elif behind_ms <= NO_REPLAY_MS and not is_repeated:
            self._send_since(channel, first_ms)
        else:
            self.state = State.REPLAYING
            self._replay_ms, self._replay_s = first_ms, now
            self.video.until_ms = first_ms + behind_ms * speed / (speed - 1)
            self._pending = deque(frames)
            self._replay(now)

    def _replay(self, now: float) -> None:
        channel, pending = self.channel, self._pending
        assert channel is not None
        until_ms = self._replay_ms + (now - self._replay_s) * 1000 * self.video.speed
        has_caught_up = until_ms >= self.video.until_ms
        while pending and (has_caught_up or pending[0].time_ms <= until_ms):
            self._send(channel.history, pending.popleft())
        if has_caught_up:
            self.state = State.LIVE

    def _meet(self, frame: Frame) -> None:
        """A keyframe of what is sent has come: is that of the other rendition there?"""
        self._switch_ms = frame.time_ms
        following = self._next
        assert following is not None
        if any(
            one.is_key and one.time_ms == frame.time_ms for one in following.history.since_key()[:1]
        ):
            self._switch()
        else:
            self.state = State.SWITCHING
            self._since_s = self._clock()

    def _switch(self) -> None:
        """Take the other rendition from its last keyframe on."""
        before, following = self.channel, self._next
        assert before is not None
        assert following is not None
        self.channel, self._next = following, None
        self.switched += 1
        self._send_since(following, self._switch_ms)
        before.remove(self)

    def _send_since(self, channel: Channel, time_ms: float) -> None:
        self.state = State.LIVE
        for frame in channel.history.since_key():
            if frame.time_ms >= time_ms:
                self._send(channel.history, frame)

    def _give_up_switch(self) -> None:
        following, self._next = self._next, None
        if following is not None:
            following.remove(self)
        if self.state is State.SWITCHING and self.channel is not None:
            self._send_since(self.channel, self._switch_ms)
