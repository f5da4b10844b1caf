"""What a publisher sends: size, codec and frame rate, found out and reported to the supervisor.

Parameter sets and metadata may declare a rate; what is measured over some seconds of stream time is
reported where it differs. A report that is not answered in time is sent again: the supervisor may
be another one by then. Pure: `now` is CLOCK_MONOTONIC in seconds.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from common.codecs.table import codec_string
from common.config.ladder import SourceFormat
from common.media.rates import COARSE, FrameRate, declared_rate, usual_rate
from common.media.units import VideoConfig, VideoUnit

ASK_AGAIN_S = 3.0
RATE_WINDOW_MS = 2_000
MAX_WINDOW_FRAMES = RATE_WINDOW_MS + 1  # one a ms
RATE_TOLERANCE = Fraction(1, 5)  # a measured rate this far from the reported one is reported


class SourceFormatReporter:
    """The format of one stream's source. Call `restart` for each publisher, then for its media."""

    def __init__(
        self,
        send: Callable[[int, SourceFormat, str], object],
        next_request: Callable[[], int],
        announce: Callable[[SourceFormat], object],
    ) -> None:
        """`send` reports a format and a codec string under the number of a request.

        `announce` reports once, before that, what a publisher says that it will send.
        """
        self.format: SourceFormat | None = None  # as reported
        self.codec = ""  # likewise
        self.gop_ms = 0  # from one keyframe to the next, as it was last
        self._send = send
        self._next_request = next_request
        self._announce = announce
        self._has_announced = False
        self._unanswered = 0  # the request that waits; 0: none
        self._asked_s = 0.0
        self._last_key_ms: int | None = None
        self._rate = FrameRate(frames=MAX_WINDOW_FRAMES, least_frames=1, gap_ms=None)
        self._measured_fps: Fraction | None = None  # over the last whole window
        self._is_rate_known = False  # measured since the publisher came, or declared another one
        self._declared_fps: Fraction | None = None  # by metadata
        self._config_fps: Fraction | None = None  # declared with the last parameter sets
        self._passed: tuple[str, ...] = ()

    @property
    def fps(self) -> Fraction | None:
        """The frame rate as measured, else as reported."""
        return self._measured_fps or (self.format.fps if self.format is not None else None)

    @property
    def next_key_ms(self) -> int | None:
        """When the next keyframe is due, if they come as the last two did."""
        if self._last_key_ms is None or not self.gop_ms:
            return None
        return self._last_key_ms + self.gop_ms

    @property
    def measured_fps(self) -> Fraction | None:
        """The frame rate over the last whole window, if that was measured."""
        return self._measured_fps

    def restart(self) -> None:
        """Another publisher begins."""
        self._declared_fps = None
        self._measured_fps = None
        self._rate.restart()
        self._is_rate_known = False
        self._last_key_ms = None

    def take_over(self, source: SourceFormat | None, codec: str) -> None:
        """Go on from what another ingest reported."""
        self.format, self.codec = source, codec

    def declare(self, fps: Fraction | None, size: tuple[int, int] | None = None) -> None:
        """The publisher's metadata states this rate and this size, or none."""
        self._declared_fps = fps
        if size is not None and self.format is None and not self._has_announced:
            self._has_announced = True
            self._announce(SourceFormat(*size, fps=fps))

    def configure(self, config: VideoConfig, now: float) -> None:
        """New parameter sets."""
        fps = self._rate_with(declared_rate(config.fps) or self._declared_fps)
        source = SourceFormat(
            config.width,
            config.height,
            config.sample_aspect,
            fps,
            config.reference_frames,
            config.bits_per_pixel,
            config.bit_depth,
            config.chroma_format,
        )
        self._report(source, codec_string(config), now)

    def pass_renditions(self, names: tuple[str, ...], now: float) -> None:
        """These renditions are tracks of the publisher now: they cost less."""
        self._passed = names
        if self.format is not None:
            self._report(self.format, self.codec, now)

    def observe(self, unit: VideoUnit) -> None:
        """A picture has come."""
        if unit.discontinuity:
            self._rate.restart()
            self._last_key_ms = None
        if unit.is_key:
            if self._last_key_ms is not None:
                self.gop_ms = unit.dts_ms - self._last_key_ms
            self._last_key_ms = unit.dts_ms
        self._rate.observe(unit.dts_ms)
        if self._rate.measured_ms >= RATE_WINDOW_MS and self.format is not None:
            self._compare(self.format, unit.received_s)

    def answered(self, request_id: int) -> bool:
        """Whether this request is the one that waits; it does no more."""
        if request_id != self._unanswered:
            return False
        self._unanswered = 0
        return True

    def report_again(self, now: float) -> None:
        """Report what is known to a supervisor that was not told."""
        if self.format is not None:
            self._unanswered = self._next_request()
            self._ask(now)

    def tick(self, now: float) -> None:
        """Report again what was not answered in time."""
        if self._unanswered and now - self._asked_s >= ASK_AGAIN_S:
            self._ask(now)

    def _compare(self, source: SourceFormat, now: float) -> None:
        """Take the measured rate, and report it if it is news."""
        measured = usual_rate(self._rate.fps or 0.0, COARSE)
        self._measured_fps = measured
        self._rate.go_on()
        reported = source.fps
        # Later on less is a pause, a dark room, a still screen: what it was let in with stays.
        is_less = reported is not None and measured < reported and self._is_rate_known
        self._is_rate_known = True
        if reported is None or (
            not is_less and abs(measured - reported) > reported * RATE_TOLERANCE
        ):
            self._report(replace(source, fps=measured), self.codec, now)

    def _rate_with(self, declared: Fraction | None) -> Fraction | None:
        """The rate to report with new parameter sets that declare this one, or none.

        One that was measured stands while the same is declared, be that ever so wrong; another
        one is news, to be measured in its turn.
        """
        known = self.format.fps if self.format is not None else None
        is_news = declared != self._config_fps or not self._is_rate_known
        self._config_fps = declared
        if declared is None or declared == known or not is_news:
            return known
        self._is_rate_known = False
        self._rate.restart()
        return declared

    def _report(self, source: SourceFormat, codec: str, now: float) -> None:
        source = replace(source, passed=self._passed)
        if (source, codec) != (self.format, self.codec):
            self.format, self.codec = source, codec
            self._unanswered = self._next_request()
            self._ask(now)

    def _ask(self, now: float) -> None:
        assert self.format is not None
        self._asked_s = now
        self._send(self._unanswered, self.format, self.codec)
