"""ingest/streams/source_format.py: the formats reported of a stream, and the answers."""

from dataclasses import replace
from fractions import Fraction

from common.codecs.h264 import AvcConfig
from common.codecs.table import codec_string
from common.config.ladder import SourceFormat
from common.flv import amf0
from common.flv.video import video_header_body
from common.ipc.control_messages import SourceEstimate, SourceFormatReport
from common.ipc.identity import Generation
from common.ipc.media_messages import (
    StreamStart,
)
from ingest.streams.media_events import Metadata
from ingest.streams.source_format import ASK_AGAIN_S
from tests.kit.ingest_ports import (
    ANSWER,
    SPS_720,
    SPS_1080,
    config,
)
from tests.kit.stream_rig import StreamRig


def test_a_rate_that_only_the_metadata_states_is_believed() -> None:
    around = StreamRig()
    metadata = amf0.encode("onMetaData") + amf0.encode_ecma_array({"framerate": 50.0})
    around.stream.media.metadata(Metadata(metadata, Fraction(50)))
    silent = config()
    around.stream.configure(replace(silent, fps=None), 100.0)
    assert around.asked.format.fps == 50


def test_a_rate_measured_otherwise_is_told_again() -> None:
    around = StreamRig().live()
    for step in range(2, 200):
        around.put(step * 20)  # 50 frames a second where 25 are declared
    formats = [m.format.fps for m in around.told if isinstance(m, SourceFormatReport)]
    assert formats == [25, 50]


def test_a_rate_that_sinks_for_a_while_keeps_the_room_that_the_stream_has() -> None:
    around = StreamRig().live()
    at_ms = 40
    for pause_ms in (0, 5_000, 0):  # a still screen, an encoder that pauses
        at_ms += pause_ms
        for _ in range(80):
            at_ms += 40
            around.put(at_ms)
    for _ in range(20):
        at_ms += 400
        around.put(at_ms)
    formats = [m.format.fps for m in around.told if isinstance(m, SourceFormatReport)]
    assert formats == [25]


def test_a_rate_that_was_declared_too_high_is_told_once_it_is_measured() -> None:
    around = StreamRig()
    metadata = amf0.encode("onMetaData") + amf0.encode_ecma_array({"framerate": 60.0})
    around.stream.media.metadata(Metadata(metadata, Fraction(60)))
    silent = config()
    around.stream.configure(replace(silent, fps=None), 100.0)
    for step in range(100):
        around.put(step * 40, key=step == 0)
    formats = [m.format.fps for m in around.told if isinstance(m, SourceFormatReport)]
    assert formats == [60, 25]
    around.stream.leave("gone", 110.0)
    around.stream.arrive("192.0.2.1:5001", 111.0)
    for step in range(40):
        around.put(20_000 + step * 100, key=step == 0, at_s=112 + step / 10)
    formats = [m.format.fps for m in around.told if isinstance(m, SourceFormatReport)]
    assert formats == [60, 25, 10], "another publisher"


def test_a_rate_that_was_measured_stands_while_other_parameter_sets_declare_the_same() -> None:
    around = StreamRig()
    faster, smaller = (replace(config(sps), fps=Fraction(60)) for sps in (SPS_1080, SPS_720))
    around.stream.configure(faster, 100.0)
    for step in range(100):
        around.put(step * 40, key=step == 0)
    around.stream.configure(smaller, 104.0)
    for step in range(100, 200):
        around.put(step * 40, key=step == 100)
    formats = [
        (m.format.height, m.format.fps) for m in around.told if isinstance(m, SourceFormatReport)
    ]
    assert formats == [(1080, Fraction(60)), (1080, Fraction(25)), (720, Fraction(25))]


def test_another_rate_that_is_declared_is_told_and_measured_anew() -> None:
    around = StreamRig()
    around.stream.configure(config(), 100.0)
    for step in range(80):
        around.put(step * 40, key=step == 0)
    faster = replace(config(SPS_720), fps=Fraction(60))
    around.stream.configure(faster, 103.2)
    for step in range(80, 180):
        around.put(step * 40, key=step == 80)
    formats = [
        (m.format.height, m.format.fps) for m in around.told if isinstance(m, SourceFormatReport)
    ]
    assert formats == [(1080, Fraction(25)), (720, Fraction(60)), (720, Fraction(25))]


def test_other_parameter_sets_reach_egress_worker_and_supervisor() -> None:
    around = StreamRig().live()
    around.stream.configure(config(SPS_720), 101.0)
    around.put(80, key=True)
    assert around.worker.kinds()[-2:] == ["VideoHeader", "AccessUnit"]
    assert around.egress.sent[-2][1][1] == video_header_body(config(SPS_720))
    assert (around.asked.format.width, around.asked.format.height) == (1280, 720)


def test_another_profile_of_the_same_size_is_told_to_the_supervisor_too() -> None:
    around = StreamRig().live()
    before, now = around.asked, config()
    coded = replace(now, record=replace(AvcConfig.parse(now.record), profile=110).encode())
    around.stream.configure(coded, 101.0)
    assert around.asked.format == before.format
    assert around.asked.request_id > before.request_id
    assert around.asked.codec == codec_string(coded) != before.codec


def test_only_the_answer_for_the_last_format_places_and_overtaken_ones_do_not() -> None:
    around = StreamRig()
    around.stream.configure(config(), 100.0)
    first = around.asked
    around.stream.configure(config(SPS_720), 100.0)
    around.put(0, key=True)
    around.stream.place(replace(ANSWER, request_id=first.request_id))
    assert around.worker.sent == []
    around.answer(generation=3)
    assert around.worker.of(StreamStart)[0].generation == Generation(3)
    around.stream.place(replace(ANSWER, request_id=0, generation=Generation(2)))
    assert len(around.worker.of(StreamStart)) == 1
    assert around.stream.generation == Generation(3)


def test_an_unanswered_format_is_asked_again() -> None:
    around = StreamRig()
    around.stream.configure(config(), 100.0)
    around.stream.tick(100.0 + ASK_AGAIN_S - 0.1)
    assert len(around.told) == 1
    around.stream.tick(100.0 + ASK_AGAIN_S)
    assert around.told == [around.asked, around.asked]
    around.answer()
    around.stream.tick(100.0 + 3 * ASK_AGAIN_S)
    assert len(around.told) == 2


def test_what_the_metadata_announces_is_told_once_before_the_first_parameter_sets() -> None:
    around = StreamRig()
    for width in (1280, 1920):
        around.stream.media.metadata(Metadata(b"meta", Fraction(30), (width, 720)))
    expected = SourceFormat(1280, 720, fps=Fraction(30))
    assert around.told == [SourceEstimate(ANSWER.stream_id, Generation(1), expected)]


def test_nothing_is_announced_of_a_source_that_is_known_or_says_nothing() -> None:
    around = StreamRig()
    around.stream.media.metadata(Metadata(b"meta", Fraction(30)))
    around.stream.configure(config(), 100.0)
    around.stream.media.metadata(Metadata(b"meta", Fraction(30), (1280, 720)))
    assert not any(isinstance(message, SourceEstimate) for message in around.told)
