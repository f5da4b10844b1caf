"""A rendition's tags as the entries that viewers get, put into bytes once for all of them. Pure.

A tag becomes an `Entry`. A `WireForm` puts it into the bytes of a protocol. Those for viewers who
got everything before it are made on first use and shared. The forms that need nothing before them
are made only for who joins or resumes: the sequence header at the entry's time, then the entry.

Times are stream time; a wire form wraps them.
"""

from collections.abc import Callable, Sequence, Set
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from common.ipc.media_messages import KEY
from egress.fanout.on_metadata import audio_members, with_audio
from egress.sound.carried import CLASSIC
from egress.streams import tag as tags
from egress.streams.tag import Config, PublisherInfo, Tag

# Kinds are bits, so that what a player receives and what it is ready for are sets.
VIDEO: Final = 1
AUDIO: Final = 2
DATA: Final = 4
METADATA: Final = 8
EVERYTHING: Final = VIDEO | AUDIO | DATA | METADATA

_KINDS: Final = {tags.VIDEO: VIDEO, tags.AUDIO: AUDIO, tags.DATA: DATA}


class Headers(NamedTuple):
    """What a decoder needs before a rendition's tags, as message bodies; each may be empty."""

    metadata: bytes = b""
    video: bytes = b""
    audio: bytes = b""


class WireForm(Protocol):
    """How a protocol wraps entries. Viewers with equal forms get the same bytes."""

    @property
    def family(self) -> str:
        """Forms of the same one differ in `absolute` alone."""

    def step(self, entry: "Entry", /) -> bytes:
        """For viewers who got the entry before this one of its kind; it has a `step_ms`."""

    def absolute(self, kind: int, dts_ms: int, body: bytes, /) -> bytes:
        """A message that needs nothing sent before it."""

    def restart(self, entry: "Entry", /) -> bytes:
        """For viewers who were just sent a header of its kind with its time."""


class Entry:
    """One tag of one rendition. Not frozen: it keeps the bytes that it was asked for."""

    __slots__ = (
        "_absolute",
        "_made",
        "body",
        "dts_ms",
        "headers",
        "is_header",
        "is_key",
        "kind",
        "step_ms",
    )

    def __init__(
        self,
        kind: int,
        dts_ms: int,
        body: bytes,
        headers: Headers,
        step_ms: int | None,
        is_key: bool,
        is_header: bool,
    ) -> None:
        self.kind = kind
        self.dts_ms = dts_ms
        self.body = body
        self.headers = headers  # in force for this entry
        self.is_key = is_key
        self.is_header = is_header
        self.step_ms = step_ms  # None: no time before it of its kind
        self._made: dict[tuple[str, bool], bytes] | None = None
        self._absolute: tuple[WireForm, bytes] | None = None

    def shared(self, form: WireForm) -> bytes:
        """For viewers who got the entry before this one of its kind."""
        if self.step_ms is None:
            return self.absolute(form)
        return self._once((form.family, False), form.step)

    def absolute(self, form: WireForm) -> bytes:
        """For viewers who got nothing yet of its kind."""
        if self._absolute is None or self._absolute[0] != form:
            self._absolute = form, form.absolute(self.kind, self.dts_ms, self.body)
        return self._absolute[1]

    def restart(self, form: WireForm) -> bytes:
        """For viewers who were just sent a header of this kind with this entry's time."""
        return self._once((form.family, True), form.restart)

    def _once(self, key: tuple[str, bool], make: Callable[["Entry"], bytes]) -> bytes:
        if self._made is None:
            self._made = {}
        wire = self._made.get(key)
        if wire is None:
            wire = self._made[key] = make(self)
        return wire


def metadata_of(config: Config) -> bytes:
    """The onMetaData for viewers: a worker's is completed by what is known of the sound."""
    if config.script is None:
        return b""
    if config.publisher is None:
        return config.script.body
    return _completed(config.script.body, config.publisher)


@lru_cache(maxsize=256)
def _completed(script: bytes, publisher: PublisherInfo) -> bytes:
    return with_audio(script, audio_members(publisher.script, publisher.audio_header))


class EntryBuffer:
    """The entries of one rendition since its last keyframe; what a player starts from.

    It is given what the rendition gives to a subscriber, in that order. Where a configuration
    changes, what changed goes out in line: metadata and audio header as soon as it comes, a video
    header right before its picture.
    """

    def __init__(self, carries: Set[str] = CLASSIC) -> None:
        """`carries`: the codecs of sound; players that do not know another stop altogether."""
        self.headers = Headers()
        self._carries = carries
        self.chains = 0  # kinds that steps count for: a player must have got one of each
        self.last_dts_ms: dict[int, int] = {}  # by kind
        self.still: Entry | None = None  # all that is left of a GOP that outgrew its limits
        self._gop: list[Entry] = []  # since the last keyframe, that included; empty: no start
        self._config = Config()
        self._changes: list[Config] = []  # whose headers go out with the next tags

    @property
    def gop(self) -> Sequence[Entry]:
        """The entries since the last keyframe; empty when a player has to wait for one."""
        return self._gop

    def configure(self, config: Config) -> None:
        """Another configuration from the next tag on."""
        self._changes.append(config)

    def append(self, units: Sequence[Tag]) -> list[Entry]:
        """Take the next tags; returns their entries, with those of the headers before them."""
        entries: list[Entry] = []
        if self._changes:
            for config in self._changes:
                self._change(config, entries)
            self._changes.clear()
        headers, last_dts_ms, gop = self.headers, self.last_dts_ms, self._gop
        carries = self._carries
        for tag in units:
            kind, dts_ms = _KINDS[tag.type], tag.dts_ms
            if kind == AUDIO and tag.codec not in carries:
                continue
            is_key = tag.flags & KEY != 0
            step_ms = None
            if kind != DATA:
                last_ms = last_dts_ms.get(kind)
                if last_ms is None:
                    self.chains |= kind
                else:
                    step_ms = dts_ms - last_ms
                last_dts_ms[kind] = dts_ms
            entry = Entry(kind, dts_ms, tag.body, headers, step_ms, is_key, False)
            if is_key:
                gop = self._gop = [entry]
            elif gop:
                gop.append(entry)
            entries.append(entry)
        return entries

    def keep_still(self, dts_ms: int | None) -> None:
        """Keep of the GOP its keyframe alone, to be shown at this time, that of the last picture.

        Who joins sees it until the next keyframe comes.
        """
        still = self._gop[0] if self._gop else self.still
        if still is not None and dts_ms is not None:
            headers = self.headers._replace(video=still.headers.video)
            self.still = Entry(VIDEO, dts_ms, still.body, headers, None, True, False)
        self._gop = []

    def _change(self, config: Config, entries: list[Entry]) -> None:
        """Put the headers that are not those of before in line."""
        if config.audio is not None and config.audio.codec not in self._carries:
            config = config._replace(audio=None)
        old, self._config = self._config, config
        self.headers = Headers(
            metadata_of(config),
            config.video.body if config.video is not None else b"",
            config.audio.body if config.audio is not None else b"",
        )
        headers = self.headers
        if config.script is not None and config.script is not old.script:
            self._put_header(METADATA, config.script.dts_ms, headers.metadata, entries)
        if config.video is not None and config.video is not old.video:
            self._put_header(VIDEO, config.video.dts_ms, headers.video, entries)
            self.last_dts_ms[VIDEO] = config.video.dts_ms
        if config.audio is not None and config.audio is not old.audio:
            # No time is counted from it: the sound behind it may be older.
            self._put_header(AUDIO, config.audio.dts_ms, headers.audio, entries)

    def _put_header(self, kind: int, dts_ms: int, body: bytes, entries: list[Entry]) -> None:
        step_ms = None
        if kind != METADATA:
            self.chains |= kind
            last_ms = self.last_dts_ms.get(kind)
            step_ms = None if last_ms is None else dts_ms - last_ms
        entry = Entry(kind, dts_ms, body, self.headers, step_ms, False, True)
        if self._gop:
            self._gop.append(entry)
        entries.append(entry)
