"""Which video tracks of a publisher stand in for renditions, so that nothing encodes these.

A track stands in for the rendition that the template's ladder would make in its size and codec. It
does so from its sequence header on, until its pictures show that players would lose by it:
what is then missing the farm makes itself, from the first track, up to the publisher's end. So
a rendition has what every rendition has: a keyframe every `gop` at least, where the first track has
one too; pictures in the order of decoding (WebRTC and low latency take no others); no more of them
a second, and no more bits, than the template allows.

Track 0 stands in likewise where the publisher sends further ones: whoever encodes a ladder has
encoded the top of it. Pure; `now` is CLOCK_MONOTONIC in seconds.
"""

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from common.config.ladder import RenditionFormat, SourceFormat, Template, fit_ladder
from common.ipc.media_messages import RenditionVideo
from common.ipc.status_messages import PASSED, RenditionStatus
from common.media.rates import FrameRate, Throughput, declared_rate
from common.media.units import VideoConfig, VideoUnit

FIRST: Final = 0  # the number of the track that all else is made of
MAX_OFF: Final = 8  # samples that a side may differ by: 852 or 854 beside 480
SILENT_S: Final = 3.0  # without a picture of a track while the first one's come
FRAME_MS: Final = 50  # that keyframes may be apart where no rate is known
KEYS: Final = 16  # of the first track, to compare with
RATE_MS: Final = 2_000  # over which a frame rate is measured
MORE_FPS: Final = Fraction(6, 5)  # than the rendition's
MORE_SAR: Final = Fraction(1, 50)  # than 1: 426x240 of a 16:9 picture has 640:639
MORE_BITS: Final = 1.5  # than the rendition's peak, over four seconds
BITS_S: Final = 6.0  # from a track's start until its bits are looked at
LATE_GOP_MS: Final = 100  # beside a picture's length


@dataclass(slots=True)
class Track:
    """One track, and what it stands in for."""

    config: VideoConfig
    begun_s: float  # since when it stands in
    rendition: RenditionFormat | None = None  # None: for none
    fault: str = ""  # why it does so no more
    is_begun: bool = False  # a keyframe has come
    last_s: float = 0.0  # when its last picture came
    last_ms: int | None = None  # its DTS …
    last_key_ms: int | None = None
    unseen_key_ms: int | None = None  # a keyframe that the first track has not reached yet
    throughput: Throughput = field(default_factory=Throughput)
    rate: FrameRate = field(
        default_factory=lambda: FrameRate(frames=1000, least_frames=1, gap_ms=None)
    )

    @property
    def frame_ms(self) -> float:
        """How long a picture lasts."""
        fps = declared_rate(self.config.fps) or (
            self.rendition.fps if self.rendition is not None else None
        )
        return float(1000 / fps) if fps else FRAME_MS


class PassedTracks:
    """Those of one stream. Call `restart` for each publisher, then what comes in order."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._source: SourceFormat | None = None
        self._tracks: dict[int, Track] = {}
        self._keys_ms: deque[int] = deque(maxlen=KEYS)  # PTS of the first track's keyframes
        self._newest_ms = 0  # its last PTS
        self._newest_s = 0.0  # when it came
        self.has_changed = False  # `names` has; the caller clears it
        self.notices: list[str] = []  # for the log; the caller clears it

    @property
    def by_name(self) -> dict[str, Track]:
        """The tracks that stand in, by rendition."""
        return {
            track.rendition.name: track
            for track in self._tracks.values()
            if track.rendition is not None
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The renditions that are passed."""
        return tuple(sorted(self.by_name)) if self._tracks else ()

    @property
    def has_tracks(self) -> bool:
        """Whether the publisher sends further tracks of video."""
        return bool(self._tracks)

    def described(self) -> dict[str, tuple[VideoConfig, RenditionVideo]]:
        """The headers of the renditions that are passed, and what their pictures are."""
        found = {}
        for name, track in self.by_name.items():
            config, fitted = track.config, track.rendition
            assert fitted is not None
            fps = declared_rate(config.fps) or fitted.fps or Fraction(0)
            size = config.width, config.height, fitted.bitrate_bps
            video = RenditionVideo(config.codec, *size, fps.numerator, fps.denominator)
            found[name] = config, video
        return found

    def may_be_passed(self, track_id: int) -> bool:
        """Whether a track is passed to players, or the first one's headers have to tell."""
        track = self._tracks.get(track_id)
        return track is not None and (track.rendition is not None or self._source is None)

    def restart(self) -> None:
        """Another publisher begins, or this one is gone."""
        self.has_changed |= bool(self.names)
        self._tracks.clear()
        self._keys_ms.clear()
        self._source = None

    def known(self) -> dict[int, VideoConfig]:
        """The headers of the further tracks that nothing is wrong with."""
        tracks = self._tracks.items()
        return {at: one.config for at, one in tracks if at != FIRST and not one.fault}

    def on_source(self, source: SourceFormat | None, config: VideoConfig, now: float) -> None:
        """Take what the first track is."""
        before = self._source
        if before is not None and source is not None and _size(before) != _size(source):
            for track_id in [*self._tracks]:
                self._lose(track_id, "the first track has changed its size")
        self._source = source
        if self._tracks:
            self._first(config, now)
            self._match(now)

    def configure(
        self, track_id: int, config: VideoConfig, first: VideoConfig | None, now: float
    ) -> None:
        """Take a further track's headers; `first`: the first track's, if they have come."""
        if not self._template.multitrack_video:
            return
        known = self._tracks.get(track_id)
        if known is not None and _is_like(known.config, config):
            known.config = config
            self.has_changed |= known.rendition is not None  # its headers have
            return
        if known is not None and known.rendition is not None:
            self._lose(track_id, "it has changed its size")
            return
        self._tracks[track_id] = Track(config, now)
        if first is not None:
            self._first(first, now)
        self._match(now)

    def unit(self, track_id: int, unit: VideoUnit, now: float) -> str:
        """The rendition that a picture is one of; empty: of none."""
        if track_id == FIRST:
            self._see_first(unit, now)
        track = self._tracks.get(track_id)
        if track is None or track.rendition is None:
            return ""
        fault = self._fault_of(track_id, track, unit)
        if fault:
            self._lose(track_id, fault)
            return ""
        if not track.is_begun:
            if not unit.is_random_access:
                return ""
            track.is_begun = True
        track.last_s, track.last_ms = now, unit.dts_ms
        track.throughput.count(1, len(unit.data), now)
        track.rate.observe(unit.dts_ms)
        return track.rendition.name

    def status(self, now: float) -> tuple[RenditionStatus, ...]:
        """The renditions that are passed, for status."""
        return tuple(
            RenditionStatus(
                name,
                track.config.width,
                track.config.height,
                track.throughput.frames,
                track.throughput.bytes,
                track.throughput.frames_per_second(now),
                track.throughput.bits_per_second(now),
                last_pts_ms=track.last_ms,
                state=PASSED,
            )
            for name, track in sorted(self.by_name.items())
        )

    def broken(self, track_id: int, reason: str) -> None:
        """A picture of a track could not be read."""
        track = self._tracks.get(track_id)
        if track is not None and track.rendition is not None:
            self._lose(track_id, reason)

    def tick(self, now: float) -> None:
        """Look at what stopped, and at how much is sent; several times a second."""
        for track_id, track in [*self._tracks.items()]:
            if track.rendition is None:
                continue
            since_s = max(track.last_s, track.begun_s)
            if track_id != FIRST and self._newest_s - since_s >= SILENT_S:
                self._lose(track_id, f"no picture for {SILENT_S:g} s")
            elif now - track.begun_s >= BITS_S:
                most_bps = MORE_BITS * track.rendition.peak_bps
                bps = track.throughput.bits_per_second(now)
                if bps > most_bps:
                    words = f"{bps / 1e6:.1f} Mbit/s, of {most_bps / 1e6:.1f} at most"
                    self._lose(track_id, words)

    # ---- inside -------------------------------------------------------------------------------

    def _first(self, config: VideoConfig, now: float) -> None:
        known = self._tracks.get(FIRST)
        if known is None:
            self._tracks[FIRST] = Track(config, now)
        elif known.config != config:
            known.config = config
            self.has_changed |= known.rendition is not None

    def _match(self, now: float) -> None:
        """Find what the tracks stand in for that stand in for nothing yet."""
        if self._source is None or self._tracks.keys() <= {FIRST}:
            return
        taken = self.by_name
        ladder = fit_ladder(self._template, self._source).renditions
        for fitted in ladder:
            if fitted.name in taken:
                continue
            fits = [
                (_off(track.config, fitted), number)
                for number, track in self._tracks.items()
                if track.rendition is None and not track.fault and _fits(track.config, fitted)
            ]
            if fits:
                number = min(fits)[1]
                track = self._tracks[number]
                track.rendition, track.begun_s = fitted, now
                self.has_changed = True

    def _see_first(self, unit: VideoUnit, now: float) -> None:
        pts_ms = unit.dts_ms + unit.composition_ms
        if unit.discontinuity:
            self._keys_ms.clear()
        if unit.is_random_access:
            self._keys_ms.append(pts_ms)
        self._newest_ms, self._newest_s = pts_ms, now

    def _fault_of(self, track_id: int, track: Track, unit: VideoUnit) -> str:
        """What is wrong with a picture; empty: nothing."""
        rendition = track.rendition
        assert rendition is not None
        if unit.composition_ms:
            return "its pictures are not in the order they are shown in (B-frames)"
        if track.last_ms is not None and unit.dts_ms <= track.last_ms:
            return "its time steps back"
        if track.rate.measured_ms >= RATE_MS:
            fps = track.rate.fps or 0.0
            track.rate.go_on()
            if rendition.fps is not None and fps > rendition.fps * MORE_FPS:
                return f"{fps:.4g} frames a second, of {float(rendition.fps):.4g} at most"
        return self._fault_of_keys(track_id, track, unit, rendition.gop_ms)

    def _fault_of_keys(self, track_id: int, track: Track, unit: VideoUnit, gop_ms: int) -> str:
        slack_ms = track.frame_ms * 1.5
        unseen_ms = track.unseen_key_ms
        if unseen_ms is not None and self._newest_ms > unseen_ms + slack_ms:
            track.unseen_key_ms = None
            if all(abs(key_ms - unseen_ms) > slack_ms for key_ms in self._keys_ms):
                return "its keyframes are not where the first track's are"
        last_key_ms = track.last_key_ms
        most_ms = gop_ms + slack_ms + LATE_GOP_MS
        if last_key_ms is not None and unit.dts_ms - last_key_ms > most_ms:
            return f"more than {gop_ms / 1000:g} s from one keyframe to the next (gop)"
        if unit.is_random_access:
            track.last_key_ms = unit.dts_ms
            track.unseen_key_ms = unit.dts_ms if track_id != FIRST else None
        return ""

    def _lose(self, track_id: int, fault: str) -> None:
        track = self._tracks[track_id]
        if track.rendition is not None:
            name = track.rendition.name
            self.notices.append(f"video track {track_id} stands in for {name} no more: {fault}")
            self.has_changed = True
        track.rendition, track.fault = None, fault


def follow_on(passed: PassedTracks | None, other: PassedTracks | None, now: float) -> None:
    """Begin with the headers of the tracks of a publisher that was read into another stream."""
    if passed is not None and other is not None:
        for track_id, config in other.known().items():
            passed.configure(track_id, config, None, now)


def _fits(config: VideoConfig, fitted: RenditionFormat) -> bool:
    """Whether a track of this configuration is what a rendition would be."""
    is_square = abs(config.sample_aspect - 1) <= MORE_SAR
    is_plain = config.bit_depth == 8 and config.chroma_format == 1 and is_square
    fps = declared_rate(config.fps)  # headers of FFmpeg may say 90000
    is_fast = fps is not None and fitted.fps is not None and fps > fitted.fps * MORE_FPS
    return (
        config.codec is fitted.codec
        and is_plain
        and not is_fast
        and not config.rotation
        and abs(config.width - fitted.width) <= MAX_OFF
        and abs(config.height - fitted.height) <= MAX_OFF
    )


def _off(config: VideoConfig, fitted: RenditionFormat) -> int:
    return abs(config.width - fitted.width) + abs(config.height - fitted.height)


def _size(source: SourceFormat) -> tuple[int, int]:
    return source.width, source.height


def _is_like(before: VideoConfig, config: VideoConfig) -> bool:
    return (before.codec, before.width, before.height) == (
        config.codec,
        config.width,
        config.height,
    )
