"""ingest/outputs/forward_output.py"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from common.ipc.identity import Generation
from common.ipc.media_messages import StreamClosed
from common.ipc.unit_messages import KEY, UnitItem
from common.media.units import AudioCodec, AudioConfig, Data, DataUnit
from ingest.outputs.egress_output import PIGGYBACK_S
from ingest.outputs.forward_output import NOBODY, ForwardOutput
from ingest.streams.media_events import Metadata
from ingest.streams.source_gop import SourceGop
from tests.kit.children import CPU0
from tests.kit.ingest_ports import STREAM, audio_unit, config, record, video_unit

AUDIO = AudioConfig(AudioCodec.AAC, b"\x11\x90")
HEADS = ["metadata", "video-config", "audio-config"]


@dataclass
class RememberingWay:
    """A way that keeps what it took; while `full`, it takes nothing."""

    full: bool = False
    sent: list[list[UnitItem]] = field(default_factory=list)
    payloads: list[Data] = field(default_factory=list)

    def send(self, items: Sequence[UnitItem], payloads: Sequence[Data]) -> bool:
        assert len(items) == len(payloads)
        if not self.full:
            self.sent.append(list(items))
            self.payloads += payloads
        return not self.full

    def over(self, reason: str, *, is_meant: bool = False, goes_on: bool = False) -> None: ...

    def kinds(self) -> list[list[str]]:
        return [[item.kind for item in items] for items in self.sent]

    def times(self) -> list[int]:
        return [i.stamp_ms for items in self.sent for i in items if i.kind == "video"]


def made() -> tuple[ForwardOutput, RememberingWay]:
    output, way = ForwardOutput(STREAM, Generation(1), lambda: 1.0), RememberingWay()
    output.use(way)
    gop = SourceGop()
    gop.set_metadata(Metadata(b"meta"))
    gop.add(config())
    output.open_source(gop)
    output.put(AUDIO)
    return output, way


def picture(output: ForwardOutput, at_ms: int, *, key: bool = False) -> None:
    output.put(video_unit(at_ms, key=key, data=b"picture"))
    output.flush()


def test_every_keyframe_has_the_headers_in_force_before_it() -> None:
    output, way = made()
    picture(output, 0, key=True)
    picture(output, 40)
    picture(output, 80, key=True)
    assert way.kinds() == [[*HEADS, "video"], ["video"], [*HEADS, "video"]]
    assert way.payloads[:3] == [b"meta", record(), b"\x11\x90"]
    assert way.sent[0][3].flags == KEY
    output.put(AudioConfig(AudioCodec.MP3))
    picture(output, 120)
    output.put(AudioConfig(AudioCodec.MP3))  # no news
    picture(output, 160)
    assert way.kinds()[3:] == [["audio-config", "video"], ["video"]]


def test_sound_goes_with_the_next_picture_or_soon() -> None:
    output, way = made()
    picture(output, 0, key=True)
    output.put(audio_unit(10, received_s=1.0))
    output.put(DataUnit(12, b"cue", 1.0))
    output.end_read(1.0)
    assert len(way.sent) == 1
    picture(output, 40)
    assert way.kinds()[1] == ["audio", "data", "video"]
    output.put(audio_unit(50))
    output.end_read(1.0 + 2 * PIGGYBACK_S)
    assert way.kinds()[2] == ["audio"]


def test_nothing_goes_before_a_keyframe_and_a_lost_picture_is_told() -> None:
    output, way = made()
    picture(output, 0)
    output.put(audio_unit(10))
    picture(output, 40, key=True)
    assert way.kinds() == [[*HEADS, "video"]]
    assert output.dropped == 2
    output.lose()
    picture(output, 80)
    assert way.kinds()[1] == ["lost", "video"]
    output.put(audio_unit(100))
    output.close(StreamClosed(STREAM, Generation(1), "gone", 0))
    assert way.kinds()[2] == ["audio"]


def test_another_way_begins_with_a_keyframe() -> None:
    output, way = made()
    picture(output, 0, key=True)
    output.use(None)
    picture(output, 40, key=True)
    other = RememberingWay()
    output.use(other)
    picture(output, 80)
    picture(output, 120, key=True)
    assert way.times() == [0]
    assert other.kinds() == [[*HEADS, "video"]]


def test_no_process_of_this_farm_gets_the_stream_from_here() -> None:
    output, _ = made()
    assert output.follow() == []
    assert NOBODY.worker(CPU0) is None
    assert output.has_players, "those of the other host, to whom it must come at once"


@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_a_way_that_takes_nothing_gets_whole_gops_alone(fulls: list[bool]) -> None:
    output, way = made()
    for number, full in enumerate(fulls):
        way.full = full
        picture(output, number, key=number % 5 == 0)
    times = way.times()
    for before, now in zip([-1, *times], times, strict=False):
        assert now == before + 1 or now % 5 == 0
