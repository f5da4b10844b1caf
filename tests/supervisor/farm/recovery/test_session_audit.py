"""Sessions that a worker should have and has not, and the other way round."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from common.config.ladder import (
    OmittedRendition,
    Pipeline,
    RenditionFit,
    SourceFormat,
    Template,
    fit_ladder,
)
from common.config.settings import DEFAULT_RENDITIONS, Calibration, Settings, Software
from common.ipc.control_messages import (
    IngestLost,
    Placement,
    Positions,
    SwitchGeneration,
)
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.status_messages import RenditionStatus, TranscodeStatus
from common.media.clock import ClockReference
from supervisor.farm.recovery.lost_workers import POSITIONS_TIMEOUT_S
from supervisor.farm.recovery.session_audit import (
    LOST_RENDITION_BEATS,
    MISSING_BEATS,
    ORPHAN_BEATS,
    TURNED_BEATS,
)
from supervisor.farm.stream_states import StreamState
from supervisor.placement.cost import Resource
from tests.kit.children import CPU0, EGRESS0, INGEST0
from tests.kit.farm_rig import HD, SMALL, MakeRig, Rig

BEAT_S = 0.25
# As much as by pixel rate.
MEASURED = Calibration(
    device="cpu",
    template="live",
    path=Pipeline.SOFTWARE,
    source=(1920, 1080, 30),
    streams=4,
    units=100.0,
    load=100.0,
    decode=0.0,
    scale=0.0,
    encode=0.0,
    memory_bytes=0,
    cores=0.0,
)


def live(rig: Rig) -> Placement:
    """live/a is published, and had a picture."""
    placed = rig.publish("live/a", SMALL)
    status = rig.publisher("live/a", format=SMALL, frames=30)
    rig.beat(INGEST0, publishers=(status,))
    return placed


def beats(
    rig: Rig, worker: ChildId | None, count: int, *transcodes: TranscodeStatus
) -> list[object]:
    """What a worker's heartbeats bring about."""
    actions = []
    for _ in range(count):
        rig.now += BEAT_S
        actions += rig.beat(worker, transcodes=transcodes)
    return rig.messages(actions)


def test_a_session_that_its_worker_forgot_begins_anew(rig: Rig) -> None:
    before = live(rig)
    assert beats(rig, before.worker, 4, rig.transcode()) == []
    assert beats(rig, before.worker, MISSING_BEATS - 1) == []
    (switch,) = beats(rig, before.worker, 1)
    assert isinstance(switch, SwitchGeneration)
    placed = rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placement)
    assert placed.generation > before.generation
    assert placed.worker is not None
    assert rig.stream().state is StreamState.LIVE
    assert rig.stream().crashes == 0


def test_it_is_told_again_as_long_as_there_is_none(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    worker = live(rig).worker
    for _ in range(3):
        (switch,) = beats(rig, worker, MISSING_BEATS)
        assert isinstance(switch, SwitchGeneration)
        rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placement)


@pytest.mark.parametrize("last", [(), (Pipeline.REFUSE,), (Pipeline.PASSTHROUGH,)])
@pytest.mark.parametrize("why", ["behind", "full"])
def test_it_begins_anew_where_it_is_whatever_its_device_takes_otherwise(
    make_rig: MakeRig, why: str, last: tuple[Pipeline, ...]
) -> None:
    template = Template("live", DEFAULT_RENDITIONS, policy=(Pipeline.SOFTWARE, *last))
    rig = make_rig(Settings(templates=(template,)), workers=1)
    before = live(rig)
    assert before.worker is not None
    if why == "behind":
        rig.farm.state.overloaded.add(before.worker)
        rig.farm.devices.open_or_close(before.worker)
    else:
        software = Software(capacity=1.0)
        rig.farm.configure(replace(rig.farm.state.settings, software=software), rig.now)
    (switch,) = beats(rig, before.worker, MISSING_BEATS)
    assert isinstance(switch, SwitchGeneration)
    positions = Positions(switch.request_id, switch.stream_id, 9_000)
    placed = rig.only(rig.say(EGRESS0, positions), Placement)
    assert (placed.worker, placed.resume_after_ms) == (before.worker, 9_000)
    assert placed.generation > before.generation
    assert rig.stream().state is StreamState.LIVE
    assert list(rig.farm.state.fleet.allocations) == [placed.generation]


def test_it_begins_elsewhere_if_its_worker_is_lost_meanwhile(rig: Rig) -> None:
    before = live(rig)
    beats(rig, before.worker, MISSING_BEATS)
    rig.down(before.worker)
    placed = rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placement)
    assert placed.worker not in (None, before.worker)


def test_a_session_that_is_named_now_and_then_is_there(rig: Rig) -> None:
    worker = live(rig).worker
    for _ in range(4):
        assert beats(rig, worker, MISSING_BEATS - 1) == []
        assert beats(rig, worker, 1, rig.transcode()) == []


def test_heartbeats_that_waited_say_nothing_of_a_stream_placed_since(rig: Rig) -> None:
    placed = live(rig)
    rig.down(placed.worker)
    new = rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placement)
    stale = [action for _ in range(2 * MISSING_BEATS) for action in rig.beat(new.worker)]
    assert stale == []
    old = rig.transcode(generation=placed.generation)
    for _ in range(2 * ORPHAN_BEATS):  # its old session may have a cut ahead
        assert rig.beat(new.worker, transcodes=(old, rig.transcode())) == []
    assert beats(rig, new.worker, MISSING_BEATS - 4) == []
    (switch,) = beats(rig, new.worker, 4)
    assert isinstance(switch, SwitchGeneration)


def test_a_session_is_not_looked_for_before_there_was_a_picture(rig: Rig) -> None:
    worker = rig.publish("live/a", SMALL).worker
    assert beats(rig, worker, 2 * MISSING_BEATS) == []
    status = rig.publisher("live/a", format=SMALL, frames=0)
    rig.beat(INGEST0, publishers=(status,))
    assert beats(rig, worker, 2 * MISSING_BEATS) == []


def test_a_stream_whose_ingest_is_lost_has_no_session_and_needs_none(rig: Rig) -> None:
    worker = live(rig).worker
    rig.down(INGEST0)
    assert beats(rig, worker, 2 * MISSING_BEATS) == []


def test_a_session_of_no_stream_is_ended(rig: Rig) -> None:
    orphan = TranscodeStatus(StreamId("live/gone"), Generation(7), 0, 0, 0.0, 0, ())
    assert beats(rig, CPU0, ORPHAN_BEATS - 1, orphan) == []
    (message,) = beats(rig, CPU0, 1, orphan)
    assert isinstance(message, IngestLost)
    assert (message.stream_id, message.generation) == (orphan.stream_id, 7)


def test_the_end_of_a_session_of_no_stream_is_logged_and_noted(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    orphan = TranscodeStatus(StreamId("live/gone"), Generation(7), 0, 0, 0.0, 0, ())
    beats(rig, CPU0, ORPHAN_BEATS, orphan)
    (line,) = [text for text in caplog.messages if "orphan session" in text]
    assert "generation=7" in line
    assert "gone" not in line, "a stream key"
    (note,) = [note for note in rig.farm.state.history if note.stream_id == orphan.stream_id]
    assert str(CPU0) in note.text


def test_a_session_of_an_older_placement_is_ended_and_not_the_streams_own(rig: Rig) -> None:
    placed = live(rig)
    old = rig.transcode(generation=placed.generation - 1)
    messages = beats(rig, placed.worker, ORPHAN_BEATS, old, rig.transcode())
    (message,) = messages
    assert isinstance(message, IngestLost)
    assert message.generation == old.generation


def test_a_rendition_that_is_lost_is_announced_no_more_until_it_is_made_again(rig: Rig) -> None:
    placed = rig.publish("live/a")
    worker = placed.worker
    failing = rig.transcode(omitted=(OmittedRendition("480p", "no session"),))
    assert beats(rig, worker, LOST_RENDITION_BEATS - 1, failing) == []
    assert beats(rig, worker, 1, rig.transcode()) == []  # it was opened anew
    assert beats(rig, worker, LOST_RENDITION_BEATS - 1, failing) == []
    (without,) = beats(rig, worker, 1, failing)
    assert isinstance(without, Placement)
    assert (without.generation, without.renditions) == (placed.generation, ("720p", "360p"))
    assert beats(rig, worker, 3 * LOST_RENDITION_BEATS, failing) == []
    (again,) = beats(rig, worker, 1, rig.transcode())
    assert isinstance(again, Placement)
    assert again.renditions == placed.renditions == ("720p", "480p", "360p")


def test_a_rendition_that_was_lost_is_expected_of_another_worker(rig: Rig) -> None:
    placed = rig.publish("live/a")
    failing = rig.transcode(omitted=(OmittedRendition("480p", "no session"),))
    assert len(beats(rig, placed.worker, LOST_RENDITION_BEATS, failing)) == 1
    rig.down(placed.worker)
    (new,) = rig.messages(rig.tick(POSITIONS_TIMEOUT_S))
    assert new.renditions == placed.renditions


def test_a_rendition_that_does_not_fit_the_source_is_not_lost(rig: Rig) -> None:
    worker = rig.publish("live/a", SMALL).worker
    small = rig.transcode(omitted=(OmittedRendition("720p", "would enlarge"),))
    assert beats(rig, worker, 2 * LOST_RENDITION_BEATS, small) == []


RENDITIONS = tuple(RenditionStatus(name) for name in ("720p", "480p", "360p"))
LOST = (OmittedRendition("480p", "no session"),)


def adopted(make_rig: MakeRig, settings: Settings | None = None) -> Rig:
    """A stream that an earlier supervisor has placed on cpu:0."""
    rig = make_rig(settings, workers=1)
    worker = CPU0
    status = rig.publisher(generation=Generation(7), worker=worker, format=HD, frames=30)
    rig.up(INGEST0, publishers=(status,))
    return rig


def test_a_rendition_that_was_lost_under_an_earlier_supervisor_is_announced_once(
    make_rig: MakeRig,
) -> None:
    rig = adopted(make_rig)
    assert beats(rig, CPU0, 4, rig.transcode()) == []  # opening: it has no renditions yet
    (placed,) = beats(rig, CPU0, 3 * LOST_RENDITION_BEATS, rig.transcode(renditions=RENDITIONS))
    assert isinstance(placed, Placement)
    assert (placed.generation, placed.renditions) == (7, ("720p", "480p", "360p"))
    assert rig.stream().lost_renditions == frozenset()


def test_one_that_is_lost_still_is_announced_when_it_is_made_again(make_rig: MakeRig) -> None:
    rig = adopted(make_rig)
    failing = rig.transcode(renditions=RENDITIONS, omitted=LOST)
    (without,) = beats(rig, CPU0, LOST_RENDITION_BEATS // 2, failing)
    assert isinstance(without, Placement)
    assert without.renditions == ("720p", "360p")
    (again,) = beats(rig, CPU0, LOST_RENDITION_BEATS, rig.transcode(renditions=RENDITIONS))
    assert isinstance(again, Placement)
    assert again.renditions == ("720p", "480p", "360p")


def test_an_adopted_session_is_booked_by_what_it_makes_whatever_its_source_is_by_now(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(cores=1, workers=1)
    worker = rig.publish("live/a", HD).worker
    ladder = fit_ladder(rig.stream().template, HD)
    made = tuple(
        RenditionStatus(rendition.name, rendition.width, rendition.height)
        for rendition in ladder.renditions
    )
    beats(rig, worker, 1, rig.transcode(renditions=made))
    rig.format(source=SMALL)
    booked = rig.farm.state.fleet.used(Resource.CORES)
    calibrated = replace(rig.farm.state.settings, calibration=(MEASURED,))
    rig.farm.configure(calibrated, rig.now)
    assert rig.farm.state.fleet.used(Resource.CORES) == pytest.approx(booked)

    rig = make_rig(cores=1, workers=1)
    status = rig.publisher(generation=Generation(7), worker=worker, format=SMALL, frames=30)
    rig.up(INGEST0, publishers=(status,))
    beats(rig, worker, 1, rig.transcode(renditions=made))
    assert rig.farm.state.fleet.used(Resource.CORES) == pytest.approx(booked)


def test_an_adopted_session_keeps_its_renditions_whatever_the_template_is_by_now(
    make_rig: MakeRig,
) -> None:
    settings = Settings(templates=(Template("live", DEFAULT_RENDITIONS[2:]),))
    rig = adopted(make_rig, settings)
    (placed,) = beats(rig, CPU0, LOST_RENDITION_BEATS, rig.transcode(renditions=RENDITIONS))
    assert isinstance(placed, Placement)
    assert placed.renditions == ("720p", "480p", "360p")


@pytest.mark.parametrize(("before", "after"), [(SMALL, HD), (HD, SMALL)])
def test_a_source_that_changes_its_size_keeps_the_renditions_of_its_session(
    make_rig: MakeRig, before: SourceFormat, after: SourceFormat
) -> None:
    rig = make_rig(workers=1)
    placed = rig.publish("live/a", before)
    ladder = fit_ladder(placed.template, before)
    status = rig.transcode(
        renditions=tuple(RenditionStatus(rendition.name) for rendition in ladder.renditions),
        omitted=ladder.omitted,
    )
    assert beats(rig, placed.worker, 1, status) == []
    assert rig.only(rig.format(source=after), Placement).renditions == placed.renditions
    assert beats(rig, placed.worker, 3 * LOST_RENDITION_BEATS, status) == []
    rig.down(placed.worker)
    rig.tick(POSITIONS_TIMEOUT_S)
    assert placed.worker is not None
    anew = rig.only(rig.up(placed.worker), Placement)
    assert anew.renditions == tuple(
        rendition.name for rendition in fit_ladder(placed.template, after).renditions
    )


def test_a_session_that_was_opened_for_another_size_has_its_own_renditions_announced(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(workers=1)
    placed = rig.publish("live/a", SMALL)
    assert placed.renditions == ("360p",)
    (again,) = beats(rig, placed.worker, LOST_RENDITION_BEATS, rig.transcode(renditions=RENDITIONS))
    assert isinstance(again, Placement)
    assert again.renditions == ("720p", "480p", "360p")


LYING, UPRIGHT = SourceFormat(960, 540, fps=Fraction(30)), SourceFormat(540, 960, fps=Fraction(30))


def sizes_for(rig: Rig, source: SourceFormat) -> tuple[RenditionStatus, ...]:
    ladder = fit_ladder(rig.stream().template, source)
    return tuple(RenditionStatus(one.name, one.width, one.height) for one in ladder.renditions)


def turn(
    rig: Rig, before: SourceFormat, after: SourceFormat, **publisher: object
) -> tuple[Placement, list[object]]:
    """A source that runs since 10 s becomes another one."""
    placed = rig.publish("live/a", before)
    made = rig.transcode(renditions=sizes_for(rig, before))
    assert beats(rig, placed.worker, 1, made) == []
    rig.format(source=after)
    reference = ClockReference(5_000, rig.now - 10)
    values: dict[str, Any] = {"format": after, "reference": reference, "gop_ms": 1000}
    status = rig.publisher(frames=30, **(values | publisher))
    rig.farm.state.update_publisher(INGEST0, status, rig.now)
    return placed, beats(rig, placed.worker, TURNED_BEATS, made)


@pytest.mark.parametrize(("before", "after"), [(LYING, UPRIGHT), (UPRIGHT, LYING)])
def test_a_source_that_turns_gets_a_session_of_its_new_shape_where_it_is(
    make_rig: MakeRig, before: SourceFormat, after: SourceFormat
) -> None:
    rig = make_rig()
    placed, actions = turn(rig, before, after)
    (anew,) = actions
    assert isinstance(anew, Placement)
    assert (anew.worker, anew.renditions) == (placed.worker, placed.renditions)
    assert anew.generation > placed.generation
    assert anew.splice_ms == 18_000, "a keyframe ahead: now is 15.75 s, and the GOP is of 2 s"
    assert "its source has turned" in anew.reason
    sizes_for_old, sizes_for_new = sizes_for(rig, before), sizes_for(rig, after)
    assert sizes_for_old != sizes_for_new
    # both run until then: nothing more is done, and nothing after it
    old = rig.transcode(generation=placed.generation, renditions=sizes_for_old)
    new = rig.transcode(renditions=sizes_for_new)
    assert beats(rig, placed.worker, 8, old, new) == []
    assert beats(rig, placed.worker, 30, new) == []


@pytest.mark.parametrize(
    ("before", "after", "publisher", "fit"),
    [
        (LYING, SMALL, {}, RenditionFit.SHORT_SIDE),
        (LYING, SourceFormat(720, 720, fps=Fraction(30)), {}, RenditionFit.SHORT_SIDE),
        (LYING, UPRIGHT, {}, RenditionFit.BOX),
        (LYING, UPRIGHT, {"can_move": False}, RenditionFit.SHORT_SIDE),
        (LYING, UPRIGHT, {"is_live": False}, RenditionFit.SHORT_SIDE),
    ],
    ids=["smaller", "square", "box", "its keyframe is too old", "away"],
)
def test_a_session_stays_where_its_frames_fit_or_none_can_begin(
    make_rig: MakeRig,
    before: SourceFormat,
    after: SourceFormat,
    publisher: dict[str, object],
    fit: RenditionFit,
) -> None:
    template = Template("live", DEFAULT_RENDITIONS, fit=fit)
    rig = make_rig(Settings(templates=(template,)))
    assert turn(rig, before, after, **publisher)[1] == []


def test_without_room_for_it_a_turned_source_stays_in_its_session(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    placed = rig.publish("live/a", LYING)
    rig.operator.drain([CPU0], rig.now)
    made = rig.transcode(renditions=sizes_for(rig, LYING))
    rig.format(source=UPRIGHT)
    assert beats(rig, placed.worker, 3 * TURNED_BEATS, made) == []
    assert rig.stream().generation == placed.generation
