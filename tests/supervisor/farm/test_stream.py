"""supervisor/farm/stream.py: what follows from what is known of a stream."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS
from common.ipc.control_messages import TranscodeStatus
from common.ipc.identity import Generation, StreamId, gpu_worker
from supervisor.farm.overload import DegradationLevel
from supervisor.farm.stream import NO_INGEST, Stream, StreamState
from tests.kit.children import INGEST0, dedicated

GPU = "GPU-00000000-0000-0000-0000-000000000001"
HD = SourceFormat(1280, 720, fps=Fraction(30))
SD = SourceFormat(854, 480, fps=Fraction(30))
CODEC = "avc1.64001f"


@pytest.fixture
def stream() -> Stream:
    return Stream(
        StreamId("live/cam"),
        Template("live", DEFAULT_RENDITIONS),
        Generation(3),
        INGEST0,
        "192.0.2.1:5000",
        StreamState.LIVE,
        100.0,
        "",
    )


def test_the_renditions_are_the_templates_until_the_source_is_known(stream: Stream) -> None:
    assert stream.renditions() == tuple(rendition.name for rendition in DEFAULT_RENDITIONS)
    stream.format_known(SD, CODEC, 100.0)
    assert "720p" not in stream.renditions()
    assert "480p" in stream.renditions()


def test_neither_what_an_overload_took_nor_what_fails_is_a_rendition(stream: Stream) -> None:
    stream.format_known(HD, CODEC, 100.0)
    first, *others = stream.renditions()
    stream.level = DegradationLevel.NO_TOP_RENDITION
    assert stream.renditions() == tuple(others)
    stream.lost_renditions = frozenset({others[0]})
    assert stream.renditions() == tuple(others[1:])
    stream.level = DegradationLevel.FULL
    assert stream.renditions() == (first, *others[1:])


def test_what_a_device_refused_holds_for_its_workers_and_what_a_worker_did_for_that_one(
    stream: Stream,
) -> None:
    first, second = gpu_worker(GPU), gpu_worker(GPU, 1)
    stream.unfit_devices[str(second)] = "failed"
    assert (stream.why_unfit(first), stream.why_unfit(second)) == ("", "failed")
    assert stream.why_refused(second) == ""
    stream.unfit_devices[GPU] = "4:2:2"
    assert stream.why_unfit(first) == stream.why_refused(second) == "4:2:2"


def test_another_coding_gives_refused_devices_another_try_but_not_for_ever(stream: Stream) -> None:
    stream.format_known(HD, CODEC, 100.0)
    tries = []
    for turn in range(20):
        stream.unfit_devices[GPU] = "no"
        tries.append(stream.format_known((SD, HD)[turn % 2], CODEC, 101.0 + turn / 10))
    assert tries[:5] == [True] * 5
    assert tries[5:] == [False] * 15
    stream.unfit_devices.clear()
    stream.unfit_devices[GPU] = "no"
    same = replace(HD, fps=Fraction(25))
    stream.format_known(HD, CODEC, 300.0)
    stream.unfit_devices[GPU] = "no"
    assert not stream.format_known(same, CODEC, 400.0), "coded as before"


@pytest.mark.parametrize(
    ("generation", "state", "is_there"),
    [
        (3, StreamState.LIVE, True),
        (2, StreamState.LIVE, False),
        (3, StreamState.WAITING, False),
        (3, StreamState.SOURCE_ONLY, False),
    ],
)
def test_a_workers_word_holds_for_its_own_placement(
    stream: Stream, generation: int, state: StreamState, is_there: bool
) -> None:
    told = TranscodeStatus(stream.stream_id, Generation(generation), 1, 1, 0.0, 0, ())
    stream.last_transcode, stream.state = told, state
    assert stream.transcode is (told if is_there else None)


def test_a_session_that_ended_with_its_ingest_has_no_word_any_more(stream: Stream) -> None:
    stream.last_transcode = TranscodeStatus(stream.stream_id, Generation(3), 1, 1, 0.0, 0, ())
    assert stream.transcode is not None
    stream.ingest = NO_INGEST
    assert stream.transcode is None


def test_one_that_is_alone_on_a_worker_of_its_own_has_no_other_way(stream: Stream) -> None:
    assert stream.policy() == stream.template.policy
    stream.dedicated_worker = dedicated(1)
    assert stream.policy() == (Pipeline.SOFTWARE,)
    stream.dedicated_worker, stream.template = None, Template("live", ())
    assert stream.policy() == (Pipeline.PASSTHROUGH,)
