"""What tests of ingest put around a stream: ports that remember, H.264 and AAC to send.

The pictures are slices of nothing: ingest never looks into one.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from common.codecs.aac import AudioSpecificConfig
from common.codecs.h264 import AvcConfig, parse_config
from common.config.ladder import Rendition, Template
from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.control_messages import Placement
from common.ipc.identity import BootId, ChildId, Generation, StreamId
from common.ipc.media_messages import RenditionVideo, Tags
from common.media.units import AudioCodec, AudioUnit, Data, VideoCodec, VideoConfig, VideoUnit
from common.rtmp.events import AudioReceived, VideoReceived
from tests.kit.children import CPU0, EGRESS0

SOURCE_VIDEO = RenditionVideo("h264", 1920, 1080, 0, 25)  # what `config()` says

T = TypeVar("T")

STREAM = StreamId("live/cam")
EGRESS = EGRESS0
WORKER = CPU0
TEMPLATE = Template("live", (Rendition("360p", 640, 360, 700_000),), hold_ms=10_000)
ANSWER = Placement(1, STREAM, Generation(1), TEMPLATE, WORKER, ("360p",), "a test")

# libx264, High, 25 fps in the VUI; 1920x1080 and 1280x720
SPS_1080 = bytes.fromhex("67640028acb200f0044fcb080000030008000003019078c19240")
SPS_720 = bytes.fromhex("6764001facb200a00b7420000003002000000641e30649")
PPS = bytes.fromhex("68ebc3cb22c0")
ASC = AudioSpecificConfig(2, 48000, 2, 2).encode()


def record(sps: bytes = SPS_1080) -> bytes:
    """The AVCDecoderConfigurationRecord of a stream."""
    return AvcConfig.from_parameter_sets([sps], [PPS]).encode()


def config(sps: bytes = SPS_1080) -> VideoConfig:
    return parse_config(record(sps))


def video_unit(
    dts_ms: int,
    *,
    key: bool = False,
    idr: bool | None = None,
    composition_ms: int = 0,
    data: Data = bytes(10),
    received_s: float = 1.0,
    discontinuity: bool = False,
) -> VideoUnit:
    """An H.264 picture; a keyframe is an IDR picture unless `idr` says otherwise."""
    return VideoUnit(
        VideoCodec.H264,
        0,
        dts_ms,
        composition_ms,
        key,
        data,
        received_s,
        key if idr is None else idr,
        discontinuity,
    )


def audio_unit(
    dts_ms: int,
    data: bytes = b"sound",
    received_s: float = 1.0,
    *,
    codec: AudioCodec = AudioCodec.AAC,
    discontinuity: bool = False,
) -> AudioUnit:
    """A frame of sound."""
    return AudioUnit(codec, 0, dts_ms, data, received_s, discontinuity)


def header(sps: bytes = SPS_1080) -> VideoReceived:
    return VideoReceived(0, avc_sequence_header(record(sps)))


def picture(
    at_ms: int, *, key: bool = False, size: int = 20, composition_ms: int = 0
) -> VideoReceived:
    nal = (b"\x65" if key else b"\x41") + b"\x88" * (size - 1)
    data = len(nal).to_bytes(4, "big") + nal
    return VideoReceived(at_ms, avc_nalus(data, composition_ms, key))


def sound_header() -> AudioReceived:
    return AudioReceived(0, aac_sequence_header(ASC))


def sound(at_ms: int) -> AudioReceived:
    return AudioReceived(at_ms, aac_frame(b"\x21" + bytes(9)))


@dataclass(eq=False)
class RememberingPort:
    """A port that keeps what it took; while `full`, it takes nothing."""

    child: ChildId
    boot_id: BootId = field(default_factory=lambda: BootId("boot"))
    full: bool = False
    sent: list[tuple[Any, tuple[Data, ...]]] = field(default_factory=list)
    lazy: list[Any] = field(default_factory=list)  # those of `sent` that may come later
    watched: set[str] = field(default_factory=set)
    order: list[ChildId] = field(default_factory=list)  # whose turn it was; several may share it

    def send(self, message: object, payloads: Sequence[Data] = ()) -> bool:
        if self.full:
            return False
        self.sent.append((message, tuple(payloads)))
        self.order.append(self.child)
        return True

    def send_batched(self, message: object, payloads: Sequence[Data] = ()) -> bool:
        if not self.send(message, payloads):
            return False
        self.lazy.append(message)
        return True

    def has_players(self, stream_id: StreamId, rendition: str) -> bool:
        return rendition in self.watched

    def demanded(self, stream_id: StreamId) -> set[str]:
        return self.watched - {""}

    def of(self, kind: type[T]) -> list[T]:
        return [message for message, _ in self.sent if isinstance(message, kind)]

    def kinds(self) -> list[str]:
        return [type(message).__name__ for message, _ in self.sent]

    def numbers(self, rendition: str) -> list[int]:
        """The numbers of all tags of a rendition."""
        return [
            message.first_number + i
            for message in self.of(Tags)
            if message.rendition == rendition
            for i in range(len(message.tags))
        ]


class FakePeers:
    """Whatever workers and egresses a test wants."""

    def __init__(self) -> None:
        self.workers = {WORKER: RememberingPort(WORKER)}
        self.running = [RememberingPort(EGRESS)]
        self.unwanted: list[RememberingPort] = []
        self.without_source: list[ChildId] = []

    def worker(self, child: ChildId) -> RememberingPort | None:
        return self.workers.get(child)

    def egresses(self) -> Sequence[RememberingPort]:
        return tuple(self.running)

    def one_write_each(self) -> AbstractContextManager[None]:
        return nullcontext()

    def subscribed(self, stream_id: StreamId) -> Sequence[RememberingPort]:
        return tuple(port for port in self.running if port not in self.unwanted)

    def takes(self, stream_id: StreamId, child: ChildId, rendition: str) -> bool:
        return child not in self.without_source
