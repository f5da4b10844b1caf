"""A rendition's tags as the pieces of fragmented MP4 that viewers get, made once for all. Pure.

It is given what the rendition gives to a subscriber, in that order. Another configuration brings
another initialisation segment, which goes out before the piece that it is for; other tracks, or
other sound, need a body of their own, since Media Source Extensions let neither change in one
(`Pieces.problem`).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from common.errors import ProtocolError
from common.media.units import AudioConfig, AudioUnit, VideoConfig, VideoUnit
from common.mp4.live_muxer import Fragment, LiveMuxer
from egress.http import responses
from egress.http.responses import chunk
from egress.streams.tag import Config, Tag

OTHER_TRACKS: Final = "its tracks have changed"


class Piece(NamedTuple):
    """Bytes that a viewer gets whole or not at all."""

    wire: bytes  # a chunk of an HTTP body
    init: bytes  # likewise: the initialisation segment that it needs before it
    is_key: bool  # a viewer can begin here
    begin_ms: int
    end_ms: int
    pictures: int


class Pieces:
    """Those of one rendition, with its sound or without."""

    def __init__(self, *, has_sound: bool = True) -> None:
        self.problem = ""  # why this goes on in no body that has begun; those end
        self.can_go_on = True  # in another one
        self.codecs: tuple[str, ...] = ()  # RFC 6381, one a track; empty: nothing is known yet
        self.unreadable = 0  # units
        self._has_sound = has_sound
        self._muxer: LiveMuxer | None = None
        self._init = b""
        self._bodies: tuple[bytes, bytes] = (b"", b"")  # of the headers in force
        self._config: Config | None = None  # one that is to come into force

    def configure(self, config: Config) -> None:
        """Another configuration from the next tag on."""
        self._config = config

    def head(self, *, is_chunked: bool) -> bytes:
        """The head of an answer."""
        return responses.head(self.codecs, is_chunked=is_chunked)

    def append(self, tags: Sequence[Tag]) -> list[Piece]:
        """Take the next tags; what is complete by them."""
        made: list[Fragment | None] = []
        found = self._reconfigure() if self._config is not None else []
        muxer = self._muxer
        if muxer is None or self.problem:
            return found
        for tag in tags:
            try:
                unit = tag.unit()
            except ProtocolError:
                self.unreadable += 1
                continue
            if isinstance(unit, VideoUnit) or (isinstance(unit, AudioUnit) and unit.data):
                made.append(muxer.add(unit))
        made.append(muxer.flush())
        return found + self._pieces(made)

    def _reconfigure(self) -> list[Piece]:
        """Take over what came by `configure`; what is left of before it."""
        config, self._config = self._config, None
        if config is None or config.video is None:
            return []
        audio = config.audio if self._has_sound else None
        bodies = (config.video.body, audio.body if audio is not None else b"")
        if bodies == self._bodies:
            return []
        self._bodies = bodies
        left = self._pieces(self._muxer.finish()) if self._muxer is not None else []
        try:
            made = self._make(config.video, audio)
        except ProtocolError as error:
            self.problem, self.can_go_on = f"it cannot be read: {error}", False
            return left
        if self.codecs and _tracks(made.codecs) != _tracks(self.codecs):
            self.problem = OTHER_TRACKS
            return left
        self._muxer, self.codecs, self._init = made, made.codecs, chunk(made.init)
        return left

    def _make(self, video: Tag, audio: Tag | None) -> LiveMuxer:
        pictures, sound = video.media_config(), audio.media_config() if audio is not None else None
        if not isinstance(pictures, VideoConfig):
            raise ProtocolError("there is no configuration of its pictures")
        number = self._muxer.number if self._muxer is not None else 0
        return LiveMuxer(pictures, sound if isinstance(sound, AudioConfig) else None, number)

    def _pieces(self, made: Sequence[Fragment | None]) -> list[Piece]:
        return [
            Piece(chunk(one.data), self._init, one.is_key, one.begin_ms, one.end_ms, one.pictures)
            for one in made
            if one is not None
        ]


def _tracks(codecs: Sequence[str]) -> tuple[str, ...]:
    """What may not change in one body: the kind of pictures, and all of the sound."""
    return (codecs[0].partition(".")[0], *codecs[1:])
