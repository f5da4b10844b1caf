"""supervisor/farm/stream.py: what follows from what is known of a stream."""

from fractions import Fraction

import pytest

from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS
from common.ipc.identity import Generation
from common.ipc.status_messages import TranscodeStatus
from supervisor.farm.recovery.overload import DegradationLevel
from supervisor.farm.stream import NO_INGEST, Stream
from supervisor.farm.stream_states import StreamState
from tests.kit.children import dedicated
from tests.kit.farm_streams import phase_of, stream_in

GPU = "GPU-00000000-0000-0000-0000-000000000001"
HD = SourceFormat(1280, 720, fps=Fraction(30))
SD = SourceFormat(854, 480, fps=Fraction(30))
CODEC = "avc1.64001f"


@pytest.fixture
def stream() -> Stream:
    return stream_in(StreamState.LIVE)


def test_the_renditions_are_the_templates_until_the_source_is_known(stream: Stream) -> None:
    assert stream.renditions() == tuple(rendition.name for rendition in DEFAULT_RENDITIONS)
    stream.learn_format(SD, CODEC, 100.0)
    assert "720p" not in stream.renditions()
    assert "480p" in stream.renditions()


def test_neither_what_an_overload_took_nor_what_fails_is_a_rendition(stream: Stream) -> None:
    stream.learn_format(HD, CODEC, 100.0)
    first, *others = stream.renditions()
    stream.degrade(DegradationLevel.NO_TOP_RENDITION, "")
    assert stream.renditions() == tuple(others)
    stream.lose_renditions(frozenset({others[0]}))
    assert stream.renditions() == tuple(others[1:])
    stream.degrade(DegradationLevel.FULL, "")
    assert stream.renditions() == (first, *others[1:])


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
    stream.last_transcode, stream.phase = told, phase_of(state)
    assert stream.transcode is (told if is_there else None)


def test_a_session_that_ended_with_its_ingest_has_no_word_any_more(stream: Stream) -> None:
    stream.last_transcode = TranscodeStatus(stream.stream_id, Generation(3), 1, 1, 0.0, 0, ())
    assert stream.transcode is not None
    stream.lose_ingest(100.0)
    assert stream.ingest == NO_INGEST
    assert stream.transcode is None


def test_one_that_is_alone_on_a_worker_of_its_own_has_no_other_way(stream: Stream) -> None:
    assert stream.policy() == stream.template.policy
    stream.dedicated_worker = dedicated(1)
    assert stream.policy() == (Pipeline.SOFTWARE,)
    stream.dedicated_worker, stream.template = None, Template("live", ())
    assert stream.policy() == (Pipeline.PASSTHROUGH,)
