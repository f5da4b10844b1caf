"""A rendition for a subscriber that cannot carry all sound: what it cannot comes in a form. Pure.

It stands between a rendition and a subscriber. Pictures, data and sound that is carried pass as
they are. In place of other sound, and of its header, come those of AAC or Opus, a little later than
their pictures: nothing waits for them. No packet is before the sound that it is made of.
"""

from collections import deque
from collections.abc import Sequence, Set
from typing import Final

from common.ipc.identity import StreamId
from common.ipc.sound_messages import RECORDS, SOURCES
from common.media.units import FLV_ONLY, AudioCodec, AudioConfig, AudioUnit
from egress.sound.coded import PER_MS, CodedPacket, CodedSound, SoundForms
from egress.streams.subscribers import Subscriber
from egress.streams.tag import AUDIO, Config, PublisherInfo, Tag, sound_header, sound_tag

# What every player of FLV can be given.
CLASSIC: Final[frozenset[str]] = FLV_ONLY | {AudioCodec.AAC}
WITH_OPUS: Final[frozenset[str]] = CLASSIC | {AudioCodec.OPUS}
# What fragmented MP4 has here, and browsers play.
FMP4: Final[frozenset[str]] = frozenset({AudioCodec.AAC, AudioCodec.OPUS})


def carried(
    inner: Subscriber, stream: StreamId, carries: Set[str], forms: SoundForms | None
) -> "Subscriber | CarriedSound":
    """What subscribes for `inner`; without anybody who codes `inner` itself, with all sound."""
    return inner if forms is None else CarriedSound(inner, stream, carries, forms)


class CarriedSound:
    """A `Subscriber` in front of another."""

    def __init__(
        self, inner: Subscriber, stream: StreamId, carries: Set[str], forms: SoundForms
    ) -> None:
        """`carries`: the codecs of sound that `inner` takes, AAC or Opus among them."""
        self._inner = inner
        self._stream = stream
        self._carries = carries
        self._forms = forms
        self._form = AudioCodec.AAC if AudioCodec.AAC in carries else AudioCodec.OPUS
        self._coded: CodedSound | None = None
        self._begin_ms = 0  # of the sound that is coded
        self._starts: deque[int] = deque()  # times of what one can begin with, of sound alone
        self._config = Config()  # as it comes
        self._made_of: Tag | None = None  # the header that `_made` stands for
        self._made: Tag | None = None
        # what has no header may come at any time, where it is not carried
        self._looks = not carries >= FLV_ONLY

    def close(self) -> None:
        """Nobody subscribes any more."""
        if self._coded is not None:
            self._forms.leave(self._coded, self._on_packets)
            self._coded = self._made = None
            self._starts.clear()

    # ---- the subscriber -----------------------------------------------------------------------

    def on_config(self, config: Config, /) -> None:
        self._config = config
        header = config.audio
        if header is None:
            # Sound that has no header goes on, if there is any.
            header = self._made_of if self._coded is not None else None
        elif not self._is_other(header.codec):
            self.close()
            header = None
        self._inner.on_config(config if header is None else self._replaced(config, header))

    def on_units(self, tags: Sequence[Tag], /) -> None:
        header = self._config.audio
        if not self._looks and (header is None or not self._is_other(header.codec)):
            self._inner.on_units(tags)
            return
        other = [tag for tag in tags if tag.type == AUDIO and self._is_other(tag.codec)]
        if not other:
            self._inner.on_units(tags)
            return
        kept = [tag for tag in tags if tag.type != AUDIO or not self._is_other(tag.codec)]
        if self._coded is None and header is None:
            self._inner.on_config(self._replaced(self._config, other[0]))
        if kept:
            self._inner.on_units(kept)
        self._starts.extend(tag.dts_ms for tag in other if tag.is_key)
        coded = self._coded
        if coded is None:
            self._begin_ms = other[0].dts_ms
            coded = self._coded = self._forms.listen(self._stream, self._form, self._on_packets)
            if before := coded.since(self._begin_ms):
                self._on_packets(before)
        coded.take(header, other)

    def on_end(self, reason: str, /) -> None:
        self.close()
        self._inner.on_end(reason)

    # ---- inside -------------------------------------------------------------------------------

    def _is_other(self, codec: str) -> bool:
        """Whether sound of a codec comes in a form; what nobody can decode stays as it is."""
        return codec not in self._carries and codec in SOURCES

    def _replaced(self, config: Config, header: Tag) -> Config:
        if self._made is None or header is not self._made_of:
            self._made_of = header
            made = AudioConfig(self._form, RECORDS[self._form])
            self._made = sound_header(made, header.dts_ms)
        script = config.script.body if config.script is not None else b""
        publisher = config.publisher or PublisherInfo(script)
        publisher = publisher._replace(audio_header=self._made.body, audio_codec=self._form)
        return config._replace(audio=self._made, publisher=publisher)

    def _on_packets(self, packets: Sequence[CodedPacket]) -> None:
        tags = []
        for time, data in packets:
            dts_ms = round(time / PER_MS)
            if dts_ms < self._begin_ms:
                continue
            is_start = False
            while self._starts and self._starts[0] <= dts_ms:
                self._starts.popleft()
                is_start = True
            unit = AudioUnit(self._form, 0, dts_ms, data, 0.0)
            tags.append(sound_tag(unit, is_key=is_start))
        if tags:
            self._inner.on_units(tags)
