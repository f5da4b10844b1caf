"""worker/audio/levels.py: every stream's levels, and what is told of them."""

from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.tag import TagType
from common.ipc.identity import StreamId
from common.ipc.media_messages import TagHeader
from tests.kit.ingest_ports import ASC
from worker.audio.level_rules import LevelFigures
from worker.audio.levels import LOST_S, Levels

A, B = StreamId("live/a"), StreamId("live/b")
LOUD, SILENT = LevelFigures(-6, -6, -18), LevelFigures(-120, -120, -120)


def sound(levels: Levels, stream: StreamId, from_s: float, until_s: float) -> int:
    """How many samples are to be measured."""
    count, audio = 0, int(TagType.AUDIO)
    levels.take(stream, [TagHeader(audio, "aac", 0, 0, 0, 0)], [aac_sequence_header(ASC)], from_s)
    for ms in range(round(from_s * 1000), round(until_s * 1000), 20):
        header = TagHeader(audio, "aac", ms, 0, 0, ms / 1000)
        count += levels.take(stream, [header], [aac_frame(b"x")], ms / 1000) is not None
    return count


def test_the_streams_that_are_asked_for_are_sampled_and_no_others():
    levels = Levels()
    levels.follow([A], 0.0)
    assert (len(levels), list(levels)) == (1, [A])
    assert sound(levels, A, 0, 11) == 2
    assert sound(levels, B, 0, 11) == 0
    levels.follow([B], 11.0)
    assert list(levels) == [B]
    assert levels.measured(A, LOUD, 11.0) == []


def test_silence_begins_and_ends():
    levels = Levels()
    levels.follow([A], 0.0)
    assert levels.status(0.0, 1000.0) == ()
    levels.measured(A, LOUD, 5.0)
    (status,) = levels.status(5.0, 1005.0)
    assert (status.stream_id, status.peak_dbfs, status.rms_dbfs) == (A, -6, -18)
    changes = [change for at in (10, 15, 20) for change in levels.measured(A, SILENT, float(at))]
    assert [(change.code, change.begins) for change in changes] == [("silence", True)]
    (status,) = levels.status(20.0, 1020.0)
    assert [notice.code for notice in status.notices] == ["silence"]
    assert "silent for 15 s" in status.notices[0].words
    changes = [change for at in (25, 30, 35) for change in levels.measured(A, LOUD, float(at))]
    assert [(change.code, change.begins) for change in changes] == [("silence", False)]


def test_a_stream_that_is_silent_from_its_start_is_silent():
    levels = Levels()
    levels.follow([A], 0.0)
    codes = [c.code for at in (2, 7, 12) for c in levels.measured(A, SILENT, float(at))]
    assert codes == ["silence"]


def test_of_sound_that_comes_no_more_nothing_is_told():
    levels = Levels()
    levels.follow([A], 0.0)
    sound(levels, A, 0, 1)
    levels.measured(A, SILENT, 1.0)
    levels.measured(A, SILENT, 12.0)
    assert levels.status(12.0, 0)[0].notices
    levels.tick(0.9 + LOST_S)
    assert levels.status(12.0, 0)
    levels.tick(1.1 + LOST_S)
    assert levels.status(17.0, 0) == ()
