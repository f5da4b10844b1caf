"""One rendition of a session, as the decode thread knows it, wherever it is encoded. Pure.

It says which pictures the rendition takes, and with which of them its encoder is to be opened anew:
at a keyframe, when the rendition's real rate turns out to be another than the one that its rate
control was opened for, and when the encoder has failed: what it lacks may be there again, as an
encoder session that another program has taken meanwhile; but not while the driver's limit on those
was reached a moment ago.

While nobody plays it, it rests: it takes no picture, and its encoder is closed. The first picture
that it takes then is a keyframe, whatever the others' is, and opens the encoder.

All is called in the decode thread, but for `fail`: by the thread that meets the failure.
Nothing is shared but `waiting` and `done`, which the pipeline's lock guards, and what `fail` sets.
"""

from collections.abc import Callable
from fractions import Fraction

from common.config.ladder import RenditionFormat
from common.media.rates import FrameRate, usual_rate
from worker.frames.in_flight import UnitFacts
from worker.frames.waiting_captions import WaitingCaptions
from worker.frames.waiting_user_data import WaitingUserData

_RATE_ERROR = 0.08  # of the rate an encoder was opened for; more, and it is opened anew
_MEASURE_MS = 2000
_REOPEN_MS = 10_000
# After a failure it is opened again at the next keyframe this much later, then twice as much …
_RETRY_MS = 1_000
_MAX_RETRY_MS = 32_000
_STEADY_MS = 60_000  # … until it has gone well for so long


class SessionRendition:
    """A rendition, what waits for its encoder, and that encoder's failures."""

    def __init__(
        self,
        index: int,
        rendition: RenditionFormat,
        fps: Fraction,
        is_limit_near: Callable[[], bool] = lambda: False,
    ) -> None:
        """`fps` is the rate that its encoder is opened for."""
        self.index = index
        self.rendition = rendition
        self._captions = WaitingCaptions(rendition.codec)
        self._user_data = WaitingUserData(rendition.codec)
        self.waiting = 0  # pictures posted and not yet encoded
        self.done = 0  # pictures encoded or dropped
        self.is_paused = False  # degraded: it gets no pictures; the decode thread's
        self.needs_key = False  # it was paused
        self.is_resting = False  # nobody plays it: it gets no pictures; the decode thread's
        self._is_closed = False  # its encoder, since it rested
        self.lost = ""  # why it gives nothing at present
        self._fps = fps  # that the encoder was opened for
        self._is_limit_near = is_limit_near  # no encoder session is to be had
        self._was_refused = False  # one, for that reason
        self._opened_anew_ms: int | None = None
        self._failed_ms: int | None = None
        self._retry_ms = _RETRY_MS
        self._retry_at_ms = 0  # if it is lost

    def carry(self, facts: UnitFacts) -> None:
        """Have what a source's picture carries ride with the next one that is taken from here on.

        In display order, for every picture, whether the rendition takes it or not.
        """
        if not self.gets_nothing:
            self._captions.add(facts.captions)
            self._user_data.add(facts.user_data)

    def take_carried(self) -> bytes:
        """What stands in front of the picture that the rendition takes; empty mostly."""
        return self._user_data.take() + self._captions.take()

    def takes(self, pts_ms: int, *, is_key: bool) -> bool:
        """Return whether this picture, which the rendition's rate asks for, can be encoded."""
        if self.is_paused or self.is_resting or (self.needs_key and not is_key):
            return False
        if self._is_out(pts_ms, is_key or self._is_closed):
            return False
        self.needs_key = False
        return True

    @property
    def gets_nothing(self) -> bool:
        """Whether it takes no picture at present."""
        return self.is_paused or self.is_resting

    @property
    def begins(self) -> bool:
        """Whether the next picture that it takes must be a keyframe, as it has rested."""
        return self._is_closed

    def rest(self) -> bool:
        """Take no more pictures, and have the encoder closed; False: it rests already."""
        if self.is_resting:
            return False
        self.is_resting = self._is_closed = True
        self.take_carried()
        return True

    def wake(self) -> None:
        """Take pictures again, from the next one on."""
        self.is_resting = False

    def pause(self) -> None:
        """Take no more pictures."""
        self.is_paused = True

    def resume(self) -> bool:
        """Take pictures again from the next keyframe on; False: it did not pause.

        Egress has forgotten it, and must hear what it is.
        """
        if not self.is_paused:
            return False
        self.is_paused, self.needs_key = False, True
        return True

    def rate_to_open_for(self, meter: FrameRate, pts_ms: int) -> Fraction | None:
        """The rate to open the encoder anew for, if it was opened for a wrong one, or is lost."""
        was_closed, self._is_closed = self._is_closed, False
        if self.lost or was_closed:
            return self._fps
        measured = meter.fps
        if measured is None or meter.measured_ms < _MEASURE_MS:
            return None
        if abs(measured / float(self._fps) - 1) <= _RATE_ERROR:
            return None
        if self._opened_anew_ms is not None and pts_ms - self._opened_anew_ms < _REOPEN_MS:
            return None
        self._opened_anew_ms = pts_ms
        return usual_rate(measured)

    def fail(self, reason: str, pts_ms: int) -> None:
        """Give nothing, from this picture on, up to a keyframe that it can be opened with."""
        if self._failed_ms is None or pts_ms - self._failed_ms > self._retry_ms + _STEADY_MS:
            self._retry_ms = _RETRY_MS
        else:
            self._retry_ms = min(_MAX_RETRY_MS, 2 * self._retry_ms)
        self._failed_ms = pts_ms
        self._retry_at_ms = pts_ms + self._retry_ms
        self.lost = reason

    def _is_out(self, pts_ms: int, is_key: bool) -> bool:
        """Return whether it has failed, and this picture is not one to try again with."""
        if not self.lost:
            return False
        if not is_key or pts_ms < self._retry_at_ms:
            return True
        return self._was_refused and self._is_limit_near()


class RemoteRendition(SessionRendition):
    """A rendition that an encoder process encodes."""

    def __init__(self, index: int, rendition: RenditionFormat, fps: Fraction) -> None:
        super().__init__(index, rendition, fps)
        self._must_begin = False

    @property
    def fps(self) -> Fraction:
        """The rate that its encoder is opened for."""
        return self._fps

    def resume(self) -> bool:
        """As for any; egress hears with the next picture, so that nothing is to be said now."""
        self._must_begin |= super().resume()
        return False

    def rate_to_open_for(self, meter: FrameRate, pts_ms: int) -> Fraction | None:
        """As for any; who asks hands the picture over with it."""
        rate = super().rate_to_open_for(meter, pts_ms)
        if rate is not None:
            # that this one fails as well is heard later
            self._fps, self.lost = rate, ""
        return rate

    def take_beginning(self) -> bool:
        """Return, once, whether egress must hear anew what the rendition is."""
        must_begin, self._must_begin = self._must_begin, False
        return must_begin
