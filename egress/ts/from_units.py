"""A rendition's tags as the pieces of a transport stream that viewers get, made once for all. Pure.

It is given what the rendition gives to a subscriber, in that order. What changes goes on in the
same stream, whose tables say it: only pictures that a transport stream does not carry end it. Of
data messages SCTE-35 goes on, each section as often as it came.
"""

from collections.abc import Sequence
from typing import Final

from common.errors import ProtocolError
from common.ipc.view_answer import ViewAnswer, framed
from common.media.units import AudioConfig, AudioUnit, VideoConfig, VideoUnit
from common.mpegts.muxer import Muxer
from egress.cues.splice_point import splice_point
from egress.http.from_units import Piece
from egress.http.responses import chunk
from egress.streams.tag import AUDIO, DATA, VIDEO, Config, Tag

PROTOCOL: Final = "srt"  # as status has it: nobody else is sent these


class TsPieces:
    """Those of one rendition: a `PieceMaker`."""

    def __init__(self, *, has_sound: bool = True) -> None:
        """`has_sound` is of no account: sound may come and go."""
        self.problem = ""  # why nobody can be sent this
        self.can_go_on = False
        self.unreadable = 0  # units
        self._muxer = Muxer()
        self._bodies: tuple[bytes, bytes] | None = None  # of the headers in force

    def configure(self, config: Config) -> None:
        """Another configuration from the next tag on."""
        video, audio = config.video, config.audio
        if video is None and audio is None:
            return
        bodies = (
            video.body if video is not None else b"",
            audio.body if audio is not None else b"",
        )
        if bodies == self._bodies:
            return
        self._bodies = bodies
        try:
            self._muxer.configure(_pictures_of(video), _sound_of(audio))
        except ProtocolError as error:
            self.problem = str(error)

    def append(self, tags: Sequence[Tag]) -> list[Piece]:
        """Take the next tags; the pieces of them, one from each keyframe on."""
        found: list[Piece] = []
        parts: list[bytes] = []
        taken: list[Tag] = []
        for tag in tags:
            if tag.is_key and taken:
                found.append(_piece(parts, taken))
                parts, taken = [], []
            if made := self._packets(tag):
                parts += made
                taken.append(tag)
        if taken:
            found.append(_piece(parts, taken))
        return found

    def head(self, *, is_chunked: bool) -> bytes:
        """The answer that the stream follows."""
        return framed(ViewAnswer())

    def _packets(self, tag: Tag) -> list[bytes]:
        if self.problem:
            return []
        if tag.type == DATA:
            splice = splice_point(tag.body, tag.dts_ms)
            return self._muxer.splice(splice.section, splice.at_ms) if splice is not None else []
        try:
            unit = tag.unit()
            if isinstance(unit, VideoUnit) or (isinstance(unit, AudioUnit) and unit.data):
                begins = tag.is_key and tag.type == AUDIO  # of a rendition without pictures
                return [*(self._muxer.tables() if begins else ()), *self._muxer.add(unit)]
        except ProtocolError:
            self.unreadable += 1
        return []


def _pictures_of(header: Tag | None) -> VideoConfig | None:
    """None: there are none. Raises ProtocolError for what cannot be read."""
    if header is None:
        return None
    config = header.media_config()
    if not isinstance(config, VideoConfig):
        raise ProtocolError("there is no configuration of its pictures")
    return config


def _sound_of(header: Tag | None) -> AudioConfig | None:
    try:
        config = header.media_config() if header is not None else None
    except ProtocolError:
        return None
    return config if isinstance(config, AudioConfig) else None


def _piece(parts: list[bytes], tags: list[Tag]) -> Piece:
    pictures = sum(tag.type == VIDEO for tag in tags)
    times = [tag.dts_ms for tag in tags]
    return Piece(chunk(b"".join(parts)), b"", tags[0].is_key, min(times), max(times), pictures)
