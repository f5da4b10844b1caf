"""The figures for metrics: they say what the status document says."""

from dataclasses import replace

import pytest

from common.ipc.figures import FarmFigures
from common.ipc.identity import BootId
from common.ipc.status_messages import RenditionStatus, ServedStatus
from common.process.stage_times import DELAY_BOUNDS_S, DelayCounts
from supervisor.commands.status.document import snapshot
from supervisor.commands.status.figures import STAGES, figures
from tests.kit.children import CPU0, EGRESS0, EGRESS1, INGEST0
from tests.kit.farm_figures import figures_of
from tests.kit.farm_rig import Rig
from tests.supervisor.commands.status.test_document import facts, streaming

WHOLE = DelayCounts((1,) * (len(DELAY_BOUNDS_S) + 1), 0.5)


def found(rig: Rig) -> FarmFigures:
    child_facts = facts(rig)
    names = list(rig.farm.state.children)
    child = child_facts.children[0]
    return figures(
        replace(child_facts, children=[replace(child, name=name) for name in names]), rig.farm
    )


def without_counting(them: FarmFigures) -> FarmFigures:
    """Without what documents do not have, and names by which they have it."""
    streams = [
        stream._replace(
            received=stream.received and stream.received._replace(since=""),
            made=stream.made and stream.made._replace(since=""),
            queue_ms=round(stream.queue_ms, 1),
            served=[],
            renditions=[one._replace(delays_ms=list(one.delays_ms)) for one in stream.renditions],
        )
        for stream in them.streams
    ]
    children = [child._replace(since="", delays=()) for child in them.children]
    return them._replace(streams=streams, children=children)


@pytest.mark.parametrize("has_streams", [False, True])
def test_they_say_what_the_status_document_says(rig: Rig, has_streams: bool) -> None:
    if has_streams:
        streaming(rig)
        stages = {"ingest": (1.0, 2.0), "total:480p": (5.0, 9.0)}
        publisher = rig.publisher(stages_ms=stages, dropped={"worker": 3}, bytes=77, av_skew_ms=4.5)
        rig.beat(INGEST0, publishers=(publisher,))
    shown = snapshot(facts(rig), rig.farm)
    mine = without_counting(figures(facts(rig), rig.farm))
    assert mine == without_counting(figures_of(shown))


def test_each_egress_counts_for_itself(rig: Rig) -> None:
    streaming(rig)
    stream = rig.stream()
    rig.up(EGRESS1)
    for egress, sent in ((EGRESS0, 100), (EGRESS1, 10)):
        served = (RenditionStatus("480p", dropped=1, sent_bytes=sent),)
        rig.beat(egress, served=(ServedStatus(stream.stream_id, stream.generation, served),))
    (figured,) = found(rig).streams
    assert {(one.since.partition("/")[0], one.sent_bytes) for one in figured.served} == {
        (str(EGRESS0), 100),
        (str(EGRESS1), 10),
    }


def test_delays_are_kept_until_the_next_ones_come(rig: Rig) -> None:
    rig.beat(CPU0, delays={"encode:480p": WHOLE, "decode": WHOLE})
    rig.beat(CPU0)
    (child,) = [child for child in found(rig).children if child.name == str(CPU0)]
    assert [(one.stage, one.rendition) for one in child.delays] == [
        ("encode", "480p"),
        ("decode", ""),
    ]
    assert child.delays[0].counts == WHOLE.counts


@pytest.mark.parametrize(
    ("stage", "delay"),
    [
        ("evil", WHOLE),
        ('encode:"} 1\nevil', WHOLE),
        ("encode:1080p", WHOLE),
        ("encode", DelayCounts((1,), 0.5)),
        ("", WHOLE),
    ],
)
def test_a_worker_can_make_up_no_series(rig: Rig, stage: str, delay: DelayCounts) -> None:
    rig.beat(CPU0, delays={stage: delay})
    assert not any(child.delays for child in found(rig).children)


def test_a_worker_makes_up_no_stage_of_the_slowest_either(rig: Rig) -> None:
    placed = rig.publish()
    rig.beat(placed.worker, transcodes=(rig.transcode(stages_ms={"evil": (1.0, 2.0)}),))
    assert set(found(rig).stages_ms) <= STAGES


def test_a_child_that_says_hello_again_keeps_its_delays(rig: Rig) -> None:
    rig.beat(CPU0, delays={"decode": WHOLE})
    hello = rig.farm.state.children[CPU0].hello
    rig.farm.child_up(hello, rig.now)
    assert rig.farm.state.children[CPU0].delays
    rig.farm.child_up(replace(hello, boot_id=BootId("f" * 16)), rig.now)
    assert not rig.farm.state.children[CPU0].delays
