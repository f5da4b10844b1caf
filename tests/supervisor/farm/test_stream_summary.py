"""supervisor/farm/stream_summary.py: the closing line of a stream has what everybody counted."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ipc.control_messages import PublishEnd, SessionEnd
from common.ipc.identity import Generation, StreamId, cpu_worker
from common.ipc.status_messages import (
    PublisherStatus,
    RenditionStatus,
    ServedStatus,
    TranscodeStatus,
)
from common.process.log import stream_label
from common.process.log_lines import fields_of
from supervisor.farm.stream_summary import LAST_COUNTS_S, MAX_SOURCES, Tally
from tests.kit.children import EGRESS0, INGEST0
from tests.kit.farm_rig import Rig

A = StreamId("live/a")
Fields = dict[str, object]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "tfarm.supervisor.farm.stream_summary")
    return caplog


def summaries(lines: pytest.LogCaptureFixture) -> list[Fields]:
    found = [fields_of(record) for record in lines.records]
    return [{**fields} for fields in found if fields["event"] == "stream summary"]


def publisher(rig: Rig, frames: int, **dropped: int) -> PublisherStatus:
    return replace(rig.publisher("live/a"), frames=frames, dropped=dropped)


def transcode(rig: Rig, frames: int, late: int = 0, stream: str = "live/a") -> TranscodeStatus:
    made = tuple(RenditionStatus(name, frames=frames) for name in ("720p", "480p"))
    return replace(
        rig.transcode(stream), renditions=made, dropped=late, dropped_by_renditions=2 * late
    )


def served(rig: Rig, players: int, delay_ms: float, dropped: int = 0) -> ServedStatus:
    renditions = (RenditionStatus("720p", players=players, dropped=dropped),)
    stages: dict[str, tuple[float, ...]] = {
        "total:720p": (delay_ms, 2 * delay_ms),
        "egress:720p": (1.0, 1.0),
    }
    return ServedStatus(A, rig.stream().generation, renditions, stages_ms=stages)


def dropping(dropped: int) -> tuple[RenditionStatus, ...]:
    return (RenditionStatus("720p", dropped=dropped),)


def live(rig: Rig) -> None:
    rig.publish("live/a")
    rig.beat(INGEST0, publishers=(publisher(rig, 30, late=1),))
    rig.beat(cpu_worker(0), transcodes=(transcode(rig, 28),))


def test_the_line_has_the_last_counts_of_all_children_and_is_written_once(
    rig: Rig, lines: pytest.LogCaptureFixture
) -> None:
    live(rig)
    for players, delay_ms in ((2, 80.0), (5, 100.0), (1, 90.0)):
        rig.tick(1.0)
        rig.beat(EGRESS0, served=(served(rig, players, delay_ms, dropped=4),))
    ended, last = publisher(rig, 100, late=1, broken=2), transcode(rig, 97, late=1)
    last_served = replace(served(rig, 1, 90.0, dropped=7), stages_ms={})
    generation = rig.stream().generation
    rig.say(INGEST0, PublishEnd(A, generation, "its publisher stopped (unpublish)", ended))
    assert summaries(lines) == []
    rig.say(cpu_worker(0), SessionEnd(cpu_worker(0), last))
    rig.beat(EGRESS0, served=(last_served,))  # its players are told of the end just now
    assert summaries(lines) == []
    rig.beat(EGRESS0, served_last=(replace(last_served, renditions=dropping(7)),))
    (found,) = summaries(lines)
    assert found == {
        "event": "stream summary",
        "stream": stream_label(A),
        "seconds": 3.0,
        "frames_in": 100,
        "frames_out": {"720p": 97, "480p": 97},
        "dropped": {"late": 1, "broken": 2, "worker": 1, "encoder": 2, "players": 7},
        "mean_delay_ms": {"720p": 90},
        "most_players": 5,
        "reason": "its publisher stopped (unpublish)",
    }
    assert "frames_out=720p:97,480p:97" in lines.messages[-1]
    rig.tick(LAST_COUNTS_S + 1)
    assert len(summaries(lines)) == 1


def test_who_is_gone_is_not_waited_for_longer_than_two_seconds(
    rig: Rig, lines: pytest.LogCaptureFixture
) -> None:
    live(rig)
    generation = rig.stream().generation
    rig.say(INGEST0, PublishEnd(A, generation, "reset", publisher(rig, 60)))
    rig.tick(LAST_COUNTS_S - 0.1)
    assert summaries(lines) == []
    rig.tick(0.2)
    (found,) = summaries(lines)
    assert (found["frames_in"], found["frames_out"]) == (60, {"720p": 28, "480p": 28})


def test_an_egress_whose_stream_ended_before_the_farm_knew_is_not_waited_for(
    rig: Rig, lines: pytest.LogCaptureFixture
) -> None:
    live(rig)
    rig.beat(EGRESS0, served=(served(rig, 2, 80.0, dropped=1),))
    last = replace(served(rig, 0, 80.0), renditions=dropping(3), stages_ms={})
    rig.beat(EGRESS0, served_last=(last,))
    made = transcode(rig, 97)
    rig.say(INGEST0, PublishEnd(A, last.generation, "reset", publisher(rig, 60)))
    rig.say(cpu_worker(0), SessionEnd(cpu_worker(0), made))
    assert summaries(lines) == []
    rig.beat(EGRESS0)
    (found,) = summaries(lines)
    assert found["dropped"] == {"players": 3}


def test_the_last_counts_of_a_stream_are_not_those_of_the_next_of_its_name(
    rig: Rig, lines: pytest.LogCaptureFixture
) -> None:
    live(rig)
    last = replace(served(rig, 0, 80.0), renditions=dropping(3), stages_ms={})
    rig.say(INGEST0, PublishEnd(A, last.generation, "reset", publisher(rig, 60)))
    rig.tick(LAST_COUNTS_S + 0.1)
    assert len(summaries(lines)) == 1
    live(rig)
    rig.beat(EGRESS0, served_last=(last,))
    rig.say(INGEST0, PublishEnd(A, rig.stream().generation, "reset", publisher(rig, 60)))
    rig.tick(LAST_COUNTS_S + 0.1)
    assert "players" not in str(summaries(lines)[1]["dropped"])


def test_counts_of_a_worker_before_are_added(rig: Rig, lines: pytest.LogCaptureFixture) -> None:
    live(rig)
    first = rig.stream().generation
    rig.down(cpu_worker(0))
    rig.tick(2.0)
    stream = rig.stream()
    assert stream.generation > first
    rig.beat(cpu_worker(1), transcodes=(transcode(rig, 40),))
    ended, last = publisher(rig, 70), transcode(rig, 42)
    rig.say(INGEST0, PublishEnd(A, stream.generation, "stopped", ended))
    rig.say(cpu_worker(1), SessionEnd(cpu_worker(1), last))
    (found,) = summaries(lines)
    assert found["frames_out"] == {"720p": 28 + 42, "480p": 28 + 42}


def test_a_request_that_never_published_has_no_line(
    rig: Rig, lines: pytest.LogCaptureFixture
) -> None:
    rig.publish("live/a")
    rig.say(INGEST0, PublishEnd(A, rig.stream().generation, "its publisher left"))
    rig.tick(LAST_COUNTS_S + 1)
    assert summaries(lines) == []


def test_the_next_stream_of_a_name_has_a_line_of_its_own(
    rig: Rig, lines: pytest.LogCaptureFixture
) -> None:
    for frames in (30, 50):
        live(rig)
        generation = rig.stream().generation
        rig.say(INGEST0, PublishEnd(A, generation, "stopped", publisher(rig, frames)))
    rig.farm.state.summaries.write_all("the farm ended")
    assert [found["frames_in"] for found in summaries(lines)] == [30, 50]


def test_what_is_live_when_the_farm_ends_has_its_line(
    rig: Rig, lines: pytest.LogCaptureFixture
) -> None:
    live(rig)
    rig.farm.state.summaries.write_all("the farm ended")
    (found,) = summaries(lines)
    assert (found["frames_in"], found["reason"]) == (30, "the farm ended")


Counted = st.dictionaries(st.sampled_from("abc"), st.integers(0, 50))


@given(st.lists(st.tuples(st.integers(0, MAX_SOURCES - 1), Counted)))
def test_a_tally_is_what_its_sources_counted_since_each_began(
    steps: list[tuple[int, dict[str, int]]],
) -> None:
    """A source that says less than before has begun anew."""
    tally, last, total = Tally(), dict[int, Counter[str]](), Counter[str]()
    for source, counts in steps:
        now = Counter(counts)
        before = last.get(source, Counter())
        total += now if any(now[name] < before[name] for name in before) else now - before
        last[source] = now
        tally.count(source, counts)
    assert tally.sum() == dict(+total)


def test_a_tally_of_many_sources_keeps_few_and_loses_none() -> None:
    tally = Tally()
    for generation in range(1000):
        tally.count(Generation(generation), {"720p": 3})
    assert tally.sum() == {"720p": 3000}
