"""Streams' sound in other forms, each made once for all who listen to it here. Pure.

Every rendition brings the same sound; what came already is dropped. Frames go to a process that may
decode them (`worker/sound/`), packets come back with their times in samples. Of these the last ones
are kept: who comes later begins with the GOP, as his pictures do.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final, NamedTuple

from common.codecs.opus import RATE
from common.errors import ProtocolError
from common.ipc.identity import StreamId
from common.ipc.sound_messages import SOURCES, SoundFrames, SoundPackets
from common.media.gop_buffer import MAX_GOP_MS
from common.media.units import AudioCodec, AudioConfig, AudioUnit
from egress.streams.tag import Tag

log = logging.getLogger("tfarm.egress.sound.coded")

MAX_FRAMES: Final = 100  # a message: their packets have to fit into one, too
MAX_MESSAGE_BYTES: Final = 48 * 1024
MAX_KEPT_BYTES: Final = 1024 * 1024
PER_MS: Final = RATE // 1000


class CodedPacket(NamedTuple):
    """One packet of a form."""

    time: int  # stream time, in samples of 48 kHz
    data: bytes


Encode = Callable[[SoundFrames], object]
Listener = Callable[[Sequence[CodedPacket]], object]


class CodedSound:
    """One stream's sound in one form."""

    def __init__(self, label: str, form: AudioCodec, encode: Encode) -> None:
        """`label` tells it apart from all others that there ever were in this process."""
        self.form = form
        self.label = label
        self.problem = ""  # why there is none
        self.listeners: list[Listener] = []
        self._encode = encode
        self._last_ms: int | None = None
        self._header = b""
        self._record = b""
        self._kept: deque[CodedPacket] = deque()
        self._kept_bytes = 0

    def take(self, header: Tag | None, tags: Sequence[Tag]) -> None:
        """Take sound as a rendition brings it; `header` is in force for all of these."""
        frames: list[tuple[int, bytes]] = []
        codec, size = "", 0
        for tag in tags:
            if self._last_ms is not None and tag.dts_ms <= self._last_ms:
                continue
            self._last_ms = tag.dts_ms
            data = self._data_of(tag)
            if not data:
                continue
            is_full = len(frames) >= MAX_FRAMES or size + len(data) > MAX_MESSAGE_BYTES
            if frames and (is_full or tag.codec != codec):
                self._send(codec, header, frames)
                frames, size = [], 0
            codec, size = tag.codec, size + len(data)
            frames.append((tag.dts_ms, data))
        if frames:
            self._send(codec, header, frames)

    def came(self, packets: Sequence[CodedPacket]) -> None:
        """Give packets to all who listen, and keep them; one who fails hears no more."""
        self._kept.extend(packets)
        self._kept_bytes += sum(len(packet.data) for packet in packets)
        newest = packets[-1].time if packets else 0
        while self._kept and (
            newest - self._kept[0].time > MAX_GOP_MS * PER_MS or self._kept_bytes > MAX_KEPT_BYTES
        ):
            self._kept_bytes -= len(self._kept.popleft().data)
        for listener in tuple(self.listeners):
            try:
                listener(packets)
            except Exception:
                log.exception("a listener to sound failed form=%s", self.form)
                self.listeners.remove(listener)

    def since(self, time_ms: int) -> list[CodedPacket]:
        """What is kept from this time on."""
        return [packet for packet in self._kept if packet.time >= time_ms * PER_MS]

    def _data_of(self, tag: Tag) -> bytes:
        """The coded frame in a tag; empty: there is none that can be coded anew."""
        try:
            unit = tag.unit()
        except ProtocolError:
            return b""
        if not isinstance(unit, AudioUnit):
            return b""
        if unit.codec not in SOURCES:
            self.problem = f"{unit.codec.label} is not coded anew"
            return b""
        # FLV's first byte is no part of MP3
        return bytes(unit.data[1:] if unit.codec is AudioCodec.MP3 else unit.data)

    def _send(self, codec: str, header: Tag | None, frames: Sequence[tuple[int, bytes]]) -> None:
        record = b""
        if codec != AudioCodec.MP3:
            record = (
                self._record_of(header) if header is not None and header.codec == codec else b""
            )
            if not record:
                return  # it cannot be decoded yet
        times, data = zip(*frames, strict=True)
        self._encode(SoundFrames(self.label, codec, record, times, data, self.form))

    def _record_of(self, header: Tag) -> bytes:
        if header.body != self._header:
            self._header, self._record = header.body, b""
            try:
                config = header.media_config()
            except ProtocolError:
                return b""
            if isinstance(config, AudioConfig):
                self._record = config.record
        return self._record


class SoundForms:
    """Those of all streams of one process."""

    def __init__(self, encode: Encode) -> None:
        """`encode` has frames coded, by whoever can just now."""
        self._encode = encode
        self._numbers = count()
        self._forms: dict[tuple[StreamId, AudioCodec], CodedSound] = {}
        self._by_label: dict[str, CodedSound] = {}

    def __len__(self) -> int:
        return len(self._forms)

    def listen(self, stream: StreamId, form: AudioCodec, listener: Listener) -> CodedSound:
        """Listen to a stream's sound in a form, which is made as long as anybody does."""
        coded = self._forms.get((stream, form))
        if coded is None:
            coded = CodedSound(str(next(self._numbers)), form, self._encode)
            self._forms[stream, form] = self._by_label[coded.label] = coded
        coded.listeners.append(listener)
        return coded

    def leave(self, coded: CodedSound, listener: Listener) -> None:
        """Listen no more."""
        if listener in coded.listeners:
            coded.listeners.remove(listener)
        if not coded.listeners:
            self._by_label.pop(coded.label, None)
            for key, found in tuple(self._forms.items()):
                if found is coded:
                    del self._forms[key]

    def came(self, message: SoundPackets) -> None:
        """Take what has become of frames."""
        coded = self._by_label.get(message.stream)
        if coded is not None:
            pairs = zip(message.times, message.packets, strict=False)
            coded.came([CodedPacket(time, data) for time, data in pairs])
