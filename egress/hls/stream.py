"""A stream's tracks while somebody watches: each rendition's pictures, and the sound once. Pure.

Renditions are subscribed to, `feeds.py` says which. The sound comes with each of them, and what
came already is dropped. Another configuration begins another segment, behind a discontinuity that
all tracks have at the same number, since players line tracks up by them
(draft-pantos-hls-rfc8216bis, 6.2.4). A rendition on demand that was made before, and is made again,
is listed from there on, with the numbers that stream time gives: it has no discontinuity.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from common.config.ladder import SOURCE
from common.config.ladder import Rendition as Declared
from common.errors import ProtocolError
from common.ipc.media_messages import HEADER
from common.media.units import AudioConfig, AudioUnit, VideoConfig, VideoUnit
from common.mp4.init_segment import is_known
from egress.cues.date_ranges import CuePoints
from egress.hls import playlists
from egress.hls.feeds import Feeds
from egress.hls.numbering import Earlier, Numbering
from egress.hls.parts import Part
from egress.hls.reload import BlockedRequests
from egress.hls.tracks import MAX_FILLED_MS, PictureTrack, SoundTrack
from egress.hls.window import Window, WindowLimits
from egress.sound.coded import SoundForms
from egress.streams.stream import Stream
from egress.streams.tag import AUDIO, VIDEO, Config, Tag

SOUND: Final = playlists.SOUND
DEFAULT_SOUND_BPS: Final = 160_000  # before any is measured
_OVER_TARGET: Final = 1.25  # a segment's rate to the encoder's, before any is measured
CATCH_UP_MS: Final = 3_000  # beyond a GOP: what is older is of before a rendition rested

R = TypeVar("R")


class TrackState(Generic[R]):
    """One track as it is asked for: its window, and who waits."""

    def __init__(self, name: str, window: Window) -> None:
        self.name = name
        self.window = window
        self.blocked: BlockedRequests[R] = BlockedRequests()
        self.cutting: PictureTrack | SoundTrack | None = None
        self.configs: dict[str, PictureTrack | SoundTrack] = {}  # of the window's `inits`
        self.is_resting = False  # nobody watches it: it is not made, and not cut
        # Whether it can be played, as of which version of the window and of the stream's tracks.
        self.playable: tuple[tuple[int, int], bool] = ((-1, -1), False)
        self._text: dict[bool, tuple[int, str]] = {}  # by whether it skips; of which version

    def take(self, parts: Sequence[Part]) -> bool:
        """Keep what was cut; whether there was any."""
        if self.cutting is None:
            return False
        for part in parts:
            self.window.add(part, self.cutting.cutter.scale)
        return bool(parts)

    def playlist(self, made: Callable[[], str], *, skips: bool) -> str:
        """The track's playlist, made once for each version of its window."""
        version, text = self._text.get(skips, (-1, ""))
        if version != self.window.version:
            text = made()
            self._text[skips] = self.window.version, text
        return text


# long: its tracks have their numbers, their discontinuities and their sound in common
class HlsStream(Generic[R]):
    """One stream; `R` is what the caller lets wait in `TrackState.blocked`."""

    def __init__(
        self,
        stream: Stream,
        limits: WindowLimits,
        unix_offset_s: float,
        on_change: Callable[["HlsStream[R]", str], object] = lambda *_: None,
        opened_s: float = 0.0,
        before: Earlier | None = None,
        forms: SoundForms | None = None,
    ) -> None:
        """`unix_offset_s`: from CLOCK_MONOTONIC to Unix time. `on_change`: of the track's name.

        `before`: what is known of the stream of this name that was cut before this one.
        """
        self.stream, self.forms, self.cues = stream, forms, CuePoints()
        self.gop_ms = stream.template.gop_ms
        self.limits = limits
        self.opened_s = opened_s
        self.tracks: dict[str, TrackState[R]] = {}
        self._track_changes = 0  # it grows with whatever track comes or goes
        self.unreadable = 0  # units
        self.problems: dict[str, str] = {}  # renditions that have no track, and why
        self.feeds = Feeds(self, stream, forms)
        self._on_change = on_change
        self.numbering = Numbering(self.gop_ms, before)
        self._headers: dict[str, bytes] = {}  # in force, by track
        self._unix_offset_s = unix_offset_s
        self._first_ms: int | None = None  # of all pictures
        self._last_ms: int | None = None
        self._hold_back_s = 0.0  # of all playlists, once there is one

    # ---- the stream ---------------------------------------------------------------------------

    def follow(self, *, with_source: bool = False) -> None:
        """Take every rendition that is there now and was not, but for those on demand."""
        for name in self.feeds.news(with_source=with_source):
            if self.feeds.knows(name):
                self.feeds.forget(name)
                self._end_track(name)
                self._headers.pop(name, None)
                self.tracks.pop(name, None)
                self._track_changes += 1
            self.feeds.note(name)
            if not self.feeds.is_on_demand(name):
                self.feeds.begin(name)
        for name in self.stream.renditions:
            if self.feeds.is_on_demand(name) and name not in self.tracks:
                self._describe(name)

    def leave(self) -> None:
        """Take nothing any more: nobody watches, or it is over."""
        self.feeds.end_all()
        for name in self.tracks:
            self._end_track(name)

    def ask(self, name: str, now: float) -> None:
        """Somebody watches a rendition: have it made and cut, if it is one on demand."""
        if self.feeds.ask(name, now):
            self._cut_anew(name)
            self.feeds.begin(name)

    def rest_unasked(self, now: float, idle_s: float) -> None:
        """Take those on demand no more that nobody has asked for as long."""
        for name in self.feeds.unasked(now - idle_s):
            track = self.tracks.get(name)
            if track is not None and not len(track.blocked):
                self.feeds.end(name)
                if track.cutting is not None:
                    track.take(track.cutting.finish())
                track.is_resting = True
                self._track_changes += 1

    @property
    def has_ended(self) -> bool:
        """Whether nothing follows in any track."""
        return all(track.window.has_ended for track in self.tracks.values())

    def rendition_ended(self, name: str) -> None:
        """A rendition is over; with the last of them all that rests, and the sound, is."""
        self.feeds.forget(name)
        for each in [name] if self.feeds or self.feeds.may_go_on else (name, *self.tracks):
            self._end_track(each)

    def _end_track(self, name: str) -> None:
        track = self.tracks.get(name)
        if track is not None and not track.window.has_ended:
            if track.cutting is not None:
                track.take(track.cutting.finish())
            track.window.end()
            self._on_change(self, name)

    def _describe(self, name: str) -> None:
        """Say what a rendition is that is not made now, by what its worker told of it."""
        header = self.stream.renditions[name].video_header
        if header and self.stream.epoch_ms is not None:
            self.configure(name, Config(video=Tag(VIDEO, "", 0, 0, HEADER, header)))
            if name in self.tracks and name not in self.feeds:
                self.tracks[name].is_resting = True

    def _cut_anew(self, name: str) -> None:
        """A rendition that has rested is taken again: list what is made from now on alone."""
        track = self.tracks.get(name)
        if track is None or not isinstance(track.cutting, PictureTrack):
            return
        track.is_resting = False
        self._track_changes += 1
        track.window.begin_anew()
        from_ms = None if self._last_ms is None else self._last_ms - self.gop_ms - CATCH_UP_MS
        made = track.cutting.again(self.gop_ms, self.limits.part_s, from_ms)
        track.cutting = track.configs[made.init_id] = made

    # ---- media --------------------------------------------------------------------------------

    def configure(self, name: str, config: Config) -> None:
        """Another configuration of a rendition from the next tag on."""
        tags = (
            self.stream.renditions[name].gop_buffer.tags if name in self.stream.renditions else ()
        )
        self.numbering.settle(self.stream.epoch_ms, tags, self._unix_offset_s)
        for each, header in ((name, config.video), (SOUND, config.audio)):
            if header is None or self._headers.get(each) == header.body:
                continue
            self._headers[each] = header.body
            try:
                found = header.media_config()
                if found is not None and is_known(found):
                    self._reconfigure(each, found)
                else:
                    self.problems[each] = f"{header.codec} is no codec of fragmented MP4 here"
            except ProtocolError as error:
                self.problems[each] = f"it cannot be read: {error}"

    def take(self, name: str, tags: Sequence[Tag]) -> None:
        """The next tags of a rendition, with the sound."""
        track, sound = self.tracks.get(name), self.tracks.get(SOUND)
        pictures: list[Part] = []
        sounds: list[Part] = []
        last_ms: int | None = None
        for tag in tags:
            if tag.type not in (VIDEO, AUDIO):
                self.cues.hear(tag.body, tag.dts_ms)
                continue
            try:
                unit = tag.unit()
                if isinstance(unit, VideoUnit):
                    last_ms = unit.dts_ms
                    if track is not None and isinstance(track.cutting, PictureTrack):
                        self._note_clock(unit)
                        pictures += track.cutting.add(unit)
                elif isinstance(unit, AudioUnit) and unit.data:
                    sounds += self._sound(unit)
            except ProtocolError:
                self.unreadable += 1
        if last_ms is not None and sound is not None and isinstance(sound.cutting, SoundTrack):
            sounds += sound.cutting.picture_at(last_ms)
        if track is not None and track.take(pictures):
            self._on_change(self, name)
        if sound is not None and sound.take(sounds):
            self._on_change(self, SOUND)

    # ---- what is asked for --------------------------------------------------------------------

    def peak_bps(self, name: str) -> int:
        """The most bits a second of a track's segments; what is declared, before any is there."""
        peak, average = self.tracks[name].window.bitrates()
        if name == SOUND:
            return max(1, round(peak or DEFAULT_SOUND_BPS))
        declared = self.declared_bps(name) * _OVER_TARGET if not average else 0.0
        return max(1, round(max(peak, declared)))

    @property
    def listed(self) -> list[str]:
        """The renditions of the multivariant playlist: the transcoded ones, where there are any."""
        names = self.stream.transcoded or (SOURCE,)
        return [
            name
            for name in names
            if name not in self.problems and (name in self.feeds or self._is_described(name))
        ]

    @property
    def undescribed(self) -> list[str]:
        """The renditions on demand of which it is not known yet what they are."""
        return [
            name
            for name in self.stream.transcoded
            if self.feeds.is_on_demand(name) and name not in {*self.tracks, *self.problems}
        ]

    @property
    def has_sound(self) -> bool:
        """Whether the stream has sound that can be listed."""
        sound = self.tracks.get(SOUND)
        return sound is not None and sound.window.has_media

    def is_playable(self, name: str) -> bool:
        """Whether a track's playlist has something to play; looked at once for each version."""
        track = find_track(self, name)
        if track is None:
            return False
        window = track.window
        key = window.version, self._track_changes
        if track.playable[0] != key:
            # players begin so far behind the end, and shaka 5.2 throws where that is before all
            is_long = window.listed_s >= self._hold_back()
            is_cut = not track.is_resting and window.has_media
            is_playable = is_cut and window.has_segment and is_long
            track.playable = key, window.has_ended or is_playable
        return track.playable[1]

    def is_there(self, name: str) -> bool:
        """Whether viewers are told of a track: in the playlist of all, and in DASH's description.

        A rendition is once it can be played, one on demand always. The sound is as soon as any is
        cut, since who is told of a stream without sound does not hear it later.
        """
        if name == SOUND:
            return self.has_sound
        return self._is_described(name) or (name in self.tracks and self.is_playable(name))

    def _is_described(self, name: str) -> bool:
        """Whether a rendition on demand is known well enough to be listed, made or not."""
        return self.feeds.is_on_demand(name) and name in self.tracks

    def media(self, name: str, *, skips: bool = False) -> str:
        """The playlist of a track; it has to be there."""
        track = self.tracks[name]

        def made() -> str:
            back_s = self._hold_back_s = self._hold_back()
            offset_s, reports = self.numbering.unix_offset_s, list(self._reports(name))
            return playlists.media(track.window, offset_s, back_s, reports, self.cues, skips=skips)

        return track.playlist(made, skips=skips)

    @property
    def size(self) -> int:
        """Bytes of all tracks."""
        return sum(track.window.size for track in self.tracks.values())

    # ---- inside -------------------------------------------------------------------------------

    @property
    def is_sound_known(self) -> bool:
        """Whether ingest has said if there is sound: that comes in front of its pictures."""
        source = self.stream.renditions.get(SOURCE)
        return source is not None and VIDEO in source.gop_buffer.last_dts_ms

    def _hold_back(self) -> float:
        """How far from the end players keep, in seconds."""
        targets_s = [track.window.target for track in self.tracks.values()]
        return playlists.hold_back_s(targets_s, self._hold_back_s)

    def _sound(self, unit: AudioUnit) -> list[Part]:
        """Take a frame of sound, unless it is before the first segment of all."""
        sound = self.tracks.get(SOUND)
        if sound is None or not isinstance(sound.cutting, SoundTrack) or self._first_ms is None:
            return []
        is_early = unit.dts_ms < self._first_ms // self.gop_ms * self.gop_ms
        return [] if is_early else sound.cutting.add(unit)

    def _reconfigure(self, name: str, config: VideoConfig | AudioConfig) -> None:
        self.problems.pop(name, None)
        track = self.tracks.get(name)
        before = track.cutting if track is not None else None
        first_msn = target = 0
        base_msn = self.numbering.base_msn
        if track is not None and before is not None:
            target = before.cutter.target
            if track.take(before.finish()):
                self._on_change(self, name)
            track.window.end_segment()
            first_msn = self._next_discontinuity()
        made: PictureTrack | SoundTrack
        if isinstance(config, VideoConfig):
            declared = _declared(self.stream, name)
            made = PictureTrack(
                config,
                self.gop_ms,
                self.limits.part_s,
                target=target,
                first_msn=first_msn,
                base_msn=base_msn,
                fps=declared.fps if declared is not None else None,
            )
        else:
            if isinstance(before, SoundTrack) and before.cutter.scale != config.sample_rate:
                target = target * config.sample_rate // before.cutter.scale
            made = SoundTrack(
                config,
                self.gop_ms,
                self.limits.part_s,
                target=target,
                first_msn=first_msn,
                base_msn=base_msn,
                begin_ms=self._sound_from_ms(),
            )
        if track is None:
            seconds = made.cutter.target / made.cutter.scale
            window = Window(
                self.gop_ms, seconds, self.limits, self.numbering.discontinuities, base_msn=base_msn
            )
            window.begins_on_grid = self.feeds.is_on_demand(name)
            track = self.tracks[name] = TrackState(name, window)
            self._track_changes += 1
        track.cutting = made
        track.window.configure(made.init_id, made.init)
        track.configs[made.init_id] = made
        for gone in track.configs.keys() - track.window.inits.keys():
            del track.configs[gone]

    def _sound_from_ms(self) -> int | None:
        """Where the first sound has to begin: with the pictures, unless these are far ahead."""
        if SOUND in self.tracks or self._first_ms is None or self._last_ms is None:
            return None
        return self._first_ms if self._last_ms - self._first_ms < MAX_FILLED_MS else None

    def _next_discontinuity(self) -> int:
        """The first segment that no track has begun: all of them have a discontinuity there."""
        begun = [
            max(track.cutting.cutter.begun_msn, track.window.next_part[0] - 1)
            for track in self.tracks.values()
            if track.cutting is not None
        ]
        return self.numbering.next_discontinuity(begun)

    def _note_clock(self, unit: VideoUnit) -> None:
        """Note where the stream is here; its first picture begins what is told."""
        if self._first_ms is None:
            self._first_ms = unit.dts_ms
            self.numbering.begin(self.numbering.msn_at(unit.dts_ms))
            sound = self.tracks.get(SOUND)
            if sound is not None and isinstance(sound.cutting, SoundTrack):
                sound.cutting.begin_ms = unit.dts_ms
        self._last_ms = unit.dts_ms

    def declared_bps(self, name: str) -> int:
        """What the template says of a rendition's rate of bits; 0 of the source's."""
        declared = _declared(self.stream, name)
        return declared.maxrate_bps or declared.bitrate_bps if declared is not None else 0

    def _reports(self, name: str) -> Iterator[playlists.Report]:
        for other, track in self.tracks.items():
            is_made = not track.is_resting and not track.window.has_ended
            if other != name and is_made and track.window.has_media:
                yield playlists.report(other, track.window)


def find_track(hls: HlsStream[R], name: str) -> TrackState[R] | None:
    """A rendition's track, or the sound's: of a rendition that has the sound alone, too."""
    is_alone = name != "" and name == hls.stream.template.audio_only
    return hls.tracks.get(SOUND if is_alone else name)


def _declared(stream: Stream, name: str) -> Declared | None:
    """A rendition as the template has it."""
    return next((one for one in stream.template.renditions if one.name == name), None)
